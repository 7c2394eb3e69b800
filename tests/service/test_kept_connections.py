"""A keep-alive connection that the origin closes just as it is reused: the request is sent again (RFC 9110 9.2.2)."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import pytest

from service.errors import OriginBroken, OriginTooSlow
from service.upstream.origin_client import Limits, OriginClient
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin, wire

HANGS_UP = Reply(hangs_up=True)


@dataclass
class Counts:
    """Observes one client."""

    retries: int = 0

    def count_fetch(self, *, outcome: str, fetched_bytes: int) -> None:
        """Leave the fetches uncounted."""

    def count_retry(self) -> None:
        self.retries += 1


def tell(
    url: str,
    story: Callable[[OriginClient], Awaitable[None]],
    *,
    timeout_s: float = 20,
    connect_timeout_s: float = 20,
) -> int:
    """Run a story with one client and return how many of its requests were sent again."""
    counts = Counts()

    async def told() -> None:
        limits = Limits(source_bytes=20_000_000, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
        client = OriginClient(url, limits=limits, observer=counts)
        try:
            await story(client)
        finally:
            await client.close()

    asyncio.run(told())
    return counts.retries


def test_a_request_that_a_closing_connection_lost_is_sent_again(origin: ScriptedOrigin) -> None:
    origin.script("/first", Reply(raw=wire(b"first")))
    origin.script("/second", HANGS_UP, Reply(raw=wire(b"second")))

    async def story(client: OriginClient) -> None:
        assert (await client.fetch("first")).body == b"first"
        assert (await client.fetch("second")).body == b"second"

    assert tell(origin.url, story) == 1
    ports = [request.port for request in origin.requests]
    assert ports[0] == ports[1] != ports[2]


def test_a_lost_request_is_sent_again_only_once(origin: ScriptedOrigin) -> None:
    origin.script("/first", Reply(raw=wire(b"first")))
    origin.script("/second", HANGS_UP, HANGS_UP)

    async def story(client: OriginClient) -> None:
        await client.fetch("first")
        with pytest.raises(OriginBroken):
            await client.fetch("second")

    assert tell(origin.url, story) == 1


def test_a_lost_request_is_sent_again_on_a_new_connection_not_another_idle_one(origin: ScriptedOrigin) -> None:
    for path in ("/a", "/b"):
        origin.script(path, Reply(raw=wire(b"first")))
    origin.script("/second", HANGS_UP, Reply(raw=wire(b"second")))

    async def story(client: OriginClient) -> None:
        await asyncio.gather(client.fetch("a"), client.fetch("b"))
        assert (await client.fetch("second")).body == b"second"

    assert tell(origin.url, story) == 1
    assert len({request.port for request in origin.requests}) == 3


def test_a_first_request_on_a_connection_is_not_sent_again(origin: ScriptedOrigin) -> None:
    origin.script("/only", HANGS_UP)

    async def story(client: OriginClient) -> None:
        with pytest.raises(OriginBroken):
            await client.fetch("only")

    assert tell(origin.url, story) == 0


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", wire(b"second")[:-1]])
def test_a_request_is_not_sent_again_once_its_response_has_begun(origin: ScriptedOrigin, begun: bytes) -> None:
    origin.script("/first", Reply(raw=wire(b"first")))
    origin.script("/second", Reply(raw=begun, hangs_up=True))

    async def story(client: OriginClient) -> None:
        await client.fetch("first")
        with pytest.raises(OriginBroken):
            await client.fetch("second")

    assert tell(origin.url, story) == 0


async def was_fetched(client: OriginClient, image_id: str) -> bool:
    try:
        await client.fetch(image_id)
    except OriginTooSlow:
        return False
    return True


def test_a_request_is_not_sent_again_because_its_response_is_slow(origin: ScriptedOrigin) -> None:
    slow = Reply(raw=wire(b"slow"), gate=Event())
    origin.publish("/first", *[Reply(raw=wire(b"first"))] * 99)
    origin.script("/slow", slow)

    async def story(client: OriginClient) -> None:
        while not await was_fetched(client, "first"):  # a busy machine may be slow, too
            pass
        origin.publish("/first")
        with pytest.raises(OriginTooSlow):
            await client.fetch("slow")

    assert tell(origin.url, story, timeout_s=0.5) == 0
    assert slow.gate is not None
    slow.gate.set()


def test_bytes_sent_before_the_request_are_not_taken_for_its_response() -> None:
    """The receive window of this server is small, so it answers before it has received the whole second request."""

    def serve(listening: socket.socket) -> None:
        with listening.accept()[0] as kept:
            kept.recv(2**16)
            kept.sendall(wire(b"first"))
            kept.recv(1)
            kept.sendall(wire(b"smuggled"))
            with listening.accept()[0] as new:
                while not new.recv(2**16).endswith(b"\r\n\r\n"):
                    pass
                new.sendall(wire(b"second"))
                new.recv(1)

    async def story(client: OriginClient) -> None:
        assert (await client.fetch("first")).body == b"first"
        assert (await client.fetch("second", client=((b"x-large", b"x" * 300_000),))).body == b"second"

    with socket.socket() as listening, ThreadPoolExecutor(1) as threads:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.settimeout(20)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        serving = threads.submit(serve, listening)
        assert tell(f"http://127.0.0.1:{listening.getsockname()[1]}", story) == 1
        serving.result()


def test_the_client_gets_its_picture_and_the_retry_is_counted(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    before = edge.metric("edge_origin_retries_total")
    origin.script("/first", Reply(raw=wire(photo, cache_control="max-age=60")))
    origin.script("/second", HANGS_UP, Reply(raw=wire(photo, cache_control="max-age=60")))
    assert edge.get("/image/first").status_code == edge.get("/image/second").status_code == 200
    assert edge.metric("edge_origin_retries_total") == before + 1
