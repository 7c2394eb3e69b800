"""The comparison of demoted pictures: one picture, one quality, and what is kept of it."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from models.config import HIGH_PX, MEDIUM_PX
from models.evaluation.demotion_plot import plot_demotion
from models.evaluation.demotion_scores import (
    DemotionJob,
    DemotionScore,
    Way,
    load_codecs,
    means,
    score_demotion,
)
from models.evaluation.demotion_sheet import write_demotion_sheets
from models.evaluation.perceptual_distance import DistanceMissingError, PerceptualDistance, features_of_alexnet
from tests.models.pictures import photograph


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> DemotionJob:
    folder = tmp_path_factory.mktemp("demotion")
    Image.fromarray(photograph()).save(folder / "astronaut.png")
    return DemotionJob(folder / "astronaut.png", folder / "kept", qualities=(30,))


@pytest.fixture(scope="module")
def scores(job: DemotionJob) -> list[DemotionScore]:
    return score_demotion(job)


def test_every_way_is_scored_at_its_sizes(scores: list[DemotionScore]) -> None:
    both = {Way.STORED, Way.AGAIN, Way.ANEW}
    alone = {Way.MEDIUM, Way.MEDIUM_OF_LANCZOS, Way.MEDIUM_OF_ORIGINAL}
    assert {one.way for one in scores if one.size_px == MEDIUM_PX} == both | alone
    assert {one.way for one in scores if one.size_px == HIGH_PX} == set(Way) - alone


def test_rivals_take_no_more_bytes_than_the_medium_latent(scores: list[DemotionScore]) -> None:
    (medium,) = (one for one in scores if one.way is Way.MEDIUM)
    rivals = [one.size_bytes for one in scores if one.way in {Way.AGAIN, Way.ANEW}]
    assert all(0.8 * medium.size_bytes < size <= medium.size_bytes for size in rivals)


def test_scores_are_kept_and_read_again(job: DemotionJob, scores: list[DemotionScore]) -> None:
    files = sorted(job.folder.iterdir())
    assert len(files) == 2  # those of the upscaler, and the others
    for file in files:
        rows = json.loads(file.read_text())
        file.write_text(json.dumps([row | {"psnr_db": 1.0} for row in rows]))
    assert {one.psnr_db for one in score_demotion(job)} == {1.0}
    assert len(score_demotion(job)) == len(scores)


def test_means_are_over_pictures_and_shares_of_the_stored_bytes(scores: list[DemotionScore]) -> None:
    double = [replace(one, picture="other", psnr_db=one.psnr_db + 2, size_bytes=2 * one.size_bytes) for one in scores]
    for alone, both in zip(means(scores), means(scores + double), strict=True):
        assert both.psnr_db == pytest.approx(alone.psnr_db + 1)
        assert both.share == pytest.approx(alone.share)
    assert means(scores)[0].share == 1


def test_a_plot_and_a_sheet_are_written(job: DemotionJob, scores: list[DemotionScore], tmp_path: Path) -> None:
    plot_demotion(means(scores), tmp_path / "demotion.png")
    write_demotion_sheets([job.path], scores, load_codecs(None, None), tmp_path)
    for name in ("demotion.png", "sheet-1.png"):
        with Image.open(tmp_path / name) as drawn:
            assert drawn.width > 4 * HIGH_PX - 300


def test_without_its_weights_the_perceptual_distance_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stlpips_pytorch", None)
    monkeypatch.setattr("models.evaluation.perceptual_distance.find_spec", lambda _name: None)
    with pytest.raises(DistanceMissingError, match="pip install stlpips_pytorch"):
        PerceptualDistance()


def test_the_perceptual_distance_reads_weights_of_its_layers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Random weights in the wheel's layout: equal pictures are at distance 0, and a coarser picture is further away.
    tensors: dict[str, torch.Tensor] = {}
    places = {0: 1, 5: 2, 9: 3, 11: 4, 13: 5}
    for place, module in enumerate(features_of_alexnet()):
        if place in places:
            names = module.state_dict()
            tensors |= {f"net.slice{places[place]}.{place}.{name}": one for name, one in names.items()}
    for number, channels in enumerate((64, 192, 384, 256, 256)):
        tensors[f"lin{number}.model.1.weight"] = torch.ones(1, channels, 1, 1)
    weights = tmp_path / "stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth"
    weights.parent.mkdir(parents=True)
    torch.save(tensors, weights)
    (tmp_path / "stlpips_pytorch/__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    distance, picture = PerceptualDistance(), photograph(size_px=MEDIUM_PX)
    assert distance.between(picture, picture) == 0
    assert 0 < distance.between(picture, picture // 2 * 2) < distance.between(picture, picture // 64 * 64)
