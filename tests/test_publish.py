"""The card from facts, the scrubbing of paths, and a round trip through a real local Hub."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1data.backends import hub
from r1data.core.errors import BackendError, ConfigError, InputError, WorkspaceError
from r1data.core.prompts import R1_ZERO
from r1data.core.records import (
    TABLES,
    PreferenceRow,
    Record,
    RlRow,
    SftRow,
    content_hash,
    polars_schema,
)
from r1data.core.tables import Receipt, Workspace, conform, write_part, write_receipt
from r1data.publish import PublishResult, _shards, lineage, publish, scrub
from tests.hub_server import Fault, HubServer

REPO = "tester/ko-cold-start"
KOREAN = "<think>\n17 더하기 25는 42이다.\n</think>\n답은 \\boxed{42}입니다."


def put(root: Path, table: str, record: type[Record], rows: list[dict[str, Any]], **facts: Any):
    """Write a table and its receipt; ``facts`` are fields of the receipt."""
    folder = root / table
    folder.mkdir(parents=True, exist_ok=True)
    if "input_hash" in record.model_fields:
        rows = [{"input_hash": "i", **row} for row in rows]
    whole = polars_schema(record)
    schema = {n: t for n, t in whole.items() if not rows or any(n in row for row in rows)}
    frame = conform(pl.DataFrame(rows, schema=schema), record)
    half = max(1, (frame.height + 1) // 2)
    for number, part in enumerate(frame.iter_slices(half)):
        write_part(part, folder, number)
    config = facts.pop("config", {})
    receipt = {
        "table": table,
        "stage": table.partition("/")[0],
        "version": 1,
        "config": config,
        "fingerprint": content_hash(table, json.dumps(config)),
        "inputs": {},
        "rows_in": frame.height,
        "rows_out": frame.height,
        "reasons": {},
        "seconds": 1.0,
        "cpu_seconds": 1.0,
        "packages": {"r1data": "0.1.0", "polars": "2.1.0"},
        "created": "2026-03-04T05:06:07+00:00",
        "schema_version": 1,
        "command": "",
    }
    write_receipt(folder, Receipt(**{**receipt, **facts}))


def inputs(root: Path, *tables: str) -> dict[str, str]:
    return {table: Workspace(root).fingerprint(table) for table in tables}


def sft_row(number: int, model: str, source: str, **changes: Any) -> dict[str, Any]:
    korean = number == 0
    question = "17 + 25는?" if korean else f"What is {number} + {number}?"
    answer = KOREAN if korean else f"<think>\n{number} twice\n</think>\n\\boxed{{{2 * number}}}"
    row = {
        "row_id": f"r{number}",
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ],
        "problem_id": f"p{number}",
        "trace_id": f"p{number}-1",
        "model": model,
        "language": "ko" if korean else "en",
        "domain": "math",
        "source": source,
        "licence": "MIT",
    }
    return {**row, **changes}


def build(root: Path, system: str | None = None) -> Path:
    """Make a workspace of 6 problems, 12 traces and the corpus cold-start of 4 rows."""
    model, data = str(root / "models" / "base"), "/srv/secret place/data/gsm8k.jsonl"
    sources = [data if i < 3 else "openai/gsm8k" for i in range(6)]
    problems = [
        {"problem_id": f"p{i}", "prompt": f"{i}?", "verifier": "math", "domain": "math"}
        | {"source": sources[i], "language": "en", "licence": "MIT"}
        for i in range(6)
    ]
    record = {table: record for table, (record, _) in TABLES.items()}
    command = f"r1data problems add '{data}' -C {root}"
    config: dict[str, Any] = {"source": data, "licence": "MIT"}
    reasons = {"kept": 6, "empty_prompt": 2}
    facts = {"config": config, "rows_in": 8, "reasons": reasons, "command": command}
    put(root, "problems/gsm8k", record["problems"], problems, **facts)
    hits = [
        {"problem_id": p, "benchmark": "aime24", "benchmark_row": r, "unit": "words"}
        | {"matched": "a b c"}
        for p, r in (("p4", 0), ("p4", 1), ("p3", 0))
    ]
    files = [f"{root}/bench/aime24.jsonl", f"{root}/bench/math500.jsonl"]
    config = {"benchmark": files, "words": 8}
    put(root, "overlaps", record["overlaps"], hits, config=config, inputs=inputs(root, "problems"))
    build_traces(root, record, model, system)
    build_picks(root, record)
    chosen = [sft_row(0, model, data), sft_row(1, model, data), sft_row(2, model, data)]
    chosen.append(sft_row(3, model, "openai/gsm8k"))
    put(
        root,
        "corpora/cold-start",
        SftRow,
        chosen,
        config={"corpus": "cold-start", "kind": "cold-start"},
        inputs=inputs(root, "problems", "picks/cold-start", "traces"),
        command="r1data assemble cold-start",
    )
    return root


def build_traces(root: Path, record: dict[str, Any], model: str, system: str | None) -> None:
    traces = [
        {"trace_id": f"p{p}-{i}", "problem_id": f"p{p}", "sample_index": i, "sampler": "s"}
        | {"model": model, "engine": "transformers", "seed": 1, "prompt_hash": "h", "prefill": ""}
        | {"text": "t", "max_tokens": 64, "prompt_tokens": 9, "completion_tokens": 10 * p + i}
        | {"finish_reason": "length" if (p, i) == (5, 0) else "stop"}
        for p in range(6)
        for i in range(2)
    ]
    config = {"model": model, "n": 2, "template": "r1-zero", "system": system, "seed": 7}
    config |= {"temperature": 0.6, "top_p": 0.95, "max_tokens": 64, "base_url": "http://10.1.2.3/"}
    put(
        root,
        "traces",
        record["traces"],
        traces,
        config=config,
        inputs=inputs(root, "problems") | {"=model": "feedc0de"},
        packages={"r1data": "0.1.0", "transformers": "5.23.0"},
        command=f"r1data sample --model {model} --base-url http://10.1.2.3/ --n 2",
    )
    verdicts = [
        {"trace_id": t["trace_id"], "problem_id": t["problem_id"], "verifier": "math"}
        | {"status": status(t["problem_id"], t["sample_index"]), "seconds": 0.0}
        for t in traces
    ]
    put(root, "verdicts", record["verdicts"], verdicts, inputs=inputs(root, "traces", "problems"))
    judgements = [
        {"trace_id": t["trace_id"], "problem_id": t["problem_id"], "rule": rule, "passed": good}
        | {"reason": None if good else "mixed_language", "spans": []}
        for t in traces
        for rule in ("language_consistency", "format")
        for good in [rule == "format" or t["trace_id"] != "p4-1"]
    ]
    put(root, "judgements", record["judgements"], judgements, inputs=inputs(root, "traces"))


def status(problem: str, sample: int) -> str:
    if problem == "p5":
        return "wrong"
    return "correct" if sample == 1 else "no_answer"


def build_picks(root: Path, record: dict[str, Any]) -> None:
    picks = [
        {"corpus": "cold-start", "problem_id": f"p{p}", "trace_id": f"p{p}-1"}
        | {"role": "row" if p < 4 else None, "rank": 1 if p < 4 else None}
        | {"reason": {4: "overlaps_benchmark", 5: "wrong"}.get(p)}
        for p in range(6)
    ]
    put(
        root,
        "picks/cold-start",
        record["picks"],
        picks,
        config={"corpus": "cold-start", "keep": 1},
        inputs=inputs(root, "problems", "traces", "verdicts", "judgements", "overlaps"),
        command="r1data select cold-start",
    )
    put(root, "picks/sft", record["picks"], [{"corpus": "sft", "problem_id": "p0"}])


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return build(tmp_path / "runs" / "r1")


def dry(workspace: Path, **options: Any) -> PublishResult:
    return publish(workspace, "cold-start", REPO, dry_run=True, **options)


def front(card: str) -> dict[str, Any]:
    from huggingface_hub import DatasetCard

    parsed: Any = DatasetCard(card)
    return dict(parsed.data.to_dict())


def table(card: str, heading: str) -> list[list[str]]:
    """Return the body cells of the tables below a heading."""
    section = card.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in rows if "---" not in row[0]]


def test_dry_run_names_files_and_needs_no_token(workspace, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    result = dry(workspace)
    expected = ("data/train-00000-of-00001.parquet", "provenance.json", "README.md")
    assert result.files == expected
    assert (result.rows, result.commit) == (4, None)
    assert result.url.endswith("/datasets/" + REPO)


def test_front_matter(workspace):
    data = front(dry(workspace).card)
    assert data["pretty_name"] == "ko-cold-start"
    assert data["language"] == ["en", "ko"]
    assert data["license"] == "mit"
    assert data["size_categories"] == ["n<1K"]
    assert data["task_categories"] == ["text-generation"]
    tags = ["r1data", "reasoning", "chain-of-thought", "synthetic", "cold-start"]
    assert data["tags"] == tags
    assert data["source_datasets"] == ["openai/gsm8k"]
    files = [{"split": "train", "path": "data/train-*.parquet"}]
    assert data["configs"] == [{"config_name": "default", "data_files": files}]
    features = {f["name"]: f for f in data["dataset_info"][0]["features"]}
    turn = [{"name": "role", "dtype": "string"}, {"name": "content", "dtype": "string"}]
    assert features["messages"] == {"name": "messages", "list": turn}
    assert features["licence"] == {"name": "licence", "dtype": "string"}


def test_card_states_the_facts(workspace):
    card = dry(workspace).card
    made = dict(table(card, "How it was made")[:10])
    assert made["model"] == "./models/base"
    assert made["fingerprint of the weights"] == "feedc0de"
    assert made["engine"] == "transformers 5.23.0"
    assert made["samples per problem (n)"] == "2"
    assert (made["temperature"], made["top-p"], made["seed"]) == ("0.6", "0.95", "7")
    assert R1_ZERO in card
    assert table(card, "Funnel")[1:] == [
        ["`problems/gsm8k`", "8", "6", "empty_prompt 2"],
        ["`overlaps`", "3", "3", ""],
        ["`traces`", "12", "12", ""],
        ["`verdicts`", "12", "12", ""],
        ["`judgements`", "24", "24", ""],
        ["`picks/cold-start`", "6", "4", "overlaps_benchmark 1, wrong 1"],
        ["`corpora/cold-start`", "4", "4", ""],
    ]
    verdicts = table(card, "Verification")
    assert ["math", "no_answer", "5"] in verdicts
    assert ["math", "correct", "5"] in verdicts
    assert ["math", "wrong", "2"] in verdicts
    assert verdicts[-2:] == [["0", "1"], ["up to 0.5", "5"]]
    rules = table(card, "Language and readability rules")
    assert ["language_consistency", "12", "1", "mixed_language 1"] in rules
    assert ["format", "12", "0", ""] in rules
    assert table(card, "Decontamination")[1:] == [["aime24", "2"], ["math500", "0"]]
    assert "whose problem overlaps a benchmark: 1." in card
    assert ["`licence`", "string or null", "The problem's licence."] in table(card, "Columns")
    meaning = "The conversation; reasoning stands inline in `<think>…</think>`."
    assert ["`messages`", "list of {role, content}", meaning] in table(card, "Columns")
    assert [row[0] for row in table(card, "Columns")[1:]] == [f"`{n}`" for n in SftRow.model_fields]
    spread = {row[0]: row[1:] for row in table(card, "Lengths")}
    assert spread["answer, tokens"] == ["16", "16", "31", "31"]
    assert spread["prompt, characters"] == ["12.8", "14", "14", "14"]
    assert table(card, "Licences")[1:] == [
        ["gsm8k.jsonl", "MIT", "3"],
        ["openai/gsm8k", "MIT", "1"],
    ]
    assert "1 of 12 sampled traces ended at the token budget." in card
    assert "1 row belongs to problems that overlap a benchmark." in card
    assert "More Information Needed" not in card


def test_commands_stand_in_data_order_without_private_parts(workspace):
    card = dry(workspace).card
    block = card.split("```bash\n")[1].split("\n```")[0].splitlines()
    assert block == [
        "r1data problems add gsm8k.jsonl -C .",
        "r1data sample --model ./models/base --base-url ... --n 2",
        "r1data select cold-start",
        "r1data assemble cold-start",
    ]


def test_nothing_of_the_machine_is_in_the_card(workspace):
    card = dry(workspace).card
    assert not [bad for bad in (str(workspace), "/srv", "secret place", "10.1.2.3") if bad in card]


def test_unknown_facts_are_left_out(tmp_path):
    root = tmp_path / "w"
    rows = [sft_row(i, "m", "s", licence=None, language=None) for i in range(2)]
    put(root, "corpora/plain", SftRow, rows, config={"kind": "sft"}, packages={})
    card = publish(root, "plain", REPO, dry_run=True).card
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    assert headings == [
        "## What it is",
        "## How it was made",
        "## Funnel",
        "## Columns",
        "## Lengths",
        "## Licences",
        "## Versions and reproduction",
        "## Known limits",
    ]
    assert "None" not in card
    assert "The licence of 2 of 2 rows is unknown." in card
    assert "language" not in front(card)
    assert (front(card)["license"], front(card)["license_name"]) == ("other", "unknown")


def test_table_made_again_after_the_corpus_is_a_known_limit(workspace):
    put(workspace, "verdicts", TABLES["verdicts"][0], [], config={"precision": 3})
    assert "The table `verdicts` was made again after the corpus" in dry(workspace).card


def test_fences_are_longer_than_those_of_a_quoted_prompt(tmp_path):
    root = build(tmp_path / "w", system="Use ```python\nfences``` and </think> | /no_think")
    card = dry(root).card
    assert "````text\nUse ```python\nfences``` and </think> | /no_think\n````" in card


def test_rl_and_preference_corpora(tmp_path):
    root = tmp_path / "w"
    asked = [{"role": "user", "content": "1+1?"}]
    rl = {"row_id": "a", "prompt": asked, "problem_id": "p", "answer": "2", "verifier": "math"}
    rl |= {"domain": "math", "source": "gym:chain_sum", "pass_rate": 0.5}
    put(root, "corpora/rl", RlRow, [rl], config={"kind": "rl"})
    data = front(publish(root, "rl", REPO, dry_run=True).card)
    assert data["tags"] == ["r1data", "reasoning", "reinforcement-learning", "rl"]
    assert {"name": "pass_rate", "dtype": "float64"} in data["dataset_info"][0]["features"]
    pair = {"row_id": "a", "prompt": asked, "problem_id": "p", "model": "m", "source": "s"}
    for part, text in (("chosen", "abcd"), ("rejected", "ab")):
        pair |= {part: [{"role": "assistant", "content": text}], f"{part}_trace_id": part}
    put(root, "corpora/preference", PreferenceRow, [pair], config={"kind": "preference"})
    card = publish(root, "preference", REPO, dry_run=True).card
    assert ["chosen, characters", "4", "4", "4", "4"] in table(card, "Lengths")
    assert ["rejected, characters", "2", "2", "2", "2"] in table(card, "Lengths")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["MIT"], {"license": "mit"}),
        (["Apache-2.0", "Apache-2.0"], {"license": "apache-2.0"}),
        (["GPL-3.0-only"], {"license": "gpl-3.0"}),
        (["MIT", "Apache-2.0"], {"license": "other", "license_name": "apache-2.0-and-mit"}),
        (["MIT", None], {"license": "other", "license_name": "mit-and-unknown"}),
        (["Qwen Research"], {"license": "other", "license_name": "qwen-research"}),
        ([], {"license": "other", "license_name": "unknown"}),
    ],
)
def test_licences(found, expected):
    assert hub.licence_fields(found) == expected


def test_a_given_licence_is_that_of_the_whole(workspace):
    card = dry(workspace, licence="CC-BY-4.0").card
    assert front(card)["license"] == "cc-by-4.0"
    assert "The data set as a whole is published under CC-BY-4.0." in card


@pytest.mark.parametrize(
    ("rows", "name"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (5_000_000, "1M<n<10M")],
)
def test_size_categories(rows, name):
    assert hub.size_category(rows) == name


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("openai/gsm8k", "openai/gsm8k"),
        ("hf:openai/gsm8k", "openai/gsm8k"),
        ("data/train.jsonl", None),
        ("gym:chain_sum", None),
        ("gsm8k.jsonl", None),
        (None, None),
    ],
)
def test_hub_ids_of_sources(source, expected):
    assert hub.hub_id(source) == expected


@pytest.mark.parametrize(
    "repo", ["plain", "a/b/c", "a/b--c", "a/.b", "a/b.git", "/b", "a/", "a/한국", "a/" + "b" * 99]
)
def test_bad_repository_names(workspace, repo):
    with pytest.raises(ConfigError, match="OWNER/NAME"):
        publish(workspace, "cold-start", repo, dry_run=True)


def test_missing_corpus_lists_those_that_exist(workspace):
    with pytest.raises(WorkspaceError, match="no corpus nothing: there are cold-start;"):
        publish(workspace, "nothing", REPO, dry_run=True)
    (workspace / "corpora" / "half").mkdir()
    with pytest.raises(WorkspaceError, match="half is unfinished"):
        publish(workspace, "half", REPO, dry_run=True)


def test_empty_corpus_is_refused(workspace):
    put(workspace, "corpora/sft", SftRow, [], config={"kind": "sft"})
    with pytest.raises(InputError, match="no rows"):
        publish(workspace, "sft", REPO, dry_run=True)


def test_a_row_that_speaks_of_the_workspace_stops_it(workspace):
    turn = [{"role": "user", "content": f"see {workspace}/x"}]
    row = sft_row(9, "m", "s", messages=turn)
    put(workspace, "corpora/sft", SftRow, [row], config={"kind": "sft"})
    with pytest.raises(InputError, match="row r9 holds the path"):
        publish(workspace, "sft", REPO, dry_run=True)


def test_no_token_says_how_to_log_in(workspace, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(BackendError, match=r"hf auth login.*HF_TOKEN"):
        publish(workspace, "cold-start", REPO)


def test_lineage_follows_only_the_own_picks(workspace):
    names = list(lineage(Workspace(workspace), "corpora/cold-start"))
    assert names == [
        "problems/gsm8k",
        "overlaps",
        "traces",
        "verdicts",
        "judgements",
        "picks/cold-start",
        "corpora/cold-start",
    ]


def test_parts_are_grouped_into_shards(tmp_path, monkeypatch):
    monkeypatch.setattr("r1data.publish.SHARD_BYTES", 10)
    for number, size in enumerate((6, 6, 20, 1)):
        (tmp_path / f"part-{number:05d}.parquet").write_bytes(b"x" * size)
    groups = _shards(tmp_path)
    assert list(groups) == [f"data/train-{i:05d}-of-00003.parquet" for i in range(3)]
    assert [[p.name[5:10] for p in g] for g in groups.values()] == [
        ["00000", "00001"],
        ["00002"],
        ["00003"],
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/kim/models/base", "base"),
        ("read /home/kim/a.txt, then b", "read a.txt, then b"),
        ("--model=/home/kim/base/", "--model=base"),
        ("~/data/x.jsonl", "x.jsonl"),
        ("/srv/secret place/x y.jsonl", "x y.jsonl"),
        ("file:///home/kim/x", "x"),
        ("C:\\Users\\kim\\x.jsonl", "x.jsonl"),
        ("/ws/deep/run/traces", "./traces"),
        ("/ws/deep/run2/traces", "traces"),
        ("-C /ws/deep/run --n 2", "-C . --n 2"),
        ("and/or", "and/or"),
        ("openai/gsm8k", "openai/gsm8k"),
        ("https://huggingface.co/a/b", "https://huggingface.co/a/b"),
        ("</think> <think>", "</think> <think>"),
        ("/no_think", "/no_think"),
        ("./models/base", "./models/base"),
    ],
)
def test_scrub(text, expected):
    assert scrub({"x": [text]}, Path("/ws/deep/run")) == {"x": [expected]}


@given(
    st.lists(st.from_regex(r"[a-z가-힣0-9_.]{1,8}", fullmatch=True), min_size=2, max_size=5),
    st.sampled_from(["{}", "see {} ", "--x={}", "'{}'", "a,{}", "[{}]"]),
)
def test_scrub_leaves_no_parent_folder(names, shape):
    names = [name.strip(".") or "x" for name in names]
    parent = "/" + "/".join(names[:-1]) + "/"
    once = scrub(shape.format(parent + names[-1]), Path("/w/w/w"))
    assert once == shape.format(names[-1])
    assert scrub(once, Path("/w/w/w")) == once


PROSE = "\n# My corpus\n\nWritten by hand —  two spaces.\n\n| a | b |\n"


def test_merge_keeps_hand_written_prose_byte_for_byte():
    ours = {"license": "mit", "tags": ["r1data"], "configs": [{"config_name": "default"}]}
    existing = (
        "---\npretty_name: Mine\nlicense: other\nlicense_name: x\nlicense_link: y\ntags: [korean]\n"
        "extra_gated_prompt: ask\nconfigs:\n- config_name: default\n- config_name: raw\n"
        "dataset_info:\n  features: []\n  splits: [{name: train, num_examples: 3}]\n---" + PROSE
    )
    once = hub.merge_card(ours, "title", "first", existing)
    assert PROSE.rstrip() + f"\n\n{hub.START}\nfirst\n{hub.END}\n" in once
    assert front(once) == {
        "pretty_name": "Mine",
        "license": "mit",
        "tags": ["korean", "r1data"],
        "extra_gated_prompt": "ask",
        "configs": [{"config_name": "default"}, {"config_name": "raw"}],
    }
    twice = hub.merge_card(ours, "title", "second", once.replace(hub.END, hub.END + "\n\nafter"))
    assert twice == once.replace("first", "second").replace(hub.END, hub.END + "\n\nafter")


def test_merge_of_a_readme_without_yaml_and_with_faulty_yaml():
    text = hub.merge_card({"license": "mit"}, "title", "section", "# Mine\n\n---\nrule\n---\n")
    assert text.startswith("---\nlicense: mit\n---\n# Mine\n\n---\nrule\n---\n\n" + hub.START)
    with pytest.raises(InputError, match="YAML that cannot be read"):
        hub.merge_card({}, "title", "section", "---\na: [1\n---\n# Mine\n")


DRIVER = """
import json, sys
from pathlib import Path
from r1data.core.errors import R1DataError
from r1data.publish import publish

