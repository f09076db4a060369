import json
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1data.core.records import Status
from r1data.stages.verify.json_schema import MAX_TEXT, check_json, last_balanced, same_value

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}
SCHEMA = json.dumps({"schema": PERSON})
GOLD = '{"name": "Kim", "age": 7}'


def judge(
    text: str, gold: str | None = GOLD, payload: str | None = SCHEMA, **more: str
) -> tuple[str, str]:
    verdict = check_json(gold, payload, text, **more)
    assert verdict.score == {"correct": 1.0, "wrong": 0.0}.get(verdict.status)
    return verdict.status, verdict.method or ""


def fenced(content: str, label: str = "json") -> str:
    return f"Here it is:\n```{label}\n{content}\n```\nDone."


@pytest.mark.parametrize(
    "text",
    [
        GOLD,
        '{"age": 7.0, "name": "K\\u0069m"}',
        fenced(GOLD),
        fenced(GOLD, "JSON"),
        fenced(GOLD, ""),
        fenced("{}") + "\nNo, rather:\n" + fenced(GOLD),
        fenced(GOLD) + "\n" + fenced("print(1)", "python"),
        f"<think>{{}}</think>{GOLD}",
        f"<answer>{GOLD}</answer>",
        f"<answer>{fenced(GOLD)}</answer>",
        f"```json\n{GOLD}",
        f"The set {{1, 2}} and then {GOLD}. That is all",
        f"first {{}} and then {GOLD}",
        f'a stray " and an open {{ and then {GOLD}',
    ],
)
def test_the_answer_is_found(text: str) -> None:
    assert judge(text) == ("correct", "equal")
    assert judge(text, gold='{"name": "Lee", "age": 7}') == ("wrong", "not equal")


@pytest.mark.parametrize(
    ("content", "method"),
    [
        ('{"name": "Kim", "age": 8}', "not equal"),
        ('{"name": "Kim"}', "not equal"),
        ('{"name": 3}', "schema: type at $.name"),
        ('{"age": 7}', "schema: required at $"),
        ('{"name": "Kim", "age": -7}', "schema: minimum at $.age"),
        ('{"name": "Kim", "age": true}', "schema: type at $.age"),
        ('{"name": "Kim", "age": 7, "x": 1}', "schema: additionalProperties at $"),
        ('{"name": "Kim", "age": NaN}', "NaN is no JSON"),
        ('{"name": "Kim", "age": -Infinity}', "-Infinity is no JSON"),
        ('{"name": "Kim", "age": 1e999}', "number out of range"),
        ('{"name": "Lee", "name": "Kim", "age": 7}', "doubled key"),
        ("{'name': 'Kim', 'age': 7}", "not JSON"),
        ('{"name": "Kim", "age": 7,}', "not JSON"),
        ('{"name": "Kim", "age": 7', "not JSON"),
        ("", "not JSON"),
        (f"{GOLD} {GOLD}", "not JSON"),
    ],
)
def test_wrong_answers(content: str, method: str) -> None:
    assert judge(fenced(content)) == ("wrong", method)


def test_the_last_json_block_is_the_answer_even_if_broken() -> None:
    assert judge(fenced(GOLD) + "\n" + fenced("{broken")) == ("wrong", "not JSON")
    assert judge(f"{GOLD}\nbut\n" + fenced("{}")) == ("wrong", "schema: required at $")


def test_schema_or_gold_alone() -> None:
    assert judge('{"name": "Lee"}', gold=None) == ("correct", "schema")
    assert judge("[1, 2]", gold="[1.0, 2]", payload=None) == ("correct", "equal")
    assert judge("[2, 1]", gold="[1, 2]", payload="{}") == ("wrong", "not equal")
    assert judge("7", gold="7", payload=None) == ("correct", "equal")
    assert judge("null", gold="null", payload=None) == ("correct", "equal")
    assert judge("{}", gold=None, payload='{"schema": false}')[0] == "wrong"
    draft7 = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}]}
    assert judge("[1]", gold=None, payload=json.dumps({"schema": draft7}))[0] == "wrong"


