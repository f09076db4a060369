"""The shape of an answer: lists, tuples, sets, intervals, relations; told from the text alone.

`parse_answer` reads tidy text (`latex.tidy`) into a `Node`. Nothing here knows values: leaves stay
text, and whoever compares two nodes brings the comparison of leaves.
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from r1data.stages.verify.forms import is_composite, without_remark
from r1data.stages.verify.latex import tidy
from r1data.stages.verify.numbers import numeral


class Leaf(NamedTuple):
    """An expression, a measure or words."""

    text: str


class Group(NamedTuple):
    """Several answers: a bare list, a tuple, a set, or a bracketed pair that is an interval."""

    kind: Literal["list", "tuple", "set", "interval"]
    items: "tuple[Node, ...]"
    brackets: str = ""
    text: str = ""
    """A bare list as it was written, since sets tell "and" from "or"."""


class Relation(NamedTuple):
    """Texts joined by signs such as =, <, \\le, \\in, \\equiv, \\approx, in reading order."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]


class Union(NamedTuple):
    """Sets joined by ``\\cup``, or one without another (``\\setminus``)."""

    parts: "tuple[Node, ...]"
    sign: Literal["cup", "setminus"] = "cup"


Node = Leaf | Group | Relation | Union

_OPENING = "([{"
_CLOSING = ")]}"
_OUTER = re.compile(
    r";|(?<![A-Za-z])(?:or|OR)(?![A-Za-z])|(?<=[\d)}\]])or(?=[A-Za-z(])|또는|혹은|或者|或|または|あるいは|\\lor(?![A-Za-z])|\\vee(?![A-Za-z])"
)
_INNER = re.compile(
    r",|(?<![A-Za-z])and(?![A-Za-z])|그리고|및|以及|\\land(?![A-Za-z])|\\wedge(?![A-Za-z])"
    r"|(?<=[\d})])\s*(?:와|과|하고|이랑|和|与|與|と)\s*(?=[-+\d\\$({])"
)
_THOUSANDS = re.compile(
    r"[-+$₩€£¥]?\s?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?:\s*[^\d,;(){}\[\]]+(?:\^\{?[23]\}?)?)?"
)
_RELATION = re.compile(
    r"\\(?:le|ge|ne|approx|equiv|in|sim|subseteq|subset|to|mapsto|cong|rightarrow|Rightarrow"
    r"|implies|iff|Leftrightarrow)(?![A-Za-z])|[=<>]"
)
_CUP = re.compile(r"\\cup(?![A-Za-z])|(?<=[\])])\s*U\s*(?=[\[(])|(?<=[\])])\s*∪\s*")
_SETMINUS = re.compile(r"\\setminus(?![A-Za-z])")
_BUILDER = re.compile(r"(?<!\\)\||:|\\mid")
_DOMAIN = re.compile(r"\\in\s*(?:\\mathbb\{R\}|R)$")
_MATRIX = re.compile(
    r"^\[?\s*\\begin\{(?:[pbB]?matrix|smallmatrix|array)\}\s*(?:\{[lcr| ]*\})?(.*?)"
    r"\\end\{(?:[pbB]?matrix|smallmatrix|array)\}\s*\]?$",
    re.DOTALL,
)
_PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])|\+/-|\+-")
_KIND = (
    r"(?:(?:any|all|some|each|every|an?|arbitrary|positive|negative|non-?negative|natural|real)"
    r"\s+)*"
)
_SORT = r"(?:integers?|constants?|numbers?|reals?)"
_IN = r"\\in\s*(?:\\mathbb\{[ZNRQ]\}|Z|N|R)(?:\^\{?[+*]\}?|_\{?[+>0]+\}?)?"
_CLAUSE = re.compile(
    rf"(?:,|\(|\bwhere\b|\bfor\b|\bwith\b|;)\s*(?:where\s+|for\s+)?{_KIND}"
    rf"(?:{_SORT}\s+[a-zA-Z](?:\s*{_IN})?"
    rf"|[a-zA-Z](?:_\{{?\w\}}?)?(?:\s*,\s*[a-zA-Z])?\s*(?:{_IN}|(?:is|are|being)\s+{_KIND}"
    rf"{_SORT}|\\ne\s*0))\s*\)?$"
)
_INEQUALITY = re.compile(r"[<>]|\\(?:le|ge|ne|in)(?![A-Za-z])")
"""A condition beside an inequality is part of the answer: k < 2, k \\ne 0."""
_LABEL = re.compile(r"(?:^|(?<=[\s;,.]))\(?([1-9]|[a-h]|I{1,3}|IV|V|i{1,3}|iv|v)\)\s*(?=\S)")
_ROMAN = {"I": "1", "II": "2", "III": "3", "IV": "4", "V": "5",
          "i": "1", "ii": "2", "iii": "3", "iv": "4", "v": "5"}  # fmt: skip
