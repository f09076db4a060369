"""Labels of options, and how short texts read: B, 2번, ②, 나, ㄴ, イ, 乙, ii, an option's text.

A label is read by its place (B, 2번, ② and 나 are all the second option), except ㄱ, ㄴ, ㄷ, which
number the statements of a Korean question, not its options: they answer for themselves, or for the
option whose text lists them.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

from r1data.stages.verify.extract import strip_delimiters
from r1data.stages.verify.string import unwrap

MAX_LENGTH = 1000
"""Longest text that is read as an option."""

_USUAL = 10
_CIRCLED = "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳"
_JAMO = "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎ"
_SYLLABLES = "가나다라마바사아자차카타파하"
_KANA = "アイウエオカキクケコ"
_STEMS = "甲乙丙丁戊己庚辛壬癸"
_ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x")
_SAME = str.maketrans(
    "❶❷❸❹❺❻❼❽❾❿➀➁➂➃➄➅➆➇➈➉➊➋➌➍➎➏➐➑➒➓㉠㉡㉢㉣㉤㉥㉦㉧㉨㉩㉪㉫㉬㉭",
    _CIRCLED[:10] * 3 + _JAMO,
)
# NFKC would make ① a plain 1 and ㄱ a leading consonant.
_FOLDED = re.compile(rf"[^{_CIRCLED}\u3131-\u314e]+")
_MARKUP = re.compile(r"\*\*|[$`]|\\(?:left|right|displaystyle|[()\[\],;:! ])|~")

_OPEN, _CLOSE = r"[(\[{<【「『\"'“‘]", r"[)\]}>】」』\"'”’]"
_ENDING = r"입니다|이다|이에요|예요|이고|이며|임|이라|와|과|하고|이\s?정답|가\s?정답|로|으로"
_TOKEN = re.compile(
    r"\s*(?:(?i:either|both|only|options?|choices?|letters?|선택지|보기|선지|选项|選項|選択肢)\s*){0,3}"
    rf"(?P<open>{_OPEN}){{0,2}}\s?(?:(?P<circled>[{_CIRCLED}])"
    r"|(?P<roman>(?:iii|ii|iv|viii|vii|vi|ix|III|II|IV|VIII|VII|VI|IX)(?![A-Za-z0-9_]))"
    r"|(?P<latin>[A-Za-z])(?![A-Za-z0-9_(]|['’]\w|\s?[=+^<>*×÷≤≥∈∪∩⊂]|\s-\s\d|-\w|\s?/\s?\d)"
    r"|(?P<number>\d{1,2})(?![\dA-Za-z_%]|[.,]\d|\s?[=+^<>*×÷/]|\s-\s\d)"
    rf"|(?P<jamo>[{_JAMO}])"
    rf"|(?P<syllable>[{_SYLLABLES}])(?![가-힣])"
    rf"|(?P<syllable2>[{_SYLLABLES}])(?=(?:{_ENDING}|번))"
    rf"|(?P<kana>[{_KANA}])(?![ァ-ヶー])"
    rf"|(?P<stem>[{_STEMS}])(?![一-鿿])|(?P<stem2>[{_STEMS}])(?=[和与與或]))"
    rf"(?:\s?(?P<close>{_CLOSE})){{0,2}}(?P<ordinal>\s?(?:번|番|号|號))?"
)
_OR = r"(?:,\s?)?(?:\bor\b|또는|혹은|이나|或者|或|または|あるいは|か)|/|\|"
_JOIN = re.compile(
    rf"\s?(?:(?P<either>{_OR})|(?P<both>(?:,\s?)?(?:\band\b|및|와|과|하고|그리고|和|与|與|と)|[&+])"
    r"|(?P<comma>[,、;·]))\s?"
)
_COMPACT = re.compile(
    rf"[\s(\[]*(?:[A-Z]\s?){{2,26}}[)\]]*|(?:[{_CIRCLED}]\s?){{2,}}|(?:[{_JAMO}]\s?){{2,}}"
)
_ROW = re.compile(rf"(?:[A-Z]{{2,26}}|[{_CIRCLED}]{{2,}}|[{_JAMO}]{{2,}})(?=이|입|$|[\s.,;。)])")
# A and I are words too: before another word they are labels only if it goes on about the choice.
_PROSE = re.compile(
    r"\s(?!(?:because|since|as|and|or|which|due|for|with|from|in|when|if|is|are|not|but)\b)[a-z]"
)
_ENDED = re.compile(r"\s*(?:[.,;:!?)\]。、，]|$|[^\x00-\x7f])")
_COPULA = re.compile(rf"\s*(?:{_ENDING}|です|である|だ|选项|項|项|번|を|이|가|은|는)?\s*[.。!]*\s*")
_SEPARATED = re.compile(r"\s*(?:[.:)\],、。;]|[-–—]+\s?(?=[^\W\d_]{2}|\())")
_TAIL_LEAD = re.compile(
    r"[\s.:,;)\]\-–—=(、。，]*(?:(?:which is|that is|i\.e\.|namely|with)\s)?[\s:(]*", re.IGNORECASE
)
_CLAUSE_END = re.compile(r"[.。;；!?](?=\s|$)|,\s|\s(?:because|since|as|which)\b|[。，；]|\)")
_CLOSING = re.compile(
    rf"(?P<text>.*\S)\s?(?:\(\s?(?P<latin>[A-Z])\s?\)|(?P<circled>[{_CIRCLED}]))[.。]?", re.DOTALL
)
_OWN_LABEL = re.compile(
    rf"\s*[(\[]?\s?([A-Z]|\d{{1,2}}|[{_CIRCLED}{_SYLLABLES}{_JAMO}])\s?[)\].:、]\s*"
)
_PLAIN_EDGES = " .,;:!?。、，；：\"'“”‘’"
_NUMERIC = re.compile(r"\W*\d")
_TEXT_LIST = re.compile(r"\s*(?:,|;|、|\band\b)\s*")

Method = Literal["label", "text", "hedged", "contradiction"]


class Said(NamedTuple):
    """The options that a text names, by number from 0, and by what it names them."""

    chosen: frozenset[int]
    method: Method


class Question(NamedTuple):
    """What reading an answer needs to know of its question."""

    gold: frozenset[int]
    options: tuple[str, ...]
    """Texts of the options in plain form."""
    numbers: bool
    """Whether a bare number is a label rather than a value."""
    statements: bool
    """Whether ㄱ, ㄴ, ㄷ are labels of what the gold names."""

    @classmethod
    def of(cls, options: Sequence[str], numbers: bool, statements: bool = True) -> Self:
        """Return a question without a gold."""
        found = [_OWN_LABEL.match(normal(option)) for option in options]
        own = [_value(match[1]) if match else None for match in found]
        if own and own == list(range(len(options))):
            options = [normal(o)[m.end() :] for o, m in zip(options, found, strict=True) if m]
        return cls(frozenset(), tuple(plain(option) for option in options), numbers, statements)

    def by_text(self, text: str) -> int | None:
        """Return the number of the one option that has this text, case folded if it has to be."""
        form = plain(text)
        if not form:
            return None
        for fold in (str, str.casefold):
            same = [n for n, option in enumerate(self.options) if fold(option) == fold(form)]
            if len(same) == 1:
                return same[0]
        return None


def question_of(gold: str, options: Sequence[str]) -> Question | str:
    """Return the question that a gold makes, or the reason why it is none."""
    question = Question.of(options, numbers=True)
    said = read_whole(gold, question)
    if said is None or not said.chosen:
        return said.method if said and said.method == "contradiction" else "not an option"
    if options and not said.chosen <= set(range(len(options))):
        return "not an option"
    token = _TOKEN.match(normal(gold))
    by_number = bool(token and (token["number"] or token["circled"]) and said.method == "label")
    valued = not options or any(_NUMERIC.match(option) for option in question.options)
    by_jamo = bool(token and token["jamo"] and said.method == "label")
    return question._replace(gold=said.chosen, numbers=by_number or not valued, statements=by_jamo)


def normal(text: str) -> str:
    """Return the text without markup, in NFKC but for circled numbers and single jamo."""
    text = _MARKUP.sub(" ", unwrap(strip_delimiters(text[: MAX_LENGTH + 1].translate(_SAME))))
    text = _FOLDED.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text)
    return " ".join(text.split())


def plain(text: str) -> str:
    """Return the form in which texts of options are compared: no spaces, no edge punctuation."""
    text = normal(text).replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    return "".join(text.split()).strip(_PLAIN_EDGES)


def read_whole(text: str, question: Question, lone: bool = False) -> Said | None:
    """Return what a short text says if all of it is about options: a box, a gold, a bold word.

    ``lone`` wants labels or an option's text and nothing else. None if it names no option.
    """
    if len(text) > MAX_LENGTH:
        return None
    line = normal(text)
    head = _sequence(line, question)
    exact = head is not None and _COPULA.fullmatch(line, head[1]) is not None
    if head and exact and len(head[0].chosen) == 1 and _in_range(head[0], question):
        return _resolved(head[0], line[: head[1]], question)
    if (number := question.by_text(line)) is not None:
        return Said(frozenset([number]), "text")
    if head and exact:
        return _resolved(head[0], line[: head[1]], question)
    if compact := _compact(line.rstrip(". "), question):
        return compact
    if several := _several_texts(line, question):
        return several
    return None if lone else _with_text(line, question, head) or _closing(line, question)


def read_head(text: str, question: Question, ended: bool = False) -> Said | None:
    """Return what the words after "the answer is" say: labels at their beginning, or a text.

    ``ended`` wants a label to be followed by the end of a clause.
    """
    line = normal(text[:MAX_LENGTH])
    clause = _clause(line)
    for form in (line, clause):
        if (number := question.by_text(_COPULA_END.sub("", form))) is not None:
            as_label = _sequence(form, question)
            if not as_label or not _in_range(as_label[0], question):
                return Said(frozenset([number]), "text")
    row = _ROW.match(line)
    if row and (compact := _compact(row[0], question)):
        return compact
    head = _sequence(line, question)
    if head is None:
        return _closing(clause, question)
    said, end = head
    if line[end : end + 1] == "?" or (ended and not _ENDED.match(line, end)):
        return None
    if said.method == "hedged":
        return said
    return _against_text(said, line[end:], question) or _resolved(said, line[:end], question)


_COPULA_END = re.compile(r"\s?(?:입니다|이다|이에요|예요|임|です|である)?[.。!]?$")


def _clause(line: str) -> str:
    end = _CLAUSE_END.search(line, 1)
    return line[: end.start()] if end and line[end.start()] != ")" else line


def _value(label: str) -> int | None:
    """Return the place of a label, from 0."""
    if label.isascii() and label.isdigit():
        return int(label) - 1 if int(label) else None
    for family in (_CIRCLED, _JAMO, _SYLLABLES, _KANA, _STEMS):
        if label in family:
            return family.index(label)
    if len(label) > 1 and label.lower() in _ROMAN:
        return _ROMAN.index(label.lower())
    return ord(label.upper()) - 65


def _label(line: str, position: int, question: Question) -> tuple[int, int] | None:
    """Return the place that a label at this position names, and where the label ends."""
    token = _TOKEN.match(line, position)
    if not token or (token["jamo"] and not _reads_jamo(question)):
        return None
    if token["number"] and not (question.numbers or token["ordinal"]):
        return None
    if token["number"] and not token["ordinal"] and not _ENDED.match(line, token.end()):
        return None
    latin = token["latin"]
    bracketed = bool(token["open"] and token["close"])
    if latin and not bracketed:
        prose = latin in "AI" and _PROSE.match(line, token.end())
        if prose or (latin.islower() and not _ENDED.match(line, token.end())):
            return None
        # x and y are values more often than the 24th and 25th option.
        if latin.islower() and ord(latin) - 97 >= max(len(question.options), _USUAL):
            return None
    number = _value(next(value for key in _KINDS if (value := token[key]) is not None))
    if latin and latin in "IVXivx" and question.options and (number or 0) >= len(question.options):
        number = _ROMAN.index(latin.lower())
    return None if number is None else (number, token.end())


_KINDS = (
    *("circled", "roman", "latin", "number", "jamo", "syllable", "syllable2"),
    *("kana", "stem", "stem2"),
)


def _reads_jamo(question: Question) -> bool:
    return question.statements or any(set(option) & set(_JAMO) for option in question.options)


def _sequence(line: str, question: Question) -> tuple[Said, int] | None:
    """Return the labels at the head of a line, one or several, and where they end."""
    first = _label(line, 0, question)
    if first is None:
        return None
    chosen, end, hedged = {first[0]}, first[1], False
    while join := _JOIN.match(line, end):
        following = _label(line, join.end(), question)
        if following is None:
            break
        # "B, C is impossible" names C no more than it chooses it.
        if join["comma"] and re.match(r"\s[a-z]", line[following[1] :]):
            break
        chosen.add(following[0])
        end, hedged = following[1], hedged or bool(join["either"])
    if hedged and len(chosen) > 1:
        return Said(frozenset(), "hedged"), end
    return Said(frozenset(chosen), "label"), end


def _compact(line: str, question: Question) -> Said | None:
    """Return what a row of labels with nothing between them says, such as AC."""
    if not _COMPACT.fullmatch(line):
        return None
    labels = [c for c in line if not c.isspace() and c not in "()[]"]
    said = Said(frozenset(n for c in labels if (n := _value(c)) is not None), "label")
    return _resolved(said, line, question)


def _resolved(said: Said, labels: str, question: Question) -> Said:
    """Return what labels of statements stand for: the option that lists them, or none."""
    jamo = set(labels) & set(_JAMO)
    if not jamo and not set(labels) & set(_SYLLABLES):
        return said
    if option := _statement_option(said, question):
        return option
    return Said(frozenset(), said.method) if jamo and not question.statements else said


def _in_range(said: Said, question: Question) -> bool:
    return not question.options or all(number < len(question.options) for number in said.chosen)


def _statement_option(said: Said, question: Question) -> Said | None:
    """Return the option whose text lists the same labels, such as "ㄱ, ㄷ"."""
    if said.method != "label":
        return None
    bare = question._replace(options=(), statements=True)
    for number, option in enumerate(question.options):
        if not option or option[0] not in _JAMO + "(" + _SYLLABLES:
            continue
        listed = _sequence(option, bare)
        compact = frozenset(map(_JAMO.index, option)) if set(option) <= set(_JAMO) else None
        if (listed and listed[1] == len(option) and listed[0] == said) or compact == said.chosen:
            return Said(frozenset([number]), "text")
    return None


def _several_texts(line: str, question: Question) -> Said | None:
    pieces = _TEXT_LIST.split(line)
    if not 2 <= len(pieces) <= len(question.options):
        return None
    numbers = [number for piece in pieces if (number := question.by_text(piece)) is not None]
    return Said(frozenset(numbers), "text") if len(numbers) == len(pieces) else None


def _with_text(line: str, question: Question, head: tuple[Said, int] | None) -> Said | None:
    """Return what a label followed by a text says, if a sign parts them or the text is its own."""
    if head is None:
        return None
    said, end = head
    if said.method == "hedged":
        return said
    against = _against_text(said, line[end:], question)
    parted = _SEPARATED.match(line, end) or line[end - 1] in ")].】"
    return against or (said if parted else None)


def _against_text(said: Said, tail: str, question: Question) -> Said | None:
    """Return the verdict of the text after a label: its own, another option's, or neither."""
    if len(said.chosen) != 1:
        return None
    (label,) = said.chosen
    rest = tail[_lead_end(tail) :]
    for form in (tail.lstrip(" .:,;)"), rest, rest.rstrip(" ).]"), _first_clause(rest)):
        number = question.by_text(form)
        if number is not None:
            return said if number == label else Said(frozenset(), "contradiction")
    return None


def _lead_end(tail: str) -> int:
    lead = _TAIL_LEAD.match(tail)
    return lead.end() if lead else 0


def _first_clause(rest: str) -> str:
    end = _CLAUSE_END.search(rest)
    return rest[: end.start()] if end else rest


def _closing(line: str, question: Question) -> Said | None:
    """Return what a text that ends with a label in brackets says, such as "green (B)"."""
    found = _CLOSING.fullmatch(line)
    if not found or len(set(re.findall(rf"\(([A-Z])\)|[{_CIRCLED}]", line))) > 1:
        return None
    number = _value(found["latin"] or found["circled"])
    said = Said(frozenset([number or 0]), "label")
    other = question.by_text(found["text"])
    if other is not None and other != number:
        return Said(frozenset(), "contradiction")
    return said
