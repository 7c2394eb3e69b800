"""A codec worker that decodes in batches as on a GPU, and an observer that can hold it between two jobs."""

import threading
from collections.abc import Sequence
from pathlib import Path

from models.codec import Codec, Symbols
from models.picture_array import Pixels
from service.render.codec_worker import CodecWorker


class Seen:
    """What an observer was told. It can keep the codec's thread busy: that thread calls it between two jobs."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.holds = threading.Event()
        self._waiting = 0
        self._changed = threading.Condition()

    def wait_until_waiting(self, items: int) -> None:
        """Until so many jobs wait for the codec."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._waiting == items, timeout=60), f"{self._waiting} wait"

    def count_batch(self, *, size_px: int, items: int) -> None:
        self.batches.append((size_px, items))

    def set_queue_depth(self, *, items: int) -> None:
        with self._changed:
            self._waiting = items
            self._changed.notify_all()
        if threading.current_thread().name == "codec":
            self.holds.set()
            assert self.may_go_on.wait(60), f"held for ever, {items} waiting"

    def add_refinement_time(self, *, seconds: float) -> None:
        raise AssertionError(f"{seconds} s for a refinement that nobody has asked for")

    def count_lost_device(self) -> None:
        raise AssertionError("there is only the processor here")


class ByBatches(Codec):
    """Decodes by the networks' own modules, which take several pictures at once, as on a GPU."""

    @property
    def saves_by_batches(self) -> bool:
        return True

    def synthesize(self, symbols: Sequence[Symbols], *, size_px: int) -> list[Pixels]:
        return self.synthesize_plainly(symbols, size_px=size_px)


class AsOnAGpu(CodecWorker):
    """Decodes together what waits together."""

    def _load(self, weights: Path | None, *, device: str, head: str) -> Codec:
        return ByBatches.load(weights, device=device, kernels="float32", head=head)
