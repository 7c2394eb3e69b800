"""Two clients and one decoder over the real bus, with the real codec, which the tests can hold."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from models.bitstream import parse
from models.codec import Codec
from models.picture_array import Pixels
from service.bus.decoder_client import DecoderClient, Timeouts
from service.bus.router import Router
from service.bus.symbol_reader import SymbolReader
from service.errors import CodecFailed, DamagedBitstream, DecoderAway, QueueFull
from service.render import image_file
from service.render.codec_options import WorkerOptions
from service.render.codec_worker import CodecWorker
from service.render.jobs import Search
from service.render.picture_codec import CodecNames
from service.settings.quality import TargetScore
from tests.service.batching_codec import AsOnAGpu, Seen
from tests.service.test_lost_device import OnAFailingDevice
from tests.service.watched_codec import LIMIT_S, OPTIONS, Watch

QUALITY = 10


@dataclass
class Bus:
    """A decoder, two clients, and the decoder's observer."""

    address: str
    worker: CodecWorker
    router: Router
    seen: Seen
    clients: tuple[DecoderClient, DecoderClient]

    async def held(self) -> asyncio.Task[bytes]:
        """Keep the codec busy with an encode until `seen.may_go_on` is set."""
        self.seen.may_go_on.clear()
        self.seen.holds.clear()
        busy = asyncio.create_task(self.clients[0].encode(np.zeros((344, 344, 3), np.uint8), quality=QUALITY))
        await asyncio.to_thread(self.seen.holds.wait, LIMIT_S)
        return busy

    async def waiting(self, items: int) -> None:
        await asyncio.to_thread(self.seen.wait_until_waiting, items)


@pytest.fixture(scope="module")
def photos() -> list[Pixels]:
    pictures = [data.astronaut(), data.coffee(), data.chelsea()]  # type: ignore[no-untyped-call]
    return [image_file.square(picture, 344) for picture in pictures]


@pytest.fixture(scope="module")
def bitstreams(photos: list[Pixels]) -> list[bytes]:
    codec = Codec.load()
    return [codec.encode(photo, quality=QUALITY) for photo in photos]


def client_of(address: str, timeouts: Timeouts | None = None) -> DecoderClient:
    reader = SymbolReader(None, kernels="float32", threads=1, limits=OPTIONS.queue)
    return DecoderClient(address, reader, waiting=16, timeouts=timeouts)


@asynccontextmanager
async def bus(
    folder: Path, *, options: WorkerOptions = OPTIONS, timeouts: Timeouts | None = None
) -> AsyncIterator[Bus]:
    address, seen = f"ipc://{folder / 'bus'}", Seen()
    worker = AsOnAGpu(options, seen)
    await worker.start()
    seen.batches.clear()  # the warm-up is none of the stories' business
    told = Bus(
        address, worker, Router(address, worker, waiting=16), seen, (client_of(address, timeouts), client_of(address))
    )
    told.router.start()
    try:
        await asyncio.gather(*(client.start() for client in told.clients))
        yield told
    finally:
        seen.may_go_on.set()
        await asyncio.gather(*(client.close() for client in told.clients))
        await worker.close()
        told.router.close()


