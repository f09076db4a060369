import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1data.core.records import Verdict
from r1data.stages.verify import verify, verify_many
from r1data.stages.verify.gym import GymJob, prepare_gym

# composite needs data sets to be made of; arc_agi loads 0.4 s of tasks; the last have no oracle.
SKIPPED = ("composite", "arc_agi")
WITHOUT_ORACLE = ("boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour")
# Scorers that raise on answers of another type instead of scoring them.
RAISES_ON_JUNK = ("boxnet", "game_of_life", "prime_factorization")
JUNK = ("I do not know", "nan", "[]", "{}", "...", "\u2603")


def payload(dataset: str, entry: dict[str, Any]) -> str:
    return json.dumps({"dataset": dataset, "entry": entry}, default=str)


def prepare(dataset: str, oracle: str | None, answer: str) -> Verdict | GymJob:
    return prepare_gym(payload(dataset, {"answer": oracle}), f"<answer>{answer}</answer>")


def outcome(found: Verdict | GymJob) -> str:
    return found.status if isinstance(found, Verdict) else "scored"


@pytest.mark.parametrize(
    ("dataset", "oracle", "answer", "wanted"),
    [
        ("chain_sum", "12", " 12\n", "correct"),
        ("chain_sum", "12", "13", "scored"),
        ("rush_hour", None, "None", "scored"),
        ("word_game", "", "x", "scored"),
        ("coin_flip", "0.234375", "0", "wrong"),
        ("coin_flip", "0.234375", "0.2", "wrong"),
        ("coin_flip", "0.234375", "15/0", "wrong"),
        ("coin_flip", "0.234375", ".", "wrong"),
        ("coin_flip", "0.234375", "1/2e3", "wrong"),
        ("coin_flip", "0.234375", "1e999999999", "wrong"),
        ("coin_flip", "0.234375", "15/64", "scored"),
        ("coin_flip", "0.234375", "0.23437", "scored"),
        ("complex_arithmetic", "8.0 + 3.0i", "nan", "wrong"),
        ("complex_arithmetic", "8.0 + 3.0i", "NaN + nani", "wrong"),
        ("complex_arithmetic", "8.0 + 3.0i", "8 + 3i", "scored"),
        ("spell_backward", "abc", "abcabc", "wrong"),
        ("spell_backward", "abc", "abd", "scored"),
        ("sum", "1", "(open)('x')", "limit"),
        ("sum", "1", "9**9**9", "limit"),
        ("sum", "1", "x" * 30_000, "limit"),
    ],
)
def test_what_reaches_a_scorer(dataset: str, oracle: str | None, answer: str, wanted: str) -> None:
    assert outcome(prepare(dataset, oracle, answer)) == wanted


@pytest.mark.parametrize(
    "broken", [None, "", "[]", "{}", '{"dataset": 1, "entry": {}}', "[" * 99_999]
)
def test_payloads_that_are_no_entry(broken: str | None) -> None:
    found = prepare_gym(broken, "x")
    assert found == Verdict(status="error", method="payload is no gym entry")


@given(st.text(max_size=80) | st.just("\ud800\0"))
def test_any_text_is_prepared(text: str) -> None:
    for dataset in ("coin_flip", "complex_arithmetic", "chain_sum"):
        found = prepare_gym(payload(dataset, {"answer": "0.5"}), text)
        assert outcome(found) in ("correct", "wrong", "scored", "limit", "no_answer")


def entries() -> list[tuple[str, dict[str, Any]]]:
    reasoning_gym = pytest.importorskip("reasoning_gym")
    from reasoning_gym.factory import DATASETS

    out = []
    for name in sorted(set(DATASETS) - set(SKIPPED)):
        with contextlib.redirect_stdout(io.StringIO()):
            out.append((name, reasoning_gym.create_dataset(name, size=1, seed=3)[0]))
    return out


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore")  # of reasoning-gym's own dependencies
def test_every_data_set_verifies_its_answer_and_no_junk() -> None:
    made = entries()
    assert len(made) > 100
    rows = [(name, entry, str(entry["answer"])) for name, entry in made if entry["answer"]]
    assert {name for name, _ in made} - {row[0] for row in rows} == set(WITHOUT_ORACLE)
    rows += [(name, entry, junk) for name, entry in made for junk in JUNK]
    verdicts = verify_many(
        [None] * len(rows),
        [f"<think>hm</think><answer>{answer}</answer>" for *_, answer in rows],
        "gym",
        payloads=[payload(name, entry) for name, entry, _ in rows],
        timeout=20.0,
    )
    for (name, entry, answer), verdict in zip(rows, verdicts, strict=True):
        gold = answer == str(entry["answer"])
        assert verdict.status in (("correct",) if gold else ("wrong", "error")), (name, answer)
        if verdict.status == "error":
            assert name in RAISES_ON_JUNK, (name, answer)
        assert verdict.status != "correct" or verdict.score == 1.0
        assert verdict.score is None or 0 <= verdict.score <= 1


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore")
def test_other_forms_of_an_answer_are_for_the_scorer() -> None:
    made = dict(entries())
    for name, change in (
        ("prime_factorization", lambda gold: " × ".join(reversed(gold.split(" × ")))),
        ("needle_haystack", str.upper),
        ("complex_arithmetic", lambda gold: gold.replace(".0", "")),
    ):
        answer = change(made[name]["answer"])
        assert answer != made[name]["answer"]
        verdict = verify(
            None, f"<answer>{answer}</answer>", "gym", payload=payload(name, made[name])
        )
        assert (verdict.status, verdict.method) == ("correct", "gym"), name
