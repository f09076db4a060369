"""Finding the final answer in a completion: box, answer tag, answer phrase, last number.

Every pass is linear in the text, since the text is a model's and may be hostile.
"""

import re
from collections import deque
from collections.abc import Iterator
from typing import Literal

from r1data.core.text import split_thinking
from r1data.stages.verify.stated import is_bare, refine, stated, statement
from r1data.stages.verify.units import parse_unit

Extract = Literal["any", "marked"]

_BRACE_OR_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"\\boxed\s+([^\s${}\\]+)")
_OPEN_TAG = "<answer>"

# Bounded spaces: two unbounded runs side by side would be quadratic.
_PHRASE = re.compile(
    r"\banswer\s{0,4}(?=\\[\[(]|\$)|\b(?:answer|result)\s{0,4}(?:[*_]{1,2})?\s{0,4}(?:is|are|was|=|:)"
    r"|[\[【(](?:정답|답|최종 답|答案|解答|答え|answer)[\]】)]"
    r"|(?<!대)(?:정답|해답|답)\s{0,4}(?:\*\*)?\s{0,4}(?:은|는|이|:|：)"
    r"|答案\s{0,4}(?:\*\*)?\s{0,4}(?:是|为|為|:|：)"
    r"|(?<![回解])答\s{0,4}(?:\*\*)?\s{0,4}[:：]"
    r"|答え\s{0,4}(?:\*\*)?\s{0,4}(?:は|:|：)"
    r"|故选|应选|故選"
    r"|####|^\s{0,3}A\s?[:：](?=\s*[-$\d\\])",
    re.IGNORECASE | re.MULTILINE,
)
_LEAD = re.compile(
    r"^[\s*_`:：=#]*(?:(?:the\s+)?final answer[\s*_:]*)?"
    r"(?:(?:approximately|about|equal to|simply|therefore|thus|indeed|약|총|모두|大约|约)\s*)?"
    r"[\s*_`]*",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"[。！？；](?!\w)|\?(?!\w)|(?<![\d)}\sA-Za-z])!(?![\w=])|\.(?=\s|$|\*|[가-힣])"
    r"|[,，]?\s+(?:because|since|which|so that|where|as)\b"
)
_TELLING = re.compile(r"\d|\\|\b[A-J]\b|[①-⑩]|^(?:yes|no)\b", re.IGNORECASE)
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*")
_NUMBER = re.compile(
    r"-?\\[dt]?frac\s*\{[^{}]{1,60}\}\s*\{[^{}]{1,60}\}"
    r"|(?<![\w.,])[-−]?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:/\d+)?\s?[%％]?",
)
_DIGIT_IN_WORD = re.compile(r"[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?:/\d+)?\s?[%％]?")
_DELIMITED = re.compile(
    r"\$\$(.+?)\$\$|\$((?:[^$\n\\]|\\.)+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL
)
_PERCENT = re.compile(
    r"\s*\$?\s*(\\?[%％]|percent\b|pct\b|퍼센트|(?:m|b|tr)illion\b|thousand\b|hundred\b|dozen\b)"
)
_DENIED = re.compile(r"[\s$.,*)]{0,6}(?:is|was)\s+(?:wrong|incorrect|not\b)", re.IGNORECASE)
_BEFORE_BOX = re.compile(
    r"(?:(?<![\d)}\w\s$])-|(?:^|[=(,\s$])-|\d|\\frac\s?\{|\\ne(?:q)?|(?<![a-z])>|[<*/^+])\s?"
    r"\\(?:boxed|fbox)\s*\{$"
)
_AFTER_BOX = re.compile(r"\s?(?:[-+*/^!]|\\cdot|\\times|\}\s?\{)")
_JOINING = re.compile(
    r"(?<![A-Za-z])(?:and|or)(?![A-Za-z])|^[\s$.\\()\[\]]*[,;、，]|[와과및和与]|또는|^$"
    r"|^[\s$;,.\\]*\(?(?:[1-9]|[a-h]|[ivIV]{1,3})\)[\s$:]*$"
)
_CORRECTION = re.compile(
    r"\b(?:wait|no|actually|correct\w*|sorry|hmm|instead|mistake|should|but|let me"
    r"|recheck|oops|not|then)\b"
    r"|아니|잠깐|다시|정정|수정|틀|不|错|更正|修正|等等|違|訂正|待|\n\s*\n|[.。]\s",
    re.IGNORECASE,
)
_FINAL = re.compile(r"\bfinal answer\b(?! is in)", re.IGNORECASE)
_ROLE = re.compile(r"<\|[^|<>\n]{1,40}\|>")
_EMPHASIS = re.compile(r"(?<![\w)}])\*\*([^*]+)\*\*(?![\w({])|\*\*(?=\s|$)|(?<=\s)\*\*|^\*\*")
_CUT = re.compile(
    r",?\s*(?:\(?i\.e\.?|\(?that is\b|, not\b|, instead of|, rather than).*", re.DOTALL
)
_GOES_ON = re.compile(
    r"\s*(?:,|;|or\b|and\b|또는|와|과|及|和|或)\s*(?:and\s+|or\s+)?[$\\\d(]"
    r"|\s*(?:[-+*/^=<>]|\$|hundred\b|thousand\b|[mb]illion\b|dozen\b)"
)
_OPENING_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{$")
_HEADING = re.compile(
    r"[:：]\s*$|\b(?:answer|solution|final|step|note|conclusion|therefore|result|explanation|proof)\b"
    r"|답|풀이|결론|答|解",
    re.IGNORECASE,
)
_NOT_BEFORE = re.compile(r"\b(?:not|never|n't)\s*$", re.IGNORECASE)
_MAX_GAP = 70
_WINDOW = 4000
_BOX_WINDOW = 250_000
_LINE = 4500
_CLAUSE = 600


def extract_answer(text: str, extract: Extract = "any", prefill: str = "") -> str | None:
    """Return the final answer of a completion, trimmed and without ``$``; None if there is none.

    Only what follows the reasoning counts (`core.text.split_thinking`); reasoning that never ended
    has no answer. The last box wins, then the last ``<answer>``; "marked" accepts these alone.
    "any" goes on to answer phrases in English, Korean, Chinese and Japanese, ``####``, a bold
    last line, and at last the last number.
    """
    part = answer_part(text, prefill)
    if part is None:
        return None
    part = part.replace(",\\!", "")
    if extract == "marked":
        return marked(part)
    box = part.rfind("\\boxed")
    if box >= 0 and (final := _FINAL.search(part, box)):
        said = phrase(part[final.start() :])
        if said and _TELLING.search(said):
            return said
    return _refined(marked(part)) or phrase(part) or bold(part) or stated(part)


def _refined(found: str | None) -> str | None:
    """Return the answer in a box that says more: ``\\boxed{\\text{The area is } 5}``."""
    if found is None or "\\begin" in found or (is_bare(found) and not _PHRASE.match(found)):
        return found
    said = phrase(found) or statement(found)
    return said if said and _TELLING.search(said) else found


def answer_part(text: str, prefill: str = "") -> str | None:
    """Return what follows the reasoning, or None if the reasoning never ended or nothing does."""
    span = split_thinking(text, prefill).answer
    if span is None:
        return None
    return _ROLE.split(text[slice(*span)], maxsplit=1)[0].strip() or None


def marked(part: str) -> str | None:
    """Return the content of the last box, else of the last answer tag."""
    return boxed(part) or tagged(part)


def boxed(part: str) -> str | None:
    r"""Return the content of the last non-empty ``\\boxed`` or ``\\fbox``, outermost of a nest.

    Boxes that commas or "and" join to the last one belong to it. A box that is never closed counts
    if no other comes after it; its content ends with the line.
    """
    if "boxed" not in part and "fbox" not in part:
        return None
    part = part[-_BOX_WINDOW:]
    spans, unclosed = _box_spans(part)
    for number in range(len(spans) - 1, -1, -1):
        start, end = spans[number]
        if content := strip_delimiters(part[start:end]):
            if unclosed is not None and unclosed > start:
                break
            if _DENIED.match(part, end + 1):
                continue
            if whole := _part_of_formula(part, start, end, content):
                return whole
            if after := _PERCENT.match(part, end + 1):
                return content + (" " if after[1].isalpha() else "") + after[1]
            return ", ".join([*_joined_before(part, spans[: number + 1]), content])
    if unclosed is not None:
        content = strip_delimiters(re.split(r"[\n$]", part[unclosed:], maxsplit=1)[0])
        if content:
            return content
        return next((c for s, e in reversed(spans) if (c := strip_delimiters(part[s:e]))), None)
    bare = _last(_BARE_BOX, part)
    return strip_delimiters(bare.group(1)) if bare else None


def _part_of_formula(part: str, start: int, end: int, content: str) -> str | None:
    r"""Return the formula around a box that is a part of it: ``-\\boxed{5}``, ``2\\boxed{x}``."""
    before = part[max(0, start - 40) : start]
    found = _BEFORE_BOX.search(before)
    if not found and not _AFTER_BOX.match(part, end + 1):
        return None
    head = re.split(r"[$\n]|\\\[|\\\(", part[max(0, start - 300) : start])[-1]
    tail = re.split(r"[$\n]|\\\]|\\\)|(?<=\S)[,.](?:\s|$)", part[end + 1 : end + 300])[0]
    head = _OPENING_BOX.sub("", head)
    if " " in head.strip() and not re.search(r"[\\=]", head):
        head = head.rsplit(" ", 1)[-1] if not head.endswith(" ") else head.split()[-1] + " "
    return f"{head}{{{content}}}{tail}".strip()


def _joined_before(part: str, spans: list[tuple[int, int]]) -> list[str]:
    """Return the boxes before the last of the spans that only commas or "and" part from it."""
    out: list[str] = []
    for (start, end), (following, _) in zip(spans[-2::-1], spans[:0:-1], strict=False):
        gap = _OPENING_BOX.sub("", part[end + 1 : following])
        if len(gap) > _MAX_GAP or not _JOINING.search(gap) or _CORRECTION.search(gap):
            break
        content = strip_delimiters(part[start:end])
        if not content or len(out) > 60:
            break
        if content not in out:
            out.append(content)
    last = strip_delimiters(part[slice(*spans[-1])])
    return [content for content in out[::-1] if content != last]


def _box_spans(part: str) -> tuple[list[tuple[int, int]], int | None]:
    """Return the contents' spans of closed outer boxes, and the start of the last unclosed one."""
    spans: list[tuple[int, int]] = []
    stack: list[tuple[int, bool]] = []
    for token in _BRACE_OR_BOX.finditer(part):
        word = token.group()
        if word == "{" or len(word) > 2:
            stack.append((token.end(), word != "{"))
        elif word == "}" and stack:
            start, is_box = stack.pop()
            if is_box:
                while spans and spans[-1][0] > start:
                    spans.pop()  # boxes inside this one
                spans.append((start, token.start()))
    unclosed = [start for start, is_box in stack if is_box]
    return spans, unclosed[-1] if unclosed else None


def tagged(part: str) -> str | None:
    """Return the content of the last ``<answer>…</answer>``, or of a last one never closed."""
    opened = part.rfind(_OPEN_TAG)
    if opened < 0:
        return None
    content = part[opened + len(_OPEN_TAG) :].split("</answer>", 1)[0]
    return phrase(content) or strip_delimiters(content) or None


def phrase(part: str) -> str | None:
    """Return what the last answer phrase says, preferring phrases that name a value."""
    plain = None
    for rest in _after_phrases(part[-_WINDOW * 4 :]):
        said = _said(rest)
        if said and _TELLING.search(said):
            return said
        plain = plain or said
    return plain


def _after_phrases(part: str) -> Iterator[str]:
    for match in reversed(list(_PHRASE.finditer(part))[-20:]):
        yield _LEAD.sub("", part[match.end() : match.end() + _LINE], count=1)


def _said(rest: str) -> str | None:
    delimited = _DELIMITED.match(rest)
    if delimited and not _GOES_ON.match(rest, delimited.end()):
        return strip_delimiters(delimited.group() + _suffix(rest[delimited.end() :]))
    line = rest.split("\n", 1)[0]
    end = _SENTENCE_END.search(line)
    line = line[: end.start()] if end else line
    line = _CUT.sub("", _EMPHASIS.sub(r"\1", line).replace("`", "")).strip(" \t:：,，")
    line = line.rstrip(".。")
    if line.count("*") == 1:
        line = line.strip("*")  # the end of *italics*
    if line.count(")") > line.count("("):
        line = line.removesuffix(")")
    if len(line) > _CLAUSE:
        return strip_delimiters(line)  # no clause to look into: as a whole, or not at all
    return strip_delimiters(refine(line) or "") or None


def _suffix(rest: str) -> str:
    """Return the percent sign or unit that follows a formula."""
    found = re.match(r"\s{0,2}(?:[%％]|percent\b|[A-Za-z가-힣一-鿿°]{1,12}(?=[\s.,。]|$))", rest)
    return (
        found[0]
        if found and (parse_unit(found[0]) or "%" in found[0] or "percent" in found[0])
        else ""
    )


def bold(part: str) -> str | None:
    """Return the last bold words of the last line, without a closing stop."""
    line = part.rstrip().rsplit("\n", 1)[-1][-_WINDOW:]
    found = _BOLD.findall(line)
    if found and _NOT_BEFORE.search(line[: line.rfind(f"**{found[-1]}**")]):
        return None
    said = _said(found[-1]) if found else None
    if said and not _TELLING.search(said) and not _HEADING.search(found[-1]):
        return said if len(said.split()) <= 4 else None
    return said if said and _TELLING.search(said) else None


def last_number(part: str) -> str | None:
    """Return the last number, or the whole formula if it stands in one."""
    tail = part[-_WINDOW:]
    number = _last(_NUMBER, tail)
    formula = _last(_DELIMITED, tail)
    if (
        formula
        and (number is None or number.end() <= formula.end())
        and re.search(r"\d", formula[0])
    ):
        return strip_delimiters(formula.group())
    if number is None:
        number = _last(_DIGIT_IN_WORD, tail)
    return number.group().strip() if number else None


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = deque(pattern.finditer(text), maxlen=1)
    return found[0] if found else None


def strip_delimiters(text: str) -> str:
    r"""Return the text without surrounding space and ``$``, ``\(…\)``, ``\[…\]`` or ``**``."""
    text = text.strip()
    for opening, closing in (
        ("**", "**"),
        ("$$", "$$"),
        ("$", "$"),
        (r"\(", r"\)"),
        (r"\[", r"\]"),
    ):
        inner = text[len(opening) : -len(closing)]
        fits = len(text) > len(opening) + len(closing)
        if fits and text.startswith(opening) and text.endswith(closing) and opening not in inner:
            text = inner.strip()
    return text
