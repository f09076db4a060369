"""What a chat server answers, read strictly: a reply, or one of three kinds of failure."""

import email.utils
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

AGAIN = frozenset({408, 409, 425, 429})
"""HTTP statuses below 500 that another attempt may turn."""
_SHORT = 300


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What the server said, or why it said nothing."""

    text: str = ""
    reasoning: str | None = None
    """Reasoning that the server keeps apart (``reasoning_content`` or ``reasoning``)."""
    finish_reason: str | None = None
    model: str | None = None
    """The model's name as the server gives it."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    """Why there is no text; None for a good reply."""
    status: int | None = None
    """HTTP status of the last refusal, where there was one."""
    attempts: int = 0
    seconds: float = 0.0
    """Wall seconds from the first attempt to the end, pauses included."""


class Failure(NamedTuple):
    """Why one attempt came to nothing."""

    kind: Literal["refused", "unavailable", "malformed"]
    text: str
    status: int | None = None
    retry_after: float | None = None
    """Seconds that the server asked to wait."""


def read_reply(text: str) -> ChatReply | Failure:
    """Return the first choice of a chat completion's JSON, or what is wrong with it."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return Failure("malformed", f"the reply is no JSON: {_shorten(text)!r}")
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list) or not choices:
        said = _explain(data) or "no choices"
        return Failure("malformed", f"the reply holds no choice: {said}")
    message = choices[0].get("message") if isinstance(choices[0], dict) else None
    if not isinstance(message, dict):
        return Failure("malformed", "the reply's first choice holds no message")
    usage = data.get("usage") if isinstance(data.get("usage"), dict) else {}
    reasoning = _string(message.get("reasoning_content")) or _string(message.get("reasoning"))
    return ChatReply(
        text=_string(message.get("content")) or "",
        reasoning=reasoning,
        finish_reason=_string(choices[0].get("finish_reason")),
        model=_string(data.get("model")),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
    )


def status_failure(error: Any) -> Failure:
    """Return the failure that an HTTP error status stands for."""
    status: int = error.status_code
    said = _explain(error.body) or _shorten(error.response.text)
    text = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    # OpenAI says 429 also where the account is empty; waiting does not fill it.
    empty = isinstance(error.body, dict) and error.body.get("code") == "insufficient_quota"
    if (status in AGAIN or status >= 500) and not empty:
        return Failure("unavailable", text, status, read_retry_after(error.response.headers))
    return Failure("refused", text, status)


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that ``Retry-After`` asks for (RFC 9110 10.2.3), at least 0, or None."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())


def _explain(body: Any) -> str:
    """Return the message in the body of an error, in the forms that servers give it."""
    for _ in range(3):
        if isinstance(body, dict):
            body = next((body[k] for k in ("message", "error", "detail") if body.get(k)), None)
    return _shorten(body) if isinstance(body, str) else ""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its class name where it has none."""
    return _shorten(str(error)) or type(error).__name__


def _shorten(text: str) -> str:
    line = next(iter(text.strip().splitlines()), "")
    return _string(line[:_SHORT]) or ""


def _string(value: Any) -> str | None:
    """Return a string that can be encoded: JSON may hold half a surrogate pair."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
