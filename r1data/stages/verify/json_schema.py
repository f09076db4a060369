"""JSON answers: valid by a JSON Schema, and equal to the gold as values."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from r1data.core.records import Verdict
from r1data.stages.verify.extract import Extract, answer_part
from r1data.stages.verify.string import printable

MAX_TEXT = 200_000
"""Longest answer part, in characters, that is searched for JSON."""
MAX_NESTING = 100
MAX_PATTERN_STRING = 2000
"""Longest string that is held against a pattern."""
MAX_BACKTRACKING_STRING = 24
"""The same for a pattern with a repeat inside a repeat, whose matching may be exponential."""
MAX_UNIQUE = 1000
"""Most items of an array wherever the schema says uniqueItems, which is quadratic."""

_FENCE = re.compile(r"^[ \t]{0,8}(`{3,}|~{3,})[ \t]*([^\n`]{0,40})$", re.MULTILINE)
_TOKEN = re.compile(r"\\.|[\"{}\[\]]", re.DOTALL)
_OPENING = re.compile(r"[{\[]")
_MAX_FAULTS = 20
_MAX_DIGITS = 1000
_REPEATED_GROUP = re.compile(r"\)(?:[*+]|\{\d*,)")
_REPEAT = re.compile(r"(?<!\\)(?:[*+]|\{\d+,)")


class _Schema(NamedTuple):
    validator: Any
    longest: int | None
    """Longest string allowed, None where no pattern stands in the schema."""
    unique: bool


class _Fault(Exception):
    """Carries the status and method of a verdict."""

    def __init__(self, status: str, method: str) -> None:
        super().__init__(method)
        self.verdict = Verdict.model_validate({"status": status, "method": method})


def check_json(
    gold: str | None, payload: str | None, text: str, extract: Extract = "any", prefill: str = ""
) -> Verdict:
    """Return the verdict on a JSON answer.

    The answer is the content of ``<answer>`` tags if there are any, and in it the last fenced block
    called json, else the last fenced block that parses, else the whole; extract "any" goes on to
    the last balanced object or array. It has to be strict JSON: NaN, a doubled key and a number
    beyond a double's range are wrong. It has to satisfy the payload's ``schema`` (JSON Schema
    2020-12, or the draft that its ``$schema`` names; ``format`` is an annotation; no remote
    reference is ever fetched), and to equal the gold, if there is one, as a value: 1 equals 1.0,
    true does not equal 1, the order of keys does not matter. A malformed gold or schema, or neither
    of them, is bad_gold.
    """
    try:
        wanted = [_gold(gold)] if gold is not None and gold.strip() else []
        schema = _schema(payload) if payload and payload.strip() else None
        if not wanted and schema is None:
            return Verdict(status="bad_gold", method="neither gold nor schema")
        part = answer_part(text, prefill)
        if not part:
            return Verdict(status="no_answer")
        if len(part) > MAX_TEXT:
            return Verdict(status="limit", method="length")
        found = _find(part, extract)
        if found is None:
            return Verdict(status="no_answer")
        return _judge(found, wanted, schema)
    except _Fault as fault:
        return fault.verdict


def same_value(one: Any, other: Any) -> bool:
    """Return whether two parsed JSON texts are the same value; booleans are no numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def strict_json(text: str) -> Any:
    """Return the value of a JSON text; ValueError for what RFC 8259 leaves open.

    That is a doubled key, NaN, Infinity, numbers beyond a double's range or of over 1000 digits.
    RecursionError if it is nested too deep.
    """
    value = json.loads(
        text,
        object_pairs_hook=_object,
        parse_constant=_refuse,
        parse_float=_finite,
        parse_int=_integer,
    )
    if _nesting(value) > MAX_NESTING:
        raise RecursionError
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        raise ValueError("doubled key")
    return out


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("number out of range")
    return value


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("number out of range")
    return int(digits)


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _nesting(value: Any) -> int:
    level, depth = [value], 0
    while level and depth <= MAX_NESTING:
        level = [child for parent in level for child in _children(parent)]
        depth += 1
    return depth


def _walk(value: Any) -> Iterator[Any]:
    stack = [value]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(_children(node))


def _gold(gold: str) -> Any:
    try:
        return strict_json(gold)
    except (ValueError, RecursionError) as error:
        raise _Fault("bad_gold", "gold is not JSON") from error


@lru_cache(maxsize=256)
def _schema(payload: str) -> _Schema | None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing.jsonschema import EMPTY_REGISTRY

    try:
        data = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise _Fault("bad_gold", "payload is not JSON") from error
    if not isinstance(data, dict):
        raise _Fault("bad_gold", "payload is no object")
    if "schema" not in data:
        return None
    schema = data["schema"]
    if not isinstance(schema, dict | bool):
        raise _Fault("bad_gold", "schema is malformed")
    try:
        draft = validator_for(schema, default=Draft202012Validator)
        draft.check_schema(schema)
        longest, unique = _costs(schema)
    except (SchemaError, re.error, RecursionError, OverflowError) as error:
        raise _Fault("bad_gold", "schema is malformed") from error
    # An explicit registry: the default one fetches what it does not know.
    return _Schema(draft(schema, registry=EMPTY_REGISTRY), longest, unique)


