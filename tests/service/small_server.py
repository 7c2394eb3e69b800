"""A real server of ours in a thread of the test, before an application of a few lines; and clients over raw sockets."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.metrics.client_counts import ClientCounts
from service.metrics.telemetry import Telemetry
from service.serving.client_limits import ClientLimits
from service.serving.http_connection import HttpConnection
from service.serving.http_server import CLIENT_COUNTS, HttpServer

LIMIT_S = 60
LARGE = "x" * 1_000_000
NO_LIMITS = ClientLimits(
    request_timeout_s=0, idle_timeout_s=0, send_timeout_s=0, header_bytes=32_768, header_fields=100, connections=0
)


@dataclass
class Gate:
    """Holds the answers to `/held` until it is opened."""

    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    opened: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    """Set when a client has left before its answer."""


@dataclass(frozen=True)
class SmallServer:
    """Where it listens, what it counts, and its end of the connections."""

    port: int
    telemetry: Telemetry
    gate: Gate
    server: HttpServer

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)

    def exchange(self, sent: bytes) -> bytes:
        """Return all that comes back on a connection of its own, until the server closes it."""
        with self.connect() as client:
            client.sendall(sent)
            return until_closed(client)

    def count(self, metric: str) -> float:
        lines = self.telemetry.exposition().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric))

    def wait_for(self, metric: str, count: float) -> None:
        """Until the metric has reached this count; a request to the server is a turn of its event loop."""
        with self.connect() as other:
            for _ in range(100_000):
                if self.count(metric) >= count:
                    return
                ask(other, "/")
        raise AssertionError(f"{metric} has not reached {count}")

    @property
    def connections(self) -> list[HttpConnection]:
        return [one for one in self.server.server_state.connections if isinstance(one, HttpConnection)]


def request(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: edge", *fields, "", ""]).encode("latin-1")


def ask(client: socket.socket, path: str) -> bytes:
    """Ask for something small on a kept connection, and return the answer."""
    client.sendall(request(path))
    return one_answer(client)


def one_answer(client: socket.socket) -> bytes:
    said = b""
    while b"\r\n\r\n" not in said:
        said += received(client)
    head, _, body = said.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += received(client)
    return head + b"\r\n\r\n" + body


def received(client: socket.socket) -> bytes:
    piece = client.recv(65536)
    assert piece, "the server has closed the connection"
    return piece


def until_closed(client: socket.socket) -> bytes:
    """Return what comes until the server ends the connection, be it by a reset."""
    said = b""
    with suppress(ConnectionResetError):
        while piece := client.recv(65536):
            said += piece
    return said


def statuses(said: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)]


def _application(telemetry: Telemetry, gate: Gate) -> Starlette:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, ClientCounts]]:
        yield {CLIENT_COUNTS: telemetry.clients}

    async def small(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.url.query or "small")

    async def large(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(LARGE)

    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    async def held(request: Request) -> PlainTextResponse:
        gate.arrived.release()
        while not gate.opened.is_set():
            if await request.is_disconnected():
                gate.left.set()
                break
        return PlainTextResponse("held")

    return Starlette(
        routes=[
            Route("/", small),
            Route("/large", large),
            Route("/echo", echo, methods=["POST"]),
            Route("/held", held),
        ],
        lifespan=lifespan,
    )


@contextmanager
def small_server(**limits: float) -> Iterator[SmallServer]:
    """Start it with these limits and no others, wait until it listens, stop it."""
    telemetry, gate = Telemetry(), Gate()
    config = uvicorn.Config(
        _application(telemetry, gate), log_config=None, access_log=False, server_header=False, date_header=False,
        lifespan="on", ws="none", timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = HttpServer(config, replace(NO_LIMITS, **limits))  # type: ignore[arg-type]  # sizes are whole numbers
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        running = SmallServer(listening.getsockname()[1], telemetry, gate, server)
        try:
            running.exchange(request("/", "Connection: close"))
            yield running
        finally:
            gate.opened.set()
            server.should_exit = True
            thread.join()


def sent_in_turn(client: socket.socket, pieces: Sequence[bytes]) -> bytes:
    """Send a piece whenever nothing has come back for a moment, and return what comes until the connection ends."""
    client.settimeout(0.05)
    said = b""
    for piece in pieces:
        try:
            client.sendall(piece)
            while part := client.recv(65536):
                said += part
        except TimeoutError:
            continue
        except ConnectionError:
            return said
        return said
    raise AssertionError("the server never closed the connection")
