"""Whatever bytes an origin sends in place of an answer: a file or a typed error, and never another answer's bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import OriginError, PictureTooLarge
from service.metrics.telemetry import Telemetry
from service.upstream.origin_client import Limits, OriginClient
from tests.fuzz import past_faults as past

CAP_BYTES = 64
LIMITS = Limits(source_bytes=CAP_BYTES, timeout_s=60)
CLEAN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean"
PIECES = [
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 302 Found\r\n"),
    *(b"HTTP/1.1 304 Not Modified\r\n", b"HTTP/1.1 500 \r\n", b"HTTP/1.1 205 Reset\r\n", b"Content-Length: 1\r\n"),
    *(b"Content-Length: 0\r\n", b"Content-Length: 65\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
    *(b"Location: /to\r\n", b"Location: http://[\r\n", b"Content-Type: image/png\r\n", b"Age: -5\r\n", b"\r\n", b"\n"),
    *(
        b"x",
        b"1\r\nx\r\n0\r\n\r\n",
        b"0\r\n\r\n",
        b"fffffff\r\n",
        b" folded: line\r\n",
        b"No colon\r\n",
        b"\x00",
        b"\xff: \xfe\r\n",
    ),
]
ANSWERS = st.one_of(
    st.lists(st.sampled_from([*PIECES, *past.ORIGIN_BYTES]), max_size=10).map(b"".join), st.binary(max_size=200)
)


@pytest.mark.parametrize("hostile", past.ORIGIN_BYTES, ids=range(len(past.ORIGIN_BYTES)))
def test_past_answers(hostile: bytes) -> None:
    asyncio.run(story(hostile))


@given(ANSWERS)
def test_any_answer(hostile: bytes) -> None:
    asyncio.run(story(hostile))


async def story(hostile: bytes) -> None:
    """Ask for the hostile answer, and on whatever connection is left for a clean one."""
    async with client_of(hostile) as client:
        try:
            fetched = await client.fetch("hostile")
            assert fetched.body is not None
            assert len(fetched.body) <= CAP_BYTES
        except (OriginError, PictureTooLarge):
            pass
        clean = await client.fetch("clean")
        assert clean.body == b"clean", "the bytes of another answer"


@asynccontextmanager
async def client_of(hostile: bytes) -> AsyncIterator[OriginClient]:
    """A client of an origin that sends these bytes and hangs up, unless it is asked for something clean."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head := await _head(reader)) is not None:
            is_hostile = b"/hostile " in head
            writer.write(hostile if is_hostile else CLEAN)
            if is_hostile:
                writer.write_eof()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        client = OriginClient(f"http://127.0.0.1:{port}", limits=LIMITS, observer=Telemetry().origin)
        yield client
        await client.close()


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
