"""Hostile latents and records, made and read in this process. Last line JSON. See `over_latents`.

    python -m tests.fuzz.latent_cases KIND --seed 3 --cases 1000 --place FILE

The number of the present case is kept in FILE, so that a crash can be repeated: `--first N --cases 1`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from models.bitstream import BitstreamError
from models.codec import Codec, Symbols
from models.config import GRID, HIGH_PX, MEDIUM_PX, QUALITIES
from models.entropy_coder import Decoding
from models.picture_array import Pixels
from models.pixels import lanczos_half
from models.rans import LARGEST
from models.screen import stream as screen_stream
from service.errors import RecordError
from service.records.record import Record, pack, unpack
from service.records.store_keys import record_key
from tests.models.corruptions import damaged, same, timed_read
from tests.models.golden_screens import read_screens
from tests.models.pictures import flat, photograph
from tests.service.releases import reframed
from tests.service.test_record import GOLDEN

KEY = record_key("cat", origin="http://o")
KINDS = ("damaged", "records", "screens", "sealed", "unchecked")
LARGEST_HYPER = 15
"""The hyper-latent's tables have no escape: see `models.rans`."""
SCREEN_HEADER_BYTES = 13
WARM_UP = 200
"""Cases before memory is measured."""

Case = Callable[[random.Random], str]
"""Makes and reads one case. Returns what came of it; names in capitals are faults."""


@dataclass(frozen=True)
class Bench:
    """A codec, true streams and what they decode to."""

    codec: Codec
    streams: list[bytes]
    truths: list[Symbols]

    def judge(self, outcome: Symbols | BitstreamError) -> str:
        if isinstance(outcome, BitstreamError):
            return type(outcome).__name__
        return "identical" if any(same(outcome, truth) for truth in self.truths) else "ANOTHER PICTURE"

    def damage(self, rng: random.Random) -> bytes:
        return damaged(rng.choice(self.streams), rng.choice(self.streams), rng)


