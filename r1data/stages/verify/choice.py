"""Multiple choice: the letter (or number, or text) of an option."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from r1data.core.records import Verdict
from r1data.core.text import fold
from r1data.stages.verify.extract import Extract, answer_part, bold, boxed, strip_delimiters, tagged

_MAX_LENGTH = 1000
_CIRCLED = "①②③④⑤⑥⑦⑧⑨⑩"
_WRAPPERS = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|boxed)\s*\{([^{}]*)\}")
_HEAD = re.compile(
    r"(?:option|choice|选项|보기)?\s*[(\[]?\s*([A-J])\s*(?:[)\]]|[.:、,]|번|$)", re.I
)
_LETTER_AND_TEXT = re.compile(r"\(?([A-J])\)?[\s.:,)]+(.+)", re.DOTALL)
_NUMBERED = re.compile(r"[(]?(\d{1,2})\s*(?:[).:]|번|$)")
_SEVERAL = re.compile(r"[A-J](?:\s*(?:,|and|&|와|、)?\s*[A-J])+")
# An explicit phrase; what it names is a letter that no formula follows.
_LETTER = (
    r"(?:\\text(?:bf)?\s*\{)?[(\[]?"
    r"([A-J](?![A-Za-z0-9_=+^/]|\s?[=+^]|\*(?!\*))|[①-⑩]|[1-9](?=\s*번))"
)
_EXPLICIT = re.compile(
    r"(?:\b(?:answer|option|choice)\s{0,4}(?:\*\*)?\s{0,4}(?:is|:|=|should be)?"
    r"|(?<!대)(?:정답|답)\s{0,4}(?:\*\*)?\s{0,4}(?:은|는|:|：)"
    r"|答案\s{0,4}(?:\*\*)?\s{0,4}(?:是|为|:|：|选)?|故?选(?:择|项)?|应选)"
    r"\s{0,4}(?:option|choice|选项)?[\s:：*$]{0,8}" + _LETTER,
    re.IGNORECASE,
)
_LONE = re.compile(r"[\s*$(\[]*([A-J]|[①-⑩])[\s*$)\].]*")
_PARENTHESISED = re.compile(r"\(([A-J])\)")


def check_choice(
    gold: str, text: str, options: Sequence[str], extract: Extract = "any", prefill: str = ""
) -> Verdict:
    """Return the verdict on a multiple-choice answer.

    The gold is a letter (several for multiple answers), a circled number, or an option's text.
    """
    wanted = read_choice(gold, options)
    if not wanted:
        return Verdict(status="bad_gold", method="not an option")
    part = answer_part(text, prefill)
    first: str | None = None
    for candidate in _candidates(part, extract) if part else ():
        first = first or candidate
        chosen = read_choice(candidate, options)
        if chosen:
            right = chosen == wanted
            return Verdict(
                status="correct" if right else "wrong",
                extracted=candidate,
                method="choice",
                score=float(right),
            )
    if first is None:
        return Verdict(status="no_answer")
    return Verdict(status="wrong", extracted=first, method="not an option", score=0.0)


def read_choice(text: str, options: Sequence[str] = ()) -> frozenset[int]:
    """Return the numbers (from 0) of the options that a short text names; empty if none."""
    text = strip_delimiters(text)
    if text[:1] and text[0] in _CIRCLED:
        return frozenset([_CIRCLED.index(text[0])])
    text = unicodedata.normalize("NFKC", text)
    if len(text) > _MAX_LENGTH:
        return frozenset()
    while (bare := _WRAPPERS.sub(r"\1", text)) != text:
        text = bare
    text = strip_delimiters(text.replace("**", "").replace("\\", " ").strip().rstrip("。."))
    folded = fold(text)
    for number, option in enumerate(options):
        if folded == fold(option).rstrip("。."):
            return frozenset([number])
    if _SEVERAL.fullmatch(text):
        return frozenset(ord(letter) - 65 for letter in re.findall(r"[A-J]", text))
    if head := _HEAD.match(text):
        return frozenset([ord(head[1].upper()) - 65])
    both = _LETTER_AND_TEXT.fullmatch(text)
    if both:
        number = ord(both[1]) - 65
        if number < len(options) and fold(both[2]) == fold(options[number]):
            return frozenset([number])
    if numbered := _NUMBERED.match(text):
        number = int(numbered[1]) - 1
        if 0 <= number < (len(options) or 10):
            return frozenset([number])
    return frozenset()


def _candidates(part: str, extract: Extract) -> Iterator[str]:
    """Yield possible answers, the most explicit first."""
    for found in (boxed(part), tagged(part)):
        if found:
            yield found
    if extract == "marked":
        return
    explicit = [match[1] for match in _EXPLICIT.finditer(part)]
    if explicit:
        yield explicit[-1]
    if found := bold(part):
        yield found
    last_line = part.rstrip().rsplit("\n", 1)[-1][-600:]
    if lone := _LONE.fullmatch(last_line):
        yield lone[1]
    parenthesised = _PARENTHESISED.findall(part[-2000:])
    if parenthesised:
        yield parenthesised[-1]
    elif last_line.strip():
        yield last_line.strip()
