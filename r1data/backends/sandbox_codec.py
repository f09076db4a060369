"""Python values as JSON, for the two processes of a sandboxed test. Standard library only.

Runs inside the sandbox, in any Python from 3.8 on, so it must import nothing of the project.

None, bool, str, float and small int stand for themselves; all else is ``[type, content]``. No
pickle: decoding builds plain data and can call nothing. A subclass of a builtin travels as the
content that the builtin itself would read, so an overloaded ``__eq__`` or ``__hash__`` stays
behind. What is no data (an instance, a generator) is handed to ``opaque``.
"""

from __future__ import annotations

# What typing would bring takes longer to import than the rest of the start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SMALL = 1 << 53
_SEQUENCES: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_TYPES = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)
_NUMBERS = ("fractions.Fraction", "decimal.Decimal")


def encode(value: Any, opaque: Callable[[Any], Any]) -> Any:
    """Return a value that `json` can write. ``opaque`` encodes what is no data, or raises."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, int):
        value = int.__add__(value, 0)
        return value if -_SMALL < value < _SMALL else ["int", hex(value)]
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    for name, kind in _SEQUENCES.items():
        if isinstance(value, kind):
            return [name, [encode(item, opaque) for item in kind.__iter__(value)]]
    if isinstance(value, dict):
        items = dict.items(value)
        return ["dict", [[encode(key, opaque), encode(item, opaque)] for key, item in items]]
    return _encode_rare(value, opaque)


def _encode_rare(value: Any, opaque: Callable[[Any], Any]) -> Any:
    if isinstance(value, complex):
        return ["complex", [value.real, value.imag]]
    if isinstance(value, (bytes, bytearray)):
        return ["bytes" if isinstance(value, bytes) else "bytearray", bytes(value).hex()]
    if isinstance(value, range):
        return ["range", [encode(part, opaque) for part in (value.start, value.stop, value.step)]]
    if value is Ellipsis:
        return ["ellipsis", None]
    for number, kind in enumerate(_TYPES):
        if value is kind:
            return ["type", number]
    name = type(value).__module__ + "." + type(value).__qualname__
    if name == "collections.deque":
        return ["deque", [[encode(item, opaque) for item in value], value.maxlen]]
    if name in _NUMBERS:
        return ["number", [name, str(value)]]
    return opaque(value)


def decode(data: Any, reference: Callable[[Any], Any]) -> Any:
    """Return the value of decoded JSON. ``reference`` resolves what ``opaque`` had encoded.

    Raises ValueError or TypeError if the data is malformed (it comes from a hostile process).
    """
    if not isinstance(data, list):
        if isinstance(data, dict):
            raise ValueError("an object is no encoded value")
        return data
    name, content = data
    if name in _SEQUENCES:
        return _SEQUENCES[name]([decode(item, reference) for item in content])
    if name == "dict":
        return {decode(key, reference): decode(item, reference) for key, item in content}
    if name == "int":
        return int(content, 16)
    if name == "ref":
        return reference(content)
    return _decode_rare(name, content, reference)


def _decode_rare(name: Any, content: Any, reference: Callable[[Any], Any]) -> Any:
    if name == "complex":
        return complex(*content)
    if name == "bytes":
        return bytes.fromhex(content)
    if name == "bytearray":
        return bytearray.fromhex(content)
    if name == "range":
        return range(*[decode(part, reference) for part in content])
    if name == "ellipsis":
        return Ellipsis
    if name == "type":
        return _TYPES[content]
    if name == "deque":
        from collections import deque

        return deque([decode(item, reference) for item in content[0]], content[1])
    if name == "number" and content[0] in _NUMBERS:
        module, kind = content[0].split(".")
        return getattr(__import__(module), kind)(content[1])
    raise ValueError("unknown type in an encoded value")
