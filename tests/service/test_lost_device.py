"""After an accelerator has failed the processor goes on, by the head that the operator has chosen for that."""

import asyncio
import logging
from dataclasses import replace

import pytest
from skimage import data

from models.codec import Codec
from service.render import image_file
from service.render.codec_worker import CodecWorker
from service.render.jobs import Pixels
from tests.service.watched_codec import OPTIONS, Watch

QUALITY = 10


class FailingDevice(Codec):
    """A codec whose device fails at the first encode."""

    def encode(self, pixels: Pixels, *, quality: int, refine: int = 0) -> bytes:
        raise RuntimeError(f"no device for {pixels.shape}, quality {quality}, {refine} steps")


class OnAFailingDevice(CodecWorker):
    """Begins on a device that fails, as an accelerator does; the tests run without one."""

    def _load(self, device: str, *, head: str) -> Codec:
        if device == "cpu":
            return super()._load(device, head=head)
        failing = FailingDevice.load(self._options.weights, device="cpu", head="gpu" if head == "auto" else head)
        failing.device = device
        return failing


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
def test_the_operator_chooses_the_head_that_goes_on(
    head: str, lost_head: str, goes_on_by: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    picture = image_file.square(data.astronaut(), 344)  # type: ignore[no-untyped-call]

    async def story() -> None:
        watch = Watch()
        worker = OnAFailingDevice(replace(OPTIONS, device="cuda", head=head, lost_head=lost_head), watch)
        await worker.start()
        try:
            first = (worker.codec.head, worker.codec.head_id(344))
            bitstream = await worker.encode(picture, quality=QUALITY)
            assert watch.devices_lost == 1
            assert (worker.codec.device, worker.codec.head) == ("cpu", goes_on_by)
            # Entity tags are made of the head's id: they change with the head, and only with it.
            assert (worker.codec.head_id(344) == first[1]) == (goes_on_by == first[0])
            shown = (await worker.decode(bitstream, size_px=344)).pixels
            reference = Codec.load(head=goes_on_by.removeprefix("high-"), kernels=str(worker.codec.kernels))
            (expected,) = reference.synthesize([reference.read(bitstream)], size_px=344)
            assert (shown == expected).all()
        finally:
            await worker.close()

    asyncio.run(story())