@dataclass
class Report:
    """What came of the cases of one process."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0
    slowest_case: int = 0
    grown_kib: int = 0


def set_up() -> Bench:
    torch.set_num_threads(1)
    codec = Codec.load(kernels="float32")
    streams = [
        codec.encode(picture, quality=quality) for picture in (photograph(), flat(90)) for quality in (0, 24, 63)
    ]
    return Bench(codec, streams, [codec.read(stream) for stream in streams])


def read_damaged(bench: Bench, rng: random.Random) -> str:
    """A damaged stream is refused, or decodes to what was written."""
    return bench.judge(timed_read(bench.codec, bench.damage(rng))[1])


def read_record(bench: Bench, record: Record, rng: random.Random) -> str:
    """A damaged record under a right checksum is refused, or can be written again; its stream likewise."""
    value = bytearray(pack(replace(record, bitstream=rng.choice(bench.streams)), KEY))
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(4, len(value) if rng.random() < 0.3 else 300)
        value[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    try:
        found = unpack(reframed(bytes(value), version=value[3]), KEY)
    except RecordError as error:
        return type(error).__name__
    if unpack(pack(found, KEY), KEY) != found:
        return "NOT WRITABLE"
    return bench.judge(timed_read(bench.codec, found.bitstream)[1])


def read_sealed(bench: Bench, fast: Codec, rng: random.Random) -> str:
    """Any symbols under a right checksum are read as they were, and both decoders make a picture of them."""
    quality = rng.randrange(QUALITIES)
    z, q = any_symbols(bench.codec, rng, quality)
    stream = bench.codec._entropy_encode(z, q, quality)
    symbols = bench.codec.read(stream)
    if bench.codec._entropy_encode(z, symbols.q.reshape(GRID, GRID, -1), quality) != stream:
        return "NOT EXACT"
    return decode(bench, fast, symbols)


def read_screen(truths: dict[bytes, Pixels], rng: random.Random) -> str:
    """A damaged screen stream is refused, or decodes to a true picture, whatever follows its header."""
    stream, other = rng.choice(list(truths)), rng.choice(list(truths))
    if rng.random() < 0.2:
        blob = stream[:SCREEN_HEADER_BYTES] + rng.randbytes(rng.choice([1, 40, 3000, 60_000]))
    else:
        blob = damaged(stream, other, rng)
    try:
        decoded = screen_stream.decode(blob, size_px=rng.choice([HIGH_PX, MEDIUM_PX]))
    except BitstreamError as error:
        return type(error).__name__
    whole = [truth if len(decoded) == HIGH_PX else lanczos_half(truth) for truth in truths.values()]
    return "identical" if any(np.array_equal(decoded, one) for one in whole) else "ANOTHER PICTURE"


def read_unchecked(bench: Bench, fast: Codec, rng: random.Random) -> str:
    """A damaged stream that no checksum stops (`trust_all`) reaches the decoders."""
    outcome = timed_read(bench.codec, bench.damage(rng))[1]
    return type(outcome).__name__ if isinstance(outcome, BitstreamError) else decode(bench, fast, outcome)


def decode(bench: Bench, fast: Codec, symbols: Symbols) -> str:
    for size_px in (HIGH_PX, MEDIUM_PX):
        for synthesize in (bench.codec.synthesize_plainly, bench.codec.synthesize, fast.synthesize):
            (picture,) = synthesize([symbols], size_px=size_px)
            if picture.shape != (size_px, size_px, 3) or picture.dtype != np.uint8:
                return "NOT A PICTURE"
    return "decoded"


def any_symbols(codec: Codec, rng: random.Random, quality: int) -> tuple[np.ndarray, np.ndarray]:
    """Return z (C, 11, 11) and q (22, 22, N): tame, wild, or at the limits."""
    draw = np.random.default_rng(rng.getrandbits(32))
    hyper, coded = codec.symbol_channels(quality)
    z_shape, q_shape = (hyper, GRID // 2, GRID // 2), (GRID, GRID, coded)
    z_limit, q_limit = rng.choice([1, 2, LARGEST_HYPER]), rng.choice([1, 3, 200, LARGEST])
    z = draw.integers(-z_limit, z_limit + 1, z_shape)
    q = draw.integers(-q_limit, q_limit + 1, q_shape)
    if rng.random() < 0.3:
        z = np.where(draw.random(z_shape) < 0.5, -z_limit, z_limit)
    if rng.random() < 0.5:
        q = np.where(draw.random(q_shape) < rng.choice([0.001, 0.05]), q, 0)
    return z.astype(np.int16), q.astype(np.int16)


def run(case: Case, *, seed: int, first: int, cases: int, place: Path) -> Report:
    report, before = Report(), 0
    with place.open("w") as now:
        for number in range(first, first + cases):
            os.pwrite(now.fileno(), f"{number:12d}".encode(), 0)
            if number == first + WARM_UP:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began = time.thread_time()
            try:
                outcome = case(random.Random(f"{seed} {number}"))
            except Exception as error:  # noqa: BLE001  (whatever it is, it is a fault)
                outcome = f"UNTYPED {type(error).__name__}: {error} (case {number})"
            took_ms = 1000 * (time.thread_time() - began)
            if number >= first + WARM_UP and took_ms > report.slowest_ms:
                report.slowest_ms, report.slowest_case = took_ms, number
            report.outcomes[outcome] += 1
    report.grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before if before else 0
    return report


def cases_of(kind: str) -> Case:
    """Return the case of a kind: damaged, records, screens, sealed or unchecked."""
    if kind == "screens":
        streams = [golden.blob for golden in read_screens()]
        return partial(read_screen, {one: screen_stream.decode(one, size_px=HIGH_PX) for one in streams})
    bench = set_up()
    if kind == "damaged":
        return partial(read_damaged, bench)
    if kind == "records":
        return partial(read_record, bench, unpack(GOLDEN, KEY))
    fast = Codec.load(kernels="bfloat16")
    return partial(read_sealed if kind == "sealed" else read_unchecked, bench, fast)


def trust_all(_: Decoding, *, checksum: int) -> None:
    """Accept any symbols; in place of `Decoding.check`."""


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    read.add_argument("kind", choices=KINDS)
    read.add_argument("--seed", type=int, default=0)
    read.add_argument("--first", type=int, default=0)
    read.add_argument("--cases", type=int, default=1000)
    read.add_argument("--place", type=Path, required=True)
    given = read.parse_args()
    case = cases_of(given.kind)
    if given.kind == "unchecked":
        Decoding.check = trust_all  # type: ignore[method-assign, assignment]
    report = run(case, seed=given.seed, first=given.first, cases=given.cases, place=given.place)
    print(json.dumps(vars(report)))


if __name__ == "__main__":
    main()
