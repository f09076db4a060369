"""Statements with a sign in them: what a left-hand side names, what an equation says of it."""

import re
from functools import lru_cache

from r1data.backends import math_compare
from r1data.stages.verify.expressions import number
from r1data.stages.verify.forms import split
from r1data.stages.verify.latex import to_latex
from r1data.stages.verify.numbers import rational
from r1data.stages.verify.structure import Node, Relation, parse_answer

_SUBSCRIPT = re.compile(r"_\s?(?:\{[^{}]*\}|\w)")
_APPLIED = re.compile(r"[A-Za-z]\s?'*\s?\([^()]*\)")
_NAME = re.compile(r"[A-Za-z\s\\|:()',/{}°가-힣一-鿿ぁ-ヿ.\[\]-]+")
_OPERATION = re.compile(
    r"^\s*-|\s-\s|(?<!\})/(?!\{)|\|\s?[a-z]\s?\||\\(?:sqrt|log|ln|exp|sin|cos|tan|cot|sec|csc)"
)
_MODULO = re.compile(r"\(?(.+?)\s*\(?\s*mod\s*(\d+)\s*\)?")
_MIRROR = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}
_WORDED = re.compile(r"[A-Za-z]{4,}|[가-힣一-鿿ぁ-ヿ]{2,}")
_DEPENDENT = re.compile(r"y'*|[fgh]'*\([a-z]\)")
"""What a rule for y may be called: y, f(x), g(x)."""
_FUNCTION_OF = re.compile(r"([A-Za-z]'*)\s?\(\s?([A-Za-z])\s?\)")


def same_progression(gold: Relation, answer: Relation) -> bool:
    """Return whether ``n = 4k+1`` is ``n \\equiv 1 mod 4``: a line of that slope."""
    congruence, line = (gold, answer) if gold.signs == ("\\equiv",) else (answer, gold)
    found = _MODULO.fullmatch(congruence.sides[1])
    if not found or congruence.sides[0] != line.sides[0]:
        return False
    steps = math_compare.steps(to_latex(line.sides[1]))
    residue, modulus = number(found[1]), int(found[2])
    if steps is None or residue is None:
        return False
    return abs(steps[1]) == modulus and (steps[0] - residue) % modulus == 0


def same_signs(gold: Relation, answer: Relation) -> bool:
    """Return whether two statements have the same signs, read from either end."""
    return gold.signs == facing(gold, answer).signs


def facing(gold: Relation, answer: Relation) -> Relation:
    """Return the answer read from right to left if that is how its signs match the gold's."""
    turned = tuple(_MIRROR.get(sign, sign) for sign in reversed(answer.signs))
    if answer.signs != gold.signs and turned == gold.signs:
        return Relation(tuple(reversed(answer.sides)), turned)
    return answer


def same_argument(gold: Relation, answer: Relation) -> Relation:
    """Write ``f(t)=t^2`` in the gold's argument."""
    one, other = _FUNCTION_OF.fullmatch(gold.sides[0]), _FUNCTION_OF.fullmatch(answer.sides[0])
    if not one or not other or one[1] != other[1] or one[2] == other[2]:
        return answer
    letter = re.compile(rf"(?<![A-Za-z\\]){other[2]}(?![A-Za-z])")
    return Relation(tuple(letter.sub(one[2], side) for side in answer.sides), answer.signs)


def same_names(gold: str, answer: str) -> bool:
    """Return whether two left-hand sides may name the same thing: f(x), y and f(t) may."""
    one, other = "".join(gold.split()), "".join(answer.split())
    if one == other or any(_WORDED.search(name) for name in (gold, answer)):
        return True
    return bool(_DEPENDENT.fullmatch(one) and _DEPENDENT.fullmatch(other)) and (
        one.count("'") == other.count("'")
    )


def same_inequality(gold: Node, answer: Node) -> bool:
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
