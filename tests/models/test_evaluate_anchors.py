"""Anchor files: their settings and what they cost, and that the cache gives back what was measured."""

import dataclasses
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import skimage
from PIL import Image, features

from models.evaluation.anchor_scores import AnchorJob, AnchorResult, default_cache, measure, score_files
from models.evaluation.anchors import (
    YARDSTICK,
    Anchor,
    anchor,
    anchors,
    file_within,
    libraries,
    missing_anchors,
)
from models.evaluation.figures import Metric
from models.evaluation.rd import PSNR_RANGE_DB, bd_rate
from models.evaluation.references import reference
from models.picture_array import Pixels

BY_PILLOW = ("JPEG", "WebP", "AVIF", "AVIF tune=ssim", "AVIF speed 2 tune=ssim")


@pytest.fixture(scope="module")
def photograph() -> Path:
    return Path(skimage.__file__).parent / "data" / "astronaut.png"


@pytest.fixture(scope="module")
def picture(photograph: Path) -> Pixels:
    return reference(photograph, 172)


@pytest.fixture(scope="module")
def jobs(photograph: Path) -> tuple[AnchorJob, ...]:
    """The slow anchor differs from another in nothing but its speed, and would take longer than all others together."""
    return tuple(AnchorJob(path=photograph, size_px=172, anchor_name=one.name) for one in anchors() if not one.is_slow)


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


def rate(measured: Sequence[AnchorResult], name: str, *, against: str, metric: Metric) -> float:
    curves = {result.job.anchor_name: metric.curve(result.files) for result in measured}
    return bd_rate(curves[name], curves[against], metric.range)


def test_each_newer_format_takes_fewer_bytes(measured: Sequence[AnchorResult]) -> None:
    assert rate(measured, "WebP", against="JPEG", metric=Metric.PSNR) < -15
    assert rate(measured, "AVIF", against="WebP", metric=Metric.PSNR) < -5


def test_each_tune_of_avif_wins_by_one_of_the_scores(measured: Sequence[AnchorResult]) -> None:
    assert rate(measured, "AVIF tune=ssim", against=YARDSTICK, metric=Metric.PSNR) < -5
    assert rate(measured, "AVIF tune=ssim", against=YARDSTICK, metric=Metric.SSIMULACRA2) > 5


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
    for kept, damage in zip(sorted(cache.rglob("*.json"))[:3], ("", "[{", '[{"quality": 3}]'), strict=True):
        kept.write_text(damage)
    assert tuple(measure(jobs, cache)) == tuple(measured)
    assert not list(cache.rglob("*.part"))


def test_a_file_is_scored_at_each_quality_of_the_anchor(picture: Pixels) -> None:
    two = dataclasses.replace(anchor("JPEG"), qualities=(30, 60))
    worse, better = score_files(picture, two)
    assert (worse.quality, better.quality) == (30, 60)
    assert worse.size_bytes < better.size_bytes
    assert worse.psnr_db < better.psnr_db
    assert worse.ssimulacra2 < better.ssimulacra2


def test_the_anchors_stand_in_the_order_of_the_tables() -> None:
    names = [one.name for one in anchors()]
    assert names[:5] == list(BY_PILLOW)
    assert names[5:] in ([], ["JPEG XL"])
    assert [one.name for one in anchors() if one.is_slow] == ["AVIF speed 2 tune=ssim"]


@pytest.mark.parametrize("one", anchors(), ids=lambda one: one.name)
def test_anchor_files_are_what_they_say(picture: Pixels, one: Anchor) -> None:
    blob = one.encode(picture, 60)
    assert one.decode(blob).shape == (172, 172, 3)
    if one.name == "JPEG XL":
        assert blob.startswith(b"\xff\x0a")  # a bare codestream, ISO/IEC 18181-1
        return
    with Image.open(io.BytesIO(blob)) as image:
        assert (image.format, image.size) == (one.name.split()[0].upper(), (172, 172))
        assert one.name != "JPEG" or image.info["progressive"]


def by_pillow(picture: Pixels, quality: int, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "AVIF", quality=quality, subsampling="4:4:4", max_threads=1, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "speed", "tune"),
    [("AVIF", 6, "iq"), ("AVIF tune=ssim", 6, "ssim"), ("AVIF speed 2 tune=ssim", 2, "ssim")],
)
def test_an_avif_has_the_tune_that_its_settings_name(picture: Pixels, name: str, speed: int, tune: str) -> None:
    assert anchor(name).settings == f"speed {speed}, 4:4:4, tune={tune}"
    assert anchor(name).encode(picture, 60) == by_pillow(picture, 60, speed=speed, advanced={"tune": tune})


def test_pillow_s_own_default_is_a_tune_that_depends_on_its_libavif(picture: Pixels) -> None:
    """The anchors name their tune because Pillow's default went from ssim to iq with libavif 1.4, without a word.

    If this test fails, a new Pillow has brought another default. The anchors have not changed: write the new default
    down here, in anchors.py and in docs/codec.md.
    """
    version = tuple(int(part) for part in str(features.version("avif")).split(".")[:2])
    default = "iq" if version >= (1, 4) else "ssim"
    for quality in anchor(YARDSTICK).qualities[::5]:
        tuned = {tune: by_pillow(picture, quality, speed=6, advanced={"tune": tune}) for tune in ("iq", "ssim")}
        assert tuned["iq"] != tuned["ssim"]
        assert by_pillow(picture, quality, speed=6) == tuned[default]


def test_without_its_library_jpeg_xl_is_left_out_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)  # what Python itself takes for "not installed"
    assert [one.name for one in anchors()] == list(BY_PILLOW)
    (sentence,) = missing_anchors()
    assert "JPEG XL" in sentence
    assert "libjxl" not in libraries()


def test_where_all_libraries_are_there_nothing_is_missing() -> None:
    assert len(missing_anchors()) == len(BY_PILLOW) + 1 - len(anchors())
    assert all(name in libraries() for name in ("Pillow", "libwebp", "libavif", "libaom"))


@pytest.mark.parametrize("name", [one.name for one in anchors() if one.name == "JPEG XL"])
def test_jpeg_xl_takes_fewer_bytes_than_jpeg(measured: Sequence[AnchorResult], name: str) -> None:
    assert rate(measured, name, against="JPEG", metric=Metric.SSIMULACRA2) < -10


def test_the_default_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "latentedge"


def test_the_best_file_within_a_number_of_bytes(picture: Pixels) -> None:
    jpeg = anchor("JPEG")
    sizes = [len(jpeg.encode(picture, quality)) for quality in (59, 60, 61)]
    assert len(file_within(picture, jpeg, sizes[1])) == sizes[1]
    assert len(file_within(picture, jpeg, sizes[2] - 1)) == sizes[1]


def test_where_no_file_is_small_enough_the_smallest_there_is(picture: Pixels) -> None:
    jpeg = anchor("JPEG")
    assert file_within(picture, jpeg, 10) == jpeg.encode(picture, 0)


def test_where_every_avif_is_small_enough_the_best_that_has_a_tune(picture: Pixels) -> None:
    """Quality 100 is lossless, and libaom refuses to tune what has no loss."""
    avif = anchor(YARDSTICK)
    assert file_within(picture, avif, picture.size) == avif.encode(picture, 99)
    with pytest.raises(ValueError, match="codec-specific option"):
        avif.encode(picture, 100)