_PROOF = re.compile(r"\b(?:proof|proved|proven|omitted|see above)\b|证明|略|증명", re.I)
_ASIDE = re.compile(r"\s*\([^()]*\b(?:extraneous|rejected?|discarded?)\b[^()]*\)$", re.I)
_RESULT = re.compile(r"\\(?:Rightarrow|implies|therefore|Longrightarrow)(?![A-Za-z])")
_NAMED_CURVE = re.compile(r"^(?:[A-Za-z]|line [a-z])\s?:\s*(?=[^=:]*=)")
MAX_ITEMS = 400
_MAX_DEPTH = 12


@lru_cache(maxsize=1 << 13)
def parse_answer(text: str, depth: int = 0) -> Node:
    """Return the node of tidy text. A text that fits nothing is a `Leaf`."""
    text = bare(text)
    if depth > _MAX_DEPTH or not text:
        return Leaf(text)
    if len(parts := labelled(text)) == 1:
        text = parts[0]
    elif parts:
        return Group("tuple", _parse_all(parts, depth))
    if is_composite(text) or "..." in text or (text[0].isalpha() and numeral(text) is not None):
        return Leaf(text)
    if (matrix := _MATRIX.match(text)) and "\\begin" not in matrix[1]:
        return _matrix(matrix[1], depth)
    if builder := _set_builder(text):
        return parse_answer(builder, depth + 1)
    outer = split_top(text, _OUTER)
    inner = [split_list(part) for part in outer]
    if len(outer) > 1 or len(inner[0]) > 1:
        return _list(inner, depth)._replace(text=text)
    if grouped := _group(text, depth):
        return grouped
    if (
        _INEQUALITY.search(text)
        and len(parts := split_top(text, _CUP)) > 1
        and all(map(_relation, parts))
    ):
        return Group("list", _parse_all(parts, depth), text=" or ".join(parts))
    if len(parts := split_top(text, _SETMINUS)) == 2:
        return Union(tuple(parse_answer(part, depth + 1) for part in parts), "setminus")
    relation = _relation(text)
    if relation:
        return relation
    if len(parts := split_top(text, _CUP)) > 1:
        return Union(tuple(parse_answer(part, depth + 1) for part in parts))
    return _plus_minus(text) or Leaf(text)


def bare(text: str) -> str:
    """Return the text without a closing clause on its parameters and without closing signs."""
    text = without_remark(text.strip().strip(" ,;:").strip())
    text = text if text.endswith("..") else text.rstrip(".").strip()
    text = _RESULT.split(_ASIDE.sub("", text))[-1].strip() or text
    text = _NAMED_CURVE.sub("", text)
    clause = _CLAUSE.search(text)
    if clause and clause.start() > 0 and not _INEQUALITY.search(text[: clause.start()]):
        text = text[: clause.start()].strip().rstrip(",").strip()
    return text


def domain(text: str) -> str | None:
    """Return Z, N, … if an answer says where its parameter comes from."""
    clause = _CLAUSE.search(tidy(text))
    found = re.search(r"\\mathbb\{([ZNRQ])\}|\\in\s*([ZNRQ])", clause[0]) if clause else None
    return (found[1] or found[2]) if found else None


def labelled(text: str) -> list[str]:
    """Return the parts of ``1) 5; 2) 7`` or ``(a) 6 (b) -1``, those that are proofs left out."""
    found = list(_LABEL.finditer(text))
    if len(found) < 2 or found[0].start() or "," in text[: found[0].end()]:
        return []
    names = [_ROMAN.get(match[1], match[1].lower()) for match in found]
    if names != [str(n + 1) for n in range(len(names))] and names != [*"abcdefgh"[: len(names)]]:
        return []
    ends = [match.start() for match in found[1:]] + [len(text)]
    parts = [text[a.end() : end].strip(" ;,.") for a, end in zip(found, ends, strict=True)]
    return [part for part in parts if part and not _PROOF.search(part)]


