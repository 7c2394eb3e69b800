"""Training the upscaler in miniature: its pairs, both stages, and a file that the codec of demoted pictures loads."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from models import upscaler
from models.config import HIGH_PX, MEDIUM_PX
from models.training.demoted_pairs import DemotedPairs
from models.training.discriminator import Adversary
from models.training.options import Recipe, TrainOptions
from models.training.schedule import FLAT
from models.training.train import train
from models.training.training_log import LOG, lines_of
from models.upscaler import lanczos_double, lanczos_taps
from tests.models.counted_clock import CountedClock
from tests.models.pictures import photograph

RECIPE = Recipe(batch=2, crop_px=64, warm_up_steps=1, fixed_batches=1, perceptual=0.2)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> TrainOptions:
    folder = tmp_path_factory.mktemp("photographs")
    for name in ("astronaut", "coffee"):
        Image.fromarray(photograph(name, 400)).save(folder / f"{name}.png")
    valid = tmp_path_factory.mktemp("valid")
    Image.fromarray(photograph("rocket", HIGH_PX)).save(valid / "rocket.png")
    output = tmp_path_factory.mktemp("runs") / "one"
    return TrainOptions([folder], 0.5, output, valid=valid, stage="upscaler", threads=1, recipe=RECIPE)


@pytest.fixture(scope="module")
def trained(options: TrainOptions) -> Path:
    for stage in ("upscaler", "adversarial"):
        train(replace(options, stage=stage), clock=CountedClock())
    return options.output


def test_each_stage_ends_in_a_file_that_names_the_released_medium_autoencoder(trained: Path) -> None:
    found = [upscaler.load(trained / f"{stage}.safetensors") for stage in ("upscaler", "adversarial")]
    assert [one.notes.stream_id for one in found] == 2 * [upscaler.load().notes.stream_id]
    assert found[0].weights_id != found[1].weights_id
    assert "2 photographs" in found[0].notes.trained


def test_the_log_tells_the_gain_over_lanczos(trained: Path) -> None:
    for stage in ("upscaler", "adversarial"):
        first, last = (lines_of(trained / stage / LOG)[place] for place in (0, -1))
        assert last["step"] > first["step"] == 0
        assert {"gain_psnr_db", "gain_ssimulacra2"} <= last.keys()
        assert (trained / stage / "curve.png").exists()
    assert lines_of(trained / "upscaler" / LOG)[0]["gain_psnr_db"] == 0


def test_a_pair_shows_one_place_in_one_orientation(trained: Path) -> None:
    pairs = DemotedPairs.of(trained / "pairs.safetensors", TrainOptions([], 0), ())  # type: ignore[arg-type]  # nothing is made
    assert pairs.truths.shape == (2, 3, HIGH_PX, HIGH_PX)
    assert pairs.mediums.shape[2:] == (3, MEDIUM_PX, MEDIUM_PX)
    batch = pairs.batch(replace(RECIPE, batch=16), FLAT, torch.Generator().manual_seed(1))
    apart = (lanczos_double(batch.medium, lanczos_taps()) - batch.truth).abs().mean((1, 2, 3))
    turned = (lanczos_double(batch.medium.flip(3), lanczos_taps()) - batch.truth).abs().mean((1, 2, 3))
    assert bool((apart < turned).all())
    assert set(batch.quality.tolist()) <= set(pairs.qualities.flatten().tolist())


def test_an_adversary_learns_to_tell_a_blurred_picture() -> None:
    torch.manual_seed(0)
    truth = torch.rand(4, 3, 64, 64)
    lanczos = torch.nn.functional.avg_pool2d(truth, 5, stride=1, padding=2)
    adversary = Adversary(rate=2e-3, betas=(0.9, 0.98), device="cpu")
    before = adversary.learn(lanczos, truth, lanczos)
    for _ in range(12):
        after = adversary.learn(lanczos, truth, lanczos)
    assert after < before - 0.3
    assert adversary.error(lanczos, lanczos) > adversary.error(truth, lanczos)
