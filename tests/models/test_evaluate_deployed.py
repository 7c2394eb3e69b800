"""What a search gains, from streams whose answers are known beforehand; and searches that go on where they stopped."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import skimage

from models.evaluation.deployed import DeployedHead, compare_searched, searched_qualities
from models.evaluation.figures import Contender, Metric, Ours, PictureScores
from models.evaluation.searched import SearchedPicture, SearchJob, search_streams
from models.evaluation.streams import StreamScores, contenders
from models.scores import ScoredFile
from tests.models.scored_files import QUALITIES, files

SEARCHED = QUALITIES[2:6]  # 14, 21, 28, 35
DEFAULT = QUALITIES[4]


def every_way(file: ScoredFile) -> StreamScores:
    return StreamScores(high=file, high_cpu=file, medium=file, shrunk=file)


def plain(name: str) -> PictureScores:
    of_ours = contenders([every_way(file) for file in files(first_bytes=10_000)])
    alone = Contender(Ours.ALONE, 172, files(first_bytes=10_000))
    jpeg = (Contender("JPEG", size_px, files(first_bytes=20_000)) for size_px in (344, 172))
    return PictureScores(Path(name), (*of_ours, alone, *jpeg))


def searched(name: str, *, share: float, seconds: float, head: Ours = Ours.HIGH) -> SearchedPicture:
    """The same scores for a share of the bytes, at four of the qualities."""
    chosen = [one for one in files(first_bytes=10_000) if one.quality in SEARCHED]
    smaller = [replace(one, size_bytes=round(one.size_bytes * share)) for one in chosen]
    streams, blobs = tuple(every_way(one) for one in smaller), tuple(bytes([one.quality]) for one in smaller)
    return SearchedPicture(Path(name), head, 30, streams, blobs, (seconds,) * len(SEARCHED))


def compared(streams: list[SearchedPicture]) -> DeployedHead:
    pictures = [plain("a"), plain("b"), plain("not searched")]
    return compare_searched(streams, pictures, ["JPEG"], default=DEFAULT)


@pytest.mark.parametrize("head", [Ours.HIGH, Ours.HIGH_CPU])
def test_the_gain_is_the_bytes_saved_at_equal_score_and_per_second(head: Ours) -> None:
    found = compared([searched(name, share=0.9, seconds=s, head=head) for name, s in (("a", 1.0), ("b", 3.0))])
    assert (found.head, found.steps, found.pictures, found.seconds) == (head, 30, 2, 2.0)
    assert found.qualities == SEARCHED
    assert {one.ours for one in found.gains} == {head, Ours.MEDIUM}
    for gain in found.gains:
        assert gain.percent == pytest.approx(-10, abs=0.02)
        assert gain.percent_per_second == pytest.approx(-5, abs=0.01)


def test_rates_and_pairs_with_and_without_the_search_are_of_the_same_pictures() -> None:
    found = compared([searched("a", share=0.9, seconds=1)])
    for before, after in zip(found.plain_rates, found.rates, strict=True):
        assert (before.ours, before.metric, before.anchor) == (after.ours, after.metric, after.anchor)
        assert (before.pictures, after.pictures) == (1, 1)
        assert before.percent == pytest.approx(-50, abs=0.1)
        assert after.percent == pytest.approx(-55, abs=0.1)
    for plain_pair, pair in zip(found.plain_pairs, found.pairs, strict=True):
        assert plain_pair.quality == pair.quality == DEFAULT
        assert plain_pair.ratio == pytest.approx(0.25, abs=0.001)  # one latent for two files of twice its bytes
        assert pair.ratio == pytest.approx(0.225, abs=0.001)


def test_curves_without_a_common_range_have_no_gain() -> None:
    apart = searched("a", share=0.9, seconds=1)
    beyond = tuple(every_way(replace(one.high, psnr_db=one.high.psnr_db + 40)) for one in apart.streams)
    found = compared([replace(apart, streams=beyond)])
    assert {one.percent is None for one in found.gains if one.metric is Metric.PSNR} == {True}
    assert {one.percent is None for one in found.gains if one.metric is Metric.SSIMULACRA2} == {False}


@pytest.mark.parametrize(("default", "chosen"), [(32, (12, 22, 32, 46)), (3, (0, 3, 17)), (63, (43, 53, 63))])
def test_searched_qualities_stay_within_the_model(default: int, chosen: tuple[int, ...]) -> None:
    assert searched_qualities(default) == chosen


def test_a_search_that_was_interrupted_goes_on_with_what_it_has(tmp_path: Path) -> None:
    picture = tmp_path / "coffee.png"
    shutil.copy(Path(skimage.__file__).parent / "data" / "coffee.png", picture)
    job = SearchJob(
        path=picture,
        head=Ours.HIGH_CPU,
        qualities=(20, 30),
        steps=2,
        weights=None,
        device="cpu",
        folder=tmp_path / "searched",
    )
    (first,) = search_streams([job])
    streams = sorted((tmp_path / "searched").glob("*.le"))
    assert len(streams) == 2
    streams[0].with_suffix(".json").unlink()  # as if the machine had stopped between two files
    kept = streams[1].with_suffix(".json")
    kept.write_text(kept.read_text().replace("}", ', "kept": true}'))
    (again,) = search_streams([job])
    assert [one.high.quality for one in again.streams] == [20, 30]
    assert again.bitstream_at(30) == first.bitstream_at(30) == streams[1].read_bytes()
    assert again.seconds[1] == first.seconds[1]
    assert "kept" in kept.read_text()
    assert streams[0].with_suffix(".json").exists()
