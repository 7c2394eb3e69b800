"""An origin that follows a script, request by request. One request too many, or one too few, fails the test."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from tests.service.running_edge import wait_until_edges_are_idle

GATE_LIMIT_S = 240


@dataclass(frozen=True)
class Reply:
    """One response of the origin."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    gate: threading.Event | None = None
    """The answer waits for it."""
    arrived: threading.Event = field(default_factory=threading.Event)
    """Set when the request is there."""
    missing_bytes: int = 0
    """The body breaks off so many bytes early."""
    announced: bool = True
    """Whether there is a Content-Length."""
    raw: bytes = b""
    """The bytes of the whole answer, in place of everything above but the gate. They leave in one segment."""
    later: tuple[bytes, ...] = ()
    """Bytes that follow `raw`, each after the next permit of `permits`."""
    permits: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    sent: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released when each of `later` has been sent."""
    hangs_up: bool = False
    """The connection is closed in place of an answer, or behind it."""


def wire(body: bytes = b"", *, status: str = "200 OK", chunked: bool = False, **headers: str) -> bytes:
    """Return an answer as bytes, framed by its length or in one chunk; `cache_control="..."` becomes a field."""
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    fields = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", *fields, framing, "", ""]).encode("latin-1")
    return head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)


@dataclass(frozen=True)
class Request:
    """A request of the edge."""

    path: str
    headers: dict[str, str]
    port: int
    """The port from which the request came: the same port means the same connection."""
    lines: tuple[tuple[str, str], ...] = ()
    """The header line by line."""


class ScriptedOrigin:
    """Give it replies by path, then let the edge ask. Leaving the context checks that the script was followed."""

    def __init__(self) -> None:
        self._replies: defaultdict[str, deque[Reply]] = defaultdict(deque)
        self._gates: list[threading.Event] = []
        """Of the replies that were sent or wait for their gates."""
        self._lock = threading.Lock()
        self.requests: list[Request] = []
        self.surplus: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def script(self, path: str, *replies: Reply) -> None:
        """Add the next responses for a path, in this order."""
        with self._lock:
            self._replies[path].extend(replies)

    def publish(self, path: str, *replies: Reply) -> None:
        """Answer with these responses from now on, instead of the script."""
        with self._lock:
            self._replies[path] = deque(replies)

    def next_reply(self, path: str, lines: Sequence[tuple[str, str]], port: int) -> Reply:
        with self._lock:
            self.requests.append(Request(path, dict(lines), port, tuple(lines)))
            if self._replies[path]:
                reply = self._replies[path].popleft()
                self._gates += [reply.gate] if reply.gate is not None else []
                return reply
            self.surplus.append(path)
            return Reply(status=599)

    def forget(self) -> None:
        """Check that the script was followed, and remove it for the next test.

        What an edge does in the background belongs to the story, and must not reach the next one.
        """
        for gate in self._gates:  # a story that failed has left some closed
            gate.set()
        wait_until_edges_are_idle()
        with self._lock:
            left = {path: len(replies) for path, replies in self._replies.items() if replies}
            surplus = list(self.surplus)
            self._replies.clear()
            self._gates.clear()
            self.requests.clear()
            self.surplus.clear()
        assert not surplus, f"the origin was asked more often than scripted: {surplus}"
        assert not left, f"the origin was asked less often than scripted: {left}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    """Else the connections of a crowd are refused, and opened again after seconds."""

    def handle_error(self, request: object, client_address: object) -> None:
        """An edge that hangs up on purpose is part of the story, not a traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _send_raw(connection: BaseHTTPRequestHandler, reply: Reply) -> None:
    connection.wfile.write(reply.raw)
    for piece in reply.later:
        assert reply.permits.acquire(timeout=GATE_LIMIT_S), "later bytes were never permitted"
        connection.wfile.write(piece)
        reply.sent.release()
    connection.close_connection = reply.hangs_up


def _handler(origin: ScriptedOrigin) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            reply = origin.next_reply(unquote(self.path), self.headers.items(), self.client_address[1])
            reply.arrived.set()
            if reply.gate is not None and not reply.gate.wait(GATE_LIMIT_S):
                origin.surplus.append(f"{self.path}: its gate was never opened")
            try:
                _send_raw(self, reply) if reply.raw or reply.hangs_up else self._send(reply)
            except OSError:
                self.close_connection = True  # the edge did not wait

        def _send(self, reply: Reply) -> None:
            if "Date" in reply.headers:
                self.send_response_only(reply.status)
            else:
                self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.announced:
                self.send_header("Content-Length", str(len(reply.body)))
            if reply.missing_bytes or not reply.announced:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) - reply.missing_bytes])

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    return Handler
