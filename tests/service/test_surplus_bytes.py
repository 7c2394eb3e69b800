"""A response belongs to one request (RFC 9112 6.3): surplus bytes of an origin never become a picture."""

import asyncio
import io
import socket
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from PIL import Image

from service.errors import OriginBroken
from service.metrics.telemetry import Telemetry
from service.upstream.connection import PIECES_A_TURN, Connection
from service.upstream.fetched import Fetched
from service.upstream.origin_client import Limits, OriginClient
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin, wire

MINE, ANOTHERS, SMUGGLED = b"mine", b"another's", b"smuggled"
YEAR = "max-age=31536000"
SURPLUS = wire(SMUGGLED, cache_control=YEAR)
LIMITS = Limits(source_bytes=20_000_000, timeout_s=60)
Story = Callable[[OriginClient], Awaitable[None]]


def tell(origin: ScriptedOrigin, story: Story) -> None:
    """Run a story with one client, whose connections are closed at its end."""

    async def told() -> None:
        client = OriginClient(origin.url, limits=LIMITS, observer=Telemetry().origin)
        try:
            await story(client)
        finally:
            await client.close()

    asyncio.run(told())


def ports(origin: ScriptedOrigin) -> list[int]:
    return [request.port for request in origin.requests]


async def body_of(client: OriginClient, image_id: str) -> bytes | None:
    fetched: Fetched = await client.fetch(image_id)
    return fetched.body


@pytest.mark.parametrize("chunked", [False, True], ids=["by length", "chunked"])
def test_a_clean_connection_is_reused(origin: ScriptedOrigin, *, chunked: bool) -> None:
    for path in ("/first", "/second"):
        origin.script(path, Reply(raw=wire(MINE, chunked=chunked)))

    async def story(client: OriginClient) -> None:
        assert await body_of(client, "first") == await body_of(client, "second") == MINE
        assert len(set(ports(origin))) == 1

    tell(origin, story)


@pytest.mark.parametrize("chunked", [False, True], ids=["by length", "chunked"])
@pytest.mark.parametrize(
    "surplus", [SURPLUS, b"\r\n", b"x", SURPLUS * 3000], ids=["answer", "line", "byte", "megabyte"]
)
def test_bytes_after_a_response_are_not_taken_for_the_next_one(
    origin: ScriptedOrigin, surplus: bytes, *, chunked: bool
) -> None:
    origin.script("/carrier", Reply(raw=wire(MINE, chunked=chunked) + surplus))
    origin.script("/victim", Reply(raw=wire(ANOTHERS)))

    async def story(client: OriginClient) -> None:
        assert await body_of(client, "carrier") == MINE
        assert await body_of(client, "victim") == ANOTHERS
        assert len(set(ports(origin))) == 2

    tell(origin, story)


@pytest.mark.parametrize("size_bytes", [2**16, 2**17, 2**18, 2**18 - 200, 2**20])
def test_surplus_bytes_are_found_in_every_buffer(origin: ScriptedOrigin, size_bytes: int) -> None:
    """The response ends at the size of the reads of each layer below, where surplus bytes could stay in a buffer."""
    mine = bytes(size_bytes - len(wire(bytes(size_bytes))) + size_bytes)
    origin.script("/carrier", Reply(raw=wire(mine) + SURPLUS))
    origin.script("/victim", Reply(raw=wire(ANOTHERS)))

    async def story(client: OriginClient) -> None:
        assert await body_of(client, "carrier") == mine
        assert await body_of(client, "victim") == ANOTHERS

    tell(origin, story)


@pytest.mark.parametrize("chunked", [False, True], ids=["by length", "chunked"])
def test_bytes_on_an_idle_connection_are_not_taken_for_a_response(origin: ScriptedOrigin, *, chunked: bool) -> None:
    carrier = Reply(raw=wire(MINE, chunked=chunked), later=(SURPLUS,))
    origin.script("/carrier", carrier)
    origin.script("/victim", Reply(raw=wire(ANOTHERS)))

    async def story(client: OriginClient) -> None:
        assert await body_of(client, "carrier") == MINE
        carrier.permits.release()
        # Not awaited: the event loop must find the bytes in the socket itself, with no turn of the loop in between.
        assert carrier.sent.acquire(timeout=60)
        assert await body_of(client, "victim") == ANOTHERS
        assert len(set(ports(origin))) == 2

    tell(origin, story)


def test_a_body_ends_at_its_content_length(origin: ScriptedOrigin) -> None:
    origin.script("/carrier", Reply(raw=wire(MINE) + b" and a second half" + SURPLUS))
    origin.script("/victim", Reply(raw=wire(ANOTHERS)))

    async def story(client: OriginClient) -> None:
        assert await body_of(client, "carrier") == MINE
        assert await body_of(client, "victim") == ANOTHERS

    tell(origin, story)


@pytest.mark.parametrize(
    "carrier",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        wire(b"not here", status="404 Not Found"),
        wire(status="302 Found", location="/victim"),
    ],
    ids=["204", "304", "404", "302"],
)
def test_bytes_after_a_response_without_a_picture_are_not_taken_for_the_next_one(
    origin: ScriptedOrigin, carrier: bytes
) -> None:
    origin.script("/carrier", Reply(raw=carrier + SURPLUS))
    origin.script("/victim", *[Reply(raw=wire(ANOTHERS))] * (1 + (b"302" in carrier)))

    async def story(client: OriginClient) -> None:
        await asyncio.gather(client.fetch("carrier", etag='"x"'), return_exceptions=True)
        assert await body_of(client, "victim") == ANOTHERS

    tell(origin, story)


