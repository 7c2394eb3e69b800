"""Anchor files: what they cost, and that the cache gives back what was measured."""

import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import skimage
from PIL import Image

from models.training.anchors import (
    Anchor,
    AnchorJob,
    AnchorResult,
    anchor,
    anchors,
    default_cache,
    encode_file,
    file_within,
    measure,
    score_files,
)
from models.training.rd import PSNR_RANGE_DB, RatePoint, bd_rate, curve
from models.training.references import reference


@pytest.fixture(scope="module")
def photograph() -> Path:
    return Path(skimage.__file__).parent / "data" / "astronaut.png"


@pytest.fixture(scope="module")
def jobs(photograph: Path) -> tuple[AnchorJob, ...]:
    return tuple(AnchorJob(path=photograph, size_px=172, anchor_name=one.name) for one in anchors())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def measured(jobs: Sequence[AnchorJob], cache: Path) -> tuple[AnchorResult, ...]:
    return tuple(measure(jobs, cache))


def test_every_anchor_has_eight_qualities_or_more_and_covers_the_range(measured: Sequence[AnchorResult]) -> None:
    for result in measured:
        scores = [file.psnr_db for file in result.files]
        assert len(result.files) >= 8
        assert min(scores) < PSNR_RANGE_DB.low
        # A colourful picture of 4:2:0 stays under 38 dB at any quality: then the curve goes as far as there is.
        assert max(scores) > PSNR_RANGE_DB.high or max(file.quality for file in result.files) == 100


def test_avif_takes_fewer_bytes_than_webp_and_webp_fewer_than_jpeg(measured: Sequence[AnchorResult]) -> None:
    jpeg, webp, avif = (curve(RatePoint(file.size_bytes, file.psnr_db) for file in result.files) for result in measured)
    assert bd_rate(webp, jpeg, PSNR_RANGE_DB) < -15
    assert bd_rate(avif, webp, PSNR_RANGE_DB) < -5


def test_results_come_in_the_order_of_the_jobs(measured: Sequence[AnchorResult], jobs: Sequence[AnchorJob]) -> None:
    assert [result.job for result in measured] == list(jobs)


def test_a_second_run_reads_the_cache(jobs: Sequence[AnchorJob], cache: Path, measured: Sequence[AnchorResult]) -> None:
    kept = next(cache.rglob("*.json"))
    marked = [{**entry, "size_bytes": 1} for entry in json.loads(kept.read_text())]
    original = kept.read_text()
    kept.write_text(json.dumps(marked))
    again = tuple(measure(jobs, cache))
    kept.write_text(original)
    assert sum(result.files[0].size_bytes == 1 for result in again) == 1
    assert sum(one == other for one, other in zip(again, measured, strict=True)) == len(jobs) - 1


def test_a_damaged_cache_entry_is_measured_again(
    jobs: Sequence[AnchorJob], cache: Path, measured: Sequence[AnchorResult]
) -> None:
    for kept, damage in zip(cache.rglob("*.json"), ("", "[{", '[{"quality": 3}]'), strict=True):
        kept.write_text(damage)
    assert tuple(measure(jobs, cache)) == tuple(measured)
    assert not list(cache.rglob("*.part"))


def test_a_file_is_scored_at_each_quality_of_the_anchor(photograph: Path) -> None:
    two = dataclasses.replace(anchor("JPEG"), qualities=(30, 60))
    worse, better = score_files(reference(photograph, 172), two)
    assert (worse.quality, better.quality) == (30, 60)
    assert worse.size_bytes < better.size_bytes
    assert worse.psnr_db < better.psnr_db
    assert worse.ssimulacra2 < better.ssimulacra2


@pytest.mark.parametrize("one", anchors(), ids=lambda one: one.name)
def test_anchor_files_are_what_they_say(photograph: Path, one: Anchor) -> None:
    blob = encode_file(reference(photograph, 172), one, 60)
    with Image.open(io.BytesIO(blob)) as image:
        assert (image.format, image.size) == (one.file_format, (172, 172))
        assert one.name != "JPEG" or image.info["progressive"]


def test_the_default_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "latentedge"


def test_the_best_file_within_a_number_of_bytes(photograph: Path) -> None:
    picture, jpeg = reference(photograph, 172), anchor("JPEG")
    sizes = [len(encode_file(picture, jpeg, quality)) for quality in (59, 60, 61)]
    assert len(file_within(picture, jpeg, sizes[1])) == sizes[1]
    assert len(file_within(picture, jpeg, sizes[2] - 1)) == sizes[1]


def test_where_no_file_is_small_enough_the_smallest_there_is(photograph: Path) -> None:
    picture, jpeg = reference(photograph, 172), anchor("JPEG")
    assert file_within(picture, jpeg, 10) == encode_file(picture, jpeg, 0)
