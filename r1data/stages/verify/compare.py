"""Comparing two answers with computer algebra: what runs inside a worker of the pool.

The shape of an answer (`structure`) is compared by our own rules, its leaves by `leaf.quick`, and
only what is left, expressions, by math-verify's parser and numerical evaluation.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import TypeVar

from r1data.backends import math_compare
from r1data.stages.verify.forms import Form, split
from r1data.stages.verify.latex import tidy, to_latex
from r1data.stages.verify.leaf import quick, same_rounding
from r1data.stages.verify.numbers import rational
from r1data.stages.verify.policy import VerifyPolicy
from r1data.stages.verify.realsets import Piece, RealSet, real_set, spans, variables
from r1data.stages.verify.structure import (
    Group,
    Leaf,
    Node,
    Relation,
    Union,
    domain,
    parameters,
    parse_answer,
)
from r1data.stages.verify.units import comparable
from r1data.stages.verify.words import is_text

Same = Callable[[str, str], bool]
_T = TypeVar("_T")

_SUBSCRIPT = re.compile(r"_\s?(?:\{[^{}]*\}|\w)")
_APPLIED = re.compile(r"[A-Za-z]\s?'*\s?\([^()]*\)")
_NAME = re.compile(r"[A-Za-z\s\\|:()',/{}°가-힣一-鿿ぁ-ヿ.\[\]-]+")
_OPERATION = re.compile(
    r"^\s*-|\s-\s|(?<!\})/(?!\{)|\|\s?[a-z]\s?\||\\(?:sqrt|log|ln|exp|sin|cos|tan|cot|sec|csc)"
)
_SCRIPTED = re.compile(r"^([A-Za-z]+)_")
_SCRIPTED_DIGIT = re.compile(r"\d_")
_JUXTAPOSED = re.compile(r"[\d./,]+(?:\s+[\d./,]+)+")
_MAX_MATCHES = 60


def judge_pair(gold: str, answer: str, policy: str) -> tuple[str, str, None]:
    """Return (status, method, None) of two answers; ``policy`` is a VerifyPolicy as JSON.

    Never symmetric: the gold's form leads. Without a time limit: run it in a worker.
    """
    rules = VerifyPolicy.model_validate_json(policy)
    try:
        status = _status(tidy(gold), tidy(answer), rules)
    except (OverflowError, RecursionError) as error:
        return "limit", type(error).__name__, None
    return status, "unparsed" if status == "bad_gold" else "sympy", None


def _status(gold: str, answer: str, rules: VerifyPolicy) -> str:
    rename = parameters(gold) or parameters(answer)
    domains = {name for name in (domain(gold), domain(answer)) if name}
    if len(domains) == 2:
        return "wrong"

    def same(one: str, other: str) -> bool:
        return same_leaf(one, other, rules, rename)

    node = parse_answer(gold)
    if isinstance(node, Leaf) and not readable(node.text):
        return "bad_gold"
    if same_nodes(node, parse_answer(answer), same, rules):
        return "correct"
    matrices = "matrix" in gold and "matrix" in answer
    return "correct" if matrices and math_compare.same_relation(gold, answer) else "wrong"


def readable(text: str) -> bool:
    """Return whether a leaf is words or an expression that can be parsed."""
    form = split(text)
    return is_text(form.text) or math_compare.parse(to_latex(form.text)) is not None


def same_leaf(gold: str, answer: str, policy: VerifyPolicy, rename: bool = False) -> bool:
    """Return whether two answers without structure are the same."""
    if ":" in gold and ":" in answer and not any(sign in gold + answer for sign in "=<>"):
        one, other = gold.split(":"), answer.split(":")
        if all(map(str.strip, one + other)) and len(one) == len(other):
            return _proportional(one, other)
    g, a = split(gold), split(answer)
    if decided := quick(g, a, policy):
        return decided.status == "correct"
    if comparable(g.unit, a.unit) and g.unit != a.unit and not _angles(g, a):
        return False
    if is_text(a.text) or g.percent != a.percent:
        return False
    return same_expression(g, a, policy, rename)


def _proportional(gold: list[str], answer: list[str]) -> bool:
    """Return whether two ratios are the same, or two times of day."""
    decided = quick(split(":".join(gold)), split(":".join(answer)), VerifyPolicy())
    if decided:
        return decided.status == "correct"
    values = [[math_compare.value(to_latex(part)) for part in side] for side in (gold, answer)]
    if any(value is None or value == 0 for side in values for value in side):
        return False
    (first, *ours), (other, *theirs) = ([complex(v) for v in side if v] for side in values)
    return all(
        math_compare.close(one / first, two / other) for one, two in zip(ours, theirs, strict=True)
    )


def _angles(g: Form, a: Form) -> bool:
    return {u.dimension for u in (g.unit, a.unit) if u} == {"angle", "radian"}


def same_expression(g: Form, a: Form, policy: VerifyPolicy, rename: bool) -> bool:
    """Return whether two expressions have the same value, or the same at every point tried."""
    if _SCRIPTED_DIGIT.search(a.text) or _SCRIPTED_DIGIT.search(g.text):
        return False  # a number in another base, which the parser takes for a name
    if _JUXTAPOSED.fullmatch(a.text) or _JUXTAPOSED.fullmatch(g.text):
        return False  # two numbers side by side, which the parser would read as it likes
    gold, answer = to_latex(g.text), to_latex(a.text)
    if gold.count("'") != answer.count("'"):
        return False  # the parser drops primes
    one, other = _value(g.text, gold), _value(a.text, answer)
    if one is not None and other is not None:
        return _same_value(g, a, one, other, policy)
    return math_compare.same_function(gold, answer, rename)


def _value(text: str, latex: str) -> complex | Fraction | None:
    """Return a value; of a decimal as it is written, which the parser knows to 15 digits."""
    found = rational(text)
    return found[0] if found else math_compare.value(latex)


def _same_value(
    g: Form, a: Form, one: complex | Fraction, other: complex | Fraction, policy: VerifyPolicy
) -> bool:
    if _degrees(g) != _degrees(a):
        # An angle without a unit is in radians if pi stands in it, in degrees otherwise.
        one, other = _in_degrees(g, one), _in_degrees(a, other)
    if math_compare.close(one, other):
        return True
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return same_rounding(one, g.text, other, a.text, policy)
    return False


def _degrees(form: Form) -> bool:
    return form.unit is not None and form.unit.dimension == "angle"


def _in_degrees(form: Form, value: complex | Fraction) -> complex | Fraction:
    radian = form.unit is not None and form.unit.dimension == "radian"
    if radian or (not _degrees(form) and "pi" in form.text):
        return math_compare.in_degrees(value)
    return value


def same_nodes(gold: Node, answer: Node, same: Same, policy: VerifyPolicy) -> bool:
    """Return whether two answers of any shape are the same; ``same`` compares their leaves."""
    sets = _same_sets(gold, answer, same, policy)
    if sets is not None:
        return sets
    if isinstance(gold, Leaf) and isinstance(answer, Leaf):
        return same(gold.text, answer.text)
    if _EMPTY in (gold, answer):
        return gold == answer
    if isinstance(gold, Relation) or isinstance(answer, Relation):
        return _same_relations(gold, answer, same, policy)
    if isinstance(gold, Group) or isinstance(answer, Group):
        return _same_groups(_as_group(gold), _as_group(answer), same, policy)
    return False


def _same_sets(gold: Node, answer: Node, same: Same, policy: VerifyPolicy) -> bool | None:
    """Compare sets of reals; None if either is none, or both might as well be points or lists."""
    ours, theirs = real_set(gold), real_set(answer)
    letters = variables(gold), variables(answer)
    if all(letters) and letters[0] != letters[1]:
        return None
    if max(map(len, letters)) < 2 and ((ours and ours.explicit) or (theirs and theirs.explicit)):
        one, other = spans(gold, _number), spans(answer, _number)
        if one and one == other and policy.interval == "any":
            return True
        lists = any(isinstance(n, Group) and n.kind == "list" for n in (gold, answer))
        if one is not None and other is not None and lists:
            return False  # what "and" and "or" come to is not what the pieces say
    if ours is None or theirs is None or not (ours.explicit or theirs.explicit):
        return None
    if not ours.pieces and not theirs.pieces:
        return gold == answer
    if not (ours.explicit and theirs.explicit):
        finite = [s for s in (ours, theirs) if not s.explicit and _is_finite(s)]
        if policy.interval == "strict" or (finite and not _contains_sets(gold, answer)):
            return None
    return _match(ours.pieces, theirs.pieces, lambda g, a: _same_piece(g, a, same))


def _number(text: str) -> Fraction | None:
    found = math_compare.value(to_latex(split(text).text))
    return found if isinstance(found, Fraction) else None


def _is_finite(found: RealSet) -> bool:
    return all(piece.low == piece.high and piece.low is not None for piece in found.pieces)


def _contains_sets(gold: Node, answer: Node) -> bool:
    return isinstance(gold, Union) or isinstance(answer, Union)


def _same_piece(gold: Piece, answer: Piece, same: Same) -> bool:
    if (gold.low_closed, gold.high_closed) != (answer.low_closed, answer.high_closed):
        return False
    for ours, theirs in ((gold.low, answer.low), (gold.high, answer.high)):
        if (ours is None) != (theirs is None):
            return False
        if ours is not None and theirs is not None and not same(ours, theirs):
            return False
    return True


def _same_relations(gold: Node, answer: Node, same: Same, policy: VerifyPolicy) -> bool:
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        if {gold.signs, answer.signs} == {("=",), ("\\equiv",)}:
            return _same_progression(gold, answer)
        if "=" in gold.signs and "=" in answer.signs:
            return _same_equations(gold, answer, same, policy)
        if _same_signs(gold, answer) and all(
            same_nodes(parse_answer(one), parse_answer(other), same, policy)
            for one, other in zip(gold.sides, _facing(gold, answer).sides, strict=True)
        ):
            return True
    ours, theirs = value_of(gold), value_of(answer)
    if ours is gold and theirs is answer:
        return _same_inequality(gold, answer)
    return same_nodes(ours, theirs, same, policy)


_MODULO = re.compile(r"\(?(.+?)\s*\(?\s*mod\s*(\d+)\s*\)?")


def _same_progression(gold: Relation, answer: Relation) -> bool:
    """Return whether ``n = 4k+1`` is ``n \\equiv 1 mod 4``: a line of that slope."""
    congruence, line = (gold, answer) if gold.signs == ("\\equiv",) else (answer, gold)
    found = _MODULO.fullmatch(congruence.sides[1])
    if not found or congruence.sides[0] != line.sides[0]:
        return False
    steps = math_compare.steps(to_latex(line.sides[1]))
    residue, modulus = _number(found[1]), int(found[2])
    if steps is None or residue is None:
        return False
    return abs(steps[1]) == modulus and (steps[0] - residue) % modulus == 0


def _same_signs(gold: Relation, answer: Relation) -> bool:
    return gold.signs == _facing(gold, answer).signs


_EMPTY = Leaf("\\emptyset")
_MIRROR = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}


def _facing(gold: Relation, answer: Relation) -> Relation:
    """Return the answer read from right to left if that is how its signs match the gold's."""
    turned = tuple(_MIRROR.get(sign, sign) for sign in reversed(answer.signs))
    if answer.signs != gold.signs and turned == gold.signs:
        return Relation(tuple(reversed(answer.sides)), turned)
    return answer


