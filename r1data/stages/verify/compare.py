"""Comparing two answers with computer algebra: what runs inside a worker of the pool.

The shape of an answer (`structure`) is compared by our own rules, its leaves by `leaf.quick`, and
only what is left, expressions, by math-verify's parser and numerical evaluation.
"""

import re
from collections.abc import Callable
from typing import TypeVar

from r1data.backends import math_compare
from r1data.stages.verify.equations import (
    facing,
    same_argument,
    same_inequality,
    same_names,
    same_progression,
    same_signs,
    value_of,
)
from r1data.stages.verify.expressions import number, readable, same_leaf
from r1data.stages.verify.forms import split
from r1data.stages.verify.latex import tidy, to_latex
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

Same = Callable[[str, str], bool]
_T = TypeVar("_T")

_SCRIPTED = re.compile(r"^([A-Za-z]+)_")
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
        one, other = spans(gold, number), spans(answer, number)
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
            return same_progression(gold, answer)
        if "=" in gold.signs and "=" in answer.signs:
            return _same_equations(gold, answer, same, policy)
        if same_signs(gold, answer) and all(
            same_nodes(parse_answer(one), parse_answer(other), same, policy)
            for one, other in zip(gold.sides, facing(gold, answer).sides, strict=True)
        ):
            return True
    ours, theirs = value_of(gold), value_of(answer)
    if ours is gold and theirs is answer:
        return same_inequality(gold, answer)
    return same_nodes(ours, theirs, same, policy)


_EMPTY = Leaf("\\emptyset")


def _same_equations(gold: Relation, answer: Relation, same: Same, policy: VerifyPolicy) -> bool:
    if "\\equiv" in gold.signs + answer.signs:
        return False
    answer = same_argument(gold, answer)
    ours, theirs = value_of(gold), value_of(answer)
    named = ours is not gold and theirs is not answer
    if named and same_names(gold.sides[0], answer.sides[0]):
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
