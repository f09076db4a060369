import asyncio
import email.utils
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1data.backends import endpoint as module
from r1data.backends.chat_reply import ChatReply, Failure, read_reply, read_retry_after
from r1data.backends.endpoint import ChatRequest, Endpoint, chat_many, run_blocking
from r1data.core.errors import BackendError, ConfigError, MissingExtraError
from tests.chat_server import Answer, ChatServer, echo

KEY = "sk-very-secret"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.05)


def endpoint(server: ChatServer, **settings: Any) -> Endpoint:
    return Endpoint(base_url=server.url, model="m", **{"patience": 5.0, **settings})


def requests(*texts: str) -> list[ChatRequest]:
    return [ChatRequest([{"role": "user", "content": text}]) for text in texts]


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port


def test_replies_come_in_order_and_the_request_is_what_was_asked(server: ChatServer) -> None:
    asked = requests(*(f"question {i}" for i in range(40)))
    replies = chat_many(asked, endpoint(server, concurrency=8))
    assert [reply.text for reply in replies] == [f"question {i}" for i in range(40)]
    first = replies[0]
    assert (first.finish_reason, first.model, first.error) == ("stop", "served-name", None)
    assert (first.prompt_tokens, first.completion_tokens, first.attempts) == (7, 3, 1)
    assert server.bodies[0] == {
        "model": "m",
        "messages": [{"role": "user", "content": "question 0"}],
        "temperature": 0.0,
        "seed": 0,
        "max_tokens": 1024,
    }


def test_nothing_asked_is_nothing_sent(server: ChatServer) -> None:
    assert chat_many([], endpoint(server)) == []
    assert server.bodies == []


@pytest.mark.parametrize("concurrency", [1, 3])
def test_concurrency_is_bounded_and_used(server: ChatServer, concurrency: int) -> None:
    together = threading.Barrier(concurrency)

    def respond(body: dict[str, Any]) -> Answer:
        if body["messages"][-1]["content"] != "probe":
            together.wait(30)  # goes on only once as many requests as allowed are here
        return Answer("said")

    server.respond = respond
    asked = requests("probe", *["x"] * 12)
    replies = chat_many(asked, endpoint(server, concurrency=concurrency))
    assert [reply.text for reply in replies] == ["said"] * 13
    assert server.busiest == concurrency


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_read_under_both_names(server: ChatServer, name: str) -> None:
    server.script = [Answer(None, message={name: "hm"}, finish_reason="length")]
    [reply] = chat_many(requests("q"), endpoint(server))
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("", "hm", "length")


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_a_passing_failure_is_tried_again(server: ChatServer, status: int) -> None:
    server.script = [Answer("fine"), Answer(status=status), Answer(status=status), Answer("back")]
    replies = chat_many(requests("a", "b"), endpoint(server))
    assert [(reply.text, reply.attempts) for reply in replies] == [("fine", 1), ("back", 3)]


@pytest.mark.parametrize("action", ["drop", "cut"])
def test_a_broken_connection_is_tried_again(server: ChatServer, action: Any) -> None:
    server.script = [Answer("x" * 99, action=action), Answer("back")]
    [reply] = chat_many(requests("a"), endpoint(server))
    assert (reply.text, reply.attempts) == ("back", 2)


@pytest.mark.parametrize("action", ["hang", "drip"])
def test_a_slow_server_is_left_at_the_timeout(server: ChatServer, action: Any) -> None:
    server.script = [Answer("fine"), Answer("x" * 2000, action=action), Answer("back")]
    asked = requests("a", "b")
    replies = chat_many(asked, endpoint(server, timeout=0.3))
    assert [(reply.text, reply.attempts) for reply in replies] == [("fine", 1), ("back", 2)]
    assert replies[1].seconds >= 0.3