@pytest.mark.parametrize(
    ("gold", "payload", "method"),
    [
        (None, None, "neither gold nor schema"),
        (" ", "{}", "neither gold nor schema"),
        ("{", None, "gold is not JSON"),
        ("[" * 5000, None, "gold is not JSON"),
        (None, "{", "payload is not JSON"),
        (None, "[]", "payload is no object"),
        (None, '{"schema": {"type": "text"}}', "schema is malformed"),
        (None, '{"schema": 3}', "schema is malformed"),
        (None, '{"schema": {"pattern": "("}}', "schema is malformed"),
        (None, '{"schema": {"$ref": "#/$defs/none"}}', "schema has a reference to nowhere"),
        (None, '{"schema": {"$ref": "http://127.0.0.1:9/x"}}', "schema has a reference to nowhere"),
        (None, '{"schema": {"$ref": "file:///etc/passwd"}}', "schema has a reference to nowhere"),
    ],
)
def test_bad_golds(gold: str | None, payload: str | None, method: str) -> None:
    assert judge(GOLD, gold, payload) == ("bad_gold", method)


def test_statuses() -> None:
    assert judge("<think>{}") == ("no_answer", "")
    assert judge("I cannot say.") == ("no_answer", "")
    assert judge(f"So {GOLD}", extract="marked") == ("no_answer", "")
    assert judge(GOLD, extract="marked") == ("correct", "equal")
    assert judge('{"name": "Kim"') == ("wrong", "not JSON")


def schema(**keywords: object) -> str:
    return json.dumps({"schema": keywords})


def test_limits() -> None:
    assert judge("[" * 500 + "]" * 500) == ("limit", "nesting")
    assert judge("[" * 100_000) in (("limit", "nesting"), ("wrong", "not JSON"))
    assert judge('{"a":' * 300 + "1" + "}" * 300) == ("limit", "nesting")
    assert judge(json.dumps("x" * MAX_TEXT)) == ("limit", "length")
    bomb = schema(pattern="^(a+)+$")
    assert judge(json.dumps("a" * 40 + "!"), None, bomb) == ("limit", "string length")
    assert judge(json.dumps("aaa"), None, bomb) == ("correct", "schema")
    assert judge(json.dumps("a" * 3000), None, schema(pattern="^a+$"))[0] == "limit"
    keyed = schema(patternProperties={"^(a+)+$": {}})
    assert judge(json.dumps({"a" * 40 + "!": 1}), None, keyed) == ("limit", "string length")
    many = json.dumps([{} for _ in range(5000)])
    assert judge(many, None, schema(uniqueItems=True)) == ("limit", "items")
    # A schema that never ends, by its own fault.
    endless = json.dumps({"schema": {"$ref": "#"}})
    assert judge("1", None, endless) == ("limit", "schema recursion")
    assert judge(fenced("1" * 6000), None, schema()) == ("wrong", "number out of range")


def test_same_value() -> None:
    assert same_value({"a": [1, True]}, {"a": [1.0, True]})
    assert not same_value(1, True)
    assert not same_value([0], [False])
    assert not same_value(2**53, 2.0**53 + 2)
    assert not same_value("1", 1)


def test_last_balanced() -> None:
    assert last_balanced('x {"a": "}"} y [1, {"b": 2}] z') == '[1, {"b": 2}]'
    assert last_balanced("no brackets") is None


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(_JSON)
def test_a_value_equals_itself_however_written(value: object) -> None:
    plain, wide = json.dumps(value), json.dumps(value, indent=3, ensure_ascii=False, sort_keys=True)
    try:
        wide.encode()
    except UnicodeEncodeError:
        return
    assert judge(fenced(wide), plain, None) == ("correct", "equal")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=80))
def test_any_text_gives_a_verdict(gold: str, payload: str, text: str) -> None:
    assert check_json(gold, payload, text).status in get_args(Status)
    for said in (text, f'{{"name": "{text}\ud800\0"}}', f"```json\n{text}", '"\\ud800"'):
        assert check_json(GOLD, SCHEMA, said).status in get_args(Status)


@pytest.mark.parametrize(
    "piece", ["[", "{", "{}", '"', '\\"', '{"a":', "```json\n", "`", "1", "[1]"]
)
@pytest.mark.parametrize("size", [1_000_000, MAX_TEXT - 10])
def test_long_texts_come_back(piece: str, size: int) -> None:
    text = "So " + piece * (size // len(piece))
    assert check_json(GOLD, SCHEMA, text).status in ("wrong", "limit", "no_answer")
