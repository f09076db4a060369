"""Answers in words: the same up to case, articles, synonyms, endings and what a sentence adds."""

import re

_FUNCTIONS = re.compile(
    r"\\[A-Za-z]+|\b(?:sqrt|sinh?|cosh?|tanh?|cot|sec|csc|arc(?:sin|cos|tan)|log|ln|exp|frac|infty"
    r"|infinity|floor|ceil|pi|theta|alpha|beta|lambda|mod|max|min)\b"
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{\w+\*?\}|_\{bar\}")
_LONG_WORD = re.compile(r"[^\W\d_]{3,}|[가-힣一-鿿ぁ-ヿ]")
_ARTICLE = re.compile(r"\b(?:the|a|an|is|are|it|there|answer|of|by|to|be|that|this|its)\b\s*")
_SYNONYMS = (
    {"no solution", "no solutions", "no real solution", "no real solutions", "none", "\\emptyset",
     "no such value", "no such values", "empty set", "no roots", "no real roots", "해가 없다",
     "해 없음", "해가 없음", "无解", "解なし", "no solution exists", "no solutions exist"},
    {"does not exist", "dne", "undefined", "not defined", "not exist", "doesn't exist"},
    {"yes", "true", "y", "t", "예", "네", "참", "是", "はい", "correct"},
    {"no", "false", "n", "f", "아니오", "아니요", "거짓", "否", "いいえ", "incorrect"},
    {"infinity", "\\infty", "infinite", "infinitely many", "무한대", "무한히 많다", "无穷",
     "无穷多"},
    {"all real numbers", "all reals", "\\mathbb{r}", "real numbers", "(-\\infty,\\infty)"},
    {"even", "짝수", "偶数"},
    {"odd", "홀수", "奇数"},
)  # fmt: skip
_CASE = re.compile(r"\d|=|\b(?:if|not|false|never|when|unless)\b")
_DENIALS = ("no solution", "no real", "does not", "doesn't")
_PHRASES = (
    ("no more than", "at most"),
    ("no less than", "at least"),
    ("no fewer than", "at least"),
    ("-angled", ""),
    (" angled", ""),
    ("monotonically ", ""),
)
_ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b")
_QUADRANTS = {"first": "1", "second": "2", "third": "3", "fourth": "4",
              "i": "1", "ii": "2", "iii": "3", "iv": "4"}  # fmt: skip
_LEFT_OUT = "function condition number numbers triangle value sequence case option day"
_NOUNS = frozenset(_LEFT_OUT.split())
_PREDICATE = re.compile(
    r"(?:,|\s+(?:is|are|was|were|has|have|had|wins?|won|can|will|does|did|should|because|since|who"
    r"|in|on|at)\b)"
)
NEGATION = re.compile(
    r"\b(?:not|no|never|nor|neither|cannot|but|except|everything|wrong|false|incorrect|negative"
    r"|eliminated|excluded|ruled|second|last|out|against)\b|n't\b"
)
"""What may turn an answer that follows or precedes it into another."""
YES_NO = re.compile(r"(yes|no)(?:\s*[,.;:!—-]|$)")
"""What opens an answer to whether something is so."""


def is_text(text: str) -> bool:
    """Return whether a text holds a word that is no function, variable or unit of mathematics."""
    if "=" in text:
        return False
    return bool(_LONG_WORD.search(_FUNCTIONS.sub(" ", _ENVIRONMENT.sub(" ", text))))


def fold_words(text: str) -> str:
    """Return words without case, articles and punctuation."""
    folded = " ".join(text.casefold().replace("\\ ", " ").split()).strip(' .,;:!?"')
    for other, usual in _PHRASES:
        folded = folded.replace(other, usual)
    folded = _ORDINAL.sub(r"\1", folded)
    return " ".join(_ARTICLE.sub("", folded).split()) or folded


def synonymous(gold: str, answer: str) -> bool:
    """Return whether two folded texts are names for the same thing."""
    for group in _SYNONYMS:
        denied = any(
            answer.endswith(" " + n) and not _CASE.search(answer.removesuffix(n))
            for n in group
            if n.startswith(_DENIALS)
        )
        if gold in group and (answer in group or denied) and len(gold) + len(answer) > 2:
            return True
    return False


def same_words(gold: str, answer: str) -> bool:
    """Return whether two texts say the same in words.

    Endings of words and common nouns are left out (an odd function is odd); so is the order of
    words that "and" or "nor" joins, and what a sentence adds after its subject ("Carol is the
    liar" names Carol), unless it takes something back.
    """
    ours, theirs = fold_words(gold), fold_words(answer)
    if ours == theirs or synonymous(ours, theirs):
        return True
    if "quadrant" in ours or "quadrant" in theirs:
        return _quadrant(ours) == _quadrant(theirs) != ""
    if _numbers(ours) != _numbers(theirs):
        return False
    stems = _stems(ours), _stems(theirs)
    if stems[0] and stems[0] == stems[1]:
        return True
    if any(re.search(r"\b(?:and|nor|or)\b", text) for text in (ours, theirs)):
        return sorted(stems[0]) == sorted(stems[1]) != []
    short, long = sorted((gold.strip(), answer.strip()), key=len)
    return _subject(fold_words(short), long)


def _subject(short: str, long: str) -> bool:
    """Return whether a sentence begins with a short answer and then says something of it."""
    plain = " ".join(long.casefold().split()).removeprefix("the ").strip()
    if not short or not plain.startswith(short) or len(short) < 2:
        return False
    rest = plain[len(short) :]
    yes_no = short in ("yes", "no")
    return bool(_PREDICATE.match(rest)) and (yes_no or not NEGATION.search(rest))


def _numbers(text: str) -> list[str]:
    """Return numbers with their signs, and operators, which no rule about words may touch."""
    return re.findall(r"-?\d+(?:[.,]\d+)*|[-+*/^%<>=]", text)


def _stems(text: str) -> list[str]:
    words = [word for word in re.findall(r"[^\W_]+%?", text) if word not in _NOUNS]
    return [_stem(word) for word in words]


def _stem(word: str) -> str:
    if not word.isascii() or len(word) < 5:
        return word
    return re.sub(r"(?:ing|es|ed|e|s)$", "", word)


def _quadrant(text: str) -> str:
    words = [word for word in text.split() if word != "quadrant"]
    return _QUADRANTS.get(words[0], words[0]) if len(words) == 1 else ""
