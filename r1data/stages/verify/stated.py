"""The answer of a text that marks none: a bare answer, a closing statement, the last quantity."""

import re
from collections import deque

from r1data.stages.verify.numbers import NATIVE, NUMERAL, numeral, spell_out
from r1data.stages.verify.numbers import SIGNS as _SIGNS
from r1data.stages.verify.units import UNITS

_TAIL = 1500
_LONGEST_BARE = 400
_LONGEST_CLAUSE = 600
_UNIT_NAMES = "|".join(
    sorted((re.escape(name) for name in UNITS if not name.isascii()), key=len, reverse=True)
)
_ASCII_UNITS = "|".join(
    sorted((re.escape(n) for n in UNITS if n.isascii() and n.isalpha()), key=len, reverse=True)
)
_UNIT_START = "[원명개달마그권장톤킬년위유파엔인사]"
_MINUS = r"(?:[-−]\s?|负|負|マイナス\s?|마이너스\s?|음수\s)?"
_MONEY = r"[$€£₩¥]?\s?"
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?|\.\d+)(?:\s?/\s?\d+|:\d{2}(?!\d))?"
_MIXED = r"(?:\s\d+/\d+|(?:와|又|と)\s?\d+(?:/\d+|\s?(?:분의|分の|分之)\s?\d+))?"
_PARTS = r"(?:분의|分之|分の)\s?"
_COUNTED = rf"(?:{_DIGITS}{_MIXED}|{_DIGITS}\s?{_PARTS}{_DIGITS}|{NUMERAL}{_PARTS}{NUMERAL})"
_SCALED = (
    r"(?:\s?(?:million|billion|thousand|hundred)\b"
    rf"|\s?[만억조천백百千万亿億](?![가-힣](?<!{_UNIT_START}))(?:\s?\d+\s?[만천백십千百])*)?"
)
_UNIT = (
    rf"(?:\s?(?:{_UNIT_NAMES})|\s?(?:(?:square|cubic)\s)?(?:{_ASCII_UNITS})(?![A-Za-z])(?:\^?[23²³])?"
    r"|\s?\\?[%％]|\s?percent\b|\s?°)?(?:\s?[ap]\.?m\b\.?)?"
)
_QUANTITY = re.compile(
    rf"(?<![\w.,])(?:시속\s?|時速|时速)?(?:오전|오후|上午|下午|午前|午後)?\s?{_MINUS}{_MONEY}"
    rf"(?:{_COUNTED}{_SCALED}{_UNIT}(?:\s?(?:and\s)?{_DIGITS}{_UNIT}|\s?(?:반|半))*)",
    re.I,
)
_LOOSE = re.compile(
    rf"{_MINUS}{_MONEY}{_COUNTED}{_SCALED}{_UNIT}(?:\s?{_DIGITS}{_UNIT}|\s?(?:반|半))*", re.I
)
# A syllable alone (이, 일, 만) is a particle or a noun more often than a number.
_SURE = rf"(?:{NATIVE}|(?![이일사오구만공조억천백십](?!\s?[{_SIGNS}])){NUMERAL})"
_IN_WORDS = re.compile(
    rf"{_MINUS}(?:{_SURE})\s?(?:{_UNIT_NAMES})(?:\s?(?:{NUMERAL})\s?(?:{_UNIT_NAMES})|半|반)*"
)
_HUNDREDTH = re.compile(rf"(?:百分之|백분의\s?)(?:{NUMERAL}|\d+)")
_ENGLISH = re.compile(
    r"\b(?:(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen"
    r"|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty"
    r"|ninety|hundred|thousand|million)(?:[\s-](?:and\s)?(?=[a-z]))?)+",
    re.I,
)
_FORMULA = re.compile(
    r"\$\$(.+?)\$\$|\$((?:[^$\n\\]|\\.)+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL
)
_LATEX_WORD = re.compile(
    r"\\[A-Za-z]+\*?|\b(?:sqrt|sin|cos|tan|sec|csc|cot|log|ln|exp|pi|infinity)\b"
)
_CONNECTOR = re.compile(rf"\b(?:and|or|mod|{_ASCII_UNITS})\b|또는|그리고|또|或者?|または", re.I)
_WORD = re.compile(r"[A-Za-zÀ-ɏ]{2,}|[가-힣]{2,}|[一-鿿ぁ-ヿ]+")
_SENTENCE = re.compile(r"[。！]\s*|(?<![\d)}\s])!(?!=)\s*|(?<=[^\d\s])\.\s+|(?<=\d)\.\s+(?=[^\d])")
_LEAD = re.compile(
    r"^(?:(?:so|thus|hence|therefore|finally|then|and|in total|in all|overall|∴"
    r"|따라서|그러므로|그래서|결국|즉"
    r"|所以|因此|故|于是|综上所述|综上|したがって|従って|よって|ゆえに|つまり)(?![A-Za-z])[\s,，:：、]*)+",
    re.I,
)
_STATEMENTS = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        r"(?:.*[:,]\s)?(?P<said>.+?)\s+(?:is|are)\s+(?:the|our|my|a|your)\s+(?:\w+\s)?(?:answers?|solutions?|results?)",
        r".*\b(?:is|are|equals?|equal to|was|were|be)\b[\s:]+(?P<said>.+)",
        r"(?P<said>.+?)[이가]\s+(?:정답|답|해)(?:입니다|이다)",
        r".*(?:[은이가]|(?<!또)는)\s+(?P<said>.+?)\s*"
        r"(?:입니다|이다|이에요|예요|이 된다|가 된다|됩니다|이며|임)",
        r".*(?:[은이가]|(?<!또)는)\s+(?P<said>[-\d(\\$（].*)",
        r".*(?:(?<!不)是|为|為|等于|等於|＝|共有|总共有|還剩|还剩|需要|[^没]有)\s*[:：]?\s*(?P<said>.+)",
        r".*は[、,\s]*(?P<said>.+?)\s*(?:です|である|だ|となる|になる)?",
    )
)
_CODE = re.compile(r"__|\w\(['\"]|\blambda\b|\)\.\w+\(|\bfor _ in\b")
_TIME = re.compile(
    rf"(?:오전|오후|上午|下午|午前|午後|早上|晚上)\s?(?:\d{{1,2}}|{NUMERAL})\s?(?:[시時点]|:\d\d)"
    rf"(?:\s?(?:\d{{1,2}}|{NUMERAL})\s?[분分]|\s?[반半])?|\d{{1,2}}[時时点]\d{{1,2}}分?"
    r"|\b\d{1,2}:\d{2}(?:\s?[ap]\.?m\b\.?)?",
    re.I,
)
_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s?\{([^{}]*)\}")
_DENIAL = re.compile(
    r"\b(?:not|never|cannot|unlikely|neither|nor|wrong|incorrect)\b|n't\b|아니|아님|아닙|않|不是|不对|不等于|错"
    r"|ではない|ではあり|じゃない|間違|틀렸|틀린",
    re.I,
)
_CHANGED = re.compile(
    r"\b(?:less|more|greater|fewer|smaller|larger|least|most|under|over|below|above|half|double|twice"
    r"|minus|plus|negative|squared?|cube|root|multiple|factorial|times)\s+(?:than\s+|of\s+)?(?:the\s+)?$"
    r"|(?:음의|小于|大于|不到|超过|少于|多于)\s*$",
    re.I,
)
_CHANGING = re.compile(
    r"\s*(?:보다|의?\s?제곱|의?\s?세제곱|배(?![가-힣])|반(?![가-힣])|의?平方|의?立方|的平方|的立方|の二乗|倍|半"
    r"|이상|이하|미만|초과|以上|以下|未満|より|\s?(?:squared|cubed|factorial)\b)"
)
_HEDGE = re.compile(r"^(?:either|both)\s+(?=.*\b(?:or|and)\b)", re.I)
_REFUSAL = re.compile(
    r"못했|못합|수 없|수가 없|모르겠|无法|不能确定|不知道"
    r"|わかりません|できません|分かりません|^我们|^让我们|"
    r"\b(?:cannot|can't|could not|unable to|don't know|do not know|not sure)\b",
    re.I,
)
_VERB = re.compile(
    r"\b(?:has|have|had|gets?|got|costs?|takes?|took|makes?|made|earns?|earned|pays?|paid|needs?|total"
    r"|spends?|spent|leaves?|left|gives?|gave|drops?|dropped|becomes?|became|sold|sells?|bought|buys?|there)\b",
    re.I,
)
_STARRED = re.compile(r"^\*([^*]+)\*$")
_CONDITIONAL = re.compile(r"\s*(?:if|when|unless|for|suppose)\b", re.I)
_CLOSING = re.compile(
    r"\n\s{0,9}(?:done|q\.?e\.?d|□|■|∎|i hope (?:it|this)[^\n]*"
    r"|hope this helps[^\n]*|let me know[^\n]*)"
    r"[.!\s]*$",
    re.I,
)
_OTHERWISE = re.compile(r"\b(?:also|wrong|incorrect|impossible|possible|correct)\b", re.I)
_YES_NO = re.compile(r"(?:yes|no)\s*(?:[,.;:!—-]|$)", re.I)
_PART = re.compile(r"\s*\(?(?:[1-9]|[a-h]|[ivIV]{1,3})\)\s*\S")
_BECAUSE = re.compile(r",?\s+(?:because|since|as there|so that)\s.*", re.DOTALL)
_GOES_ON = re.compile(
    r"[$\\=]|그러므로|따라서|所以|因此|よって|したがって|\b(?:therefore|so|thus|hence)\b", re.I
)
_EQUALS = re.compile(r"=\s*(?:<<[^<>]*>>)?\s*")
_ARITHMETIC = re.compile(r"\d[^\d]*(?:[-−+*/×÷–x]|\\times|\\cdot|\\div)[^\d]*\d")
_LETTER = re.compile(r"(?<![A-Za-z\\])(?<!['’])(?![xX](?=\s?\$?\d)|[aAI]\s)[A-Za-z](?![A-Za-z])")
_TUPLE = re.compile(r"[(\[（][^()\[\]（）]{1,80}[,，、;][^()\[\]（）]{1,80}[)\]）]")
_NOT_BUT = re.compile(
    r".*?(?:\bnot\b.{1,80}?\bbut\b(?:\s+rather)?|[가이]?\s*아니라|不是.{1,80}?而是|ではなく|じゃなくて)\s*[,，]?\s*(?P<said>.+)"
)
_ENDING = re.compile(
    r"\s*(?:입니다|이다|이에요|예요|이예요|임|이며|[이가]\s*됩니다|이 된다|가 된다"
    r"|です|である|だ|となる|になる)$"
)
_CJK_UNIT = re.compile(rf"(?<=[\d\s{_SIGNS}])(?:{_UNIT_NAMES})")
_CJK_NUMERAL = re.compile(NUMERAL)
_CLAUSE_END = re.compile(
    r"[。.]$|[다요]\.?$|(?:です|ます|だ|ください)。?$|[了吗呢]。?$|[은는이가を]\s|，"
)
_TELLING = re.compile(r"\d|\\[A-Za-z]")


