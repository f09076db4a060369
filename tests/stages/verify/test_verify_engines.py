import json
from collections.abc import Iterator
from typing import Any

import pytest

from r1data.backends.math_pool import MathPool, shared_pool
from r1data.core.errors import ConfigError
from r1data.core.records import VERIFIERS
from r1data.stages.verify import verify, verify_many
from r1data.stages.verify.api import PRELOAD, judge_rows
from r1data.stages.verify.engines import Engines, missing
from r1data.stages.verify.policy import VerifyPolicy
from r1data.stages.verify.prepare import Row, prepare_chunk, prepare_rows
from tests.chat_server import Answer, ChatServer

MIXED = [
    Row("math", "1/2", r"\boxed{0.5}"),
    Row("math", "x^2-1", r"\boxed{(x-1)(x+1)}"),
    Row("choice", "B", "The answer is B.", json.dumps({"options": ["one", "two"]})),
    Row("string", "Seoul", "The answer is seoul."),
    Row("json", '{"a": 1}', '```json\n{"a": 1.0}\n```'),
    Row("format", None, "<think>2+2</think>4"),
    Row(
        "code",
        None,
        "```python\ndef f(x):\n    return x + 1\n```",
        json.dumps({"asserts": ["assert f(1) == 2"]}),
    ),
    Row("code", None, "no program", json.dumps({"asserts": ["assert f(1) == 2"]})),
    Row("math", None, r"\boxed{1}"),
]


def generous_judge(body: dict[str, Any]) -> Answer:
    return Answer("Verdict: correct")


@pytest.fixture
def judge() -> Iterator[ChatServer]:
    with ChatServer(generous_judge) as server:
        yield server


def no_pool() -> MathPool:
    raise AssertionError("no worker was needed")


@pytest.mark.engine
def test_rows_of_every_kind_keep_their_places() -> None:
    engines = Engines(VerifyPolicy(), lambda: shared_pool(2, PRELOAD), 10.0)
    assert [verdict.status for verdict in judge_rows(MIXED, engines)] == [
        *["correct"] * 7,
        "no_answer",
        "bad_gold",
    ]


def test_easy_rows_need_no_worker() -> None:
    rows = [row for row in MIXED if row.verifier not in ("code",) and row.gold != "x^2-1"]
    found = judge_rows(rows, Engines(VerifyPolicy(), no_pool, 1.0))
    assert [verdict.status for verdict in found] == [*["correct"] * 5, "bad_gold"]


def test_an_unknown_verifier_stops_everything_before_it_starts() -> None:
    with pytest.raises(ConfigError, match="unknown verifier 'maths'; one of math, choice"):
        verify_many(["1", "1"], ["1", "1"], verifier="maths")


@pytest.mark.parametrize(
    ("verifier", "message"),
    [("judge", "give judge_url and judge_model"), ("reward-model", "give reward_model")],
)
def test_what_a_verifier_lacks_is_said_beforehand(verifier: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        missing([verifier], VerifyPolicy())


def test_a_judge_url_without_a_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="judge_model"):
        verify("1", "2", policy=VerifyPolicy(judge_url="http://127.0.0.1:1/v1"))


@pytest.mark.engine
def test_the_judge_is_asked_about_rejected_rows_alone(judge: ChatServer) -> None:
    policy = VerifyPolicy(judge_url=judge.url, judge_model="m")
    golds: list[str | None] = ["12", "a cat", "12", None, "the dog"]
    texts = [r"\boxed{12}", r"\boxed{\text{one feline}}", "<think>", "12", "answer: A dog, barking"]
    found = verify_many(golds, texts, policy=policy)
    assert [verdict.status for verdict in found] == [
        "correct",
        "correct",
        "no_answer",
        "bad_gold",
        "correct",
    ]
    assert found[0].method == "exact"
    assert found[0].evidence is None
    assert found[1].method == "judge m template 1"
    asked = json.loads(found[1].evidence or "")
    assert "one feline" in json.dumps(asked)
    questions = [body["messages"][-1]["content"] for body in judge.bodies]
    assert not any("12" in question for question in questions)


@pytest.mark.engine
def test_a_problem_may_name_the_judge(judge: ChatServer) -> None:
    judge.respond = lambda body: Answer("Helpfulness: 9\nHarmlessness: 10")
    policy = VerifyPolicy(judge_url=judge.url, judge_model="m")
    found = verify(None, "Boil it.", "judge", policy, question="How is rice cooked?")
    assert (found.status, found.score) == ("correct", pytest.approx(8 / 9))
    assert verify(
        None, "Boil it.", "judge", policy.model_copy(update={"judge_accept": 10}), question="Rice?"
    ).status == ("wrong")


@pytest.mark.engine
def test_workers_prepare_rows_as_this_process_does() -> None:
    texts = [rf"so \boxed{{{n}/2}}" if n % 3 else f"The answer is {n}." for n in range(1500)]
    rows = [Row("math", str(n), text) for n, text in enumerate(texts)]
    rows[7] = Row("math", "x+1", r"\boxed{1+x}")
    rows[8] = Row("math", "1", "half a pair \ud800")
    policy = VerifyPolicy()
    with MathPool(2, preload=PRELOAD) as pool:
        pool.check_many("r1data.stages.verify.compare:judge_pair", [], 10.0)
        alone = prepare_rows(rows, policy, lambda: pool, workers=1)
        pool.map_rows("r1data.stages.verify.prepare:prepare_chunk", [["{}", []]], 60.0)
        assert pool.is_ready()
        together = prepare_rows(rows, policy, lambda: pool, workers=2)

    def plain(found: Any) -> Any:
        return getattr(found, "status", None), getattr(found, "method", None), found.extracted

    assert list(map(plain, together)) == list(map(plain, alone))


def test_a_chunk_comes_back_row_by_row() -> None:
    rows = [("1/2", r"\boxed{0.5}", None), ("x", r"\boxed{y+1}", None), (None, "1", None)]
    assert [reply[0] for reply in prepare_chunk(("{}", rows))] == ["correct", "x", "bad_gold"]


def test_every_verifier_has_a_name_in_the_records() -> None:
    assert (
        *("math", "choice", "string", "json", "gym", "code", "format", "judge", "reward-model"),
    ) == VERIFIERS


def test_a_policy_may_be_given_by_its_settings() -> None:
    assert verify("50%", "50").status == "correct"
    assert verify("50%", "50", policy={"percent": "hundredth"}).status == "wrong"
    with pytest.raises(ConfigError, match="policy: percentage: unknown"):
        verify("50%", "50", policy={"percentage": "any"})
