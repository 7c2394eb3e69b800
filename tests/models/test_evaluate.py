"""`evaluate` from a folder of photographs to the last line of its output, with the released codec."""

import contextlib
import io
import json
import re
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import skimage
from PIL import Image
from rich.console import Console

from models.codec import Codec
from models.config import HIGH_PX, QUALITIES, RELEASED
from models.evaluation.anchors import anchors
from models.evaluation.evaluate import EvaluateOptions, Evaluation, default_quality, evaluate
from models.evaluation.figures import Metric, Ours, pair_qualities
from models.evaluation.references import ReferencePictureError
from models.evaluation.tables import print_tables
from service.cli import run as run_command

PHOTOGRAPHS = ("astronaut.png", "coffee.png")
FLAT = "flat.png"
"""A picture of one colour: all its files have the same bytes and scores, so that it has no curve."""
REFINE_STEPS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for name in PHOTOGRAPHS:
        shutil.copy(Path(skimage.__file__).parent / "data" / name, folder)
    Image.new("RGB", (HIGH_PX, HIGH_PX), "white").save(folder / FLAT)
    return folder


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation")


@dataclass(frozen=True)
class Run:
    evaluation: Evaluation
    printed: str
    warned: str
    cache: Path


@pytest.fixture(scope="module")
def run(folder: Path, output: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One evaluation for all tests: its anchor files alone take longer than most tests."""
    cache = tmp_path_factory.mktemp("cache")
    options = EvaluateOptions(
        folder=folder,
        output=output,
        quick=True,
        cache=cache,
        refine_steps=(REFINE_STEPS,),
        refine_pictures=1,
    )
    with contextlib.redirect_stdout(io.StringIO()) as stdout, contextlib.redirect_stderr(io.StringIO()) as stderr:
        evaluation = evaluate(options)
    return Run(evaluation, stdout.getvalue(), stderr.getvalue(), cache)


@pytest.fixture(scope="module")
def evaluation(run: Run) -> Evaluation:
    return run.evaluation


def test_a_flat_picture_is_left_out_with_one_line(run: Run, folder: Path) -> None:
    assert [one.path.name for one in run.evaluation.pictures] == list(PHOTOGRAPHS)
    (line,) = (line for line in run.warned.splitlines() if "left out" in line)
    assert line.startswith(f"{folder / FLAT}: left out: ")


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
        high, *others = (
            [file.size_bytes for file in picture.files(ours, ours.size_px)]
            for ours in (Ours.HIGH, Ours.HIGH_CPU, Ours.MEDIUM, Ours.SHRUNK)
        )
        assert all(one == high for one in others)


def test_both_heads_have_their_rows_and_the_light_one_its_loss(evaluation: Evaluation) -> None:
    for ours in (Ours.HIGH, Ours.HIGH_CPU):
        assert {(one.metric, one.anchor) for one in evaluation.bd_rates if one.ours is ours} == {
            (metric, name) for metric in Metric for name in evaluation.anchor_settings
        }
    for one in evaluation.cpu_head_losses:
        assert one.pictures == len(PHOTOGRAPHS)
        assert one.percent is not None


def test_the_decoders_are_counted_as_they_run(evaluation: Evaluation) -> None:
    high, light, medium = evaluation.decoders
    assert [one.ours for one in evaluation.decoders] == [Ours.HIGH, Ours.HIGH_CPU, Ours.MEDIUM]
    assert high.macs > max(light.macs, medium.macs)
    assert high.parameters > max(light.parameters, medium.parameters)
    for one in evaluation.decoders:
        # A synthesis alone reads some hundreds of channels of 22 x 22 cells into a hundred or so.
        assert one.macs - one.means_macs > 22 * 22 * 256 * 96
        assert one.parameters > 256 * 96
        assert one.kmac_per_px == pytest.approx(one.macs / 1e3 / one.ours.size_px**2)
        assert one.synthesize_ms > 0
    assert min(evaluation.times.encode_ms, evaluation.times.read_ms) > 0


def test_means_and_the_exact_path_cost_the_same_before_every_head(evaluation: Evaluation) -> None:
    (means_macs,) = {one.means_macs for one in evaluation.decoders}
    # The exact path, to an index for each coded symbol, and the means' last maps, to all channels of half the cells.
    exact = (
        22 * 22 * (RELEASED.high.hyper_channels * 96 + 96 * RELEASED.high.coded_channels(evaluation.default_quality))
    )
    means = 22 * 11 * (RELEASED.high.feature_channels + RELEASED.high.context_channels) * RELEASED.high.latent_channels
    assert exact + means < means_macs < 1.6 * (exact + means)


def test_the_search_is_measured_for_both_heads_on_as_many_pictures_as_asked(evaluation: Evaluation) -> None:
    assert [(one.head, one.steps, one.pictures) for one in evaluation.deployed] == [
        (Ours.HIGH, REFINE_STEPS, 1),
        (Ours.HIGH_CPU, REFINE_STEPS, 1),
    ]
    for one in evaluation.deployed:
        assert one.seconds > 0
        assert {rate.ours for rate in one.rates} == {one.head, Ours.MEDIUM}
        assert len(one.rates) == len(one.plain_rates)


def test_the_plots_the_sheets_and_the_figures_are_written(evaluation: Evaluation, output: Path) -> None:
    for name in ("rd.png", "scatter.png", "gains.png"):
        with Image.open(output / name) as plot:
            assert min(plot.size) > 800
    for name in ("sheet.png", "worst.png"):
        with Image.open(output / name) as sheet:
            assert sheet.height > len(PHOTOGRAPHS) * HIGH_PX
    with Image.open(output / "searched.png") as sheet:
        assert sheet.height > HIGH_PX
    written = json.loads((output / "evaluation.json").read_text())
    assert written["default_quality"] == evaluation.default_quality
    assert len(written["pictures"]) == len(PHOTOGRAPHS)
    assert len(written["picture_rates"]) == len(PHOTOGRAPHS) * len(("AVIF", "JPEG"))
    assert [one["steps"] for one in written["deployed"]] == [REFINE_STEPS, REFINE_STEPS]


def test_the_last_line_is_the_main_figures_as_json(run: Run) -> None:
    figures = json.loads(run.printed.splitlines()[-1])
    assert figures["pictures"] == len(PHOTOGRAPHS)
    assert {"bd_344_psnr_avif_tune_ssim", "bd_avif_tune_ssim_psnr_avif", "bd_jpeg_ssimulacra2_avif"} <= figures.keys()
    assert {"bd_344_psnr_jpeg", "pair_ratio_psnr_avif", "translator_gap_db", "default_bytes"} <= figures.keys()
    assert {"cpu_head_loss_percent", "bd_344_cpu_psnr_jpeg"} <= figures.keys()
    assert {"gain_344_cpu_172_psnr_searched_2", "bd_344_344_ssimulacra2_avif_searched_2"} <= figures.keys()
    assert figures["decoder_344_macs"] > figures["decoder_172_macs"] > figures["decoder_344_cpu_macs"]


def test_the_tables_name_every_anchor_and_both_sizes(run: Run) -> None:
    for word in ("JPEG", "WebP", "AVIF", "344", "172", "PSNR", "SSIMULACRA2", "default", *Ours):
        if word not in {Ours.SHRUNK, Ours.ALONE}:  # a column LANCZOS, and a heading of several lines
            assert word in run.printed
    for name, settings in run.evaluation.anchor_settings.items():
        assert re.search(rf"│ {re.escape(name)} +│ {re.escape(settings)} +│", run.printed)
    assert "libaom" in run.printed


def test_the_tables_fit_a_pipe_unfolded(run: Run) -> None:
    tables = run.printed.splitlines()[:-1]
    assert max(len(line) for line in tables) <= 110
    assert "synthesis ms" in run.printed


def test_the_tables_fit_with_the_slow_anchor_and_with_figures_that_leave_pictures_out(run: Run) -> None:
    out = io.StringIO()
    print_tables(with_slow_anchor(run.evaluation), Console(file=out))
    lines = out.getvalue().splitlines()
    assert max(len(line) for line in lines) <= 110
    itself, psnr, ssimulacra2, pair = [line for line in lines if line.startswith("│ AVIF speed 2 tune=ssim ")]
    assert [line.count("-12.3 % (19, 17)") for line in (itself, psnr, ssimulacra2)] == [2, 4, 4]
    assert pair.count("0.12x (19)") == 2 * len(pair_qualities(run.evaluation.default_quality))


def with_slow_anchor(evaluation: Evaluation) -> Evaluation:
    """Return the evaluation with the anchor that `--quick` leaves out, and with cells as wide as they become."""
    (slow,) = (one for one in anchors() if one.is_slow)
    names = (*evaluation.anchor_settings, slow.name)
    bd_rates = [replace(one, percent=-12.3, pictures=19, left_out=5, whole_range=17) for one in evaluation.bd_rates]
    anchor_rates = [
        replace(one, percent=-12.3, pictures=19, left_out=5, whole_range=17) for one in evaluation.anchor_rates
    ]
    ratios = [replace(one, ratio=0.12, pictures=19, left_out=5) for one in evaluation.pair_ratios]
    return replace(
        evaluation,
        anchor_settings={**evaluation.anchor_settings, slow.name: slow.settings},
        anchor_rates=tuple(replace(one, name=name) for one in anchor_rates if one.name == "JPEG" for name in names),
        bd_rates=tuple(replace(one, anchor=name) for one in bd_rates if one.anchor == "JPEG" for name in names),
        pair_ratios=tuple(replace(one, anchor=name) for one in ratios if one.anchor == "JPEG" for name in names),
    )


def test_a_quick_evaluation_leaves_out_the_slow_anchor(evaluation: Evaluation) -> None:
    assert list(evaluation.anchor_settings) == [one.name for one in anchors() if not one.is_slow]
    assert "libaom" in evaluation.anchor_libraries


def test_an_anchor_that_is_not_installed_is_left_out_with_one_line(
    folder: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)  # what Python itself takes for "not installed"
    (tmp_path / "one").mkdir()
    shutil.copy(folder / PHOTOGRAPHS[0], tmp_path / "one")
    options = EvaluateOptions(tmp_path / "one", output=tmp_path, quick=True, cache=run.cache, qualities=(0, 40, 63))
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        evaluation = evaluate(options)
    assert stdout.getvalue().count("JPEG XL") == 1
    assert "JPEG XL is left out" in stdout.getvalue().splitlines()[0]
    assert list(evaluation.anchor_settings) == ["JPEG", "WebP", "AVIF", "AVIF tune=ssim"]


def test_the_default_quality_is_the_lowest_that_scores_seventy(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / PHOTOGRAPHS[0], tmp_path)
    assert 0 < default_quality(Codec.load(), tmp_path) < QUALITIES


def test_an_empty_folder_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ReferencePictureError):
        evaluate(EvaluateOptions(folder=tmp_path, output=tmp_path / "out"))


def test_the_command_takes_its_options_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["evaluate", str(tmp_path), "--quick", "--refine", "3", "--refine-pictures", "1"]) == 2
    assert "no pictures" in capsys.readouterr().err
    assert run_command(["evaluate", str(tmp_path), "--refine", "-1"]) == 2
    assert "--refine" in capsys.readouterr().err
