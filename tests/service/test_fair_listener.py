"""Workers share the connections of one socket evenly, and do not wait for an idle worker."""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from service.metrics.telemetry import Telemetry
from service.serving.clients import Clients
from service.serving.connection_counts import SILENT_S, ConnectionCounts
from service.serving.fair_listener import FairListener, NoPeers
from service.serving.listening import refuse_new

CLIENTS = 8
WAITING = 50
"""More connections than an event loop accepts in the time of a close, and fewer than a backlog holds."""


class Greeting(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(b"hello")  # uvloop's are no subclass


def on_uvloop(coroutine: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)


@pytest.fixture
def listening() -> socket.socket:
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    listening.listen(64)
    return listening


def address(listening: socket.socket) -> tuple[str, int]:
    host, port = listening.getsockname()[:2]
    return host, port


async def listener(listening: socket.socket, folder: Path, *, name: str) -> FairListener:
    clients = Clients(set(), most=0, observer=Telemetry().clients)
    one = FairListener(Greeting, listening.dup(), ConnectionCounts(folder, name=name), clients)
    await one.start_serving()
    return one


async def greeted(listening: socket.socket, closing: AsyncExitStack) -> None:
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    closing.callback(writer.close)
    assert await reader.readexactly(5) == b"hello"


def test_workers_share_connections_evenly(listening: socket.socket, tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as closing:
            workers = [await listener(listening, tmp_path, name=str(number)) for number in range(2)]
            for worker in workers:
                worker.exchange_counts()  # the first one did so before the second one was there
            await asyncio.gather(*(greeted(listening, closing) for _ in range(CLIENTS)))
            for worker in workers:
                assert abs(worker.connections - CLIENTS / 2) <= 1
                worker.close()
                await worker.wait_closed()

    on_uvloop(story())
    listening.close()


def test_a_worker_that_starts_later_gets_the_next_connections(listening: socket.socket, tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as closing:
            first = await listener(listening, tmp_path, name="first")
            for _ in range(CLIENTS):
                await greeted(listening, closing)
            second = await listener(listening, tmp_path, name="second")
            first.exchange_counts()
            for _ in range(CLIENTS):
                await greeted(listening, closing)
            assert (first.connections, second.connections) == (CLIENTS, CLIENTS)
            first.close()
            second.close()

    on_uvloop(story())
    listening.close()


def test_an_idle_peer_with_fewer_connections_does_not_delay_accepts(listening: socket.socket, tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as closing:
            idle = ConnectionCounts(tmp_path, name="idle", clock=lambda: float("inf"))
            idle.publish(0)
            worker = await listener(listening, tmp_path, name="worker")
            async with asyncio.timeout(10):
                for _ in range(CLIENTS):
                    await greeted(listening, closing)
            assert worker.connections == CLIENTS
            worker.close()
            idle.close()

    on_uvloop(story())
    listening.close()


def test_a_closed_listener_accepts_no_connection_and_closes_none(listening: socket.socket, tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as closing:
            leaving = await listener(listening, tmp_path, name="leaving")
            await greeted(listening, closing)
            leaving.close()
            leaving.close()  # as uvicorn may
            staying = await listener(listening, tmp_path, name="staying")
            for _ in range(3):
                await greeted(listening, closing)
            assert (leaving.connections, staying.connections) == (1, 3)
            staying.close()

    on_uvloop(story())
    listening.close()
    assert not list(tmp_path.iterdir())


def test_a_listener_that_drains_accepts_every_connection_that_waits(listening: socket.socket, tmp_path: Path) -> None:
    """A close resets the connections in the backlog."""

    async def story() -> None:
        with ExitStack() as closing:
            worker = await listener(listening, tmp_path, name="worker")
            waiting = [closing.enter_context(socket.create_connection(address(listening))) for _ in range(WAITING)]
            listening.close()  # the duplicate of the worker is the last one
            await worker.drain()
            assert worker.connections == WAITING
            for client in waiting:
                client.settimeout(60)
                assert await asyncio.to_thread(client.recv, 5) == b"hello"

    on_uvloop(story())
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="the packet filter is Linux's")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_socket_that_refuses_new_clients_keeps_those_that_wait(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server, socket.create_connection(address(server)) as early:
        at = address(server)
        refuse_new(server)
        with pytest.raises(TimeoutError):
            socket.create_connection(at, timeout=0.2)
        connection, _ = server.accept()
        with connection:
            early.sendall(b"hello")
            assert connection.recv(5) == b"hello"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(at, timeout=60)


def test_a_peer_with_an_old_number_is_ignored(tmp_path: Path) -> None:
    now_s = 100.0
    mine, peer = (ConnectionCounts(tmp_path, name=name, clock=lambda: now_s) for name in ("mine", "peer"))
    mine.publish(1)
    mine.find_peers()
    assert mine.lowest_peer_count() is None  # it is starting
    peer.publish(3)
    assert mine.lowest_peer_count() == 3
    now_s += SILENT_S + 0.1
    assert mine.lowest_peer_count() is None
    peer.publish(2)
    assert mine.lowest_peer_count() == 2
    peer.close()
    mine.find_peers()
    assert mine.lowest_peer_count() is None
    mine.close()


class FailingPeers(NoPeers):
    """Peers that cannot be found at first, as without a free file descriptor."""

    def __init__(self, *, failures: int) -> None:
        self._failures = failures
        self.found = asyncio.Event()

    def find_peers(self) -> None:
        self._failures -= 1
        if self._failures >= 0:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self.found.set()


def test_a_failed_search_for_peers_is_repeated_and_logged_once(
    listening: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        peers = FailingPeers(failures=3)
        worker = FairListener(Greeting, listening.dup(), peers, Clients(set(), most=0, observer=Telemetry().clients))
        await worker.start_serving()
        async with asyncio.timeout(30):
            await peers.found.wait()
        worker.close()

    on_uvloop(story())
    listening.close()
    assert [one.getMessage() for one in caplog.records] == [
        "cannot find the other workers: [Errno 24] Too many open files"
    ]
