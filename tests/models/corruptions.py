"""The child process of test_corruption.py: damages bitstreams in every way and reads them. Last line JSON."""

import json
import random
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from models.bitstream import BitstreamError
from models.codec import Codec, Symbols
from tests.models.pictures import flat, photograph

HEADER_BYTES = 13
WARM_UP = 200
SUSPECT_MS = 25.0


@dataclass
class Report:
    cases: int = 0
    typed_errors: int = 0
    identical: int = 0
    other_pictures: int = 0
    slowest_ms: float = 0.0
    growth_bytes: int = 0
    kinds: dict[str, int] = field(default_factory=dict)


def damaged(stream: bytes, other: bytes, rng: random.Random) -> bytes:
    """One damage: a truncation, flips in header or words, a splice, a doubled or a missing run of bytes."""
    kind = rng.randrange(6)
    at = rng.randrange(len(stream))
    if kind == 0:
        return stream[:at]
    if kind == 1:  # every header byte and bit has its turn
        place = rng.randrange(HEADER_BYTES)
        return stream[:place] + bytes([stream[place] ^ (1 << rng.randrange(8))]) + stream[place + 1 :]
    if kind == 2:
        flipped = bytearray(stream)
        for _ in range(rng.randrange(1, 5)):
            flipped[rng.randrange(HEADER_BYTES, len(stream))] ^= rng.randrange(1, 256)
        return bytes(flipped)
    if kind == 3:
        return stream[:at] + other[rng.randrange(len(other)) :]
    run = 4 * rng.randrange(1, 5)
    return stream[:at] + stream[at : at + run] + stream[at:] if kind == 4 else stream[:at] + stream[at + run :]


def mapped_bytes() -> int:
    """Private writable memory, resident or not: what a leak must enlarge.

    Not the resident size: the kernel takes cold pages back when it likes, and the program touching them again
    would look like a leak (seen once: 23 MB).
    """
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    return pages * resource.getpagesize()


def same(one: Symbols, other: Symbols) -> bool:
    return one.quality == other.quality and np.array_equal(one.h1, other.h1) and np.array_equal(one.q, other.q)


def timed_read(codec: Codec, blob: bytes) -> tuple[float, Symbols | BitstreamError]:
    started = time.thread_time()
    try:
        outcome: Symbols | BitstreamError = codec.read(blob)
    except BitstreamError as error:
        # its traceback holds this frame and all arrays of the read: kept, they would be a cycle that looks like a leak
        outcome = error.with_traceback(None)
    return 1000 * (time.thread_time() - started), outcome


def steady_ms(codec: Codec, blob: bytes, took_ms: float) -> float:
    """A case is as slow as its best of three: a shared machine stalls any case now and then."""
    if took_ms < SUSPECT_MS:
        return took_ms
    return min(took_ms, *(timed_read(codec, blob)[0] for _ in range(2)))


def main(cases: int) -> Report:
    torch.set_num_threads(1)
    codec, rng, report = Codec.load(kernels="float32"), random.Random(20261122), Report()
    pictures = [photograph(), photograph("coffee"), flat(90)]
    streams = [codec.encode(picture, quality=quality) for picture in pictures for quality in (0, 24, 63)]
    truths = [codec.read(stream) for stream in streams]
    before = 0
    for case in range(cases):
        chosen = rng.randrange(len(streams))
        blob = damaged(streams[chosen], streams[rng.randrange(len(streams))], rng)
        took_ms, outcome = timed_read(codec, blob)
        if isinstance(outcome, BitstreamError):
            report.typed_errors += 1
            report.kinds[type(outcome).__name__] = report.kinds.get(type(outcome).__name__, 0) + 1
        else:
            # a splice may happen to be a whole stream again: then it is that stream's own picture
            whole = next(
                (truth for stream, truth in zip(streams, truths, strict=True) if stream == blob), truths[chosen]
            )
            report.identical += same(outcome, whole)
            report.other_pictures += not same(outcome, whole)
        if case >= WARM_UP:
            report.slowest_ms = max(report.slowest_ms, steady_ms(codec, blob, took_ms))
        else:
            before = mapped_bytes()
        report.cases += 1
    report.growth_bytes = mapped_bytes() - before
    return report


if __name__ == "__main__":
    print(json.dumps(vars(main(int(sys.argv[1])))))