def stated(part: str) -> str | None:
    """Return the answer that the end of a text states, None if it states none."""
    line = _CLOSING.sub("", part.strip()[-_TAIL:]).strip()
    if "\n" not in line:
        line = _LEAD.sub("", line).lstrip("=# ").strip()
    line = _STARRED.sub(r"\1", line)
    if is_bare(line):
        return _equated(line) or _ENDING.sub("", line.rstrip("。")) or None
    lines = [one.strip() for one in line.split("\n") if one.strip()]
    if len(lines) > 1 and len(line) < _LONGEST_BARE and all(map(_PART.match, lines)):
        return "; ".join(lines)
    line = line.rstrip().rsplit("\n", 1)[-1].strip()
    if line.endswith(("?", "？")):
        return None  # a question states nothing
    sentences = [piece for piece in _SENTENCE.split(line) if piece and piece.strip(" .*`")]
    sentence = _LEAD.sub("", sentences[-1].strip()) if sentences else line
    said = refine(sentence)
    return None if said == "" else said or _last_amount(part[-_TAIL:])


def statement(text: str) -> str | None:
    """Return what a sentence such as "The sum is 12" says, None if it is no such sentence."""
    if len(text) > _LONGEST_BARE:
        return None
    if _CONDITIONAL.match(text):
        return None
    return _stated_in(_TEXT.sub(r" \1 ", text).strip().rstrip(" .。"))


