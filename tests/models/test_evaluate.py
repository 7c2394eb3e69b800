"""`evaluate` from a folder of photographs to the last line of its output, with the released codec."""

import contextlib
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import skimage
from PIL import Image

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX, QUALITIES
from models.training.evaluate import EvaluateOptions, Evaluation, default_quality, evaluate
from models.training.figures import Ours
from models.training.references import ReferencePictureError

PHOTOGRAPHS = ("astronaut.png", "coffee.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for name in PHOTOGRAPHS:
        shutil.copy(Path(skimage.__file__).parent / "data" / name, folder)
    return folder


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation")


@dataclass(frozen=True)
class Run:
    evaluation: Evaluation
    printed: str


@pytest.fixture(scope="module")
def run(folder: Path, output: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One evaluation for all tests: its anchor files alone take ten seconds."""
    options = EvaluateOptions(folder=folder, output=output, quick=True, cache=tmp_path_factory.mktemp("cache"))
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        evaluation = evaluate(options)
    return Run(evaluation, stdout.getvalue())


@pytest.fixture(scope="module")
def evaluation(run: Run) -> Evaluation:
    return run.evaluation


def test_our_curves_rise_and_have_eight_points_or_more(evaluation: Evaluation) -> None:
    for ours in Ours:
        points = [one for one in evaluation.mean_points if one.name == ours]
        assert len(points) >= 8
        assert points == sorted(points, key=lambda one: one.size_bytes)
        assert points[0].psnr_db < points[-1].psnr_db
        assert points[0].ssimulacra2 < points[-1].ssimulacra2


def test_our_codec_beats_jpeg_at_equal_bytes(evaluation: Evaluation) -> None:
    (against_jpeg,) = (
        one.percent for one in evaluation.bd_rates if (one.ours, one.metric, one.anchor) == (Ours.HIGH, "psnr", "JPEG")
    )
    assert against_jpeg is not None
    assert against_jpeg < 0


def test_every_rendition_of_a_stream_has_the_bytes_of_that_stream(evaluation: Evaluation) -> None:
    for picture in evaluation.pictures:
        sizes = {
            ours: [file.size_bytes for file in picture.files(ours, ours.size_px)]
            for ours in (Ours.HIGH, Ours.MEDIUM, Ours.SHRUNK)
        }
        assert sizes[Ours.HIGH] == sizes[Ours.MEDIUM] == sizes[Ours.SHRUNK]


def test_the_decoders_are_counted_as_they_run(evaluation: Evaluation) -> None:
    high, medium = evaluation.decoders
    assert (high.size_px, medium.size_px) == (HIGH_PX, MEDIUM_PX)
    for one in evaluation.decoders:
        # A synthesis alone maps 22 x 22 cells of some hundreds of channels to pixels.
        assert one.macs > 22 * 22 * 192 * 192
        assert one.parameters > 192 * 192
    assert min(evaluation.times.encode_ms, evaluation.times.read_ms, evaluation.times.synthesize_high_ms) > 0


def test_the_plot_the_sheet_and_the_figures_are_written(evaluation: Evaluation, output: Path) -> None:
    with Image.open(output / "rd.png") as plot, Image.open(output / "sheet.png") as sheet:
        assert min(plot.size) > 1000
        assert sheet.height > 2 * HIGH_PX
    written = json.loads((output / "evaluation.json").read_text())
    assert written["default_quality"] == evaluation.default_quality
    assert len(written["pictures"]) == len(PHOTOGRAPHS)


def test_the_last_line_is_the_main_figures_as_json(run: Run) -> None:
    figures = json.loads(run.printed.splitlines()[-1])
    assert figures["pictures"] == len(PHOTOGRAPHS)
    assert {"bd_344_psnr_jpeg", "pair_ratio_psnr_avif", "translator_gap_db", "default_bytes"} <= figures.keys()


def test_the_tables_name_every_anchor_and_both_sizes(run: Run) -> None:
    for word in ("JPEG", "WebP", "AVIF", "344", "172", "PSNR", "SSIMULACRA2", "default"):
        assert word in run.printed


def test_the_default_quality_is_the_lowest_that_scores_seventy(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / PHOTOGRAPHS[0], tmp_path)
    assert 0 < default_quality(Codec.load(), tmp_path) < QUALITIES


def test_an_empty_folder_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ReferencePictureError):
        evaluate(EvaluateOptions(folder=tmp_path, output=tmp_path / "out"))
