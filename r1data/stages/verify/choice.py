"""Multiple choice: which options an answer names, by label, by text, or by both."""

import re
from collections import deque
from collections.abc import Iterator, Sequence

from r1data.core.records import Verdict
from r1data.stages.verify.choice_labels import Question, Said, question_of, read_head, read_whole
from r1data.stages.verify.extract import Extract, answer_part, bold, boxed, last_number, tagged
from r1data.stages.verify.string import printable

_LINE = 600
_LEAD = re.compile(
    r"[\s*_`:：=>,$]*(?:(?:simply|therefore|thus|indeed|definitely|clearly|probably|likely|just|then"
    r"|就是|选项|是|选)[\s:：]{1,3})?[\s*_`:：=>]*"
)
_MAX_PHRASES = 20
_ROW_OF_BOXES = re.compile(
    r"\\f?box(?:ed)?\s?\{[^{}\n]{1,40}\}(?:[$\s]{0,4}"
    r"(?:,|、|&|/|and|or|및|또는|혹은|과|와|或|或者|和|と|か)?[$\s]{0,4}"
    r"\\f?box(?:ed)?\s?\{[^{}\n]{1,40}\})+"
)
_BOX = re.compile(r"\\f?box(?:ed)?\s?\{([^{}\n]*)\}")
# Phrases after which the answer stands. Bounded spaces: two unbounded runs would be quadratic.
_EXPLICIT = re.compile(
    r"(?<!no )(?<!not the )(?<!wrong )(?<!incorrect )"
    r"\b(?:answers?|solution|(?:correct|right|best|final|true)\s(?:option|choice|statement|letter)s?)"
    r"(?:\s(?:option|choice|letter)s?)?(?:\sto\s[^.\n:]{1,60}?|\shere)?[*_`\s]{0,6}"
    r"(?:is|are|would\sbe|should\sbe|must\sbe|will\sbe|has\sto\sbe|=|:|：|→|->|-|–)"
    r"|(?P<weak>(?:\A|\n)[#*\s]{0,5}(?:final\s)?answer[*_`]{0,3}(?=\s)"
    r"|\b(?:I(?:'d|\swould|\swill|'ll)?\s(?:choose|pick|select|say|think|believe|guess|go\swith)"
    r"|(?:choose|pick|select|chose|selected))(?:\s(?:it\sis|it's|that))?(?:\soption|\schoice)?\b)"
    r"|(?<!대)(?:정답|해답|답안|답)\s{0,4}[*_`]{0,3}\s{0,4}(?:은|는|이(?!다|에|며|고)|:|：|=)?(?!\s?아니)"
    r"|(?:옳은|맞는|알맞은|적절한|올바른|옳지\s않은|틀린)\s?(?:것|설명|선택지)은"
    r"|正しい(?:の|もの|選択肢)は"
    r"|(?:고르면|선택하면|고르자면)"
    r"|(?:正确|正確)的?(?:答案|选项|選項|说法)?[*_`\s]{0,4}(?:应该?是|应为|應為|是|为|為|有|:|：)"
    r"|(?:答案|选项)[*_`\s]{0,4}(?:应该?是|应为|應為|就?是|为|為|:|：|应?选|應?選)"
    r"|答案】?(?=\s{0,4}[$*(（]{0,3}[A-Z①-⑳])"
    r"|(?<![不可任])[选選](?:择|擇)?(?:项|項)?[:：]?(?<![选選][项項])"
    r"|(?<![回解])(?:解答|回答|答え?|正解)[*_`\s]{0,4}(?:は|が|:|：)"
    r"|####",
    re.IGNORECASE,
)
# What is called right by the words that follow it.
_CALLED_RIGHT = re.compile(
    r"(?<![A-Za-z0-9_\\^])(?<!and\s)(?<!or\s)(?<![,、과와]\s)"
    r"[$*]{0,3}[(（\[]?(?P<label>[A-Z](?![A-Za-z0-9_])|[①-⑳]|[가-하ㄱ-ㅎ]"
    r"|\d{1,2}(?=\s?번))[)）\]]?[.$*]{0,3}\s{0,2}번?(?:选项|選項|项)?\s{0,2}"
    r"(?:(?:is|are)\s(?:the\s)?(?:only\s)?(?:correct|right|best|answer|true\sanswer)\b"
    r"|(?:이|가|은|는)\s?(?:정답|답|옳|맞|가장\s적절)|(?:是|为)?(?:正确|正確|对的)|[がは](?:正解|正しい|答え))"
)
_LINE_LABEL = re.compile(r"^[\s*(\[#-]{0,6}([A-Z]|[①-⑳])[)\].:：*]", re.MULTILINE)
_PARENTHESISED = re.compile(r"\(([A-Z])\)|([①-⑳])")
_CLOSING_OPTION = re.compile(
    r"\b(?:option|choice|선택지|보기|(?:so|hence|thus|therefore)[,:]?)\s{0,2}"
    r"[*(\[]{0,3}([A-Z])[)\]*]{0,3}[.!]?[*]{0,2}$",
    re.IGNORECASE,
)


