"""The exact path against plain integer arithmetic: one index on every machine, in any batch and order of sums."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.config import RELEASED
from models.cpu.scales import FastScales
from models.scale_path import (
    INTEGER_PARTS,
    FrozenScaleIndexes,
    InexactScalePathError,
    ScaleIndexes,
    ScaleWeights,
)

Ints = NDArray[np.int64]


def weights(seed: int, *, spread: float = 1.0) -> ScaleWeights:
    torch.manual_seed(seed)
    path = ScaleIndexes(RELEASED.high)
    with torch.no_grad():
        path.rise.copy_(torch.randn_like(path.rise) * 2 * spread)
        path.mix.copy_(torch.randn_like(path.mix) * 0.3 * spread)
        path.mix_bias.copy_(torch.randn_like(path.mix_bias) * 30)
        path.second.copy_(torch.randn_like(path.second) * 0.3 * spread)
        path.bias.knots.copy_(torch.randn_like(path.bias.knots) * 30)
    found = path.integers()
    return ScaleWeights(*(getattr(found, part).detach() for part in INTEGER_PARTS))


def in_integers(z: Ints, quality: int, of: ScaleWeights) -> tuple[Ints, Ints]:
    """The definition in scale_path.py, written out in int64 for one picture: h1 and index."""
    rise, mix, mix_bias, second, bias = (getattr(of, part).numpy().astype(np.int64) for part in INTEGER_PARTS)
    channels, side, _ = z.shape
    padded = np.pad(z, ((0, 0), (1, 1), (1, 1)))
    taps = np.stack([padded[:, dy : dy + side, dx : dx + side] for dy in range(3) for dx in range(3)])
    h1 = np.clip((np.einsum("cpk,kcyx->cpyx", rise.reshape(channels, 4, 9), taps) + 8) >> 4, -127, 127)
    h1 = h1.reshape(channels, 2, 2, side, side).transpose(0, 3, 1, 4, 2).reshape(channels, 2 * side, 2 * side)
    h2 = (mix @ h1.reshape(channels, -1) + mix_bias[:, None] + 64) >> 7
    h2 = np.concatenate([np.clip(h2[:32], -127, 127), np.clip(h2[32:], 0, 127)])
    sums = second @ h2 + bias[quality][:, None]
    return h1, np.clip((sums + 64) >> 7, 0, 63).reshape(-1, 2 * side, 2 * side)


@pytest.mark.parametrize("seed", range(4))
def test_float32_gives_what_integers_give(seed: int) -> None:
    of = weights(seed)
    rng = np.random.default_rng(seed)
    z = rng.integers(-15, 16, size=(4, RELEASED.high.hyper_channels, 11, 11))
    qualities = [0, 21, 42, 63]
    h1, index = FrozenScaleIndexes(of)(torch.from_numpy(z), torch.tensor(qualities))
    for place, (picture, quality) in enumerate(zip(z, qualities, strict=True)):
        expected_h1, expected = in_integers(picture, quality, of)
        assert np.array_equal(h1[place].numpy(), expected_h1)
        assert np.array_equal(index[place].numpy(), expected)


@pytest.mark.parametrize("kernel", ["int8", "float32"])
@pytest.mark.parametrize("channels", [96, 384])
@pytest.mark.parametrize("seed", range(4))
def test_the_fast_path_gives_what_integers_give(seed: int, channels: int, kernel: str) -> None:
    of, quality = weights(seed), 16 * seed
    z = np.random.default_rng(seed).integers(-15, 16, size=(RELEASED.high.hyper_channels, 11, 11))
    h1, index = in_integers(z, quality, of)
    fast = FastScales(of, kernel=kernel)
    found = fast.upsample(z.astype(np.int16))
    assert np.array_equal(found, h1.reshape(RELEASED.high.hyper_channels, -1).T)
    expected = index[:channels].reshape(channels, -1).T
    assert np.array_equal(fast.indexes(found, quality=quality, channels=channels), expected)


def test_an_index_does_not_depend_on_the_batch_or_on_the_order_of_sums() -> None:
    of = weights(7)
    z = torch.from_numpy(np.random.default_rng(1).integers(-15, 16, size=(64, RELEASED.high.hyper_channels, 11, 11)))
    quality = torch.arange(64)
    path = FrozenScaleIndexes(of)
    _, whole = path(z, quality)
    alone = torch.cat([path(z[place : place + 1], quality[place : place + 1])[1] for place in range(64)])
    order = torch.randperm(of.second.shape[1], generator=torch.Generator().manual_seed(0))
    shuffled = of.second[:, order] @ torch.ones(of.second.shape[1])
    assert torch.equal(whole, alone)
    assert torch.equal(shuffled, of.second.sum(1))


def test_what_is_trained_gives_the_integers_that_are_stored() -> None:
    torch.manual_seed(3)
    path = ScaleIndexes(RELEASED.high)
    z = torch.from_numpy(
        np.random.default_rng(3).integers(-15, 16, size=(2, RELEASED.high.hyper_channels, 11, 11)).astype("f4")
    )
    quality = torch.tensor([10, 50])
    for trained, stored in zip(path(z, quality), FrozenScaleIndexes(path.integers())(z, quality), strict=True):
        assert torch.equal(trained, stored)


def test_weights_that_could_exceed_24_bits_are_refused() -> None:
    of = weights(3)
    with pytest.raises(InexactScalePathError, match="not exact"):
        FrozenScaleIndexes(replace(of, bias=of.bias + 2**24))