@pytest.mark.parametrize(
    "framing",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmine\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nmine",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nmine",
    ],
    ids=["both framings", "HTTP/1.0", "close"],
)
def test_ambiguous_framing_closes_the_connection(origin: ScriptedOrigin, framing: bytes) -> None:
    # RFC 9112 6.1: of both framings the chunks count, and the connection is closed.
    origin.script("/carrier", Reply(raw=framing))
    origin.script("/victim", Reply(raw=wire(ANOTHERS)))

    async def story(client: OriginClient) -> None:
        assert await body_of(client, "carrier") == MINE
        assert await body_of(client, "victim") == ANOTHERS
        assert len(set(ports(origin))) == 2

    tell(origin, story)


def test_an_origin_that_sends_single_bytes_does_not_block_the_event_loop(origin: ScriptedOrigin) -> None:
    chunks = b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n"
    origin.script("/crumbs", Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks))

    async def story(client: OriginClient) -> None:
        fetching = asyncio.create_task(client.fetch("crumbs"))
        turns = 0
        while not fetching.done():
            turns += 1
            await asyncio.sleep(0)
        assert (await fetching).body == b"x" * 20_000
        assert turns > 20_000 // PIECES_A_TURN

    tell(origin, story)


def test_a_few_interim_responses_are_skipped(origin: ScriptedOrigin) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 4
    origin.script("/hinted", Reply(raw=hints + wire(MINE)))

    async def story(client: OriginClient) -> None:
        assert await body_of(client, "hinted") == MINE

    tell(origin, story)


@pytest.mark.parametrize(
    "burst",
    [b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"],
    ids=["1000 of them", "101"],
)
def test_too_many_interim_responses_are_an_error(origin: ScriptedOrigin, burst: bytes) -> None:
    origin.script("/burst", Reply(raw=burst + wire(MINE)))
    origin.script("/victim", Reply(raw=wire(ANOTHERS)))

    async def story(client: OriginClient) -> None:
        with pytest.raises(OriginBroken):
            await client.fetch("burst")
        assert await body_of(client, "victim") == ANOTHERS

    tell(origin, story)


def test_an_interim_response_after_a_response_is_not_used(origin: ScriptedOrigin) -> None:
    origin.script("/carrier", Reply(raw=wire(MINE) + b"HTTP/1.1 100 Continue\r\n\r\n"))
    origin.script("/victim", Reply(raw=wire(ANOTHERS)))

    async def story(client: OriginClient) -> None:
        assert await body_of(client, "carrier") == MINE
        assert await body_of(client, "victim") == ANOTHERS
        assert len(set(ports(origin))) == 2

    tell(origin, story)


@contextmanager
def hasty_server(*, reads_bytes: int) -> Iterator[socket.socket]:
    """Serve a connection that answers after `reads_bytes` of the request, and then another. Their window is small."""

    def serve() -> None:
        with listening.accept()[0] as first:
            _ = reads_bytes and first.recv(reads_bytes)
            first.sendall(wire(MINE))
            with listening.accept()[0] as second:
                second.recv(2**16)
                second.sendall(wire(ANOTHERS))
                second.recv(1)

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.settimeout(20)  # of a second connection that is never made
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with ThreadPoolExecutor(1) as threads:
            serving = threads.submit(serve)
            yield listening
            serving.result()


def test_a_response_before_the_whole_request_closes_the_connection() -> None:
    async def story(port: int) -> None:
        client = OriginClient(f"http://127.0.0.1:{port}", limits=LIMITS, observer=Telemetry().origin)
        assert (await client.fetch("early", client=((b"x-large", b"x" * 300_000),))).body == MINE
        assert (await client.fetch("next")).body == ANOTHERS
        await client.close()

    with hasty_server(reads_bytes=1) as listening:
        asyncio.run(story(listening.getsockname()[1]))


def test_a_response_without_a_request_closes_the_connection() -> None:
    async def story(port: int) -> None:
        client = OriginClient(f"http://127.0.0.1:{port}", limits=LIMITS, observer=Telemetry().origin)
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        await asyncio.wait_for(connection.closed.wait(), 20)
        with pytest.raises(httpx.RemoteProtocolError):
            await connection.ask(httpx.Request("GET", f"http://127.0.0.1:{port}/"))
        assert (await client.fetch("next")).body == ANOTHERS
        await client.close()

    with hasty_server(reads_bytes=0) as listening:
        asyncio.run(story(listening.getsockname()[1]))


def small(photo: bytes, *, quality: int) -> bytes:
    """Return the photograph as a file so small that two responses with it fit into one TCP segment."""
    file = io.BytesIO()
    Image.open(io.BytesIO(photo)).resize((96, 96)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def test_no_picture_is_stored_under_another_id(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    smuggled = wire(small(photo, quality=20), cache_control=YEAR, etag='"smuggled"')
    origin.script("/carrier", Reply(raw=wire(small(photo, quality=80), cache_control="max-age=600") + smuggled))
    origin.script("/victim", Reply(raw=wire(small(photo, quality=90), cache_control="max-age=60")))
    assert edge.get("/image/carrier").headers["cache-control"] == "max-age=600"
    assert edge.get("/image/victim").headers["cache-control"] == "max-age=60"
    assert edge.get("/image/victim").headers["cache-status"].startswith("latentedge; hit")