def test_a_server_that_starts_late_is_waited_for() -> None:
    port = free_port()
    late = ChatServer()
    late._http.server_close()
    done: list[list[ChatReply]] = []
    where = Endpoint(base_url=f"http://127.0.0.1:{port}/v1", model="m", patience=20)
    asking = threading.Thread(target=lambda: done.append(chat_many(requests("a"), where)))
    asking.start()
    time.sleep(0.2)
    with socket.create_server(("127.0.0.1", port)) as listening:
        late._http.socket = listening
        with late:
            asking.join(30)
    assert [reply.text for reply in done[0]] == ["a"]
    assert done[0][0].attempts > 1


def test_retry_after_is_obeyed(server: ChatServer) -> None:
    server.script = [Answer(status=429, headers={"Retry-After": "0.4"}), Answer("back")]
    [reply] = chat_many(requests("a"), endpoint(server))
    assert (reply.text, reply.attempts) == ("back", 2)
    assert reply.seconds >= 0.4


def test_a_retry_after_beyond_the_patience_is_not_waited_for(server: ChatServer) -> None:
    server.script = [Answer("fine"), Answer(status=429, headers={"Retry-After": "3600"})]
    replies = chat_many(requests("a", "b", "c"), endpoint(server, concurrency=1))
    assert [reply.error for reply in replies] == [None, "HTTP 429: scripted 429", None]


def test_patience_ends(server: ChatServer) -> None:
    server.respond = lambda body: Answer(status=500 if "bad" in str(body) else 200, text="ok")
    replies = chat_many(requests("a", "bad", "c", "d"), endpoint(server, patience=0.3))
    assert [reply.text for reply in replies] == ["ok", "", "ok", "ok"]
    bad = replies[1]
    assert bad.error == f"HTTP 500: scripted 500 ({bad.attempts} attempts)"
    assert bad.status == 500
    assert bad.attempts > 2
    assert bad.seconds >= 0.3


def test_a_dead_server_costs_one_patience_and_not_one_a_row(server: ChatServer) -> None:
    server.respond = lambda body: Answer("ok", status=200 if "probe" in str(body) else 503)
    asked = requests("probe", *(f"row {i}" for i in range(9)))
    replies = chat_many(asked, endpoint(server, concurrency=1, patience=0.3))
    assert [reply.error is None for reply in replies] == [True] + [False] * 9
    assert replies[1].attempts > 2
    assert [reply.attempts for reply in replies[2:]] == [1] * 8


def test_a_server_that_returns_is_trusted_again(server: ChatServer) -> None:
    script = iter([Answer(status=503), Answer("again")])

    def respond(body: dict[str, Any]) -> Answer:
        said = body["messages"][-1]["content"]
        if said == "flaky":
            return next(script)
        return Answer(said, status=503 if said == "doomed" else 200)

    server.respond = respond
    where = endpoint(server, concurrency=1, patience=0.3)
    replies = chat_many(requests("a", "doomed", "b", "flaky"), where)
    assert [reply.text for reply in replies] == ["a", "", "b", "again"]
    assert replies[3].attempts == 2


@pytest.mark.parametrize("status", [400, 403, 413, 422])
def test_a_refusal_of_one_row_is_that_rows_and_not_repeated(
    server: ChatServer, status: int
) -> None:
    server.respond = lambda body: Answer("ok", status=status if "bad" in str(body) else 200)
    replies = chat_many(requests("bad", "a", "bad", "b"), endpoint(server))
    assert [reply.error for reply in replies] == [
        f"HTTP {status}: scripted {status}",
        None,
        f"HTTP {status}: scripted {status}",
        None,
    ]
    assert len(server.bodies) == 5  # the first refusal was checked by a trivial request


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "HTTP 401: scripted 401; name the environment variable that holds the key"),
        (404, "HTTP 404: scripted 404; check the model's name, and that base_url ends in"),
        (402, "HTTP 402: scripted 402; the server refuses every request like this one"),
        (400, "HTTP 400: scripted 400; the server refuses"),
    ],
)
def test_what_dooms_every_request_is_one_error_before_the_rest(
    server: ChatServer, status: int, words: str
) -> None:
    server.respond = lambda body: Answer(status=status)
    with pytest.raises(BackendError) as caught:
        chat_many(requests(*"abcdefgh"), endpoint(server))
    assert str(caught.value).startswith(f"{server.url}, model m: {words}")
    assert "\n" not in str(caught.value)
    assert len(server.bodies) == (1 if status in (401, 404) else 2)


