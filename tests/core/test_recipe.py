from pathlib import Path
from typing import Any

import pytest

from r1data.core.errors import RecipeError
from r1data.core.recipe import Recipe, check_recipe, load_recipe
from r1data.core.stage import Action, Config


class AddConfig(Config):
    source: str
    limit: int = 10


class UseConfig(Config):
    model: str = "m"
    name: str = "x"
    temperature: float = 1.0


ENTRIES = {
    "add": Action("add", 1, AddConfig, lambda c, x: None, (), "problems"),
    "sample": Action("sample", 1, UseConfig, lambda c, x: None, ("problems",), "traces"),
    "train": Action("train", 1, UseConfig, lambda c, x: None, ("traces",), "models/{name}"),
    "gate": Action("gate", 1, UseConfig, lambda c, x: None, (), "", is_gate=True),
    "score": Action("score", 1, UseConfig, lambda c, x: None, ("models/{name}",), ""),
}


def resolve(name: str) -> Action:
    if name not in ENTRIES:
        raise KeyError(", ".join(ENTRIES))
    return ENTRIES[name]


def check(data: dict[str, Any], **parameters: Any) -> Recipe:
    return check_recipe(data, "r.toml", resolve, parameters)


def phase(name: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "step": list(steps), **more}


ADD = {"use": "add", "source": "a.jsonl"}


def test_a_sound_recipe() -> None:
    recipe = check(
        {
            "name": "r",
            "parameters": {"limit": 3},
            "phase": [
                phase("base", {**ADD, "limit": "${limit}"}, {"use": "sample"}, {"use": "train"}),
                phase("next", ADD, {"use": "sample", "model": "@base/models/x"}),
            ],
        }
    )
    base, following = recipe.phases
    assert [s.use for s in base.steps] == ["add", "sample", "train"]
    assert base.steps[0].config.model_dump() == {"source": "a.jsonl", "limit": 3}
    assert (following.folder, following.after) == ("01-next", ("base",))
    assert following.steps[1].config.model_dump()["model"] == "../00-base/models/x"


def test_parameters_replace_values_and_keep_their_type() -> None:
    data = {"parameters": {"limit": 3}, "phase": [phase("a", {**ADD, "limit": "${limit}"})]}
    assert check(data, limit=7).phases[0].steps[0].config.model_dump()["limit"] == 7
    with pytest.raises(RecipeError, match="no such parameter; it has limit"):
        check(data, limits=7)


def test_each_repeats_a_step() -> None:
    data = {"phase": [phase("a", {"use": "add", "each": {"source": ["x", "y"]}, "limit": 1})]}
    steps = check(data).phases[0].steps
    assert [s.config.model_dump()["source"] for s in steps] == ["x", "y"]


def test_all_faults_are_told_at_once_with_their_keys() -> None:
    data = {
        "nmae": "typo",
        "phase": [
            phase("a", {"use": "add", "source": "x", "limti": 1}, {"use": "smaple"}, titel="t"),
            phase("b", {"use": "sample", "temperature": "hot", "model": "@c/models/x"}),
        ],
    }
    with pytest.raises(RecipeError) as caught:
        check(data)
    faults = "\n".join(caught.value.faults)
    assert "nmae: unknown key; valid are" in faults
    assert "phase[0].step[0].limti: unknown key; valid are limit, source" in faults
    assert (
        "phase[0].step[1].use: no stage 'smaple'; valid are add, sample, train, gate, score"
        in faults
    )
    assert "phase[0].titel: unknown key" in faults
    assert "phase[1].step[0].temperature: input should be a valid number" in faults
    assert "(got 'hot')" in faults
    assert "phase[1].step[0].model: no phase 'c'; valid are a, b" in faults
    assert len(caught.value.faults) == 6