def only_amount(text: str) -> str | None:
    """Return the quantity of a sentence that has exactly one, None for any other text."""
    if len(text) > _LONGEST_BARE:
        return None
    found = _QUANTITY.findall(text)
    long = len(text.split()) >= 5 and not re.search(r"[$\\=<>]", text)
    return _amount(text) if long and len(found) == 1 else None


def is_bare(text: str) -> bool:
    """Return whether a text is an answer alone: an expression, a measure, a few words."""
    if len(text) > _LONGEST_BARE or ("\n" in text.strip() and "\\begin" not in text):
        return False
    plain = _CONNECTOR.sub(" ", _LATEX_WORD.sub(" ", text))
    words = _WORD.findall(plain)
    if any(pattern.fullmatch(text.rstrip(" .。")) for pattern in _STATEMENTS[:2]):
        return False
    if not _TELLING.search(text):
        if re.search(r"[一-鿿가-힣ぁ-ヿ]", text):
            if numeral(text) is not None or _VALUE.fullmatch(spell_out(text)):
                return True
            inside = _IN_WORDS.search(text)
            if inside and inside[0] != text:
                return False
            return len(text) <= 8 and not _CLAUSE_END.search(text)
        return len(words) <= 4 and not re.search(r"[.!?。]\s+\S", text)
    if re.search(r"[一-鿿가-힣ぁ-ヿ]", plain) and not _cjk_amount(plain):
        return False
    if text.startswith(("all ", "any ")) and len(text) < 60:
        return True
    latin = [word for word in words if word.isascii() and (len(word) > 2 or word in _SHORT)]
    before = [word for word in latin if plain.find(word) < _first_sign(plain)]
    if before and not re.search(r"[=<>:]|\\in\b", text) and ("\\text" not in text or "$" in text):
        return (
            "$" not in text
            and len(latin) == len(before) <= 3
            and len(text) <= 40
            and not _VERB.search(text)
        )
    return len(latin) <= 2 and sum(map(len, latin)) <= 24


