r"""Answers that are words: equal after folding, or equal to an alias.

Folding is NFKC, case, white space, ``\\text{}`` and punctuation or quotes at the edges. Articles
stay: "the Who" is not "who"; give an alias where both shall count.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from r1data.core.records import Verdict
from r1data.core.text import fold
from r1data.stages.verify.extract import (
    Extract,
    answer_part,
    bold,
    marked,
    phrase,
    strip_delimiters,
)

MAX_LENGTH = 10_000
"""Longest answer that is compared: NFKC is quadratic in a run of combining marks."""

_EDGES = " \t\n.,;:!?。、，；：！？\"'“”‘’「」『』《》〈〉`*_"
_WRAPPER = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|texttt|emph|mathrm|mathbf|mathsf|mbox|boxed|fbox)"
    r"\s*\{([^{}]*)\}"
)
_NESTING = 8
# Endings of a Korean or Japanese sentence that says what the answer is.
_ENDING = re.compile(
    r"(?:(?:이|가)\s?(?:정답|답)(?:입니다|이다|이에요|임)|\s?(?:입니다|이에요|예요|이예요|이다|임"
    r"|이라고\s할\s수\s있습니다)|(?:が(?:正解|答え))?(?:です|である))[.。!]?$"
)
_CJK = "\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")


def check_string(
    gold: str, text: str, aliases: Sequence[str] = (), extract: Extract = "any", prefill: str = ""
) -> Verdict:
    """Return the verdict on a text answer: NFKC, case, white space and edge punctuation folded.

    Equality alone makes an answer correct. The score of a wrong one is the best token F1 against
    gold and aliases (tokens are words, and each CJK character), at most 0.99.
    """
    if len(gold) > MAX_LENGTH:
        return Verdict(status="bad_gold", method="length")
    wanted = canonical(gold)
    if not wanted:
        return Verdict(status="bad_gold", method="empty")
    part = answer_part(text, prefill)
    found = _find(part, extract) if part else None
    if not part or not found:
        return Verdict(status="no_answer")
    if len(found) > MAX_LENGTH:
        return Verdict(status="limit", extracted=printable(found[:200]), method="length")
    forms = [form for said in _forms(found, part) if (form := canonical(said))]
    others = {form for alias in aliases if (form := canonical(alias[:MAX_LENGTH]))}
    extracted = printable(found)
    if wanted in forms:
        return Verdict(status="correct", extracted=extracted, method="exact", score=1.0)
    if others.intersection(forms):
        return Verdict(status="correct", extracted=extracted, method="alias", score=1.0)
    score = max(token_f1(form, forms[0]) for form in (wanted, *others)) if forms else 0.0
    return Verdict(status="wrong", extracted=extracted, method="exact", score=min(score, 0.99))


def canonical(text: str) -> str:
    r"""Return the folded text without ``\text{}`` and without punctuation at its edges."""
    folded = fold(unwrap(strip_delimiters(text)))
    return folded.strip(_EDGES) or folded


def unwrap(text: str) -> str:
    r"""Return the text with ``\text{…}`` and its like replaced by what they hold."""
    for _ in range(_NESTING):
        bare = _WRAPPER.sub(r"\1", text)
        if bare == text:
            break
        text = bare
    return text


def printable(text: str) -> str:
    """Return the text without lone surrogates, which no table can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def token_f1(gold: str, answer: str) -> float:
    """Return the harmonic mean of precision and recall of the tokens, as in SQuAD.

    Both texts are folded already; unlike SQuAD's, articles count.
    """
    ours, theirs = Counter(_WORD.findall(gold)), Counter(_WORD.findall(answer))
    common = (ours & theirs).total()
    return 2 * common / (ours.total() + theirs.total()) if common else 0.0


def _find(part: str, extract: Extract) -> str | None:
    found = marked(part)
    if found or extract == "marked":
        return found
    return phrase(part) or bold(part) or strip_delimiters(part.rsplit("\n", 1)[-1]) or None


def _forms(found: str, part: str) -> Iterator[str]:
    """Yield what one statement may mean: as found, its own phrase's, unended, its whole line.

    The whole line, since a title may hold what looks like the end of a sentence (St. Louis).
    """
    said = [found, phrase(unwrap(found)) or found]
    start = part.rfind(found)
    line = part[start : start + MAX_LENGTH].split("\n", 1)[0] if start >= 0 else found
    said.append(line)
    for form in said:
        yield form
        bare = unwrap(strip_delimiters(form.strip())).rstrip(_EDGES)
        if (unended := _ENDING.sub("", bare)) != bare:
            yield unended