def test_a_base_url_without_the_version_says_so(server: ChatServer) -> None:
    wrong = Endpoint(base_url=server.url.removesuffix("/v1"), model="m")
    with pytest.raises(BackendError, match="ends in the version"):
        chat_many(requests("a"), wrong)


def test_a_page_instead_of_a_reply_is_an_error_before_the_rest(server: ChatServer) -> None:
    server.respond = lambda body: Answer(body=b"<html>hello</html>")
    with pytest.raises(BackendError, match="the reply is no JSON: '<html>hello</html>'"):
        chat_many(requests("a", "b"), endpoint(server))


def test_no_server_at_all_is_an_error_once_patience_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    where = Endpoint(base_url=f"http://127.0.0.1:{free_port()}/v1", model="m", patience=0.2)
    with pytest.raises(BackendError, match=r"no connection: .+; check base_url"):
        chat_many(requests("a", "b"), where)
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1


def test_an_empty_account_is_not_waited_for(server: ChatServer) -> None:
    error = {"message": "You exceeded your quota", "code": "insufficient_quota"}
    body = json.dumps({"error": error}).encode()
    server.respond = lambda _: Answer(status=429, body=body)
    with pytest.raises(BackendError, match="HTTP 429: You exceeded your quota"):
        chat_many(requests("a"), endpoint(server, patience=60))
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"null",
        b"[]",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": ["a"]}',
        b'{"choices": [{"message": null}]}',
        b'{"error": {"message": "upstream died"}}',
    ],
)
def test_a_malformed_reply_is_tried_thrice(server: ChatServer, body: bytes) -> None:
    server.script = [
        Answer("ok"),
        *[Answer(body=body)] * 2,
        Answer("good"),
        *[Answer(body=body)] * 3,
    ]
    replies = chat_many(requests("a", "b", "c", "d"), endpoint(server, concurrency=1))
    assert [(reply.text, reply.attempts) for reply in replies] == [
        ("ok", 1),
        ("good", 3),
        ("", 3),
        ("d", 1),
    ]
    assert replies[2].error is not None
    assert replies[2].error.endswith("(3 attempts)")
    assert len(replies[2].error) < 500


def test_an_error_inside_a_good_status_is_quoted() -> None:
    outcome = read_reply('{"error": {"message": "upstream died", "code": 502}}')
    assert outcome == Failure("malformed", "the reply holds no choice: upstream died")


def test_half_a_surrogate_pair_does_not_reach_the_tables(server: ChatServer) -> None:
    server.script = [Answer("a\ud800b", message={"reasoning": "\udfff"})]
    [reply] = chat_many(requests("q"), endpoint(server))
    assert (reply.text, reply.reasoning) == ("a?b", "?")


def test_a_text_that_cannot_be_encoded_is_its_rows_fault(server: ChatServer) -> None:
    replies = chat_many(requests("a", "\ud800", "b"), endpoint(server))
    assert [reply.text for reply in replies] == ["a", "", "b"]
    assert "surrogates not allowed" in str(replies[1].error)