def tell(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_pictures_of_two_workers_are_decoded_together_and_each_gets_its_own(
    short_path: Path, bitstreams: list[bytes]
) -> None:
    async def story() -> None:
        async with bus(short_path) as told:
            busy, (one, other) = await told.held(), told.clients
            wanted = [(client, blob) for client in (one, other) for blob in bitstreams[:2]]
            tasks = [asyncio.create_task(client.decode(blob, size_px=172)) for client, blob in wanted]
            await told.waiting(4)
            told.seen.may_go_on.set()
            pictures = [decoded.pixels for decoded in await asyncio.gather(*tasks)]
            await busy
            assert told.seen.batches == [(172, 4)]
            codec = Codec.load(kernels="float32")
            for (_, blob), shown in zip(wanted, pictures, strict=True):
                expected = codec.synthesize_plainly([codec.read(blob)], size_px=172)[0]
                assert np.abs(expected.astype(int) - shown).max() <= 1  # batches round sums in another order

    tell(story)


def test_encodes_and_demotions_go_by_way_of_the_decoder(
    short_path: Path, photos: list[Pixels], bitstreams: list[bytes]
) -> None:
    async def story() -> None:
        async with bus(short_path) as told:
            client = told.clients[0]
            assert client.names == told.worker.names
            assert await client.encode(photos[0], quality=20) == await told.worker.encode(photos[0], quality=20)
            medium = await client.demote(bitstreams[0], quality=QUALITY)
            assert medium == await told.worker.demote(bitstreams[0], quality=QUALITY)
            assert client.readable == told.worker.readable
            for size_px in (344, 172):
                shown, expected = [(await one.decode(medium, size_px=size_px)).pixels for one in (client, told.worker)]
                assert (shown == expected).all(), f"the picture of {size_px} px is another one"
            with pytest.raises(DamagedBitstream):
                await client.demote(medium, quality=QUALITY)
            with pytest.raises(CodecFailed):
                await client.encode(np.zeros((5, 5, 3), np.uint8), quality=20)
            with pytest.raises(DamagedBitstream):
                await client.decode(b"nonsense", size_px=172)

    tell(story)


def test_searches_go_by_way_of_the_decoder(short_path: Path, photos: list[Pixels]) -> None:
    search = Search(quality=QUALITY, steps=1)

    async def story() -> None:
        watch, address = Watch(holds_after=-1), f"ipc://{short_path / 'bus'}"
        worker = CodecWorker(OPTIONS, watch)
        await worker.start()
        router, client = Router(address, worker, waiting=4), client_of(address)
        router.start()
        try:
            await client.start()
            found = await client.refine(photos[0], search)
            assert found is not None
            assert parse(found).quality == QUALITY
            assert Codec.load().ssimulacra2(photos[0], found) > 0
            assert await client.refine(photos[0], replace(search, target=TargetScore(100))) is None
        finally:
            await client.close()
            await worker.close()
            router.close()

    tell(story)


def test_a_full_decoder_refuses_at_once(short_path: Path, bitstreams: list[bytes]) -> None:
    async def story() -> None:
        async with bus(short_path, options=replace(OPTIONS, queue=replace(OPTIONS.queue, queue_items=2))) as told:
            busy, (one, other) = await told.held(), told.clients
            tasks = [asyncio.create_task(client.decode(bitstreams[0], size_px=172)) for client in (one, other)]
            await told.waiting(2)
            with pytest.raises(QueueFull, match="2 jobs are waiting"):
                await other.decode(bitstreams[0], size_px=172)
            told.seen.may_go_on.set()
            await asyncio.gather(busy, *tasks)

    tell(story)


def test_a_cancelled_request_is_not_decoded(short_path: Path, bitstreams: list[bytes]) -> None:
    async def story() -> None:
        async with bus(short_path, timeouts=Timeouts(decode_s=1)) as told:
            busy, (hasty, patient) = await told.held(), told.clients
            late = asyncio.create_task(hasty.decode(bitstreams[0], size_px=172))
            left = asyncio.create_task(patient.decode(bitstreams[0], size_px=172))
            await told.waiting(2)
            left.cancel()
            with pytest.raises(DecoderAway, match="in time"):
                await late
            kept = asyncio.create_task(patient.decode(bitstreams[1], size_px=172))
            await told.waiting(3)  # on the same connection, so the decoder knows of the other's end
            told.seen.may_go_on.set()
            await asyncio.gather(busy, kept)
            assert told.seen.batches == [(172, 1)]

    tell(story)


def test_the_requests_of_a_dead_worker_are_dropped(short_path: Path, bitstreams: list[bytes]) -> None:
    async def story() -> None:
        async with bus(short_path) as told:
            one, other = told.clients
            busy = await told.held()
            tasks = [asyncio.create_task(client.decode(bitstreams[0], size_px=172)) for client in (one, other)]
            await told.waiting(2)
            await other.close()
            told.seen.may_go_on.set()
            await busy
            assert (await tasks[0]).pixels.shape == (172, 172, 3)
            with pytest.raises(DecoderAway, match="shutting down"):
                await tasks[1]
            assert (await one.decode(bitstreams[1], size_px=172)).pixels.shape == (172, 172, 3)
            assert len(told.router._known) == 1

    tell(story)


def test_requests_are_sent_again_to_a_restarted_decoder(
    short_path: Path, bitstreams: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    async def story() -> None:
        async with bus(short_path) as told:
            busy, client = await told.held(), told.clients[1]
            waits = asyncio.create_task(client.decode(bitstreams[0], size_px=172))
            await told.waiting(1)
            told.router.close()
            await until(lambda: not client.is_there)
            with pytest.raises(DecoderAway):
                await client.decode(bitstreams[0], size_px=172)
            assert not waits.done()
            told.router = Router(told.address, told.worker, waiting=16)
            told.router.start()
            await until(lambda: all(one.is_there for one in told.clients))
            told.seen.may_go_on.set()
            assert (await waits).pixels.shape == (172, 172, 3)
            assert await busy

    tell(story)


def test_workers_learn_the_names_of_the_new_codec(
    short_path: Path, photos: list[Pixels], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    async def story() -> None:
        address = f"ipc://{short_path / 'bus'}"
        routers: list[Router] = []

        def announce(names: CodecNames) -> None:
            routers[0].announce(names)

        worker = OnAFailingDevice(replace(OPTIONS, device="cuda"), Watch(), announce)
        await worker.start()
        routers.append(Router(address, worker, waiting=4))
        routers[0].start()
        client = client_of(address)
        try:
            await client.start()
            assert (client.names.device, client.names.head) == ("cuda", "high-gpu")
            await client.encode(photos[0], quality=QUALITY)
            assert client.names == worker.names
            assert (client.names.device, client.names.head) == ("cpu", "high-cpu")
        finally:
            await client.close()
            await worker.close()
            routers[0].close()

    tell(story)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110  (what the event loop finds out has no event for tests)
            await asyncio.sleep(0)
