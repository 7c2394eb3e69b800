"""What refinement gains, from streams whose answers are known beforehand."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.scores import ScoredFile
from models.training.figures import Contender, Ours, PictureScores
from models.training.refined import RefinedStreams, refinement
from models.training.streams import StreamScores, contenders
from tests.models.scored_files import QUALITIES, files

REFINED = QUALITIES[2:5]  # 14, 21, 28


def every_way(file: ScoredFile) -> StreamScores:
    return StreamScores(high=file, high_cpu=file, medium=file, shrunk=file)


def plain(name: str) -> PictureScores:
    of_ours = contenders([every_way(file) for file in files(first_bytes=10_000)])
    return PictureScores(Path(name), (*of_ours, Contender("JPEG", 344, files(first_bytes=20_000))))


def refined(name: str, *, share: float, seconds: float) -> RefinedStreams:
    """The same scores for a share of the bytes, at three of the qualities."""
    chosen = [one for one in files(first_bytes=10_000) if one.quality in REFINED]
    smaller = [replace(one, size_bytes=round(one.size_bytes * share)) for one in chosen]
    return RefinedStreams(Path(name), tuple(every_way(one) for one in smaller), seconds=(seconds,) * len(REFINED))


def test_the_gain_is_the_bytes_saved_at_equal_score_and_per_second() -> None:
    pictures = [plain("a"), plain("b"), plain("not refined")]
    streams = [refined(name, share=0.9, seconds=seconds) for name, seconds in (("a", 1.0), ("b", 3.0))]
    found = refinement(pictures, streams, 30)
    assert (found.steps, found.pictures, found.seconds) == (30, 2, 2.0)
    assert {one.ours for one in found.gains} == {Ours.HIGH, Ours.HIGH_CPU, Ours.MEDIUM}
    for gain in found.gains:
        assert gain.percent == pytest.approx(-10, abs=0.02)
        assert gain.percent_per_second == pytest.approx(-5, abs=0.01)


def test_means_are_of_the_refined_pictures_and_qualities_alone() -> None:
    found = refinement([plain("a"), plain("not refined")], [refined("a", share=0.5, seconds=1)], 30)
    for before, after in zip(found.plain, found.refined, strict=True):
        assert (before.name, before.quality) == (after.name, after.quality)
        assert after.size_bytes == pytest.approx(before.size_bytes / 2, abs=1)
        assert after.psnr_db == before.psnr_db
    assert {one.quality for one in found.plain} == set(REFINED)


def test_curves_without_a_common_range_have_no_gain() -> None:
    apart = [every_way(replace(one, psnr_db=one.psnr_db + 40)) for one in files(first_bytes=9_000)]
    found = refinement([plain("a")], [RefinedStreams(Path("a"), tuple(apart), seconds=(1.0,) * len(apart))], 30)
    assert {one.percent is None for one in found.gains if one.metric == "psnr"} == {True}
    assert {one.percent is None for one in found.gains if one.metric == "ssimulacra2"} == {False}