_TWO_LETTERS = "is of to in at an it so we he by no if as be do my up us me on go am"
_SHORT = frozenset(_TWO_LETTERS.split())
"""Words of two letters; any other two letters are a product of variables."""


def _first_sign(text: str) -> int:
    found = re.search(r"[\d(\[{]", text)
    return found.start() if found else len(text)


def _cjk_amount(text: str) -> bool:
    """Return whether nothing but numerals, units and a short noun is left of a text."""
    first = re.search(r"\d|" + NUMERAL, text)
    if not first or _CJK.search(_MODIFIER.sub("", text[: first.start()])) or _TIME.search(text):
        return False
    left = _CJK_NUMERAL.sub("", _CJK_UNIT.sub("", text))
    return len(_CJK.findall(left)) <= 2


_VALUE = re.compile(r"(?:\d+ )?\d+/\d+|\d+%")
_CJK = re.compile(r"[一-鿿가-힣ぁ-ヿ]")
_MODIFIER = re.compile(
    r"약|총|모두|시속|오전|오후|大约|大約|约|約|共|时速|時速|上午|下午|午前|午後|负|負|マイナス|마이너스|또는"
)


def refine(said: str) -> str | None:
    """Return the answer in a clause such as ``x is 5``, ``12가 아니라 13입니다``.

    None if there is none, the empty text if the clause only denies one.
    """
    said = _TEXT.sub(r" \1 ", said[-_LONGEST_CLAUSE:]).strip().rstrip(" .。:：,，！")
    said = _HEDGE.sub("", said)
    if _YES_NO.match(said) and len(said) < 200:
        return said
    if found := _NOT_BUT.fullmatch(said):
        said = found["said"]
    said = _BECAUSE.sub("", said)
    if total := _equated(said):
        return total
    inner = _stated_in(said)
    said = _ENDING.sub("", said).strip()
    denied = re.search(r"\d", said) and _DENIAL.search(said)
    if re.match(r"not\b|아니", inner or said) or denied or (_REFUSAL.search(said) and not inner):
        return ""
    if is_bare(said) and not inner:
        return said or None
    word = inner and not _TELLING.search(inner) and not inner[:1].isupper()
    numbered = word and re.search(r"\d", said) and not _OTHERWISE.search(inner or "")
    if numbered and (amount := _amount(said)):
        return amount  # "30 liters were left": what was left is no answer
    if inner and (is_bare(inner) or not _amount(inner)):
        return inner
    return _amount(inner or said) or _amount(said) or _sentence(said)


