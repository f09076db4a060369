"""One spelling for what LaTeX, Unicode and plain text write in many: `tidy` and `to_latex`.

`tidy` removes what carries no meaning (delimiters, spacing, sizes, fonts) and picks one name for
each sign; its result is still text. `to_latex` repairs plain notation (``sqrt(3)/2``, ``x^10``)
for a LaTeX parser. Every pattern is linear in the text: the text is a model's.
"""

import re
import unicodedata

from r1data.stages.verify.numbers import spell_out

_SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ"
_SUBSCRIPT = "₀₁₂₃₄₅₆₇₈₉"
_FROM_SCRIPT = str.maketrans(_SUPERSCRIPT + _SUBSCRIPT, "0123456789+-n0123456789")
_RAISED = re.compile(f"[{_SUPERSCRIPT}]+")
_LOWERED = re.compile(f"[{_SUBSCRIPT}]+")
_VULGAR = re.compile(r"(\d?)\s?([¼½¾⅐-⅞])")
_SIGNS = {
    "−": "-", "–": "-", "⁄": "/", "÷": "/", "∕": "/", "×": r"\times ", "·": r"\cdot ",
    "⋅": r"\cdot ", "∙": r"\cdot ", "≤": r"\le ", "⩽": r"\le ", "≦": r"\le ", "≥": r"\ge ",
    "⩾": r"\ge ", "≧": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "≒": r"\approx ", "≡": r"\equiv ",
    "∞": r"\infty ", "π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ",
    "γ": r"\gamma ", "λ": r"\lambda ", "μ": r"\mu ", "ω": r"\omega ", "φ": r"\phi ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∖": r"\setminus ", "∅": r"\emptyset ",
    "±": r"\pm ", "∓": r"\mp ", "→": r"\to ", "∣": "|", "、": ",", "。": ".", "｡": ".",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "’": "'",
    "′": "'", "“": '"', "”": '"', "〈": r"\langle ", "〉": r"\rangle ", "⟨": r"\langle ",
    "⟩": r"\rangle ", "˚": "°", "º": "°", "Ω": r"\Omega ", "\u200b": "", "\u2061": "", "\ufeff": "",
}  # fmt: skip
_TRANSLATE = str.maketrans(_SIGNS)
_ROOT_GROUP = re.compile(r"√\s?\(([^()]*)\)")
_ROOT = re.compile(r"√\s?(\d+(?:\.\d+)?|[A-Za-z])")
_CUBE_ROOT = re.compile(r"∛\s?\(?(\d+|[A-Za-z])\)?")

_NEGATIVE_WORD = re.compile(r"\b(?:negative|minus)\s+(?=[\d\\])", re.I)
_NEGATIVE = re.compile(r"(?:负|負|マイナス|마이너스)\s?(?=\d)")

_COMMANDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r",\\!\s*(?=\d)", ""),
        (r"\{([:.])\}", r"\1"),
        (r"(?<=\d)\s?\\Omega(?![A-Za-z])", " ohm"),
        (r"\\\\(?=(?:frac|sqrt|left|right|text|pi|infty|boxed|cup|in|le|ge|times)\b)", "\\\\"),
        (
            r"\\!|\\(?:displaystyle|textstyle|limits|nolimits|hfill|hline|big|Big|bigg|Bigg"
            r"|bigl|bigr|Bigl|Bigr|biggl|biggr|Biggl|Biggr)(?![A-Za-z])",
            "",
        ),
        (r"\\(?:left|right)\s*(?:\.(?!\d)|(?![A-Za-z]))", ""),
        (r"(?<=\d)(?:\\[,;: ]|\{,\}|~|\\thinspace)+\s?(?=\d{3}(?!\d))", ""),
        (
            r"(?<!\\)\\(?:[,;: ]|quad(?![A-Za-z])|qquad(?![A-Za-z])|thinspace(?![A-Za-z])|enspace"
            r"|hspace\*?\{[^{}]*\}|hskip\s?[\d.]+\s?[a-z]{2}|kern\s?[\d.]+\s?[a-z]{2})|~|\\\n",
            " ",
        ),
        (r"\\(?:boxed|fbox|underline|mathcal|mathscr|displaylines)(?=\s*\{)", ""),
        (r"\\color\s?\{\w+\}|\\color\s+\w+", ""),
        (r"\\textcolor\s?\{\w+\}(?=\s*\{)", ""),
        (r"\{\s?(\w+)\s*\\choose\s*(\w+)\s?\}", r"\\binom{\1}{\2}"),
        (r"\\(?:ldots|dots|cdots|dotsc|hdots)(?![A-Za-z])", "..."),
        (r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (
            r"\\(?:text|textbf|textit|textrm|textnormal|textsf|texttt|mbox|hbox|emph)"
            r"\s?\{([^{}]*)\}",
            r" \1 ",
        ),
        (
            r"\\(?:mathrm|mathbf|mathit|mathsf|operatorname\*?|boldsymbol|bm|mathnormal)"
            r"\s?\{([^{}]*)\}",
            r"\1",
        ),
        (r"\{\\(?:rm|bf|it)\s+([^{}]*)\}", r" \1 "),
        (r"\\(?:rm|bf|it)(?![A-Za-z])", ""),
        (r"\\(?:mathbb|Bbb)\s?\{?([RZNQC])\}?", r"\\mathbb{\1}"),
        (r"\\(?:R|reals)(?![A-Za-z])", r"\\mathbb{R}"),
        (r"\\(?:bar|overline)(?:\s?\{([A-Za-z])\}|\s+([A-Za-z])(?![A-Za-z]))", r"\1\2_{bar}"),
        (r"\\(?:vec|overrightarrow|widehat|overline|bar|hat|tilde)\s?\{([A-Za-z]+)\}", r"\1"),
        (r"\\(?:vec|hat|tilde)\s+([A-Za-z])", r"\1"),
        (r"\.(\d*)\\dot\s?\{?(\d)\}?", r".\1\\overline{\2}"),
        (r"\^\s?\{?\s?\\circ\s?\}?|\\degree(?:s)?(?![A-Za-z])|(?<=\d)\s?\\circ(?![A-Za-z])", "°"),
        (r"\\(?:leqslant|leqq|leq)(?![A-Za-z])", r"\\le "),
        (r"\\(?:geqslant|geqq|geq)(?![A-Za-z])", r"\\ge "),
        (r"\\(?:neq|not\s?=)(?![A-Za-z])", r"\\ne "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\(?:lbrace)(?![A-Za-z])", r"\\{"),
        (r"\\(?:rbrace)(?![A-Za-z])", r"\\}"),
        (r"\\(?:lbrack)(?![A-Za-z])", "["),
        (r"\\(?:rbrack)(?![A-Za-z])", "]"),
        (r"\\(?:mid|lvert|rvert|vert)(?![A-Za-z])", "|"),
        (r"\\colon(?![A-Za-z])", ":"),
        (r"\\(?:varnothing|O)(?![A-Za-z])", r"\\emptyset "),
        (r"\\(?:backslash|smallsetminus)(?![A-Za-z])", r"\\setminus "),
        (r"\\bigcup(?![A-Za-z])", r"\\cup "),
        (r"\\ast(?![A-Za-z])", "*"),
        (r"\\(?:simeq|thickapprox)(?![A-Za-z])", r"\\approx "),
        (r"\\(?:pmod|bmod|mod)\s?\{?\s?(\w+)\s?\}?", r" mod \1"),
        (r"\\%", "%"),
        (r"\\#", "#"),
        (r"\\&", " and "),
        (r"\\_", "_"),
        (r"\\frac\s?(\d)\s?(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s?(\d)\s?\{", r"\\frac{\1}{"),
        (r"(\\frac\{[^{}]*\})\s?([A-Za-z\d])", r"\1{\2}"),
        (r"\\sqrt\s?(\d|[A-Za-z](?![A-Za-z]))", r"\\sqrt{\1}"),
        (r"\\begin\{(?:cases|aligned|align\*?|gathered|equation\*?|split)\}", " "),
        (r"\\end\{(?:cases|aligned|align\*?|gathered|equation\*?|split)\}", " "),
    )
)
_PLAIN_SIGNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"<=|=<"), r"\\le "),
    (re.compile(r">=|=>"), r"\\ge "),
    (re.compile(r"!=|=/="), r"\\ne "),
    (re.compile(r"=="), "="),
    (re.compile(r"\*\*(?=[\s\d({A-Za-z-])"), "^"),
)
_MATRIX = re.compile(r"\\begin\{(?:[pbBvV]?matrix|smallmatrix|array)\}")
_FONTS = re.compile(r"\*\*([^*]+)\*\*|__([^_]+)__|`([^`]+)`")


def tidy(text: str) -> str:
    """Return the text in one spelling; equal answers are more often equal as text afterwards."""
    text = " ".join(text.split())
    if text.isascii() and text.isalnum():
        return text
    if not text.isascii():
        text = _from_unicode(text)
    text = without_delimiters(_FONTS.sub(r"\1\2\3", text))
    if text.isascii() and _NEGATIVE_WORD.search(text):
        text = _NEGATIVE_WORD.sub("-", text)
    if "\\" in text or "~" in text or "{," in text:
        for pattern, replacement in _COMMANDS:
            text = pattern.sub(replacement, text)
        if not _MATRIX.search(text):
            text = text.replace("\\\\", " , ").replace("&", " ")
    if any(sign in text for sign in ("=", "**")):
        for pattern, replacement in _PLAIN_SIGNS:
            text = pattern.sub(replacement, text)
    return " ".join(text.split()).rstrip("\\ ")


