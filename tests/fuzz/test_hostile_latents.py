"""A few hostile latents of each kind, and what the fuzzer says of a codec with a fault. `make fuzz` reads a million."""

import random
from functools import partial
from pathlib import Path

import pytest

from models.bitstream import DamagedBitstream
from models.codec import Codec, Symbols
from models.entropy_coder import Decoding
from tests.fuzz.latent_cases import KINDS, Bench, cases_of, read_damaged, run, set_up, trust_all
from tests.fuzz.over_latents import Total

CASES = 40


class WithoutChecksum(Codec):
    """Reads whatever decodes."""

    def read(self, blob: bytes) -> Symbols:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Decoding, "check", trust_all)
            return super().read(blob)


class Crashing(Codec):
    def read(self, blob: bytes) -> Symbols:
        raise IndexError(f"index {len(blob)} is out of bounds")


def totalled(case: partial[str], place: Path) -> Total:
    total = Total()
    total.add(vars(run(case, seed=1, first=0, cases=CASES, place=place)))
    return total


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_latents_are_refused_or_read_as_they_were(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = cases_of(kind)
    if kind == "unchecked":
        monkeypatch.setattr(Decoding, "check", trust_all)
    report = run(case, seed=1, first=0, cases=CASES, place=tmp_path / "place")
    total = Total()
    total.add(vars(report))
    assert total.cases == CASES
    assert not total.faults, total.outcomes


def test_a_codec_that_ignores_the_checksum_is_found_out(tmp_path: Path) -> None:
    sound = set_up()
    total = totalled(
        partial(read_damaged, Bench(WithoutChecksum.load(kernels="float32"), sound.streams, sound.truths)),
        tmp_path / "place",
    )
    assert total.outcomes["ANOTHER PICTURE"] > 0
    assert not total.is_sound


def test_an_error_that_is_not_typed_is_a_fault(tmp_path: Path) -> None:
    sound = set_up()
    total = totalled(
        partial(read_damaged, Bench(Crashing.load(kernels="float32"), sound.streams, sound.truths)), tmp_path / "place"
    )
    assert total.faults == CASES
    assert "UNTYPED IndexError" in min(total.outcomes)


def test_a_refusal_is_no_fault() -> None:
    bench = set_up()
    assert bench.judge(DamagedBitstream("x")) == "DamagedBitstream"
    assert read_damaged(bench, random.Random(1)).endswith(("Bitstream", "identical"))