def _equated(clause: str) -> str | None:
    """Return the result of the last calculation with numbers alone: ``9*60 = 540 meters``."""
    sign = _last(_EQUALS, clause)
    left = re.split(r"(?<!\d),|,(?!\d)|[;:=]", clause[: sign.start()])[-1] if sign else ""
    if sign is None or not _ARITHMETIC.search(left) or _LETTER.search(left):
        return None
    result = _QUANTITY.match(clause, sign.end()) or _LOOSE.match(clause, sign.end())
    if result is None or re.match(r"\s?[-+*/^\\(=]", clause[result.end() :]):
        return None
    return None if _GOES_ON.search(clause, result.end()) else result[0].strip()


def _sentence(said: str) -> str | None:
    """Return a short English sentence whole: it may be the answer, as in "It does not exist"."""
    return said if said.isascii() and len(said.split()) <= 12 and not _CODE.search(said) else None


def _stated_in(clause: str) -> str | None:
    for pattern in _STATEMENTS:
        if (found := pattern.fullmatch(clause)) and len(found["said"]) < len(clause):
            return _ENDING.sub("", found["said"].strip(" :：")).strip() or None
    return None


def _amount(clause: str) -> str | None:
    """Return the last formula or quantity of a clause."""
    if _CODE.search(clause):
        return None
    if found := _last(_TIME, clause) or _last(_TUPLE, clause):
        return found[0].strip()
    formula = _last(_FORMULA, clause)
    quantity = _last(_QUANTITY, clause) or _last(_LOOSE, clause)
    words = _last(_HUNDREDTH, clause) or _last(_IN_WORDS, clause)
    if formula and (quantity is None or quantity.end() <= formula.end()):
        tail = clause[formula.end() :].strip(" .。")
        return f"{formula[0]} {tail}" if tail and len(tail) < 20 and is_bare(tail) else formula[0]
    if words and (quantity is None or words.end() > quantity.end()):
        return words[0].strip()
    if quantity:
        changed = _CHANGED.search(clause[: quantity.start()].rstrip("-") + " ")
        if changed or _CHANGING.match(clause, quantity.end()):
            return clause[-200:].strip()  # more than 12 is not 12
        return quantity[0].strip()
    english = _last(_ENGLISH, clause)
    return english[0].strip(" -") if english else None


def _last_amount(part: str) -> str | None:
    for line in reversed(part[-_LONGEST_CLAUSE:].strip().split("\n")):
        if found := _amount(line):
            return found
    return None


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = deque(pattern.finditer(text), maxlen=1)
    return found[0] if found else None