def _costs(schema: Any) -> tuple[int | None, bool]:
    """Return the longest string that its patterns may see, and whether it asks for uniqueness."""
    patterns: list[str] = []
    unique = False
    for node in _walk(schema):
        if isinstance(node, dict):
            if isinstance(pattern := node.get("pattern"), str):
                patterns.append(pattern)
            if isinstance(keyed := node.get("patternProperties"), dict):
                patterns.extend(keyed)
            unique = unique or node.get("uniqueItems") is True
    for pattern in patterns:
        re.compile(pattern)
    if not patterns:
        return None, unique
    nested = any(map(_backtracks, patterns))
    return MAX_BACKTRACKING_STRING if nested else MAX_PATTERN_STRING, unique


def _backtracks(pattern: str) -> bool:
    return bool(_REPEATED_GROUP.search(pattern)) or len(_REPEAT.findall(pattern)) > 2


def _judge(found: str, wanted: list[Any], schema: _Schema | None) -> Verdict:
    extracted = printable(found)
    try:
        value = strict_json(found)
    except RecursionError:
        return Verdict(status="limit", extracted=extracted[:200], method="nesting")
    except ValueError as error:
        reason = "not JSON" if isinstance(error, json.JSONDecodeError) else str(error)[:80]
        return Verdict(status="wrong", extracted=extracted, method=reason, score=0.0)
    fault = _schema_fault(value, schema) if schema else None
    if fault is None and wanted and not same_value(wanted[0], value):
        fault = "not equal"
    return Verdict(
        status="wrong" if fault else "correct",
        extracted=extracted,
        method=fault or ("equal" if wanted else "schema"),
        score=float(not fault),
    )


def _schema_fault(value: Any, schema: _Schema) -> str | None:
    """Return where and by which keyword the value breaks the schema, or None."""
    from referencing.exceptions import Unresolvable

    _check_costs(value, schema)
    try:
        error = next(iter(schema.validator.iter_errors(value)), None)
    except Unresolvable as unknown:
        raise _Fault("bad_gold", "schema has a reference to nowhere") from unknown
    except RecursionError as deep:
        raise _Fault("limit", "schema recursion") from deep
    except Exception as other:
        # Whatever else a validator does with a schema that its meta-schema let through.
        raise _Fault("error", f"schema: {type(other).__name__}") from other
    return printable(f"schema: {error.validator} at {error.json_path}")[:200] if error else None


def _check_costs(value: Any, schema: _Schema) -> None:
    longest = schema.longest
    for node in _walk(value):
        if longest is not None:
            strings = [node] if isinstance(node, str) else node if isinstance(node, dict) else ()
            if any(len(string) > longest for string in strings):
                raise _Fault("limit", "string length")
        if schema.unique and isinstance(node, list) and len(node) > MAX_UNIQUE:
            raise _Fault("limit", "items")


def _find(part: str, extract: Extract) -> str | None:
    """Return the text that claims to be the JSON answer."""
    if "<answer>" in part:
        part = part[part.rfind("<answer>") + len("<answer>") :].split("</answer>", 1)[0].strip()
    blocks = list(_fenced(part))
    named = [content for label, content in blocks if label.startswith("json")]
    if named:
        return named[-1]
    whole = [content for _, content in blocks if _parses(content)][-1:]
    if whole or not part:
        return whole[0] if whole else None
    if _parses(part):
        return part
    balanced = last_balanced(part) if extract == "any" else None
    if balanced is not None:
        return balanced
    # Something that set out to be JSON is a wrong answer; prose is none.
    return part if part[0] in '{["' else None


def _parses(text: str) -> bool:
    try:
        strict_json(text)
    except RecursionError:
        return True  # too deep to judge, which the verdict shall say
    except ValueError:
        return False
    return True


def _fenced(part: str) -> Iterator[tuple[str, str]]:
    """Yield the label and content of each closed fenced block, and of a last one never closed."""
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(part):
        if opened is None:
            opened = fence
        elif fence[1].startswith(opened[1]) and not fence[2].strip():
            yield opened[2].strip().casefold(), part[opened.end() : fence.start()].strip()
            opened = None
    if opened is not None:
        yield opened[2].strip().casefold(), part[opened.end() :].strip()


def last_balanced(part: str) -> str | None:
    """Return the last outermost ``{…}`` or ``[…]`` that parses, or None.

    An opening bracket of prose that never closes is stepped over, a few times at most, so that the
    search stays linear.
    """
    found, position, faults = None, 0, 0
    while faults < _MAX_FAULTS and (opening := _OPENING.search(part, position)):
        end = _balanced_end(part, opening.start())
        content = part[opening.start() : end] if end is not None else None
        if end is not None and content is not None and _parses(content):
            found, position = content, end
        else:
            position, faults = opening.end(), faults + 1
    return found


def _balanced_end(part: str, start: int) -> int | None:
    depth, quoted = 0, False
    for token in _TOKEN.finditer(part, start):
        sign = token.group()
        if sign == '"':
            quoted = not quoted
        elif not quoted and sign in "{[":
            depth += 1
        elif not quoted and sign in "}]":
            depth -= 1
            if depth == 0:
                return token.end()
    return None
