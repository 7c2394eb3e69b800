"""The published figures, from scored files whose answers are known beforehand."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from models.evaluation.anchor_rates import anchor_rates
from models.evaluation.figures import (
    Contender,
    Metric,
    Ours,
    PictureScores,
    bd_rates,
    cpu_head_losses,
    mean_points,
    pair_qualities,
    pair_ratios,
    translator_gaps,
)
from tests.models.scored_files import QUALITIES, files


def picture(contenders: Iterable[Contender]) -> PictureScores:
    return PictureScores(path=Path("one.png"), contenders=tuple(contenders))


def typical(*, anchor_bytes: float = 20_000) -> PictureScores:
    """Ours takes 10,000 B where the anchor's file of 344 takes 20,000 and that of 172 takes 5,000."""
    return picture(
        [
            Contender(Ours.HIGH, 344, files(first_bytes=10_000)),
            Contender(Ours.HIGH_CPU, 344, files(first_bytes=10_000 * 1.25)),
            Contender(Ours.MEDIUM, 172, files(first_bytes=10_000)),
            Contender(Ours.SHRUNK, 172, files(first_bytes=10_000, db_more=0.25)),
            Contender(Ours.ALONE, 172, files(first_bytes=2_500)),
            Contender("JPEG", 344, files(first_bytes=anchor_bytes)),
            Contender("JPEG", 172, files(first_bytes=5_000)),
        ]
    )


def test_bd_rates_of_each_codec_and_score() -> None:
    found = {(one.ours, one.metric): one.percent for one in bd_rates([typical()] * 3, ["JPEG"])}
    for metric in Metric:
        assert found[Ours.HIGH, metric] == pytest.approx(-50, abs=0.01)
        assert found[Ours.HIGH_CPU, metric] == pytest.approx(-37.5, abs=0.01)
        assert found[Ours.MEDIUM, metric] == pytest.approx(100, abs=0.01)
        assert found[Ours.ALONE, metric] == pytest.approx(-50, abs=0.01)


def test_bd_rate_is_the_median_over_pictures() -> None:
    pictures = [typical(anchor_bytes=size_bytes) for size_bytes in (10_000, 20_000, 1_000_000)]
    (high,) = (one for one in bd_rates(pictures, ["JPEG"]) if (one.ours, one.metric) == (Ours.HIGH, Metric.PSNR))
    assert high.percent == pytest.approx(-50, abs=0.01)
    assert (high.pictures, high.left_out, high.whole_range) == (3, 0, 3)


def test_what_the_light_head_loses_is_its_bytes_over_those_of_the_other() -> None:
    for one in cpu_head_losses([typical(), typical()]):
        assert (one.ours, one.anchor) == (Ours.HIGH_CPU, Ours.HIGH)
        assert one.percent == pytest.approx(25, abs=0.02)
        assert (one.pictures, one.left_out) == (2, 0)


def test_anchors_are_measured_against_each_other_at_344() -> None:
    picture_of_two = picture([*typical().contenders, Contender("AVIF", 344, files(first_bytes=16_000))])
    rates = anchor_rates([picture_of_two] * 2, ["JPEG", "AVIF"], against="AVIF")
    assert [(one.name, one.metric) for one in rates] == [(name, one) for name in ("JPEG", "AVIF") for one in Metric]
    assert [one.percent for one in rates] == pytest.approx([25, 25, 0, 0], abs=0.02)
    assert {(one.pictures, one.left_out, one.whole_range) for one in rates} == {(2, 0, 2)}


def test_anchors_whose_curves_share_too_little_have_no_figure() -> None:
    apart = picture([*typical().contenders, Contender("AVIF", 344, files(first_bytes=16_000, db_more=30))])
    psnr = next(one for one in anchor_rates([apart], ["JPEG"], against="AVIF") if one.metric is Metric.PSNR)
    assert (psnr.percent, psnr.pictures, psnr.left_out) == (None, 0, 1)


def test_a_figure_without_overlap_is_absent_and_counted() -> None:
    apart = picture(
        [
            *typical().contenders[:5],
            Contender("JPEG", 344, files(first_bytes=20_000, db_more=30)),
            Contender("JPEG", 172, files(first_bytes=5_000)),
        ]
    )
    (high,) = (one for one in bd_rates([apart] * 2, ["JPEG"]) if (one.ours, one.metric) == (Ours.HIGH, Metric.PSNR))
    assert (high.percent, high.pictures, high.left_out) == (None, 0, 2)
    (ratio,) = (one for one in pair_ratios([apart], ["JPEG"], [21]) if one.metric is Metric.PSNR)
    assert (ratio.ratio, ratio.pictures, ratio.left_out) == (None, 0, 1)


def test_one_stream_over_the_two_files_of_its_scores() -> None:
    for ratio in pair_ratios([typical(), typical()], ["JPEG"], [0, 21, 63]):
        assert ratio.ratio == pytest.approx(10 / (20 + 5), rel=1e-3)
        assert (ratio.pictures, ratio.left_out) == (2, 0)


def test_pair_ratios_are_a_geometric_mean() -> None:
    pictures = [typical(anchor_bytes=size_bytes) for size_bytes in (15_000, 75_000)]  # 1/2 and 1/8
    for ratio in pair_ratios(pictures, ["JPEG"], [21]):
        assert ratio.ratio == pytest.approx(1 / 4, rel=1e-3)


@pytest.mark.parametrize(
    ("default", "qualities"),
    [(40, (28, 40, 52)), (5, (0, 5, 17)), (63, (51, 63)), (0, (0, 12))],
)
def test_pair_ratios_are_taken_at_the_default_quality_and_at_two_others(
    default: int, qualities: tuple[int, ...]
) -> None:
    assert pair_qualities(default) == qualities


def test_the_gap_is_what_the_translator_falls_short() -> None:
    gaps = translator_gaps([typical(), typical()], QUALITIES)
    assert [one.quality for one in gaps] == list(QUALITIES)
    assert [one.psnr_db for one in gaps] == pytest.approx([0.25] * len(QUALITIES))
    assert [one.ssimulacra2 for one in gaps] == pytest.approx([0] * len(QUALITIES))


def test_mean_points_are_means_over_pictures_at_each_quality() -> None:
    pictures = [typical(anchor_bytes=size_bytes) for size_bytes in (10_000, 30_000)]
    jpeg = [one for one in mean_points(pictures) if (one.name, one.size_px) == ("JPEG", 344)]
    assert [one.quality for one in jpeg] == list(QUALITIES)
    assert jpeg[0].size_bytes == pytest.approx(20_000)
    assert jpeg[0].bits_per_px == pytest.approx(20_000 * 8 / 344**2)
    assert jpeg[0].psnr_db == pytest.approx(27)