def parameters(text: str) -> bool:
    """Return whether an answer says that some letter stands for any integer or constant."""
    return bool(_CLAUSE.search(tidy(text)))


def alternatives(text: str) -> list[list[str]]:
    """Return the parts that "or" joins, each as the parts that commas or "and" join."""
    return [split_list(part) for part in split_top(bare(text), _OUTER)]


def _list(inner: list[list[str]], depth: int) -> Group:
    """Build a list; alternatives that each set several names are tuples in it."""
    named = [all(_relation(item) for item in part) for part in inner]
    if len(inner) > 1 and all(named) and min(map(len, inner)) > 1:
        groups = (Group("tuple", _parse_all(part, depth)) for part in inner)
        return Group("list", tuple(groups))
    items = [item for part in inner for item in part]
    if len(items) > MAX_ITEMS:
        return Group("list", tuple(map(Leaf, items)))
    parsed = _parse_all(_distribute(items), depth)
    spread: list[Node] = []
    for node in parsed:  # a list in a list (1 \pm 2, 5) is one list
        spread += node.items if isinstance(node, Group) and node.kind == "list" else [node]
    return Group("list", tuple(spread))


def _distribute(items: list[str]) -> list[str]:
    """Give the name of ``x=1, 2, 3`` to every value, unless the others have names too."""
    first = _relation(items[0])
    if not first or len(first.signs) != 1 or first.signs[0] not in ("=", "\\ne"):
        return items
    if any(_relation(item) for item in items[1:]):
        return items
    return [items[0], *(f"{first.sides[0]}{first.signs[0]}{item}" for item in items[1:])]


def _parse_all(items: list[str], depth: int) -> tuple[Node, ...]:
    return tuple(parse_answer(item, depth + 1) for item in items)


def _group(text: str, depth: int) -> Node | None:
    text = text.replace("\\langle", "(").replace("\\rangle", ")")
    opening = 2 if text.startswith("\\{") else 1
    if text[:1] not in ("(", "[", "{", "\\") or (text[0] == "\\" and opening == 1):
        return None
    close = matching(text, opening - 1)
    if close != len(text) - 1:
        return None
    curly = text[opening - 1] == "{"
    inside = text[opening:close].removesuffix("\\").strip()
    # The bar of a tuple may be a semicolon: (0; 1; 2).
    items = [item for part in split_top(inside, _OUTER) for item in split_list(part)]
    if curly:
        numbers = _THOUSANDS.fullmatch(inside)
        items = inside.split(",") if numbers and "," in inside else items
        if not inside:
            return Leaf("\\emptyset")
        if opening == 1 and len(items) == 1:
            return parse_answer(inside, depth + 1)  # braces that only group
        nodes = _parse_all(items, depth)
        spread = [
            leaf
            for node in nodes
            for leaf in (node.items if isinstance(node, Group) and node.kind == "list" else [node])
        ]
        return Group("set", tuple(spread))
    if len(items) == 1:
        if _THOUSANDS.fullmatch(inside) and "," in inside:
            items = inside.split(",")
        elif text[0] == "(" and text[close] == ")":
            return parse_answer(inside, depth + 1)
        else:
            return None
    brackets = text[0] + text[close]
    nodes = _parse_all(items, depth)
    if alternatives := _spread_signs(nodes, brackets):
        return alternatives
    mixed = brackets in ("[)", "(]") or (brackets == "[]" and len(items) == 2)
    kind: Literal["interval", "tuple"] = "interval" if mixed and len(items) == 2 else "tuple"
    return Group(kind, nodes, brackets)


def _spread_signs(items: tuple[Node, ...], brackets: str) -> Group | None:
    r"""Write ``(\pm 1, 0)`` as two tuples."""
    lists = [
        place for place, node in enumerate(items) if isinstance(node, Group) and node.kind == "list"
    ]
    if len(lists) != 1:
        return None
    place = lists[0]
    chosen = items[place]
    assert isinstance(chosen, Group)
    return Group(
        "list",
        tuple(
            Group("tuple", (*items[:place], member, *items[place + 1 :]), brackets)
            for member in chosen.items
        ),
    )


