"""Each picture by itself: who fares worst, where it shows, and the plots that tell."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.evaluation.figures import Contender, Ours, PictureScores
from models.evaluation.page import Cell, Row, draw_page
from models.evaluation.per_picture import PictureRate, picture_rates, rank, worst
from models.evaluation.scatter import plot_scatter
from models.evaluation.worst import WINDOW_PX, find_lost_window
from tests.models.pictures import flat, photograph
from tests.models.scored_files import files


def scores(name: str, *, our_bytes: float, db_more: float = 0.0) -> PictureScores:
    """A picture of which AVIF takes 10,000 B where ours takes `our_bytes`."""
    return PictureScores(
        path=Path(name).with_suffix(".png"),
        contenders=(
            Contender(Ours.HIGH, 344, files(first_bytes=our_bytes, db_more=db_more)),
            Contender("AVIF", 344, files(first_bytes=10_000)),
        ),
    )


def rate(name: str, psnr: float | None, ssimulacra2: float | None, *, anchor: str = "AVIF") -> PictureRate:
    return PictureRate(Path(name), anchor, psnr_percent=psnr, ssimulacra2_percent=ssimulacra2)


def test_each_picture_has_its_own_rate_by_either_score() -> None:
    better, worse = picture_rates([scores("a", our_bytes=5_000), scores("b", our_bytes=12_000)], "AVIF")
    assert (better.psnr_percent, better.ssimulacra2_percent) == pytest.approx((-50, -50), abs=0.01)
    assert (worse.psnr_percent, worse.ssimulacra2_percent) == pytest.approx((20, 20), abs=0.01)
    assert better.path.stem == "a"


def test_a_picture_whose_curves_share_too_little_has_no_rate_by_that_score() -> None:
    (apart,) = picture_rates([scores("far", our_bytes=10_000, db_more=30)], "AVIF")
    assert apart.psnr_percent is None
    assert apart.ssimulacra2_percent == pytest.approx(0, abs=0.01)
    assert apart.ratio is None


def test_both_scores_weigh_alike_in_who_fares_worst() -> None:
    unlike, even = rate("unlike", -50, 100), rate("even", 5, 5)
    assert unlike.ratio == pytest.approx(1)
    assert [one.path.stem for one in rank([even, unlike])] == ["unlike", "even"]


def test_the_worst_come_first_and_those_without_a_figure_not_at_all() -> None:
    rates = [rate("good", -20, -10), rate("none", 90, None), rate("bad", 40, 60), rate("middling", 0, 10)]
    assert [one.path.stem for one in worst(rates, 2)] == ["bad", "middling"]
    assert [one.path.stem for one in worst(rates, 9)] == ["bad", "middling", "good"]
    assert rank(rates)[-1].path.stem == "none"


def test_the_scatter_has_a_panel_for_each_anchor_and_room_for_pictures_without_a_place(tmp_path: Path) -> None:
    rates = [rate(f"{number}", 3.0 * number, 40 - 5.0 * number) for number in range(9)]
    rates += [replace(one, anchor="JPEG", psnr_percent=None) for one in rates]
    plot_scatter(rates, tmp_path / "scatter.png")
    with Image.open(tmp_path / "scatter.png") as plot:
        assert plot.width > 1.5 * plot.height


@pytest.mark.parametrize(("left_px", "top_px"), [(0, 0), (57, 100), (258, 258)])
def test_the_enlarged_window_is_where_we_lose_most(left_px: int, top_px: int) -> None:
    original, ours, theirs = flat(100), flat(100), flat(101)
    ours[top_px : top_px + WINDOW_PX, left_px : left_px + WINDOW_PX] += 20
    window = find_lost_window(original, ours, theirs)
    assert (window.left_px, window.top_px) == (left_px, top_px)
    assert np.array_equal(window.enlarge(ours), flat(120))


def test_a_page_is_as_wide_as_its_widest_row_and_shows_pictures_pixel_by_pixel() -> None:
    high, medium = photograph(), photograph(size_px=172)
    rows = [Row("one", (Cell(high, "a", ""), Cell(high, "b", ""))), Row("two", (Cell(medium, "c", ""),))]
    page = np.asarray(draw_page(rows, "title"))
    wider = np.asarray(draw_page(rows[:1], "a title " * 40))
    assert page.shape[1] < wider.shape[1]
    assert page.shape[0] > 344 + 172
    top, left = next(
        (top, 24) for top in range(len(page) - 344) if np.array_equal(page[top : top + 344, 24 : 24 + 344], high)
    )
    assert np.array_equal(page[top : top + 344, left + 344 + 12 : left + 2 * 344 + 12], high)
