"""After an accelerator has failed, the CPU takes over, with the head that the operator chose."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from skimage import data

from models.codec import Codec, Symbols
from models.demoted_codec import DemotedCodec
from models.device_errors import DeviceLost
from models.picture_array import Pixels
from service.render import image_file
from service.render.codec_worker import CodecWorker
from tests.service.watched_codec import LIMIT_S, OPTIONS, Watch

QUALITY = 10


class FailingDevice(Codec):
    """A codec whose device fails at the first encode."""

    def encode_together(self, pictures: Sequence[Pixels], *, qualities: Sequence[int]) -> list[bytes]:
        raise DeviceLost(f"no device for {len(pictures)} pictures of qualities {qualities}")


class OnAFailingDevice(CodecWorker):
    """A worker that starts on a simulated accelerator, which fails."""

    def _load(self, weights: Path | None, *, device: str, head: str) -> Codec:
        if device == "cpu":
            return super()._load(weights, device=device, head=head)
        failing = FailingDevice.load(weights, device="cpu", head="gpu" if head == "auto" else head)
        failing.device = device
        return failing

    def _load_demoted(self, current: Codec) -> DemotedCodec | None:
        return super()._load_demoted(current) if current.device == "cpu" else None  # the other device is not real


@pytest.mark.parametrize(
    ("head", "lost_head", "goes_on_by"),
    [
        ("auto", "cpu", "high-cpu"),
        ("auto", "same", "high-gpu"),
        ("gpu", "cpu", "high-cpu"),
        ("gpu", "same", "high-gpu"),
        ("cpu", "same", "high-cpu"),
    ],
)
def test_the_operator_chooses_the_head_after_the_loss(
    head: str, lost_head: str, goes_on_by: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    picture = image_file.square(data.astronaut(), 344)  # type: ignore[no-untyped-call]

    async def story() -> None:
        watch = Watch()
        worker = OnAFailingDevice(replace(OPTIONS, device="cuda", head=head, lost_head=lost_head), watch)
        await worker.start()
        try:
            first = (worker.names.head, worker.readable[worker.names.stream_id][344])
            bitstream = await worker.encode(picture, quality=QUALITY)
            assert watch.devices_lost == 1
            assert (worker.names.device, worker.names.head) == ("cpu", goes_on_by)
            # Entity tags are made of the head's id: they change with the head, and only with it.
            assert (worker.readable[worker.names.stream_id][344] == first[1]) == (goes_on_by == first[0])
            shown = (await worker.decode(bitstream, size_px=344)).pixels
            reference = Codec.load(head=goes_on_by.removeprefix("high-"), kernels=worker.names.kernels)
            (expected,) = reference.synthesize([reference.read(bitstream)], size_px=344)
            assert (shown == expected).all()
        finally:
            await worker.close()

    asyncio.run(story())


class SmallDevice(Codec):
    """A codec whose device has memory for one picture at a time. Its first batch waits for the test."""

    def begin(self) -> None:
        self.tried: list[int] = []
        self.busy, self.may_go_on = threading.Event(), threading.Event()

    @property
    def saves_by_batches(self) -> bool:
        return True

    def synthesize(self, symbols: Sequence[Symbols], *, size_px: int) -> list[Pixels]:
        self.tried.append(len(symbols))
        self.busy.set()
        assert self.may_go_on.wait(LIMIT_S), "held for ever"
        if len(symbols) > 1:
            raise RuntimeError("out of memory")
        return self.synthesize_plainly(symbols, size_px=size_px)


class OnASmallDevice(CodecWorker):
    """A worker on a simulated accelerator with too little memory for its batches."""

    small: SmallDevice

    def _load(self, weights: Path | None, *, device: str, head: str) -> Codec:
        assert device == "cuda", "the device was given up"
        self.small = SmallDevice.load(weights, kernels="float32", head=head)
        self.small.begin()
        return self.small

    def _use(self, device: str, *, head: str) -> None:
        super()._use(device, head=head)
        self._loaded = replace(self._codecs, names=replace(self.names, device="cuda"))

    def _warm_up(self) -> None:
        """Skip the warm-up, which would fail on this device."""


def test_a_failed_batch_is_tried_one_by_one_on_the_same_device(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    picture = image_file.square(data.astronaut(), 344)  # type: ignore[no-untyped-call]
    bitstream = Codec.load().encode(picture, quality=QUALITY)

    async def story() -> None:
        watch = Watch()
        worker = OnASmallDevice(replace(OPTIONS, device="cuda"), watch)
        await worker.start()
        try:
            first = asyncio.create_task(worker.decode(bitstream, size_px=172))
            await asyncio.to_thread(worker.small.busy.wait, LIMIT_S)
            others = [asyncio.create_task(worker.decode(bitstream, size_px=172)) for _ in range(3)]
            await asyncio.sleep(0)  # one turn of the loop: they are all submitted
            worker.small.may_go_on.set()
            shown = await asyncio.gather(first, *others)
            assert worker.small.tried == [1, 3, 1, 1, 1]
            assert len({one.pixels.tobytes() for one in shown}) == 1
            assert watch.devices_lost == 0
        finally:
            worker.small.may_go_on.set()
            await worker.close()

    asyncio.run(story())
