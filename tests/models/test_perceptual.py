"""The training loss beside the metric it stands for."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from models.perceptual import distortion, ssimulacra2_error
from models.picture_array import Pixels
from models.pixels import to_tensor
from models.scores import Ssimulacra2
from tests.models.pictures import photograph


def as_jpeg(quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(photograph()).save(file, format="JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def score_of(error: float) -> float:
    """The metric's own last step, from its weighted error to its score."""
    warped = 2.326765642916932 * error - 0.020884521182843837 * error**2 + 6.248496625763138e-05 * error**3
    return float(100 - 10 * max(warped, 0) ** 0.6276336467831387)


@pytest.mark.parametrize("quality", [20, 50, 80, 95])
def test_it_says_what_the_metric_says(quality: int) -> None:
    decoded = as_jpeg(quality)
    error = float(ssimulacra2_error(to_tensor(decoded), to_tensor(photograph())))
    # a place in four, and other borders: a few points at bad scores, less at good ones
    assert abs(score_of(error) - Ssimulacra2(photograph()).score(decoded)) < 4


def test_a_picture_has_no_error_against_itself_and_a_finite_slope_there() -> None:
    x = to_tensor(photograph())
    x_hat = x.clone().requires_grad_()
    error = ssimulacra2_error(x_hat, x)
    error.sum().backward()  # type: ignore[no-untyped-call]
    assert float(error.detach()) < 0.01
    assert x_hat.grad is not None
    assert bool(x_hat.grad.isfinite().all())


def test_following_the_slope_makes_the_metric_better() -> None:
    x, decoded = to_tensor(photograph()), as_jpeg(50)
    x_hat = to_tensor(decoded).requires_grad_()
    distortion(x_hat, x, perceptual=1.0).sum().backward()  # type: ignore[no-untyped-call]
    assert x_hat.grad is not None
    moved = (x_hat.detach() - 0.01 * x_hat.grad / x_hat.grad.abs().amax()).clamp(0, 1)
    better = (moved[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    metric = Ssimulacra2(photograph())
    assert metric.score(better) > metric.score(decoded)


def test_the_parts_of_the_distortion_add_up() -> None:
    x, x_hat = to_tensor(photograph()), to_tensor(as_jpeg(30))
    squared, seen, both = (float(distortion(x_hat, x, perceptual=share)) for share in (0.0, 1.0, 0.25))
    assert squared == pytest.approx(float((x_hat - x).square().mean()) * 255**2, rel=1e-4)
    assert both == pytest.approx(0.75 * squared + 0.25 * seen, rel=1e-4)