def _from_unicode(text: str) -> str:
    text = _RAISED.sub(lambda found: "^{" + found[0].translate(_FROM_SCRIPT) + "}", text)
    text = _LOWERED.sub(lambda found: "_{" + found[0].translate(_FROM_SCRIPT) + "}", text)
    text = _VULGAR.sub(lambda found: f"{found[1]} {found[2]}".lstrip(), text)
    text = unicodedata.normalize("NFKC", text.translate(_TRANSLATE)).translate(_TRANSLATE)
    if "√" in text or "∛" in text:
        text = _ROOT_GROUP.sub(r"\\sqrt{\1}", text)
        text = _CUBE_ROOT.sub(r"\\sqrt[3]{\1}", _ROOT.sub(r"\\sqrt{\1}", text))
    return spell_out(_NEGATIVE.sub("-", text))


_LOOSE_SPACE = re.compile(r"(?<!\d)\s+|\s+(?!\d)")


def squeezed(text: str) -> str:
    """Return the text without spaces, except those that keep digits apart: 1 1/2 is not 11/2."""
    return _LOOSE_SPACE.sub("", text)


def without_delimiters(text: str) -> str:
    r"""Return the text without ``$``, ``\(…\)`` and ``\[…\]``; a ``$`` that is left is money."""
    if "\\" in text:
        text = text.replace("\\$", "＄")
        for mark in (r"\(", r"\)", r"\[", r"\]"):
            text = text.replace(mark, " ")
    if "$" in text:
        text = text.replace("$$", " ")
        count = text.count("$")
        if count == 1:
            text = text.replace("$", "＄")
        elif count % 2:
            text = re.sub(r"\$(?=\d[\d,.]*[^$]*$)", "＄", text).replace("$", " ")
        else:
            text = text.replace("$", " ")
    return text.replace("＄", "$")


_FUNCTION_NAMES = (
    "arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth sin cos tan cot sec csc ln log "
    "exp max min gcd lcm det"
)
_FUNCTION = re.compile(rf"(?<![\\A-Za-z])({'|'.join(_FUNCTION_NAMES.split())})(?![a-z])")
_INVERSE = re.compile(r"(?<![\\A-Za-z])a(sin|cos|tan)(?=\s?\()")
_NAMED = re.compile(
    r"(?<![\\A-Za-z])(pi|theta|alpha|beta|gamma|lambda|omega|phi|infty|sqrt|binom)(?![A-Za-z])"
)
_INFINITY = re.compile(r"(?<![\\A-Za-z])(?:infinity|inf|oo)(?![A-Za-z])", re.I)
_BARE_POWER = re.compile(r"\^\s?(-?\d+(?:\.\d+)?|-[A-Za-z])")
_CHOOSE = re.compile(
    r"(?<![A-Za-z\\])C(?:_(?:\{(\w+)\}|(\w))\^(?:\{(\w+)\}|(\w))"
    r"|\(\s?(\d+)\s?,\s?(\d+)\s?\))|(?:\{\})?_\{?([A-Za-z\d]+)\}?\s?C_\{?([A-Za-z\d]+)\}?"
)
_FLOOR = re.compile(r"(?<![\\A-Za-z])(floor|ceil)\(([^()]*)\)")
_DEGREES = re.compile(r"\{?(\d+(?:\.\d+)?)\}?\s?°")
_REPEATING = re.compile(r"(\d*)\.(\d*)\\overline\s?\{(\d+)\}")


def to_latex(text: str) -> str:
    r"""Return tidy text as proper LaTeX: ``sqrt(3)`` as ``\sqrt{3}``, ``x^10`` as ``x^{10}``."""
    text = _INVERSE.sub(r"\\arc\1", text)
    text = _FUNCTION.sub(r"\\\1 ", text)
    text = _INFINITY.sub(r"\\infty ", _NAMED.sub(r"\\\1 ", text))
    text = _REPEATING.sub(_repeating, text)
    text = _CHOOSE.sub(r"\\binom{\1\2\5\7}{\3\4\6\8}", text)
    text = _FLOOR.sub(r"\\l\1 \2 \\r\1", text)
    text = _DEGREES.sub(r"(\1\\cdot\\frac{\\pi}{180})", text)
    text = _BARE_POWER.sub(r"^{\1}", text)
    text = text.replace("\\sqrt (", "\\sqrt(")
    for opening in ("\\sqrt(", "^(", "\\sqrt[3]("):
        text = _grouped(text, opening)
    return " ".join(text.replace("°", "").split())


def _repeating(found: re.Match[str]) -> str:
    whole, start, cycle = found[1] or "0", found[2], found[3]
    bottom = (10 ** len(cycle) - 1) * 10 ** len(start)
    top = int(whole + start + cycle) - int(whole + start)
    return rf"\frac{{{top}}}{{{bottom}}}"


def _grouped(text: str, opening: str) -> str:
    """Turn the parentheses after an operator into the braces that LaTeX groups by."""
    start = text.find(opening)
    rounds = 0
    while start >= 0 and rounds < 64:
        depth, inside = 1, start + len(opening)
        end = inside
        while end < len(text) and depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        if depth:
            return text
        text = f"{text[: inside - 1]}{{{text[inside : end - 1]}}}{text[end:]}"
        start = text.find(opening, start)
        rounds += 1
    return text