def attempt(**options):
    try:
        r = publish(Path(sys.argv[1]), "cold-start", "tester/ko-cold-start", **options)
    except R1DataError as error:
        return f"{type(error).__name__}: {error}"
    return {"url": r.url, "commit": r.commit, "files": r.files, "rows": r.rows, "card": r.card}
"""


def drive(script: str, server: HubServer, workspace: Path, home: Path) -> Any:
    """Run a script against the server in a fresh process; return the JSON it prints last."""
    settings = {
        "HF_ENDPOINT": server.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": "hf_test",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": "1",
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", DRIVER + script, str(workspace)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.engine
def test_round_trip_through_a_hub(workspace, tmp_path):
    script = """
from datasets import load_dataset
out = attempt()
again = attempt()
rows = load_dataset("tester/ko-cold-start", split="train")
print(json.dumps([out, again, rows.to_list(), str(rows.features["messages"]), rows.column_names]))
"""
    with HubServer() as server:
        out, again, rows, kind, names = drive(script, server, workspace, tmp_path / "home")
        repo, files = server.repos[REPO], server.files(REPO)
    assert out["url"] == f"{server.url}/datasets/{REPO}"
    assert out["commit"] == again["commit"] == repo.head.oid
    assert repo.private
    assert [c.message for c in repo.commits] == ["initial commit", "Publish cold-start: 4 rows"]
    assert set(files) == {*out["files"], ".gitattributes"}
    assert files["README.md"].decode() == out["card"]
    sealed = pl.read_parquet(workspace / "corpora/cold-start/part-*.parquet")
    sources = pl.Series(["gsm8k.jsonl"] * 3 + ["openai/gsm8k"])
    assert rows == sealed.with_columns(model=pl.lit("base"), source=sources).to_dicts()
    assert rows[0]["messages"][1]["content"] == KOREAN
    assert names == list(SftRow.model_fields)
    assert "large" not in kind
    shard = tmp_path / "shard.parquet"
    shard.write_bytes(files["data/train-00000-of-00001.parquet"])
    plain = pl.read_parquet(shard).write_json().encode()
    for secret in (str(workspace), str(tmp_path), "/srv", "secret place", "10.1.2.3"):
        assert not [n for n, data in files.items() if secret.encode() in data]
        assert secret.encode() not in plain
    provenance = json.loads(files["provenance.json"])
    assert provenance["receipts"]["traces"]["config"]["model"] == "./models/base"
    assert "base_url" not in provenance["receipts"]["traces"]["config"]


@pytest.mark.engine
def test_an_existing_repository(workspace, tmp_path):
    old = "data/train-00001-of-00002.parquet"
    prose = "---\nlicense: mit\n---\n# Mine\n\nBy hand.\n"
    with HubServer() as server:
        server.create(REPO, private=True)
        for name, data in ((old, b"x"), ("data/extra.parquet", b"y"), ("README.md", b"# Old")):
            server.write(REPO, name, data)
        # somebody saves the card in the browser while the rows are on their way
        server.before_commit.append(lambda: server.write(REPO, "README.md", prose.encode()))
        out = drive("print(json.dumps(attempt()))", server, workspace, tmp_path / "home")
        files = server.files(REPO)
    assert isinstance(out, dict), out
    card = files["README.md"].decode()
    assert "\n# Mine\n\nBy hand.\n\n" + hub.START in card
    assert "# Old" not in card
    assert old not in files
    assert files["data/extra.parquet"] == b"y"
    digest = hashlib.sha256(files["data/train-00000-of-00001.parquet"]).hexdigest()
    assert [path for method, path in server.requests if method == "PUT"] == [f"/lfs/{digest}"]


@pytest.mark.engine
def test_refusals_are_one_line(workspace, tmp_path):
    script = """
