r"""Strings that stop, starve or fool graders of answers: small recipes for large texts.

Each has a name and a class. ``answers`` are put into a box (or taken as the gold answer);
``texts`` are whole completions. Nothing here is copied from another project's list.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

CANARY = "hostile_canary"
MEGA = 1_000_000


class Hostile(NamedTuple):
    """A hostile string by its recipe, so that a list of them is small."""

    kind: str
    name: str
    make: Callable[[], str]


def nest(before: str, core: str, after: str, depth: int = 3000) -> str:
    return before * depth + core + after * depth


def fill(piece: str, length: int = MEGA) -> str:
    """Repeat a piece up to about a length in characters."""
    return piece * (length // len(piece))


def determinant(size: int) -> str:
    rows = (" & ".join(f"a_{{{i}{j}}}" for j in range(size)) for i in range(size))
    return r"\det\begin{pmatrix}" + r" \\ ".join(rows) + r"\end{pmatrix}"


def matrix(rows: int, columns: int) -> str:
    row = " & ".join(str(number) for number in range(columns))
    return r"\begin{pmatrix}" + r" \\ ".join([row] * rows) + r"\end{pmatrix}"


def system(size: int) -> str:
    return ", ".join(
        f"x_{{{i}}}^2 + {i} x_{{{(i + 1) % size}}} x_{{{(i + 7) % size}}} = {i + 3}"
        for i in range(size)
    )


def continued_fraction(depth: int) -> str:
    return r"1+\frac{1}{" * depth + "x" + "}" * depth


def series(terms: int) -> str:
    return r"\frac{" + "+".join(f"x^{{{n}}}" for n in range(terms)) + f"}}{{x^{{{terms}}}-1}}"


def _plain(kind: str, *texts: str) -> Iterator[Hostile]:
    for text in texts:
        yield Hostile(kind, text[:60], lambda text=text: text)


def _made(kind: str, **makers: Callable[[], str]) -> Iterator[Hostile]:
    for name, make in makers.items():
        yield Hostile(kind, name, make)


def answers() -> list[Hostile]:
    """Return the strings that stand for one answer."""
    return [
        *_plain(
            "power tower",
            "9^{9^{9^9}}",
            "9**9**9**9",
            "9^9^9^9",
            r"\exp(\exp(\exp(10)))",
            "e^{e^{e^{e^{e}}}}",
            "2^{2^{2^{49}}}",
            "{{2}^{2}}^{{2}^{{2}^{60}}}",
            "3^{10^9}",
            "3^{1000000007}",
            "(10^{10})^{10^{10}}",
            r"\left(\frac{7}{3}\right)^{\left(10^8\right)}",
            "2^{-10^{10}}",
            "(-1)^{10^{10^{10}}}",
            r"\sqrt[3]{2^{3^{4^5}}}",
            "1.0000001^{1000000000000}",
            "(1+10^{-9})^{10^{18}}",
            "i^{i^{i^{i^{10^{12}}}}}",
            "10^{10^{10}} - 10^{10^{10}} + 2",
            r"\log(9^{9^{9^9}})",
            "x^{9^{9^9}} - x^{9^{9^8}}",
            "９^{９^{９^９}}",
            "9⁹⁹⁹⁹⁹⁹⁹",
            r"\overbrace{9^{9^{9^9}}}^{9}",
        ),
        *_plain(
            "factorial",
            "10^7!",
            "(10^7)!",
            "(((100!)!)!)",
            "((9!)!)!",
            "99999999!",
            "9999999!!",
            "(10!)!!",
            "100000!/99999!",
            r"\Gamma(10^8)",
            r"\Gamma(\Gamma(12))",
            r"\binom{1000000}{500000}",
            r"\binom{10^9}{10^8}",
            r"{10000000 \choose 5000000}",
            r"\frac{(10^6)!}{(10^6-3)!}",
            r"\dbinom{200000}{100000} - \tbinom{200000}{99999}",
            "5000000!+x",
        ),
        *_plain(
            "sum, product, limit, integral",
            r"\sum_{i=1}^{10^{12}} i^2",
            r"\sum_{k=1}^{1000000} \frac{1}{k}",
            r"\sum_{k=0}^{100000} \binom{100000}{k}^2",
            r"\prod_{i=1}^{10^7} (x+i)",
            r"\prod_{p=2}^{10^{12}} \frac{p^2-1}{p^2}",
            r"\sum_{n=1}^{\infty} \frac{\sin(n^2 x)}{n^3 \log(n+1)}",
            r"\int_0^1 \frac{x^{4000} \ln(1+x) \arctan(x^7)}{\sqrt{1+x^{11}}} dx",
            r"\int \int \int e^{\sin(x y z) + \cos(x^y)} dx dy dz",
            r"\lim_{x \to 0} \frac{\sin(\tan(x^{50})) - \tan(\sin(x^{50}))}{x^{350}}",
            r"\lim_{n \to \infty} \frac{n!^{1/n} e}{n + \sqrt{n^{n^{n}}}}",
            r"\frac{d^{200}}{dx^{200}} e^{\sin(x^2)} \tan(x)",
        ),
        *_plain(
            "expansion and simplification",
            "(a+b+c+d+e+f)^{200}",
            "(a+b+c+d+e+f)^{200} - (f+e+d+c+b+a)^{200}",
            "((x+1)^{50}+(y+1)^{50})^{50}",
            r"\cot(x)\ln(\cot(x)) e^{-\sec^2(x)} + \csc(x)^{\tan(x)} - \ln(\sec^{9} x)",
            r"e^{-\sec^2(\ln(\cot(x)))} \cot^{7}(\ln(x^2+1)) + \tan(e^{x})^{\cot x}",
            r"\sin(\sin(\sin(x)))^{20} + \cos(\cos(\cos(y)))^{20} + \tan(x y)^{30}",
            r"\sqrt{x+\sqrt{y+\sqrt{z+\sqrt{x+\sqrt{y+\sqrt{z+\sqrt{x y z}}}}}}}^{17}",
            r"\sqrt[7]{1+\sqrt[5]{2+\sqrt[3]{3+\sqrt{5+\sqrt[11]{7}}}}} - \sqrt[13]{2+\sqrt[7]{3}}",
            r"\cos\frac{\pi}{257}+\cos\frac{3\pi}{257}+\cos\frac{9\pi}{257}-\frac{\sqrt{257}}{2}",
            r"\{\frac{k\pi}{7}+\frac{n\pi}{11}, \frac{k\pi}{13}-\frac{n\pi}{17}, k\pi\}",
            r"a_{n+1} = \frac{a_n^3 + 3 a_n a_{n-1}}{a_{n-1}^2 + n^{a_n}}, a_0 = \sqrt{7}",
            r"{}_2F_1(a, b; c; z^{z^{z}}) + {}_3F_2(1, 1, 1; 2, 2; x^{99})",
            r"\frac{x^{800}-1}{x-1} - \frac{(x^{400}-1)(x^{400}+1)}{x-1}",
            r"x^{5000} + x^{4999} - 1 = y^{5000} + y^{4999} - 1",
            r"|||||x-1|-2|-3|-4|-5| = \sqrt{|x^9-|x^7-|x^5-2|||}",
        ),
        *_made(
            "expansion and simplification",
            determinant_9=lambda: determinant(9),
            determinant_14=lambda: determinant(14),
            system_12=lambda: system(12),
            geometric_800=lambda: series(800),
            continued_fraction_60=lambda: continued_fraction(60),
            product_of_60_sums=lambda: "".join(f"(x_{{{n}}}+y_{{{n}}})" for n in range(60)),
            sum_of_300_roots=lambda: "+".join(rf"\sqrt{{{n}}}" for n in range(2, 302)),
            nested_sines_200=lambda: nest(r"\sin(", "x", ")", 200),
        ),
        *_plain(
            "floor and modulo",
            r"\lfloor 9^{9^{9}} / 7 \rfloor",
            r"\lfloor \pi \cdot 10^{10^{7}} \rfloor",
            r"\lceil \sqrt{2^{10^{8}}} \rceil",
            r"7^{7^{7^7}} \bmod 1000",
            r"7^{7^{7^7}} \mod 1000",
            r"3^{10^{12}} \pmod{10^{9}+7}",
            r"\gcd(2^{10^8}-1, 2^{10^7}-1)",
        ),
        *_plain(
            "digits and lists with a twist",
            "1e999999999",
            "1e-999999999",
            "1.5 \\times 10^{999999999}",
            "0x" + "f" * 300,
            "9^{9^{9^9}}\\%",
            "9^{9^{9}} \\text{ cm}",
            "\\$ 10^{10^{10}}",
            "50^{50^{50}}^\\circ",
            "9^{9^{9}} \\frac{1}{2}",
            "99999999999999999999 99999999999999999999/99999999999999999999",
            "[1, 9^{9^{9^9}})",
            "9^{9^9} < x < 9^{9^{9^9}}",
            "1:9^{9^{9^9}}:10^{10^{10}}",
            r"\{1, 2, \ldots, 10^{12}\}",
            r"1, 2, 3, \ldots, 9^{9^{9}}",
            r"x \in (-\infty, 9^{9^9}) \cup (9^{9^9}, \infty)",
            r"\frac{1}{0}",
            r"\frac{0}{0}^{\frac{0}{0}}",
            r"0^{-1}",
            r"\tan\frac{\pi}{2}",
            r"\infty - \infty",
            "NaN",
            "inf",
        ),
        *_made(
            "digits and lists",
            digits_200k=lambda: "7" * 200_000,
            digits_5k=lambda: "7" * 5000,
            decimals_200k=lambda: "0." + "0" * 200_000 + "1",
            decimals_4k=lambda: "0." + "0" * 4000 + "1",
            grouped_digits_1m=lambda: "1" + fill(",000"),
            fraction_100k=lambda: rf"\frac{{{'3' * 100_000}}}{{{'7' * 100_000}}}",
            slash_2k=lambda: "3" * 2000 + "/" + "7" * 2000,
            mixed_number_2k=lambda: "3" * 1500 + " 1/" + "7" * 1500,
            power_of_2k_digits=lambda: "3" * 1000 + "^{" + "7" * 1000 + "}",
            set_5000=lambda: r"\{" + ", ".join(map(str, range(5000))) + r"\}",
            set_of_150_symbols=lambda: r"\{" + ", ".join(f"x_{{{n}}}" for n in range(150)) + r"\}",
            list_5000=lambda: ", ".join(rf"\frac{{{n}}}{{7}}" for n in range(5000)),
            set_200_roots=lambda: r"\{" + ",".join(rf"\sqrt{{{n}}}" for n in range(200)) + r"\}",
            intervals_500=lambda: r"\cup".join(f"({n},{n}.5)" for n in range(500)),
            matrix_100=lambda: matrix(100, 100),
            matrix_row_3000=lambda: matrix(1, 3000),
            sum_of_2000=lambda: "+".join(map(str, range(2000))),
            product_of_900=lambda: "*".join(map(str, range(100, 1000))),
            minus_signs_4k=lambda: "-" * 4000 + "1",
            bangs_3k=lambda: "3" + "!" * 3000,
            primes_3k=lambda: "f" + "'" * 3000 + "(x)",
        ),
        *_made(
            "nesting",
            braces=lambda: nest("{", "1", "}"),
            brackets=lambda: nest("[", "1", "]"),
            parentheses=lambda: nest("(", "1", ")"),
            mixed=lambda: nest("([{", "1", "}])", 1000),
            frac=lambda: nest(r"\frac{1}{", "2", "}"),
            frac_60=lambda: nest(r"\frac{1}{", "2", "}", 60),
            sqrt=lambda: nest(r"\sqrt{", "2", "}"),
            sqrt_62=lambda: nest(r"\sqrt{", "2", "}", 62),
            left_right=lambda: nest(r"\left(", "2", r"\right)"),
            text=lambda: nest(r"\text{", "two", "}"),
            exponents_3k=lambda: nest("x^{", "2", "}"),
            indices_3k=lambda: nest("x_{", "2", "}"),
            absolute_3k=lambda: "|" * 6000 + "x" + "|" * 6000,
            open_only=lambda: "(" * 3000 + "1",
            close_only=lambda: "1" + ")" * 3000,
            crossed=lambda: "([" * 2000 + ")]" * 2000,
            dollars=lambda: nest("$", "1", "$"),
            matrices=lambda: nest(r"\begin{pmatrix}", "1", r"\end{pmatrix}", 500),
        ),
        *_plain(
            "code injection",
            f"__import__('os').system('touch {CANARY}')",
            f"__import__('pathlib').Path('{CANARY}').touch()",
            f"open('{CANARY}','w')",
            f"exec(\"open('{CANARY}','w')\")",
            f"eval(compile(\"open('{CANARY}','w')\",'x','exec'))",
            f"(lambda f: f('{CANARY}','w'))(open)",
            f"[c for c in ().__class__.__base__.__subclasses__()][0]('{CANARY}')",
            f"Symbol('x').func.__globals__['__builtins__']['open']('{CANARY}','w')",
            f'sympify(\'open("{CANARY}","w")\')',
            f'f"{{open(chr(104),chr(119))}}{CANARY}"',
            f"\\write18{{touch {CANARY}}}",
            f"\\immediate\\write18{{touch {CANARY}}}2",
            r"\input{/etc/passwd}",
            r"\include{/dev/zero}",
            r"\def\x{\x\x}\x",
            r"\newcommand{\a}{\a\a}\a",
            f"`touch {CANARY}`",
            f"$(touch {CANARY})",
            f"2; import os; os.system('touch {CANARY}')",
            f"\\text{{__import__('os').system('touch {CANARY}')}}",
            "%s%s%s%n%n{0.__class__}",
            "'; DROP TABLE verdicts; --",
        ),
        *_plain(
            "characters",
            "\x00",
            "1\x002",
            "\ud800",
            "1\udfff2\ud83d",
            "\u202e21\u202c",
            "\u200b2\u200d\u2060\ufeff",
            "2\ufffe\uffff",
            "\x1b[2J2\x07\x08",
            "２＋２＝４‰",
            "Ⅻ + ½ + ㊿ − ⑳",
            "٣٤٥",
            "௧௨௩^௪",
            "2\u0338=\u03383",
            "\r\n\v\f\x1c\x1d\x85\u2028\u2029",
        ),
        *_made(
            "characters",
            combining_100k=lambda: "2" + "\u0301" * 100_000,
            combining_2k=lambda: "2" + "\u0301\u0323" * 1000,
            zero_width_1m=lambda: "2" + fill("\u200b\u200d"),
            right_to_left_1m=lambda: fill("\u202e\u202c") + "2",
            nfkc_bomb_100k=lambda: "\ufdfa" * 100_000,
            nfkc_bomb_4k=lambda: "\ufdfa" * 4000,
            nfkc_fractions_4k=lambda: "½" * 4000,
            superscripts_4k=lambda: "2" + "⁹" * 4000,
            surrogates_100k=lambda: "\ud800" * 100_000,
            nul_1m=lambda: fill("\x00"),
            emoji_100k=lambda: "\U0001f468\u200d" * 50_000,
            korean_numerals_4k=lambda: "일이삼사오육칠팔구십백천만억조" * 260,
            chinese_numerals_4k=lambda: "一二三四五六七八九十百千万亿兆" * 260,
            chinese_numerals_1m=lambda: fill("九万亿"),
            chinese_fractions_4k=lambda: "三分之" * 1300 + "四",
        ),
    ]


def texts() -> list[Hostile]:
    """Return whole completions of up to a megabyte: floods, and runs that invite backtracking."""
    floods = {
        "open boxes": "\\boxed{",
        "empty boxes": "\\boxed{}",
        "boxes": "\\boxed{2} ",
        "bare boxes": "\\boxed 2 ",
        "fboxes": "\\fbox{2}",
        "dollars": "$",
        "double dollars": "$$",
        "dollar pairs": "$2$",
        "math delimiters": "\\(",
        "display delimiters": "\\[",
        "thinking opened": "<think>",
        "thinking closed": "</think>",
        "thinking pairs": "<think></think>",
        "answer tags": "<answer>",
        "answer tag pairs": "<answer>2</answer>",
        "half tags": "<answer",
        "stars": "**",
        "bold numbers": "**2**",
        "bold lines": "**2\n",
        "answer is": "answer is ",
        "answer colon": "answer: ",
        "answer is with spaces": "answer     is     ",
        "the final answer is": "the final answer is 2. ",
        "Korean phrases": "정답은 ",
        "Chinese phrases": "答案是",
        "hashes": "####",
        "open braces": "{",
        "closed braces": "}",
        "brace pairs": "{}",
        "backslashes": "\\",
        "fracs": "\\frac",
        "open fracs": "\\frac{1}{",
        "texts": "\\text{",
        "spaces": " ",
        "newlines": "\n",
        "tabs": "\t ",
        "no-break spaces": "\u00a0",
        "thin spaces": "\\,",
        "tildes": "~",
        "digits": "1",
        "digits with commas": "1,000,",
        "digits with dots": "1.1",
        "digits with spaces": "1 ",
        "signs": "-",
        "slashes": "1/",
        "carets": "1^",
        "commas": ",",
        "ampersands": "&",
        "percents": "%",
        "CJK numerals": "九十億萬",
        "Korean words": "답은 열두 개 ",
        "circled letters": "①②③④⑤",
        "option letters": "(A) (B) ",
        "letters": "a",
        "words": "answer ",
        "equals": "x = ",
        "ands": "1 and ",
        "units": "10 cm ",
        "begin": "\\begin{pmatrix}",
        "code fences": "```\n",
        "JSON objects": '{"a":',
        "zero-width": "\u200b",
        "combining marks": "\u0301",
        "ligatures": "\ufdfa",
        "surrogates": "\ud800",
        "NUL": "\x00",
    }
    return [
        *(
            Hostile("megabyte", f"1 MB of {name}", lambda piece=piece: fill(piece))
            for name, piece in floods.items()
        ),
        *_made(
            "megabyte with an end",
            spaces_then_box=lambda: fill(" ") + "\\boxed{2}",
            box_then_spaces=lambda: "\\boxed{2}" + fill(" "),
            box_of_spaces=lambda: "\\boxed{" + fill(" ") + "2}",
            box_of_braces=lambda: "\\boxed{" + nest("{", "2", "}", MEGA // 2) + "}",
            box_of_digits=lambda: "\\boxed{" + fill("1") + "}",
            box_of_words=lambda: "\\boxed{" + fill("two ") + "}",
            open_box_then_words=lambda: "\\boxed{2 " + fill("and so "),
            nested_boxes=lambda: nest("\\boxed{", "2", "}", 100_000),
            boxes_20k=lambda: " ".join(f"\\boxed{{{n}}}" for n in range(20_000)),
            phrases_20k=lambda: " ".join(f"The answer is {n}." for n in range(20_000)),
            phrase_then_spaces=lambda: "the answer is" + fill(" ") + "2",
            phrase_then_digits=lambda: "the answer is " + fill("1"),
            phrase_then_stars=lambda: "the answer is " + fill("*") + "2",
            bold_unclosed=lambda: fill("** 2 ") + "*",
            thinking_never_closed=lambda: "<think>" + fill("so 2, "),
            thinking_then_box=lambda: "<think>" + fill("so 2, ") + "</think>\\boxed{2}",
            answer_tag_unclosed=lambda: "<answer>" + fill("2 "),
            dollar_unclosed=lambda: fill("$2$ ") + "$",
            long_line_of_formulas=lambda: fill("$x^2 + \\frac{1}{2}$, ") + "so $x = 2$",
            lorem=lambda: fill("the quick brown fox adds 2 and 3, then ") + "answer: 2",
        ),
    ]


def one_character_off(text: str) -> str:
    """Return the text with one character changed: a digit if it has any, else its middle one."""
    places = [place for place, character in enumerate(text) if character in "0123456789"]
    place = places[len(places) // 2] if places else len(text) // 2
    changed = "2" if text[place : place + 1] != "2" else "3"
    return text[:place] + changed + text[place + 1 :]


def shapes(hostile: Hostile) -> Iterator[tuple[str, str, str]]:
    """Yield (shape, gold, completion): as the answer, as the gold, and against its near twin."""
    text = hostile.make()
    if hostile in _TEXTS:
        yield "text", "2", text
        yield "gold", text, "\\boxed{2}"
        return
    yield "answer", "2", f"So it is \\boxed{{{text}}}."
    yield "phrase", "2", f"So the answer is {text}."
    yield "gold", text, "\\boxed{2}"
    yield "twin", text, f"\\boxed{{{one_character_off(text)}}}"


_TEXTS = texts()
ALL = [*answers(), *_TEXTS]
