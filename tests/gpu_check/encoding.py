"""Encodes a second, alone and in batches, and what a search for better latents gains for a second of the device."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from models.codec import Codec
from models.config import HIGH_PX
from models.picture_array import Pixels
from models.scores import psnr_db
from tests.gpu_check.subjects import photographs
from tests.gpu_check.task import Task, timed

SEARCHED, STEPS = 16, 40
LESS = 4
"""Qualities between the two plain streams that a searched one is compared with."""


def run(task: Task) -> None:
    """Measure encodes, then the search."""
    codec = Codec.load(device=task.device, head="gpu")
    pictures = photographs(task.choose(SEARCHED, 2))
    for items in task.choose((1, 16, 64), (1, 2)):
        with task.journal.tried(f"encodes of {items}"):
            _measure_encodes(task, codec, [pictures[number % len(pictures)] for number in range(items)])
    with task.journal.tried("search"):
        _measure_search(task, codec, pictures, steps=task.choose(STEPS, 2))


def _measure_encodes(task: Task, codec: Codec, pictures: Sequence[Pixels]) -> None:
    together: Callable[..., Any] | None = getattr(codec, "encode_together", None)
    qualities = [codec.default_quality] * len(pictures)

    def call() -> None:
        if together is not None:
            together(pictures, qualities=qualities)
        else:
            for one, quality in zip(pictures, qualities, strict=True):
                codec.encode(one, quality=quality)

    found = timed(call, seconds=task.slice_s(6, most_s=2.0))
    row = {"together": together is not None, "first_ms": 1000 * found.first_s}
    task.journal.row("encodes", items=len(pictures), per_s=len(pictures) / found.median_s, **row)


def _measure_search(task: Task, codec: Codec, pictures: Sequence[Pixels], *, steps: int) -> None:
    quality = codec.default_quality
    plain = _coded(codec, pictures, [codec.encode(one, quality=quality) for one in pictures])
    lower = _coded(codec, pictures, [codec.encode(one, quality=quality - LESS) for one in pictures])
    _searched(codec, pictures, steps=2)  # the device's first steps take longer
    began_s = time.monotonic()
    blobs = _searched(codec, pictures, steps=steps)
    took_s = time.monotonic() - began_s
    saved = [_saved(*three) for three in zip(plain, lower, _coded(codec, pictures, blobs), strict=True)]
    percent = 100 * sum(saved) / len(saved)
    task.journal.row(
        "search",
        pictures=len(pictures),
        steps=steps,
        seconds=took_s,
        picture_s=took_s / len(pictures),
        saved_percent=percent,
        percent_per_gpu_s=percent * len(pictures) / took_s,
    )


def _searched(codec: Codec, pictures: Sequence[Pixels], *, steps: int) -> list[bytes]:
    search = codec.refinement(pictures, qualities=[codec.default_quality] * len(pictures), steps=steps)
    while not search.is_done:
        search.step()
    return search.bitstreams()


def _coded(codec: Codec, pictures: Sequence[Pixels], blobs: Sequence[bytes]) -> list[tuple[float, int]]:
    """Return PSNR in dB and bytes of each."""
    shown = codec.synthesize([codec.read(one) for one in blobs], size_px=HIGH_PX)
    return [(psnr_db(one, other), len(blob)) for one, other, blob in zip(pictures, shown, blobs, strict=True)]


def _saved(plain: tuple[float, int], lower: tuple[float, int], found: tuple[float, int]) -> float:
    """Return the share of bytes saved at equal PSNR: log bytes of plain streams grow linearly with dB."""
    slope = math.log(plain[1] / lower[1]) / (plain[0] - lower[0])
    equal = math.log(plain[1]) + slope * (found[0] - plain[0])
    return 1 - found[1] / math.exp(equal)
