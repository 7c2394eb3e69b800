"""Golden streams of all qualities: read, decoded alone and in batches, and compared with the processor's pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.codec import Codec, Symbols
from models.config import HIGH_PX, MEDIUM_PX
from models.picture_array import Pixels
from models.scores import psnr_db
from tests.gpu_check.task import Task
from tests.models.golden_streams import GoldenStream, read_all, soft_photograph

SIZES_PX = (HIGH_PX, MEDIUM_PX)
MOST_DB = 0.05
BATCHES = (1, 3, 64)


@dataclass(frozen=True)
class _Shown:
    """Pictures of one size by one head, their original, and the same pictures by the processor."""

    original: Pixels
    expected: Sequence[Pixels]
    expected_db: Sequence[float]

    @classmethod
    def by(cls, processor: Codec, symbols: Sequence[Symbols], size_px: int) -> "_Shown":
        """Decode on the processor."""
        original = soft_photograph(size_px)
        expected = [processor.synthesize([one], size_px=size_px)[0] for one in symbols]
        return cls(original, expected, [psnr_db(original, one) for one in expected])

    def distance(self, pictures: Sequence[Pixels]) -> dict[str, float | int | bool]:
        """Return how far the worst picture is from the processor's: dB against the original, and levels."""
        off_db = [abs(psnr_db(self.original, one) - db) for one, db in zip(pictures, self.expected_db, strict=True)]
        pairs = zip(pictures, self.expected, strict=True)
        levels = max(int(np.abs(one.astype(np.int16) - other).max()) for one, other in pairs)
        worst = int(np.argmax(off_db))
        return {"ok": off_db[worst] < MOST_DB, "worst_db": off_db[worst], "worst_at": worst, "levels": levels}


def run(task: Task) -> None:
    """Check both heads, then streams that the device encodes and the processor decodes."""
    golden = read_all()[:: task.choose(1, 21)]
    for head in ("cpu", "gpu"):
        with task.journal.tried(f"streams by head {head}"):
            _check_head(task, golden, head)
    with task.journal.tried("encoded on the device, decoded on both"):
        _check_crossed(task, golden)


def _check_head(task: Task, golden: Sequence[GoldenStream], head: str) -> None:
    codec, processor = _both(task, head)
    symbols = [codec.read(one.blob) for one in golden]
    qualities = [one.quality for one in symbols]
    task.journal.row("read", head=head, streams=len(symbols), ok=qualities == [one.quality for one in golden])
    for size_px in SIZES_PX:
        shown = _Shown.by(processor, symbols, size_px)
        for batch in BATCHES:
            with task.journal.tried(f"batches of {batch}"):
                pictures = _in_batches(codec, symbols, batch, size_px)
                task.journal.row("shown", head=head, size_px=size_px, batch=batch, **shown.distance(pictures))


def _check_crossed(task: Task, golden: Sequence[GoldenStream]) -> None:
    """Reading on the processor succeeds only if both devices agree on every scale index."""
    codec, processor = _both(task, "gpu")
    original = soft_photograph(HIGH_PX)
    symbols = [processor.read(codec.encode(original, quality=one.quality)) for one in golden]
    distance = _Shown.by(processor, symbols, HIGH_PX).distance(_in_batches(codec, symbols, 16, HIGH_PX))
    task.journal.row("crossed", streams=len(symbols), **distance)


def _both(task: Task, head: str) -> tuple[Codec, Codec]:
    return Codec.load(device=task.device, head=head), Codec.load(device="cpu", head=head, kernels="float32")


def _in_batches(codec: Codec, symbols: Sequence[Symbols], batch: int, size_px: int) -> list[Pixels]:
    pictures: list[Pixels] = []
    for first in range(0, len(symbols), batch):
        pictures += codec.synthesize(symbols[first : first + batch], size_px=size_px)
    return pictures
