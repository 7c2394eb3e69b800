"""The exact path against plain integer arithmetic: one index on every machine, in any batch and order of sums."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.config import HIGH
from models.scale_path import FrozenScaleIndexes, InexactScalePathError, ScaleIndexes, ScaleWeights

Ints = NDArray[np.int64]


def weights(seed: int, *, spread: float = 1.0) -> ScaleWeights:
    torch.manual_seed(seed)
    path = ScaleIndexes(HIGH)
    with torch.no_grad():
        path.first.copy_(torch.randn_like(path.first) * 2 * spread)
        path.second.copy_(torch.randn_like(path.second) * 0.3 * spread)
        path.bias.knots.copy_(torch.randn_like(path.bias.knots) * 30)
    found = path.integers()
    return ScaleWeights(found.first.detach(), found.second.detach(), found.bias.detach())


def in_integers(z: Ints, quality: int, of: ScaleWeights) -> Ints:
    """The definition in scale_path.py, written out in int64 for one picture."""
    first, second, bias = (part.numpy().astype(np.int64) for part in (of.first, of.second, of.bias))
    padded = np.pad(z, ((0, 0), (1, 1), (1, 1)))
    side = z.shape[1]
    taps = [padded[:, dy : dy + side, dx : dx + side] for dy in range(3) for dx in range(3)]
    columns = np.stack(taps, axis=1).reshape(-1, side * side)
    h = (first @ columns + 8) >> 4
    h = h.reshape(-1, 2, 2, side, side).transpose(0, 3, 1, 4, 2).reshape(-1, 2 * side, 2 * side)
    h = np.concatenate([np.clip(h[:32], -127, 127), np.clip(h[32:], 0, 127)])
    sums = second @ h.reshape(len(h), -1) + bias[quality][:, None]
    index: Ints = np.clip((sums + 64) >> 7, 0, 63).reshape(-1, 2 * side, 2 * side)
    return index


@pytest.mark.parametrize("seed", range(4))
def test_float32_gives_what_integers_give(seed: int) -> None:
    of = weights(seed)
    rng = np.random.default_rng(seed)
    z = rng.integers(-15, 16, size=(4, HIGH.hyper_channels, 11, 11))
    qualities = [0, 21, 42, 63]
    index = FrozenScaleIndexes(of)(torch.from_numpy(z), torch.tensor(qualities))
    for picture, quality, found in zip(z, qualities, index.numpy(), strict=True):
        assert np.array_equal(found, in_integers(picture, quality, of))


def test_an_index_does_not_depend_on_the_batch_or_on_the_order_of_sums() -> None:
    of = weights(7)
    z = torch.from_numpy(np.random.default_rng(1).integers(-15, 16, size=(64, HIGH.hyper_channels, 11, 11)))
    quality = torch.arange(64)
    path = FrozenScaleIndexes(of)
    whole = path(z, quality)
    alone = torch.cat([path(z[place : place + 1], quality[place : place + 1]) for place in range(64)])
    order = torch.randperm(of.second.shape[1], generator=torch.Generator().manual_seed(0))
    shuffled = of.second[:, order] @ torch.ones(of.second.shape[1])
    assert torch.equal(whole, alone)
    assert torch.equal(shuffled, of.second.sum(1))


def test_what_is_trained_gives_the_integers_that_are_stored() -> None:
    torch.manual_seed(3)
    path = ScaleIndexes(HIGH)
    z = torch.from_numpy(np.random.default_rng(3).integers(-15, 16, size=(2, HIGH.hyper_channels, 11, 11)).astype("f4"))
    quality = torch.tensor([10, 50])
    assert torch.equal(path(z, quality), FrozenScaleIndexes(path.integers())(z, quality))


def test_weights_that_could_exceed_24_bits_are_refused() -> None:
    of = weights(3)
    with pytest.raises(InexactScalePathError, match="not exact"):
        FrozenScaleIndexes(ScaleWeights(of.first, of.second, of.bias + 2**24))