def _same_equations(gold: Relation, answer: Relation, same: Same, policy: VerifyPolicy) -> bool:
    if "\\equiv" in gold.signs + answer.signs:
        return False
    answer = _same_argument(gold, answer)
    ours, theirs = value_of(gold), value_of(answer)
    named = ours is not gold and theirs is not answer
    if named and _same_names(gold.sides[0], answer.sides[0]):
        if same_nodes(ours, theirs, same, policy):
            return True
        if gold.sides[0] == answer.sides[0]:
            return False
    if len(gold.signs) > 1 or len(answer.signs) > 1:
        return False
    if "".join(gold.sides).count("'") != "".join(answer.sides).count("'"):
        return False  # the parser drops primes
    return math_compare.same_equation(
        *(to_latex(split(side).text) for side in (*gold.sides, *answer.sides))
    )


_WORDED = re.compile(r"[A-Za-z]{4,}|[가-힣一-鿿ぁ-ヿ]{2,}")
_DEPENDENT = re.compile(r"y'*|[fgh]'*\([a-z]\)")
"""What a rule for y may be called: y, f(x), g(x)."""
_FUNCTION_OF = re.compile(r"([A-Za-z]'*)\s?\(\s?([A-Za-z])\s?\)")


def _same_argument(gold: Relation, answer: Relation) -> Relation:
    """Write ``f(t)=t^2`` in the gold's argument."""
    one, other = _FUNCTION_OF.fullmatch(gold.sides[0]), _FUNCTION_OF.fullmatch(answer.sides[0])
    if not one or not other or one[1] != other[1] or one[2] == other[2]:
        return answer
    letter = re.compile(rf"(?<![A-Za-z\\]){other[2]}(?![A-Za-z])")
    return Relation(tuple(letter.sub(one[2], side) for side in answer.sides), answer.signs)


