"""How the minutes are spent: warm-up, flat, decay, and everything written before the spare part."""

from dataclasses import replace
from itertools import pairwise

import pytest

from models.training.options import Recipe
from models.training.schedule import FLAT, Timetable, average_decay

RECIPE = Recipe()


def of_minutes(minutes: float, *, again: bool = False) -> Timetable:
    return Timetable.of(RECIPE, 60 * minutes, again=again)


@pytest.mark.parametrize(
    ("minutes", "flat_until_s", "crops_until_s", "decay_until_s"),
    [(6, 252, 324, 342), (11, 462, 594, 627)],
)
def test_a_timetable_is_made_of_shares_of_the_minutes(
    minutes: float, flat_until_s: float, crops_until_s: float, decay_until_s: float
) -> None:
    table = of_minutes(minutes)
    assert table.flat_until_s == pytest.approx(flat_until_s)
    assert table.crops_until_s == pytest.approx(crops_until_s)
    assert table.decay_until_s == table.written_by_s == pytest.approx(decay_until_s)
    names = [table.phase(at_s).name for at_s in (0, flat_until_s - 1, flat_until_s + 1, crops_until_s + 1)]
    assert names == ["flat", "flat", "decay", "whole pictures"]
    assert not table.is_over(decay_until_s - 1)
    assert table.is_over(decay_until_s)


def test_the_rate_warms_up_by_steps_stays_and_falls_by_one_minus_the_root() -> None:
    table = of_minutes(10)
    assert table.rate(0, step=0) == 1 / 500
    assert table.rate(0, step=249) == 0.5
    assert table.rate(419, step=5000) == 1
    assert table.rate(420 + 150 / 4, step=5000) == pytest.approx(1 - 0.5)
    rates = [table.rate(spent_s, step=5000) for spent_s in range(601)]
    assert all(later <= earlier for earlier, later in pairwise(rates))
    assert rates[-1] == RECIPE.last_rate


def test_what_goes_on_from_flat_weights_warms_up_for_fewer_steps() -> None:
    assert of_minutes(10, again=True).rate(0, step=199) == 1


def test_the_decay_ends_early_enough_for_a_write() -> None:
    table = of_minutes(10).leaving(4)
    assert table.decay_until_s == table.written_by_s - 4
    assert table.rate(table.decay_until_s, step=5000) == RECIPE.last_rate
    decay_s = table.decay_until_s - table.flat_until_s
    assert table.decay_until_s - table.crops_until_s == pytest.approx(RECIPE.whole_pictures_share * decay_s)


def test_a_write_that_takes_longer_than_the_decay_leaves_none() -> None:
    table = of_minutes(1).leaving(100)
    assert table.is_over(table.flat_until_s)
    assert table.rate(table.flat_until_s, step=5000) <= 1


def test_each_phase_has_its_own_distortion_and_rounding() -> None:
    flat, crops, whole = Timetable.of(replace(RECIPE, perceptual=0.12), 600, again=False).phases
    assert flat == FLAT
    assert (flat.perceptual, flat.rounding_strength, flat.whole_pictures) == (0, 0, False)
    assert (crops.perceptual, crops.rounding_strength, crops.whole_pictures) == (0.12, RECIPE.rounding_strength, False)
    assert (whole.perceptual, whole.rounding_strength, whole.whole_pictures) == (0.12, RECIPE.rounding_strength, True)


def test_the_timetable_is_told_in_minutes_and_seconds() -> None:
    assert "until   7 min 42.0 s: flat" in str(of_minutes(11))
    assert "until  10 min 27.0 s: everything is written by" in str(of_minutes(11))


def test_the_average_is_short_at_first_and_long_later() -> None:
    assert average_decay(0, 0.998) == 0.05
    assert average_decay(10**6, 0.998) == 0.998
