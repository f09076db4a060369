"""A client for any server that speaks OpenAI's ``/v1/chat/completions``.

A failure has one of three kinds. *refused*: the server understood and said no; sending the same
again would change nothing. *unavailable*: busy (429), broken (5xx), slow or gone; the request is
sent again with growing pauses until the endpoint's patience is spent. *malformed*: a reply that is
no chat completion; it is sent again a few times. What cannot be had is the error text of its row.

The key is read from an environment variable when the client is opened, and stands in no setting,
log line or error text.
"""

import asyncio
import concurrent.futures
import logging
import math
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from r1data.backends.chat_reply import (
    ChatReply,
    Failure,
    first_line,
    read_reply,
    status_failure,
)
from r1data.core.errors import BackendError, ConfigError, MissingExtraError
from r1data.core.stage import Config

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
MALFORMED_ATTEMPTS = 3
WARNING_INTERVAL = 60.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_NO_KEY = "none"
_CONTROL = "Say OK."

Result = TypeVar("Result")


class Endpoint(Config):
    """A server, the model asked of it, and how hard it is asked."""

    base_url: str
    """Address up to and with the version: https://host/v1."""
    model: str = Field(min_length=1)
    """Name of the model as the server knows it."""
    key_variable: str | None = None
    """Environment variable that holds the key; none is sent without it."""
    concurrency: int = Field(default=16, ge=1)
    """Most requests under way at once."""
    timeout: float = Field(default=600.0, gt=0)
    """Seconds after which one request is given up, however much has arrived."""
    connect_timeout: float = Field(default=10.0, gt=0)
    """Seconds to wait for a connection."""
    patience: float = Field(default=150.0, ge=0)
    """Seconds, from its first failure on, in which a request is sent again."""

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        # ConfigError rather than ValueError: pydantic would print the address, key and all.
        try:
            parts = urlsplit(value)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            raise ConfigError("base_url: give an address such as http://127.0.0.1:8000/v1")
        if parts.username is not None or parts.query or parts.fragment:
            raise ConfigError(
                "base_url: no user, key, query or fragment can stand in it, since it is written "
                "into receipts; put the key into an environment variable and name that"
            )
        return value.rstrip("/")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One conversation to be continued by one turn."""

    messages: Sequence[Mapping[str, str]]
    max_tokens: int = 1024
    temperature: float = 0.0
    seed: int = 0


def chat_many(requests: Sequence[ChatRequest], endpoint: Endpoint) -> list[ChatReply]:
    """Return a reply per request, in order; a request that fails carries its error text.

    The first request is a probe: nothing more is sent before it has succeeded. Works with or
    without a running event loop (in a notebook, say), and blocks either way. Raises BackendError if
    the probe shows that no request can succeed (wrong key, unknown model, no such server),
    ConfigError if the key's variable is not set, MissingExtraError without the openai package.
    """
    if not requests:
        return []
    # Made here, so that a missing package or key is raised before any event loop is started.
    client = ChatClient(endpoint)
    return run_blocking(lambda: _chat_all(requests, client))


def run_blocking(work: Callable[[], Awaitable[Result]]) -> Result:
    """Return what an asynchronous function comes to, from plain code or within a running loop.

    Within a loop it runs in a thread of its own; Ctrl-C ends the work before it is passed on.
    """

    async def main() -> Result:
        task = asyncio.current_task()
        assert task is not None
        started.set_result((asyncio.get_running_loop(), task))
        return await work()

    started: concurrent.futures.Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]]
    started = concurrent.futures.Future()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    outcome: concurrent.futures.Future[Result] = concurrent.futures.Future()

    def target() -> None:
        try:
            outcome.set_result(asyncio.run(main()))
        except BaseException as error:  # passed on to the caller, who waits for it
            outcome.set_exception(error)

    thread = threading.Thread(target=target, name="r1data-endpoint", daemon=True)
    try:
        thread.start()
        return outcome.result()
    except KeyboardInterrupt:
        loop, task = started.result(timeout=10)
        loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        thread.join()


async def _chat_all(requests: Sequence[ChatRequest], client: "ChatClient") -> list[ChatReply]:
    replies: dict[int, ChatReply] = {}
    waiting = iter(range(1, len(requests)))

    async def work() -> None:
        for number in waiting:
            replies[number] = await client.ask(requests[number])

    async with client:
        replies[0] = await client.probe(requests[0])
        async with asyncio.TaskGroup() as group:
            for _ in range(min(client.endpoint.concurrency, len(requests) - 1)):
                group.create_task(work())
    return [replies[number] for number in range(len(requests))]


class ChatClient:
    """An open line to one endpoint; an asynchronous context manager of one event loop.

    Once a request has spent its patience and no other had success meanwhile, the server counts as
    lost: until something succeeds again, every further request is tried once only, so that a dead
    server costs one patience and not one per row.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._key = _read_key(endpoint)
        self._openai = _library()
        self._client: Any = None
        self._last_success = time.monotonic()
        self._lost = False
        self._warned_at = -math.inf

    async def __aenter__(self) -> Self:
        endpoint = self.endpoint
        host = urlsplit(endpoint.base_url).hostname
        self._client = self._openai.AsyncOpenAI(
            base_url=endpoint.base_url,
            # Without a value the library would send the user's OPENAI_API_KEY to any server.
            api_key=self._key or _NO_KEY,
            timeout=self._openai.Timeout(endpoint.timeout, connect=endpoint.connect_timeout),
            max_retries=0,
            # A server of this machine is not behind the proxy that the environment may name.
            http_client=self._openai.DefaultAsyncHttpxClient(trust_env=host not in _LOOPBACK),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.close()

    async def probe(self, request: ChatRequest) -> ChatReply:
        """Return the reply to a first request. Raises BackendError if none can ever succeed.

        Where the refusal might be of this request alone, a trivial one decides.
        """
        reply = await self.ask(request)
        if reply.error is None:
            return reply
        if reply.status not in (401, 404):
            control = replace(request, messages=[{"role": "user", "content": _CONTROL}])
            if (await self.ask(control)).error is None:
                return reply
        endpoint = self.endpoint
        raise BackendError(
            f"{endpoint.base_url}, model {endpoint.model}: {reply.error}; "
            + _advice(reply.status, endpoint)
        )

    async def ask(self, request: ChatRequest) -> ChatReply:
        """Return the reply to one request, sent again as often as patience allows. Never raises."""
        started = time.monotonic()
        failing_since: float | None = None
        attempts = 0
        while True:
            attempts += 1
            outcome = await self._send(request)
            now = time.monotonic()
            if isinstance(outcome, ChatReply):
                self._last_success, self._lost = now, False
                return replace(outcome, attempts=attempts, seconds=now - started)
            failing_since = now if failing_since is None else failing_since
            pause = self._pause(outcome, attempts, failing_since)
            if pause is None:
                tried = f" ({attempts} attempts)" if attempts > 1 else ""
                return ChatReply(
                    error=self._redact(outcome.text) + tried,
                    status=outcome.status,
                    attempts=attempts,
                    seconds=now - started,
                )
            await asyncio.sleep(pause)

    def _pause(self, failure: Failure, attempts: int, failing_since: float) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up."""
        if failure.kind == "refused":
            self._last_success, self._lost = time.monotonic(), False  # it works, and says no
            return None
        if failure.kind == "malformed" and attempts >= MALFORMED_ATTEMPTS:
            return None
        left = failing_since + self.endpoint.patience - time.monotonic()
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts - 1, 30))
        pause *= random.uniform(0.75, 1.25)  # requests that failed together return one by one
        if failure.retry_after is not None:
            pause = failure.retry_after
        elif 0 < left < pause:
            pause = left  # one attempt more at the very end of the patience
        if self._lost or left <= 0 or pause > left:
            self._lost = self._lost or self._last_success < failing_since
            return None
        if time.monotonic() - self._warned_at > WARNING_INTERVAL:
            self._warned_at = time.monotonic()
            said, patience = self._redact(failure.text), self.endpoint.patience
            logger.warning("%s: %s; trying for %g s", self.endpoint.base_url, said, patience)
        return pause

    def _redact(self, text: str) -> str:
        """Return a server's words without the key, should it repeat it."""
        return text.replace(self._key, "[key]") if self._key else text

    async def _send(self, request: ChatRequest) -> ChatReply | Failure:
        openai, endpoint = self._openai, self.endpoint
        try:
            async with asyncio.timeout(endpoint.timeout):
                raw = await self._client.chat.completions.with_raw_response.create(
                    model=endpoint.model,
                    messages=[dict(message) for message in request.messages],
                    temperature=request.temperature,
                    seed=request.seed,
                    max_tokens=request.max_tokens,
                )
            return read_reply(raw.http_response.text)
        except openai.APIStatusError as error:
            return status_failure(error)
        except (TimeoutError, openai.APITimeoutError):
            return Failure("unavailable", f"no reply within {endpoint.timeout:g} s")
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            return Failure("unavailable", f"no connection: {first_line(cause)}")
        except Exception as error:  # a row's fault, whatever it is, stays with the row
            return Failure("refused", f"{type(error).__name__}: {first_line(error)}")


def _read_key(endpoint: Endpoint) -> str | None:
    if endpoint.key_variable is None:
        return None
    key = os.environ.get(endpoint.key_variable, "").strip()
    if not key:
        raise ConfigError(
            f"the environment variable {endpoint.key_variable} holds no key for "
            f"{endpoint.base_url}; set it, or name another"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"what the environment variable {endpoint.key_variable} holds is no key")
    return key


def _library() -> Any:
    try:
        import openai
    except ImportError:
        raise MissingExtraError("asking an endpoint", "endpoint") from None
    return openai


def _advice(status: int | None, endpoint: Endpoint) -> str:
    if status in (401, 403) and endpoint.key_variable:
        return f"check the key in the environment variable {endpoint.key_variable}"
    if status in (401, 403):
        return "name the environment variable that holds the key (key_variable)"
    if status == 404:
        return "check the model's name, and that base_url ends in the version (/v1)"
    if status is None:
        return "check base_url, and that the server runs"
    return "the server refuses every request like this one"