def _same_names(gold: str, answer: str) -> bool:
    """Return whether two left-hand sides may name the same thing: f(x), y and f(t) may."""
    one, other = "".join(gold.split()), "".join(answer.split())
    if one == other or any(_WORDED.search(name) for name in (gold, answer)):
        return True
    return bool(_DEPENDENT.fullmatch(one) and _DEPENDENT.fullmatch(other)) and (
        one.count("'") == other.count("'")
    )


def _same_inequality(gold: Node, answer: Node) -> bool:
    """Ask math-verify about inequalities that are not solved for their variable."""
    if not isinstance(gold, Relation) or not isinstance(answer, Relation):
        return False
    if {"=", "\\in", "\\equiv"} & set(gold.signs + answer.signs):
        return False
    texts = [
        " ".join(part for pair in zip(node.sides, (*node.signs, ""), strict=True) for part in pair)
        for node in (gold, answer)
    ]
    return math_compare.same_relation(to_latex(texts[0]), to_latex(texts[1]))


def value_of(node: Node) -> Node:
    """Return what ``x = 5`` says of x; a node that is no such statement as it is."""
    if not isinstance(node, Relation):
        return node
    sides, signs = node.sides, node.signs
    if signs[0] == "\\in" and len(signs) == 1 and is_name(sides[0]):
        return parse_answer(sides[1])
    if any(sign not in ("=", "\\approx", "\\equiv", "\\to", "\\sim") for sign in signs):
        return node
    if not is_name(sides[0]):
        if len(sides) == 2 and is_name(sides[1]) and len(sides[1]) < 3:
            return parse_answer(sides[0])
        if not _is_number(sides[0]) or not _is_number(sides[-1]):
            return node
    last = max((place for place, sign in enumerate(signs) if sign == "="), default=len(signs) - 1)
    if len(sides) == 2 and all(rational(side) for side in sides) and sides[0] != sides[1]:
        return node  # 12 = 10 says nothing
    return parse_answer(sides[last + 1])


