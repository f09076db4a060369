"""Finding the program in a completion: fenced blocks, bodies of functions, bare programs."""

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator

from r1data.core.text import split_thinking

_PYTHON = ("python", "py", "python3", "py3")
_FENCE = re.compile(r"( {0,12}|\t{1,3})(`{3,}|~{3,})[ \t]*([^\s`{]*)[^`\n]*")


def parsed(source: str) -> ast.Module | None:
    """Return a syntax tree, or None if a text is not Python."""
    try:
        with warnings.catch_warnings():  # an odd escape is not worth a warning here
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def answer_text(text: str, prefill: str) -> str | None:
    """Return what follows the reasoning, with the indentation of its first line."""
    span = split_thinking(text, prefill).answer
    part = text[slice(*span)] if span else ""
    if not part.strip():
        return None
    if len(re.findall(r"^```", prefill, re.MULTILINE)) % 2:
        part = "```python\n" + part.removeprefix("\n")  # the template had opened the fence
    return part


def fenced_program(part: str, wanted: set[str]) -> str | None:
    """Return the last Python block, of several the last that defines something wanted."""
    found = [(language, code) for language, code in blocks(part) if code.strip()]
    candidates = [code for language, code in found if language in _PYTHON]
    candidates = candidates or [code for language, code in found if not language]
    defining = [code for code in candidates if any(_defines(code, name) for name in wanted)]
    chosen = defining or candidates
    return chosen[-1] if chosen else None


def blocks(part: str) -> Iterator[tuple[str, str]]:
    """Yield (language, content) of each fenced block; one that is never closed ends with the text.

    One pass over the lines, so linear.
    """
    fence = language = indent = ""
    lines: list[str] = []
    for line in part.split("\n"):
        found = _FENCE.match(line)
        if not fence:
            if found:
                indent, fence, language = found[1], found[2], found[3].lower()
                lines = []
        elif found and found[2].startswith(fence) and line.strip() == found[2]:
            yield language, _joined(lines, indent)
            fence = ""
        else:
            lines.append(line)
    if fence:
        yield language, _joined(lines, indent)


def _joined(lines: list[str], indent: str) -> str:
    return "\n".join(line.removeprefix(indent) for line in lines)


def _defines(code: str, name: str) -> bool:
    pattern = rf"^(?:(?:async )?def|class) +{re.escape(name)}\b|^{re.escape(name)} *[=:]"
    return re.search(pattern, code, re.MULTILINE) is not None


def readings(code: str, prompt: str = "", entry_point: str = "") -> Iterator[str]:
    """Yield what an answer may mean as a program, likeliest first.

    With a prompt that ends in the head of ``entry_point``, it may be that function's body.
    """
    if not prompt:
        yield code
        return
    if _defines(code, entry_point):
        # A model that repeats the function often leaves the prompt's imports and helpers out.
        head = re.search(rf"^(?:async )?def +{entry_point}\b", prompt, re.MULTILINE)
        yield (prompt[: head.start()] if head else "") + code
        yield code
        return
    opening = prompt.rstrip() + "\n"
    if code.lstrip("\n")[:1].isspace():
        yield opening + code
    else:
        yield opening + textwrap.indent(code, "    ")
        yield opening + "    " + code.lstrip("\n")
    yield code


def first_body(code: str) -> str:
    """Return a completion up to the first line that has left the function."""
    lines = code.strip("\n").split("\n")
    for number, line in enumerate(lines[1:], 1):
        if line and not line[0].isspace():
            return "\n".join(lines[:number])
    return code


def is_program(source: str) -> bool:
    """Return whether a text is Python that does something; a lone word or number parses as well."""
    tree = parsed(source) if source.strip() else None
    idle = (ast.Name, ast.Constant, ast.Tuple, ast.BinOp, ast.UnaryOp, ast.Compare)
    return tree is not None and any(
        not (isinstance(node, ast.Expr) and isinstance(node.value, idle)) for node in tree.body
    )
