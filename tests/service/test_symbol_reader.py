"""A worker's queue for entropy decoding is bounded by number and by expected wait, like the decoder's queue."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from models.codec import Codec
from service.bus.symbol_reader import SymbolReader
from service.errors import QueueFull
from service.render.codec_queue import QueueLimits
from tests.service.watched_codec import OPTIONS

LIMITS = OPTIONS.queue
SOON_S = 1e-9
"""A shorter time than the entropy decoding of any bitstream takes."""


@pytest.fixture(scope="module")
def bitstream() -> bytes:
    return Codec.load().encode(np.zeros((344, 344, 3), np.uint8), quality=10)


@asynccontextmanager
async def reading(limits: QueueLimits) -> AsyncIterator[SymbolReader]:
    reader = SymbolReader(None, kernels="float32", threads=1, limits=limits)
    await reader.start()
    try:
        yield reader
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [(replace(LIMITS, queue_items=1), "1 bitstreams wait"), (replace(LIMITS, wait_s=SOON_S), "expected wait")],
    ids=["by number", "by expected wait"],
)
def test_a_bitstream_that_would_wait_too_long_is_refused_at_once(
    bitstream: bytes, limits: QueueLimits, refusal: str
) -> None:
    async def story() -> None:
        async with reading(limits) as reader:
            await reader.read(bitstream)  # now it is known how long one takes
            first, second = await asyncio.gather(reader.read(bitstream), reader.read(bitstream), return_exceptions=True)
            assert not isinstance(first, BaseException)
            assert isinstance(second, QueueFull)
            assert refusal in str(second)
            await reader.read(bitstream)  # there is room again

    asyncio.run(story())


def test_the_wait_for_the_thread_is_measured(bitstream: bytes) -> None:
    async def story() -> None:
        async with reading(LIMITS) as reader:
            gate = threading.Event()
            reader._threads.submit(gate.wait)  # so that no read begins before the last one waits
            tasks = [asyncio.create_task(reader.read(bitstream)) for _ in range(3)]
            await asyncio.sleep(0)
            gate.set()
            reads = await asyncio.gather(*tasks)
            waits_s = [read.queue_s for read in reads]
            assert waits_s == sorted(waits_s)
            assert waits_s[2] >= reads[0].entropy_s + reads[1].entropy_s

    asyncio.run(story())