def _is_number(text: str) -> bool:
    form = split(text)
    if re.fullmatch(r"[\d\s+*/.()mod-]+", form.text):
        return True
    return math_compare.value(to_latex(form.text)) is not None or "{vmatrix}" in text


@lru_cache(maxsize=4096)
def is_name(text: str) -> bool:
    """Return whether a left-hand side only names something: ``x_1``, ``f(2)``, ``|AB|``, words."""
    short = _APPLIED.sub("f", _SUBSCRIPT.sub("", _SUBSCRIPT.sub("", text)))
    if _OPERATION.search(text) or not any(c.isalpha() for c in short):
        return False
    return bool(_NAME.fullmatch(short))


def _as_group(node: Node) -> Group:
    return node if isinstance(node, Group) else Group("list", (node,))


def _same_groups(gold: Group, answer: Group, same: Same, policy: VerifyPolicy) -> bool:
    if len(_names(gold) | _names(answer)) > 1 and min(len(gold.items), len(answer.items)) == 1:
        return False
    if len(gold.items) == 1 and len(answer.items) > 1 and answer.kind == "list":
        return all(same_nodes(gold.items[0], item, same, policy) for item in answer.items)
    if len(answer.items) == 1 and len(gold.items) > 1 and gold.kind == "list":
        # The same value in several notations: 1/2 or 50%.
        return all(same_nodes(item, answer.items[0], same, policy) for item in gold.items)
    ours, theirs = assignments(gold), assignments(answer)
    if ours and theirs and set(ours) == set(theirs):
        return all(same_nodes(ours[name], theirs[name], same, policy) for name in ours)
    one = Group(gold.kind, tuple(map(value_of, gold.items)), gold.brackets)
    other = Group(answer.kind, tuple(map(value_of, answer.items)), answer.brackets)
    one, other = _unwrapped(one, other), _unwrapped(other, one)

    def nodes(left: Node, right: Node) -> bool:
        return same_nodes(left, right, same, policy)

    if _ordered(one, other, ours or theirs, policy):
        return len(one.items) == len(other.items) and all(
            nodes(left, right) for left, right in zip(one.items, other.items, strict=True)
        )
    if _match(_members(one), _members(other), nodes):
        return True
    distinct = tuple(dict.fromkeys(one.items)), tuple(dict.fromkeys(other.items))
    # A member said twice is no mistake beside a list that says none twice.
    once = len(distinct[0]) == len(one.items) or len(distinct[1]) == len(other.items)
    return once and distinct != (one.items, other.items) and _match(*distinct, nodes)


