"""A small chat server on a port of this machine that can misbehave in every way a real one does.

It speaks ``POST /v1/chat/completions``. What it answers is the next entry of ``script``, or else
what ``respond`` makes of the request's body.
"""

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

PATH = "/v1/chat/completions"


@dataclass
class Answer:
    """One answer; anything but ``reply`` breaks the connection in its own way."""

    text: str | None = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    message: dict[str, Any] = field(default_factory=dict)
    """Further keys of the message."""
    finish_reason: str = "stop"
    body: bytes | None = None
    """Sent instead of a chat completion."""
    action: Literal["reply", "drop", "cut", "hang", "drip"] = "reply"

    def encode(self) -> bytes:
        if self.body is not None:
            return self.body
        if self.status != 200:
            error = {"message": f"scripted {self.status}", "type": "error", "code": None}
            return json.dumps({"error": error}).encode()
        message = {"role": "assistant", "content": self.text, **self.message}
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        data = {"id": "c", "object": "chat.completion", "created": 0, "model": "served-name"}
        return json.dumps({**data, "choices": [choice], "usage": usage}).encode()


def echo(body: dict[str, Any]) -> Answer:
    """Say the last turn again."""
    return Answer(body["messages"][-1]["content"])


class ChatServer:
    """The server; a context manager that listens on ``url`` while it is entered."""

    def __init__(self, respond: Callable[[dict[str, Any]], Answer] = echo) -> None:
        self.respond = respond
        self.script: list[Answer] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.busy = self.busiest = 0
        self.lock = threading.Lock()
        self.released = threading.Event()
        """Ends every hanging answer."""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    def __enter__(self) -> "ChatServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.released.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def next_answer(self, body: dict[str, Any]) -> Answer:
        with self.lock:
            if self.script:
                return self.script.pop(0)
        return self.respond(body)


def _handler(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.lock:
                server.bodies.append(body)
                server.headers.append({k.lower(): v for k, v in self.headers.items()})
                server.busy += 1
                server.busiest = max(server.busiest, server.busy)
            try:
                found = self.path == PATH
                self._answer(server.next_answer(body) if found else Answer(status=404))
            finally:
                with server.lock:
                    server.busy -= 1

        def _answer(self, answer: Answer) -> None:
            if answer.action == "hang":
                server.released.wait(60)
            if answer.action in ("hang", "drop"):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            data = answer.encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if answer.action == "cut":
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
                return
            if answer.action == "drip":
                self._drip(data)
            else:
                self.wfile.write(data)

        def _drip(self, data: bytes) -> None:
            """Send a byte now and then, so that no single wait is long."""
            self.close_connection = True
            for byte in data:
                try:
                    self.wfile.write(bytes([byte]))
                except OSError:
                    return
                if server.released.wait(0.05):
                    return

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
