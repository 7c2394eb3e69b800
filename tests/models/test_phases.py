"""What the phases of a training compute: distortion, rounding and sizes of a step of the real networks."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from models.autoencoder import SharedLatent
from models.config import HIGH_PX, QUALITIES
from models.training.dataset import PhotographSet
from models.training.joint import JointTask
from models.training.losses import sent_rounding
from models.training.options import Recipe, TrainOptions
from models.training.schedule import FLAT, Phase, Timetable
from tests.models.pictures import photograph

RECIPE = Recipe(batch=2, crop_px=64)
DECAY = Timetable.of(Recipe(), 60, again=False).decays[0]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> PhotographSet:
    folder = tmp_path_factory.mktemp("photographs")
    Image.fromarray(photograph("coffee", 400)).save(folder / "coffee.png")
    return PhotographSet([folder])


@pytest.fixture(scope="module")
def task(photographs: PhotographSet) -> JointTask:
    return JointTask(photographs, TrainOptions(data=[], minutes=1, recipe=RECIPE))


@torch.no_grad()
def loss_of(task: JointTask, phase: Phase) -> float:
    torch.manual_seed(0)
    return float(task.loss(torch.Generator().manual_seed(0), phase=phase))


def test_each_phase_weighs_another_loss_of_the_same_crops(task: JointTask) -> None:
    losses = {
        name: loss_of(task, phase)
        for name, phase in {
            "flat": FLAT,
            "perceptual": replace(FLAT, perceptual=DECAY.perceptual),
            "rounded": replace(FLAT, rounding_strength=DECAY.rounding_strength),
            "decay": DECAY,
        }.items()
    }
    assert losses["flat"] == loss_of(task, FLAT)
    assert len(set(losses.values())) == 4


def test_a_step_of_the_decay_has_a_gradient_for_encoder_and_heads(task: JointTask) -> None:
    task.model.zero_grad(set_to_none=True)
    task.loss(torch.Generator().manual_seed(0), phase=DECAY).backward()  # type: ignore[no-untyped-call]
    assert isinstance(task.model, SharedLatent)
    for part in (task.model.high.analysis, task.model.high.head, task.model.light):
        slopes = [one.grad.abs().max() for one in part.parameters() if one.grad is not None]
        assert torch.stack(slopes).max() > 0
        assert all(slope.isfinite() for slope in slopes)
    task.model.zero_grad(set_to_none=True)


def test_whole_pictures_are_half_as_many(photographs: PhotographSet) -> None:
    crops, quality = photographs.batch(Recipe(batch=4), replace(FLAT, whole_pictures=True), None)
    assert crops.pixels.shape == (2, 3, HIGH_PX, HIGH_PX)
    assert len(quality) == 2
    crops, quality = photographs.batch(Recipe(batch=4, crop_px=128), FLAT, None)
    assert crops.pixels.shape == (4, 3, 128, 128)


@torch.no_grad()
def test_symbols_are_rounded_as_the_encoder_would(task: JointTask) -> None:
    assert isinstance(task.model, SharedLatent)
    hyperprior = task.model.high.hyperprior
    assert sent_rounding(hyperprior, FLAT) is None
    y = 0.2 * torch.randn(2, hyperprior.deviation.numel(), 6, 6) * hyperprior.deviation[:, None, None]
    quality = torch.tensor([30, 40])
    plain = hyperprior.quantise(y, quality)
    sent = hyperprior.quantise(y, quality, rounding=sent_rounding(hyperprior, DECAY))
    assert torch.equal(sent.q, sent.q.round())
    assert float(hyperprior.coded_bits(sent, quality).sum()) < float(hyperprior.coded_bits(plain, quality).sum())
    # the same symbols in training, where gradients pass straight through
    torch.testing.assert_close(hyperprior(y, quality, rounding=sent_rounding(hyperprior, DECAY)).y_hat, sent.y_hat)


def test_qualities_fall_where_they_are_wanted(photographs: PhotographSet) -> None:
    drawn = torch.cat(
        [photographs.wanted_qualities(32, RECIPE, torch.Generator().manual_seed(seed)) for seed in range(200)]
    )
    first, last = RECIPE.wanted_qualities
    wanted = ((drawn >= first) & (drawn <= last)).float().mean()
    everywhere = (last - first + 1) / QUALITIES
    assert float(wanted) == pytest.approx(RECIPE.wanted_share + (1 - RECIPE.wanted_share) * everywhere, abs=0.01)
    assert set(drawn.tolist()) == set(range(QUALITIES))


def test_a_batch_sees_all_of_the_wanted_range(photographs: PhotographSet) -> None:
    drawn = photographs.wanted_qualities(32, RECIPE, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, drawn.sort().values)
    assert int(drawn[0]) < 10
    assert int(drawn[-1]) > 54
    assert int(drawn.diff().max()) < 10