def _matrix(inside: str, depth: int) -> Node:
    rows = [row.strip() for row in re.split(r"\\\\", inside) if row.strip()]
    cells = [[cell.strip() for cell in row.split("&")] for row in rows]
    if len(cells) == 1 or all(len(row) == 1 for row in cells):
        return Group("tuple", _parse_all([cell for row in cells for cell in row], depth), "M")
    return Group(
        "tuple", tuple(Group("tuple", _parse_all(row, depth), "[]") for row in cells), "[]"
    )


def _set_builder(text: str) -> str | None:
    r"""Return the condition of ``\{x | x > 3\}``, with the domain dropped."""
    body = text.removeprefix("\\")
    if not body.startswith("{") or matching(body, 0) != len(body) - 1:
        return None
    inside = body[1:-1].removesuffix("\\").strip()
    bar = _BUILDER.search(inside)
    if not bar or not re.fullmatch(
        r"\(?[A-Za-z](?:\s*,\s*[A-Za-z])*\)?\s*(?:\\in\s*\S+\s*)?", inside[: bar.start()]
    ):
        return None
    condition = inside[bar.end() :].strip()
    # The name of what is collected carries nothing: {t | t < 2} is {x | x < 2}.
    letter = re.match(r"\(?\s*([A-Za-z])", inside)
    if letter and letter[1] != "x" and not re.search(r"(?<![A-Za-z\\])x(?![A-Za-z])", condition):
        name = rf"(?<![A-Za-z\\]){letter[1]}(?![A-Za-z])"
        condition = re.sub(name, "x", condition)
    pieces = [p for p in split_top(condition, _INNER) if not _DOMAIN.search(p)]
    return ", ".join(pieces) or None


def _relation(text: str) -> Relation | None:
    sides, signs, last = [], [], 0
    for found in top_matches(text, _RELATION):
        sides.append(text[last : found.start()].strip())
        signs.append(found[0])
        last = found.end()
    sides.append(text[last:].strip())
    if not signs or len(signs) > 40 or not sides[-1]:
        return None
    if not sides[0] and signs[0] in ("\\approx", "="):
        sides, signs = sides[1:], signs[1:]
    if not signs:
        return None
    return Relation(tuple(sides), tuple(signs))


def _plus_minus(text: str) -> Node | None:
    if len(_PLUS_MINUS.findall(text)) != 1 or "\\mp" in text:
        return None
    plus, minus = _PLUS_MINUS.sub("+", text), _PLUS_MINUS.sub("-", text)
    return Group("list", (Leaf(plus.removeprefix("+").strip()), Leaf(minus)))


def split_list(text: str) -> list[str]:
    """Return the members of a bare list; a number with separators of thousands is one."""
    if _THOUSANDS.fullmatch(text):
        return [text]
    if re.search(r",\s", text):  # with spaces after its commas, a list writes thousands without
        text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    return split_top(text, _INNER)


def split_top(text: str, separator: re.Pattern[str]) -> list[str]:
    """Return the parts between separators outside brackets; empty ones are left out."""
    parts, last = [], 0
    for found in top_matches(text, separator):
        parts.append(text[last : found.start()])
        last = found.end()
    parts.append(text[last:])
    return [part.strip() for part in parts if part.strip(" ,;.")] or [text]


def top_matches(text: str, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """Return the matches that start outside every bracket, bar pairs and environments aside."""
    found = list(pattern.finditer(text))
    if not found:
        return []
    depths, depth, bracketed = [], 0, False
    for place, character in enumerate(text):
        if character in _OPENING:
            depth, bracketed = depth + 1, True
        elif character in _CLOSING:
            depth = max(0, depth - 1)
        elif character == "\\" and text.startswith(("\\begin", "\\langle"), place):
            depth, bracketed = depth + 1, True
        elif character == "\\" and text.startswith(("\\end", "\\rangle"), place):
            depth = max(0, depth - 1)
        depths.append(depth)
    if not bracketed:
        return found
    return [match for match in found if depths[match.start()] == 0]


def matching(text: str, opened: int) -> int:
    """Return where the bracket at a place is closed, by any kind of bracket; -1 if never."""
    depth = 0
    for place in range(opened, len(text)):
        if text[place] in _OPENING:
            depth += 1
        elif text[place] in _CLOSING:
            depth -= 1
            if not depth:
                return place
    return -1