def test_the_key_is_sent_and_stands_nowhere_else(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    where = endpoint(server, key_variable="MY_KEY")
    said = json.dumps({"error": {"message": f"no such key: {KEY}"}}).encode()
    server.script = [Answer("ok"), Answer(status=403, body=said)]
    replies = chat_many(requests("a", "b"), where)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert replies[1].error == "HTTP 403: no such key: [key]"
    server.respond = lambda body: Answer(status=401, body=said)
    with pytest.raises(BackendError, match="variable MY_KEY") as caught:
        chat_many(requests("a"), where)
    for text in (str(caught.value), repr(where), where.model_dump_json(), caplog.text):
        assert KEY not in text


def test_no_key_of_another_service_is_sent(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid/v1")
    chat_many(requests("a"), endpoint(server))
    assert KEY not in str(server.headers)


@pytest.mark.parametrize("value", ["", "  \n", "two words", "키", "a\x00b"])
def test_a_variable_without_a_key_is_an_error(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    if "\0" in value:  # no environment can hold it
        value = "a\x01b"
    monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(ConfigError, match="MY_KEY") as caught:
        chat_many(requests("a"), endpoint(server, key_variable="MY_KEY"))
    assert not value.strip() or value.strip() not in str(caught.value)
    assert server.bodies == []


def test_a_local_server_is_asked_without_the_proxy(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    [reply] = chat_many(requests("a"), endpoint(server, patience=0))
    assert reply.text == "a"


@pytest.mark.parametrize(
    "url",
    ["", "host/v1", "ftp://host/v1", "http://", "http:///v1", "http://[::1", "http://h:99999/v1"],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="give an address such as"):
        Endpoint(base_url=url, model="m")


@pytest.mark.parametrize("url", [f"https://me:{KEY}@host/v1", f"https://host/v1?api_key={KEY}"])
def test_a_key_in_the_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="environment variable") as caught:
        Endpoint(base_url=url, model="m")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "settings", [{"concurrency": 0}, {"timeout": 0}, {"patience": -1}, {"model": ""}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Endpoint(**{"base_url": "http://h/v1", "model": "m", **settings})


def test_a_missing_package_names_the_extra(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'r1data\[endpoint\]'"):
        chat_many(requests("a"), endpoint(server))


def test_within_a_running_loop_it_blocks_as_well(server: ChatServer) -> None:
    async def notebook() -> list[ChatReply]:
        return chat_many(requests("a", "b"), endpoint(server))

    assert [reply.text for reply in asyncio.run(notebook())] == ["a", "b"]


def test_within_a_running_loop_errors_are_passed_on(server: ChatServer) -> None:
    server.respond = lambda body: Answer(status=401)

    async def notebook() -> list[ChatReply]:
        return chat_many(requests("a"), endpoint(server))

    with pytest.raises(BackendError, match="HTTP 401"):
        asyncio.run(notebook())


def test_run_blocking_leaves_no_thread_behind() -> None:
    async def value() -> int:
        return 7

    async def notebook() -> int:
        return run_blocking(value)

    before = threading.active_count()
    assert asyncio.run(notebook()) == 7
    assert threading.active_count() == before


def test_an_interrupt_within_a_running_loop_ends_the_work() -> None:
    ended = threading.Event()

    async def endless() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def notebook() -> None:
        run_blocking(endless)

    loop = asyncio.new_event_loop()  # like a notebook's: an interrupt is raised where it stands
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(notebook())
    finally:
        loop.close()
    assert ended.is_set()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0.0), ("7", 7.0), (" 1.5 ", 1.5), ("", None), ("-3", None), ("soon", None), ("²", None)],
)
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    assert read_retry_after({"retry-after": value}) == seconds


def test_retry_after_as_a_date() -> None:
    ahead = email.utils.formatdate(time.time() + 100, usegmt=True)
    found = read_retry_after({"retry-after": ahead})
    assert found is not None
    assert 95 < found <= 101
    assert read_retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert read_retry_after({}) is None


@given(st.text())
def test_reading_any_header_or_reply_never_raises(text: str) -> None:
    found = read_retry_after({"retry-after": text})
    assert found is None or found >= 0
    assert isinstance(read_reply(text), Failure)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "usage", "error", "reasoning", "finish_reason"]
            ),
            inner,
            max_size=3,
        )
    ),
)


@given(JSON)
def test_reading_any_json_never_raises(data: Any) -> None:
    outcome = read_reply(json.dumps(data))
    assert isinstance(outcome, Failure | ChatReply)
    if isinstance(outcome, ChatReply):
        outcome.text.encode()
        assert outcome.error is None


def test_the_server_of_these_tests_echoes() -> None:
    assert echo({"messages": [{"content": "a"}, {"content": "b"}]}).text == "b"