def _names(group: Group) -> set[str]:
    return {item.sides[0] for item in group.items if isinstance(item, Relation)}


def _unwrapped(group: Group, other: Group) -> Group:
    """Look into a list of one tuple or set if the other side has several members."""
    inner = group.items[0] if len(group.items) == 1 else None
    if isinstance(inner, Group) and len(other.items) != 1:
        return Group(inner.kind, tuple(map(value_of, inner.items)), inner.brackets)
    return group


def _ordered(
    gold: Group, answer: Group, names: dict[str, Node] | None, policy: VerifyPolicy
) -> bool:
    kinds = {gold.kind, answer.kind}
    if kinds & {"tuple", "interval"}:
        return True
    if names and len({_SCRIPTED.sub(r"\1", name) for name in names}) > 1:
        return not any(_SCRIPTED.match(name) for name in names)
    letters = [item.text for item in gold.items if isinstance(item, Leaf) and len(item.text) == 1]
    if len(letters) == len(gold.items) > 2 and all(map(str.isalpha, letters)):
        return letters != sorted(letters)  # a ranking, unless it is a set of letters in order
    return policy.order == "given" and kinds == {"list"}


def assignments(group: Group) -> dict[str, Node] | None:
    """Return what a group of equations says of each of its names, if they are different names."""
    named = {
        item.sides[0].strip(): value_of(item)
        for item in group.items
        if isinstance(item, Relation) and value_of(item) is not item and len(item.signs) == 1
    }
    return named if len(named) == len(group.items) > 1 else None


def _members(group: Group) -> tuple[Node, ...]:
    return tuple(dict.fromkeys(group.items)) if group.kind == "set" else group.items


def _match(gold: tuple[_T, ...], answer: tuple[_T, ...], same: Callable[[_T, _T], bool]) -> bool:
    """Return whether members can be paired off, in any order."""
    if len(gold) != len(answer):
        return False
    rest = list(answer)
    missing = []
    for member in gold:  # equal as text first: it leaves few for computer algebra
        if member in rest:
            rest.remove(member)
        else:
            missing.append(member)
    if len(missing) > _MAX_MATCHES:
        return False
    for member in missing:
        found = next((other for other in rest if same(member, other)), None)
        if found is None:
            return False
        rest.remove(found)
    return True
