"""What is never shown to computer algebra: a sieve before the wall, which is the worker's kill."""

import re

MAX_LENGTH = 4096
_MAX_NESTING = 64
_MAX_DIGITS = 256
_MAX_ITEMS = 256
_MAX_EXPONENT = 10_000
_MAX_FACTORIAL = 1000


def limit_reason(text: str) -> str | None:
    """Return why a text is not shown to sympy, or None. A sieve: the wall is the worker's kill."""
    if len(text) > MAX_LENGTH:
        return "length"
    depth = deepest = 0
    for character in text:
        if character in "{([":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "})]":
            depth -= 1
    if deepest > _MAX_NESTING:
        return "nesting"
    if re.search(rf"\d{{{_MAX_DIGITS + 1}}}", text):
        return "digits"
    if text.count(",") + text.count("&") > _MAX_ITEMS:
        return "items"
    checks = (
        ("power", _power_too_large),
        ("factorial", _factorial_too_large),
    )
    return next((name for name, too_large in checks if too_large(text)), None)


def _power_too_large(text: str) -> bool:
    text = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text.replace("**", "^"))
    if re.search(rf"\^[{{(]*-?\d{{{len(str(_MAX_EXPONENT)) + 1},}}", text):
        return True
    # A tower: an exponent that itself holds a power of numbers, such as 9^{9^9}.
    for found in re.finditer(r"\^[{(]*-?(\d+)[})]*\^[{(]*(\d+)", text):
        base, exponent = int(found[1]), int(found[2])
        if base > 1 and (exponent > 20 or base**exponent > _MAX_EXPONENT):
            return True
    return re.search(r"\d\^[{(]*\d+\^[{(]*\d+\^", text) is not None


def _factorial_too_large(text: str) -> bool:
    text = re.sub(r"\s+", "", text)
    numbers = re.findall(r"(\d+)[})]*!", text)
    numbers += re.findall(r"\\(?:[dt]?binom|Gamma|operatorname\{Gamma\})[{(]+(\d+)", text)
    if any(len(number) > 5 or int(number) > _MAX_FACTORIAL for number in numbers):
        return True
    return re.search(r"\^[{(]*\d+[})]*!|![})]*!", text) is not None or (
        re.search(r"\\(?:[dt]?binom|Gamma)[{(]+\d+\^", text) is not None
    )