out = [attempt() for _ in range(4)]
out.append(attempt(private=False))
print(json.dumps(out))
"""
    with HubServer() as server:
        server.faults += [
            Fault("POST", "/repos/create", 401),
            Fault("POST", "/preupload/", 403),
            Fault("PUT", "/lfs/", 400),
            Fault("POST", "/commit/", 412, times=2),
        ]
        out = drive(script, server, workspace, tmp_path / "home")
        repo = server.repos[REPO]
    assert all("\n" not in said for said in out)
    assert all(said.startswith(f"BackendError: {REPO}: ") for said in out[:4]), out
    told = ["log in again with `hf auth login`", "write access", "answered 400", "kept changing"]
    assert [word in said for word, said in zip(told, out, strict=False)] == [True] * 4, out
    assert out[4].startswith(f"ConfigError: {REPO} is private on the Hub")
    assert len(repo.commits) == 1


@pytest.mark.engine
def test_private_rows_never_enter_a_public_repository(workspace, tmp_path):
    with HubServer() as server:
        server.create(REPO, private=False)
        out = drive("print(json.dumps(attempt()))", server, workspace, tmp_path / "home")
        assert out.startswith(f"ConfigError: {REPO} is public on the Hub; add --public")
        assert not [path for method, path in server.requests if method == "PUT"]
        public = "print(json.dumps(attempt(private=False)))"
        out = drive(public, server, workspace, tmp_path / "home")
        assert out["commit"] == server.repos[REPO].head.oid


@pytest.mark.engine
def test_no_hub_at_all(workspace, tmp_path):
    with HubServer() as server:
        pass
    out = drive("print(json.dumps(attempt()))", server, workspace, tmp_path / "home")
    assert out.startswith(f"BackendError: {REPO}: the upload failed: ")