def test_a_table_must_be_written_before_it_is_read() -> None:
    with pytest.raises(RecipeError, match="step\\[0\\].use: reads problems, which no step before"):
        check({"phase": [phase("a", {"use": "sample"}, ADD)]})
    with pytest.raises(RecipeError, match="reads models/y"):
        check(
            {
                "phase": [
                    phase(
                        "a", ADD, {"use": "sample"}, {"use": "train"}, {"use": "score", "name": "y"}
                    )
                ]
            }
        )


def test_a_reader_waits_for_the_step_that_writes_and_for_the_gate() -> None:
    base = phase(
        *("base", ADD, {"use": "sample"}, {"use": "train"}, {"use": "gate"}, {"use": "score"})
    )
    plain = phase("plain", ADD, {"use": "sample"}, {"use": "train"}, {"use": "score"})
    found = check({"phase": [base, plain]}).phases
    assert found[0].steps_before("models/x") == 4
    assert found[1].steps_before("models/x") == 3
    assert found[1].steps_before("problems") == 1
    assert found[1].steps_before("models") == 3
    assert found[1].steps_before("") == found[1].steps_before("elsewhere") == 4


def test_phases_that_wait_for_each_other() -> None:
    data = {"phase": [phase("a", ADD, after=["b"]), phase("b", ADD, after=["a"])]}
    with pytest.raises(RecipeError, match="phase 'a': waits for itself through b"):
        check(data)


def test_an_empty_recipe() -> None:
    with pytest.raises(RecipeError, match="needs at least one"):
        check({})
    with pytest.raises(RecipeError, match="a phase needs at least one"):
        check({"phase": [{"name": "a"}]})


def faults_of(data: dict[str, Any]) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        check(data)
    return list(caught.value.faults)


def test_values_of_the_wrong_kind_are_faults_with_keys() -> None:
    data = {
        "name": 3,
        "parameters": 3,
        "jobs": "two",
        "phase": [
            "a",
            {"name": 4, "after": 3, "step": ["q", {**ADD, "each": 3}, {"source": "x"}]},
            {"name": "c", "title": 5, "after": [3], "step": {"use": "add"}},
            {"name": "d/e", "step": [{"use": 7}, {"use": "add", "each": {"source": []}}]},
        ],
    }
    assert faults_of(data) == [
        "name: must be a string (got 3)",
        "jobs: must be a whole number of at least 1 (got 'two')",
        "parameters: must be a table (got 3)",
        "phase[0]: must be a table (got 'a')",
        "phase[1].name: must be a string (got 4)",
        "phase[1].after: must be a list of phase names (got 3)",
        "phase[1].step[0]: must be a table (got 'q')",
        "phase[1].step[1].each: must be a table (got 3)",
        "phase[1].step[2].use: a step needs the name of a stage; valid are add, sample, train, "
        "gate, score",
        "phase[2].title: must be a string (got 5)",
        "phase[2].after: must be a list of phase names (got [3])",
        "phase[2].step: a phase needs at least one [[phase.step]]",
        "phase[3].name: must have no / in it (got 'd/e')",
        "phase[3].step[0].use: must be the name of a stage (got 7)",
        "phase[3].step[1].each.source: must be a list of at least one value",
        "phase[3].step[1].source: is needed",
    ]


@pytest.mark.parametrize("value", [3, "a", {"name": "a"}])
def test_phases_that_are_no_list_of_tables(value: object) -> None:
    assert faults_of({"phase": value}) == ["phase: a recipe needs at least one [[phase]]"]


@pytest.mark.parametrize("jobs", [0, -1, True, 1.5])
def test_jobs_are_a_whole_number_of_at_least_one(jobs: object) -> None:
    said = f"jobs: must be a whole number of at least 1 (got {jobs!r})"
    assert faults_of({"jobs": jobs, "phase": [phase("a", ADD)]}) == [said]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(RecipeError, match="r.toml: 1 fault: not valid TOML"):
        load_recipe(tmp_path / "r.toml", resolve)
