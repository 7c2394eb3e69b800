"""A real uvicorn around a real edge, in a thread of the test."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import CoroutineType
from typing import Any
from unittest.mock import patch

import httpx
import uvicorn
import uvicorn.protocols
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import service
from service.serving import edge_app, fair_listener
from service.serving.client_limits import ClientLimits
from service.serving.http_server import HttpServer
from service.settings.edge_settings import Settings

START_LIMIT_S = 120
LATENT_TOKEN = "between-two-tiers"
"""What a child sends to its parent in the stories with tiers."""
AS_A_CHILD = {"Authorization": f"Bearer {LATENT_TOKEN}"}
_ROOMS = Path(service.__file__).parent
_AT_WORK = tuple(str(one) for one in (_ROOMS / "cache", _ROOMS / "refine", Path(uvicorn.protocols.__file__).parent))
"""The folders whose code runs as tasks for requests and for what follows them: fills, validations, searches."""


class Arrivals:
    """Middleware that counts picture requests: a barrier for tests of simultaneous requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._changed = threading.Condition()
        self._count = self._ended = 0
        self.started = threading.Event()
        self.failure = ""
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self.loop = asyncio.get_running_loop()
            await self._app(scope, receive, self._told(send))
            return
        if scope["path"].startswith(("/image/", "/latent/")):
            with self._changed:
                self._count += 1
                self._changed.notify_all()
        try:
            await self._app(scope, receive, send)
        finally:
            with self._changed:
                self._ended += scope["path"].startswith(("/image/", "/latent/"))
                self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Wait until `count` requests have arrived since the last `reset`."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._count >= count, timeout=START_LIMIT_S)

    def wait_for_ends(self, count: int) -> None:
        """Wait until `count` requests have been answered or cancelled since the last `reset`."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended >= count, timeout=START_LIMIT_S)

    def reset(self) -> None:
        with self._changed:
            self._count = self._ended = 0

    def _told(self, send: Send) -> Send:
        async def send_and_tell(message: Message) -> None:
            if message["type"].startswith("lifespan.startup"):
                self.failure = message.get("message", "")
                self.started.set()
            await send(message)

        return send_and_tell


class _EdgeThread(threading.Thread):
    """The thread in which an edge runs."""

    def __init__(self, server: HttpServer, listening: socket.socket, arrivals: Arrivals) -> None:
        super().__init__(target=server.run, kwargs={"sockets": [listening]})
        self._arrivals = arrivals

    def wait_until_idle(self) -> None:
        """Wait until the edge has no request, fill, validation, re-encode or search any more."""
        loop = self._arrivals.loop
        assert loop is not None, "the edge has started"
        asyncio.run_coroutine_threadsafe(_end_of_work(), loop).result(START_LIMIT_S)


def wait_until_edges_are_idle() -> None:
    """Wait until no edge of this process is at work, so that nothing of one test reaches the next one."""
    for thread in threading.enumerate():
        if isinstance(thread, _EdgeThread):
            thread.wait_until_idle()


async def _end_of_work() -> None:
    while work := [task for task in asyncio.all_tasks() if _is_work(task)]:
        await asyncio.wait(work)


def _is_work(task: asyncio.Task[Any]) -> bool:
    coroutine = task.get_coro()
    return isinstance(coroutine, CoroutineType) and coroutine.cr_code.co_filename.startswith(_AT_WORK)


@dataclass(frozen=True)
class RunningEdge:
    """A running edge, and a client of it."""

    url: str
    settings: Settings
    arrivals: Arrivals
    client: httpx.Client

    def get(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401  (httpx's own options)
        return self.client.get(path, **options)

    def latent(self, image_id: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Request a latent with the EDGE_LATENT_TOKEN of the tests, as a child edge does."""
        return self.client.get(f"/latent/{image_id}", headers={**(headers or {}), **AS_A_CHILD})

    def stats(self) -> dict[str, Any]:
        figures: dict[str, Any] = self.client.get("/stats").json()
        return figures

    def metric(self, line_start: str) -> float:
        """Return the value of the metric whose line starts with this text, or 0 if there is none."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(line_start))


@contextmanager
def running_edge(settings: Settings, *, port: int = 0) -> Iterator[RunningEdge]:
    """Run an edge during the block. It is ready when the block begins.

    It freezes no objects when it starts, because it is not the only edge of this process: otherwise every codec of a
    test run would stay in memory until its end (measured: 13 GB).
    """
    arrivals = Arrivals(edge_app.create_app(settings))
    config = uvicorn.Config(
        arrivals, log_config=None, access_log=False, server_header=False, date_header=False, lifespan="on", ws="none"
    )
    server = HttpServer(config, ClientLimits.of(settings))
    with patch.object(edge_app, "frozen_start", nullcontext), socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # see `reserved_port`
        listening.bind(("127.0.0.1", port))
        listening.listen()  # uvicorn listens only after the start, and a first request would be refused until then
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = _EdgeThread(server, listening, arrivals)
        thread.start()
        try:
            assert arrivals.started.wait(START_LIMIT_S)
            assert not arrivals.failure, arrivals.failure
            with httpx.Client(base_url=url, timeout=START_LIMIT_S, trust_env=False) as client:
                yield RunningEdge(url=url, settings=settings, arrivals=arrivals, client=client)
        finally:
            with patch.object(fair_listener, "QUIET_S", 0):  # the test has no client left that could still connect
                server.should_exit = True
                thread.join()
            gc.collect()