def check_choice(
    gold: str, text: str, options: Sequence[str], extract: Extract = "any", prefill: str = ""
) -> Verdict:
    """Return the verdict on a multiple-choice answer.

    The gold is a label (a letter, several for several answers in any order, a number, ①, 나, ㄴ,
    イ, ii) or an option's text; anything else is bad_gold. Options are the texts in order, or none
    if they are not known. An answer may name an option by any label of its place, or by its text.
    Naming a label with another option's text (contradiction), or one or another (hedged), is wrong.
    The last explicit statement (box, answer tag, answer phrase) counts; only where there is none do
    bold words, the last line, the first line, and the value at the end.
    """
    question = question_of(gold, options)
    if isinstance(question, str):
        return Verdict(status="bad_gold", method=question)
    part = answer_part(text, prefill)
    first: str | None = None
    for candidate, said in _statements(part, question, extract) if part else ():
        first = first or candidate
        if said is None:
            continue
        right = said.method in ("label", "text") and said.chosen == question.gold
        method = said.method if said.method not in ("label", "text") else "choice"
        return Verdict(
            status="correct" if right else "wrong",
            extracted=printable(candidate),
            method=method,
            score=float(right),
        )
    if first is None:
        return Verdict(status="no_answer")
    return Verdict(status="wrong", extracted=printable(first), method="not an option", score=0.0)


def read_choice(text: str, options: Sequence[str] = ()) -> frozenset[int]:
    """Return the numbers (from 0) of the options that a short text names; empty if none."""
    said = read_whole(text, Question.of(options, numbers=True))
    return said.chosen if said else frozenset()


_Statement = tuple[str, Said | None]


def _statements(part: str, question: Question, extract: Extract) -> Iterator[_Statement]:
    """Yield what may be the answer and how it reads, the most explicit first."""
    explicit = _explicit(part, question) if extract == "any" else None
    box = _box(part)
    if box:
        said = read_whole(box, question)
        # A phrase after the last box corrects it.
        if explicit and (said is None or explicit[0] > _last_box(part)):
            yield explicit[1:]
        yield box, said
    if tag := tagged(part):
        yield tag, read_whole(tag, question) or read_head(tag, question)
    if explicit:
        yield explicit[1:]
    if extract == "any":
        yield from _unmarked(part, question)


def _last_box(part: str) -> int:
    return max(part.rfind("\\boxed"), part.rfind("\\fbox"))


def _box(part: str) -> str | None:
    """Return the last box, or the row of boxes at the end: two answers, or a hedge."""
    rows = deque(_ROW_OF_BOXES.finditer(part), maxlen=1)
    if rows and rows[0].end() > _last_box(part):
        return _BOX.sub(r"\1", rows[0][0]).replace("$", "")
    return boxed(part)


def _explicit(part: str, question: Question) -> tuple[int, str, Said] | None:
    """Return position, words and reading of the last answer phrase that names an option."""
    for match in reversed(deque(_EXPLICIT.finditer(part), maxlen=_MAX_PHRASES)):
        rest = _LEAD.sub("", part[match.end() : match.end() + _LINE], count=1)
        line = rest.split("\n", 1)[0]
        said = read_head(line, question, ended=match["weak"] is not None)
        if said:
            return match.start(), line, said
    return None


def _unmarked(part: str, question: Question) -> Iterator[_Statement]:
    """Yield what may be the answer where no box, tag or phrase says so."""
    called = deque(_CALLED_RIGHT.finditer(part), maxlen=1)
    if called:
        yield called[0][0], read_whole(called[0]["label"], question._replace(numbers=True))
    if found := bold(part):
        yield found, read_whole(found, question)
    lines = part.strip().split("\n")
    last, first = lines[-1][-_LINE:].strip(), lines[0][:_LINE].strip()
    # Where lines go through the options one by one, none of them chooses.
    lone = len(set(_LINE_LABEL.findall(part[-4000:]))) > 1
    worded = question._replace(numbers=False)  # "(4) So ..." numbers a step
    yield last, read_whole(last, question, True) or read_whole(last, worded, lone)
    if closing := _CLOSING_OPTION.search(last):
        yield closing[1], read_whole(closing[1].upper(), question)
    named = {a or b for a, b in _PARENTHESISED.findall(last)}
    if len(named) == 1:
        yield last, read_whole(named.pop(), question)
    yield first, read_whole(first, question, True) or read_whole(first, worded, lone)
    if question.options and (value := last_number(part)):
        for form in (value, value.rsplit("=", 1)[-1]):
            number = question.by_text(form)
            yield form, None if number is None else Said(frozenset([number]), "text")
