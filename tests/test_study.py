"""`latentedge study autoencoders` in its quick form, on pictures made by formula: the report, and a second start."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.studies.design import quick_plan
from models.studies.remedies import Way, WayFigures
from models.studies.results import Results
from models.studies.squares import read_squares, scored_squares, trained_squares
from models.studies.study_plots import WAYS
from service.cli import run
from tests.command_line import Shell
from tests.markdown_page import Page

ADD_WAY = Results.add_way
PICTURES = ("kinds", "sweep", "rates", "translators", "reconstructions", "interpolations", "samples", "translated")


def waves(number: int) -> Image.Image:
    """An oblong picture of waves, by formula."""
    rows, columns = np.indices((180, 230))
    phases = np.stack([rows * (number + 1), columns * (number + 2), rows + columns], axis=-1)
    return Image.fromarray((127 + 120 * np.sin(phases / 40)).astype(np.uint8))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("waves")
    for number in range(3):
        waves(number).save(folder / f"{number}.png")
    return folder


def arguments(data: Path, output: Path, *others: str) -> list[str]:
    options = ("--quick", "--minutes", "0.005", "--processes", "1", *others)
    return ["study", "autoencoders", "--data", str(data), "--output", str(output), *options]


@dataclass(frozen=True)
class TwoStarts:
    """A study that was stopped at the end of its last training, and started again: its folder, and what was done."""

    folder: Path
    first_code: int
    after_first: dict[str, int]
    second_code: int


def trainings(folder: Path) -> dict[str, int]:
    """Return when the result of each training was written."""
    return {file.stem: file.stat().st_mtime_ns for file in (folder / "trainings").glob("*.json")}


def stop_at(way: Way) -> Callable[[Results, WayFigures, NDArray[np.uint8]], None]:
    """Return an `add_way` at which a Ctrl-C arrives before the figures of `way` are written."""

    def add(results: Results, figures: WayFigures, shown: NDArray[np.uint8]) -> None:
        if figures.way == way:
            raise KeyboardInterrupt
        ADD_WAY(results, figures, shown)

    return add


@pytest.fixture(scope="module")
def two_starts(data: Path, tmp_path_factory: pytest.TempPathFactory) -> TwoStarts:
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Results, "add_way", stop_at(Way.JOINT))
        first_code = run(arguments(data, folder))
    after_first = trainings(folder)
    return TwoStarts(folder, first_code, after_first, run(arguments(data, folder, "--processes", "2")))


@pytest.fixture(scope="module")
def finished(two_starts: TwoStarts) -> Path:
    assert two_starts.second_code == 0
    return two_starts.folder


def test_the_report_has_every_training_and_its_pictures(finished: Path) -> None:
    plan = quick_plan()
    assert trainings(finished).keys() == {one.name for one in plan.designs()} | {f"way-{way}" for way in Way}
    page = Page(finished / "study.md")
    assert page.rows("way", "parameters").keys() == set(WAYS.values())
    text = page.path.read_text(encoding="utf-8")
    assert "8,875,300 parameters" in text
    assert text.count("too many") == len(plan.refused())
    for name in PICTURES:
        assert f"](study/{name}.png)" in text
        with Image.open(finished / "study" / f"{name}.png") as picture:
            assert min(picture.size) > 100


def test_a_second_start_trains_what_is_missing_and_nothing_else(two_starts: TwoStarts) -> None:
    assert (two_starts.first_code, two_starts.second_code) == (130, 0)
    after = trainings(two_starts.folder)
    assert after.keys() - two_starts.after_first.keys() == {"way-joint"}
    assert {name: after[name] for name in two_starts.after_first} == two_starts.after_first


def test_a_folder_of_another_study_is_refused(data: Path, finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = Shell(capfd)(*arguments(data, finished, "--seed", "1"))
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "another folder" in outcome.err


def test_missing_data_is_told_before_any_work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = Shell(capfd)(*arguments(tmp_path / "no", tmp_path / "out"))
    assert outcome.code == 2
    assert "no such folder or pack file" in outcome.err
    assert not (tmp_path / "out").exists()


def test_scored_pictures_are_not_trained_on(finished: Path) -> None:
    trained, scored = (read(finished / "pictures", [32]).by_side[32] for read in (trained_squares, scored_squares))
    assert (len(trained), len(scored)) == (4, 1)  # two squares of each of two files, and one of the file kept aside
    assert not any(np.array_equal(one, scored[0]) for one in trained)


def test_an_oblong_photograph_gives_both_of_its_ends(tmp_path: Path) -> None:
    pixels = np.zeros((40, 100, 3), dtype=np.uint8)
    pixels[:, 60:] = 255
    Image.fromarray(pixels).save(tmp_path / "halves.png")
    left, right = read_squares(tmp_path / "halves.png", sides_px=(40, 20))
    assert [one.mean() > 250 for one in (*left, *right)] == [False, False, True, True]
    assert left[0].max() == 0
    assert [one.shape[0] for one in left] == [40, 20]


def test_a_result_names_its_steps_and_seconds(finished: Path) -> None:
    found = json.loads((finished / "trainings" / "convolutional-32-16.json").read_text())
    assert found["steps"] >= 1
    assert found["seconds"] > 0
    assert 0 < found["psnr_db"] < 60
