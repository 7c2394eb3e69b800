"""Training: the closed forms, and a run in miniature that ends in weights that work."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from models.autoencoder import HighAutoencoder, MediumAutoencoder, pad_to_cells
from models.checkpoint import RELEASED as RELEASED_FILE
from models.checkpoint import load
from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX, RELEASED
from models.evaluation.references import ReferencePictureError
from models.hyperprior import Quantised
from models.scores import psnr_db
from models.training.dataset import PhotographSet
from models.training.linear_start import klt_statistics
from models.training.neighbour_fit import neighbour_fit
from models.training.options import Recipe, TrainOptions
from models.training.picture_file import read_photograph, training_files
from models.training.train import train
from models.training.training_log import LOG, lines_of
from models.training.warm_start import StageMissingError, warm_start
from models.weights_file import CheckpointError
from tests.models.counted_clock import CountedClock
from tests.models.pictures import photograph
from tests.models.tiny import TINY

NAMES = ("astronaut", "coffee", "rocket")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for name in NAMES:
        Image.fromarray(photograph(name, 400)).save(folder / f"{name}.png")
    return folder


def test_the_basis_of_blocks_is_orthonormal_and_in_order_of_variance() -> None:
    pairs = torch.randn(500, 2, 12, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 13)
    found = klt_statistics(pairs, 8)
    assert torch.allclose(found.basis @ found.basis.T, torch.eye(8), atol=1e-4)
    assert all(high >= low for high, low in pairwise(found.deviation.tolist()))
    assert float(found.deviation[0]) == pytest.approx(12, rel=0.15)


def test_a_linear_map_with_few_shared_features_is_found_again() -> None:
    draw = torch.Generator().manual_seed(1)
    around = torch.randn(4000, 5 * 6, generator=draw)
    features = torch.randn(6, 2, generator=draw)
    centre = torch.randn(6, 3, generator=draw)
    across = torch.randn(4, 2, 3, generator=draw)
    cell, *neighbours = torch.split(around, 6, dim=1)
    target = cell @ centre + sum(one @ features @ share for one, share in zip(neighbours, across, strict=True)) + 0.5
    fit = neighbour_fit(around, target, edges=2)
    assert fit.r2 > 0.999
    assert torch.allclose(fit.centre, centre.T, atol=0.01)
    assert torch.allclose(fit.bias, torch.full((3,), 0.5), atol=0.01)
    assert neighbour_fit(around, target, edges=1).r2 < 0.99


def test_a_photograph_is_kept_at_even_sides_with_its_exact_half(photographs: Path) -> None:
    found = read_photograph(photographs / "astronaut.png", short_side_px=HIGH_PX)
    assert tuple(found.pixels.shape) == (3, 344, 344)
    whole = Image.fromarray(found.pixels.permute(1, 2, 0).numpy())
    half = whole.resize((172, 172), Image.Resampling.LANCZOS)
    assert Image.fromarray(found.half.permute(1, 2, 0).numpy()).tobytes() == half.tobytes()


def test_crops_and_their_halves_show_the_same_places_the_same_way_round(photographs: Path) -> None:
    drawn = PhotographSet([photographs]).crops(16, size_px=256, generator=torch.Generator().manual_seed(3))
    assert drawn.pixels.shape == (16, 3, 256, 256)
    assert drawn.half.shape == (16, 3, 128, 128)
    apart = (nn.functional.avg_pool2d(drawn.pixels, 2) - drawn.half).abs().mean((1, 2, 3))
    assert float(apart.max()) < 0.02  # a picture that is mirrored, or two pixels away, is 0.04 and more
    for wrong in (drawn.half.flip(3), drawn.half.flip(2), drawn.half.roll(2, 2)):
        assert float((nn.functional.avg_pool2d(drawn.pixels, 2) - wrong).abs().mean()) > 2 * float(apart.mean())


def test_a_batch_sees_all_of_the_range_of_qualities(photographs: Path) -> None:
    quality = PhotographSet([photographs], limit=1).qualities(16, torch.Generator().manual_seed(1))
    assert [int(one) // 4 for one in quality] == list(range(16))


def test_a_file_that_is_no_picture_is_left_out(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<html>")
    assert PhotographSet([photographs, tmp_path]).files == len(NAMES)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith(f"{bad}: left out: "))
    assert "cannot read" in line
    with pytest.raises(ReferencePictureError, match="none of the files"):
        PhotographSet([tmp_path])


def test_of_div2k_only_the_training_pictures_are_read(tmp_path: Path) -> None:
    for folder in ("DIV2K_train_HR", "DIV2K_valid_HR"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "0001.png")
    assert training_files(tmp_path) == (tmp_path / "DIV2K_train_HR" / "0001.png",)
    (tmp_path / "DIV2K_train_HR" / "0001.png").unlink()
    with pytest.raises(ReferencePictureError):
        training_files(tmp_path)


def test_a_run_in_miniature_makes_weights_and_goes_on_from_its_flat_ones(photographs: Path, tmp_path: Path) -> None:
    recipe = Recipe(batch=2, crop_px=128, fixed_batches=1, warm_up_steps=5)
    options = TrainOptions(
        data=[photographs], valid=None, minutes=1, output=tmp_path, threads=1, recipe=recipe, architecture=TINY
    )
    train(options, clock=CountedClock())
    codec = Codec.load(tmp_path / "latentedge.safetensors")
    truth = photograph("coffee")
    symbols = [codec.read(codec.encode(truth, quality=40))]
    assert psnr_db(truth, codec.synthesize(symbols, size_px=HIGH_PX)[0]) > 28
    medium = codec.synthesize(symbols, size_px=MEDIUM_PX)[0]
    assert psnr_db(photograph("coffee", MEDIUM_PX), medium) > 28

    first = lines_of(tmp_path / "high" / LOG)
    train(replace(options, stage="high"), clock=CountedClock())
    second = lines_of(tmp_path / "high" / LOG)[len(first) :]
    assert {line["run"] for line in second} == {2}
    # the second run goes on where the flat part of the first ended, not where its decay did
    flat_end = max(line["step"] for line in first if line["phase"] == "flat")
    assert first[-1]["step"] > flat_end
    assert second[0]["step"] > flat_end

    train(replace(options, stage="heads", valid=photographs, note=True), clock=CountedClock())
    last = lines_of(tmp_path / "heads" / LOG)[-1]
    assert last["gap_db"] < last["gap_note_db"]
    assert (tmp_path / "heads" / "gap.png").exists()


def test_training_goes_on_from_released_weights() -> None:
    networks = HighAutoencoder(RELEASED)
    warm_start(networks, RELEASED_FILE)
    released = load().high.networks
    x = torch.from_numpy(photograph("coffee").copy()).permute(2, 0, 1)[None].float() / 255
    found, expected = (coded(one, x) for one in (networks, released))
    assert torch.equal(found.z_hat, expected.z_hat)
    # the quality bias went through its knots and back: it may differ by a rounding, an index by one
    assert float((found.index - expected.index).abs().max()) <= 1
    assert float((found.q != expected.q).float().mean()) < 0.01


def test_a_deeper_network_starts_as_the_shallower_one_of_the_file(tmp_path: Path) -> None:
    last_block = f"high.analysis.deep.{RELEASED.high.encoder.deep_blocks - 1}."
    tensors = {name: tensor for name, tensor in load_file(RELEASED_FILE).items() if not name.startswith(last_block)}
    save_file(tensors, tmp_path / "shallower.safetensors")
    deeper, shallower = HighAutoencoder(RELEASED), HighAutoencoder(RELEASED)
    warm_start(deeper, tmp_path / "shallower.safetensors")
    warm_start(shallower, RELEASED_FILE)
    shallower.analysis.deep = nn.Sequential(*list(shallower.analysis.deep)[:-1])
    x = torch.rand(1, 3, 64, 64)
    expected = shallower.analysis(x, shallower.hyperprior.deviation)
    assert torch.allclose(deeper.analysis(x, deeper.hyperprior.deviation), expected, atol=1e-5)


@torch.no_grad()
def coded(networks: HighAutoencoder | MediumAutoencoder, x: torch.Tensor) -> Quantised:
    y = networks.analysis(pad_to_cells(x, networks.config), networks.hyperprior.deviation)
    return networks.hyperprior.quantise(y, torch.tensor([31]))


def test_a_stage_that_lacks_its_foundation_says_so(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(StageMissingError, match="high"):
        train(TrainOptions(data=[photographs], valid=None, minutes=0.01, output=tmp_path, stage="heads", threads=1))


def test_other_files_are_no_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        load(tmp_path / "missing.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(CheckpointError):
        load(tmp_path / "text.safetensors")
