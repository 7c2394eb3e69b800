"""The DCT path against scipy's transforms and Pillow's LANCZOS."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import idctn

from models.config import RELEASED
from models.dct import DctSynthesis
from models.training.linear_start import DctBasis, dct_statistics
from models.training.translator_start import Examples, start_translator
from models.translator import Translator


def rotation() -> torch.Tensor:
    """Three orthonormal axes."""
    drawn = torch.randn(3, 3, generator=torch.Generator().manual_seed(2))
    axes: torch.Tensor = torch.linalg.qr(drawn)[0]
    return axes


def drawn_basis(channels: int) -> DctBasis:
    order = torch.randperm(768, generator=torch.Generator().manual_seed(1))[:channels]
    return DctBasis(order, rotation(), torch.tensor([0.4, 0.5, 0.6]))


def expected(y: np.ndarray, found: DctBasis) -> np.ndarray:
    """(N, H, W) -> (3, 16 H, 16 W), by scipy."""
    _, height, width = y.shape
    coefficients = np.zeros((768, height, width), np.float32)
    coefficients[found.order.numpy()] = y
    blocks = idctn(coefficients.reshape(3, 16, 16, height, width), axes=(1, 2), norm="ortho")
    pixels = np.einsum("cijhw,ck->khiwj", blocks, found.colours.numpy()).reshape(3, 16 * height, 16 * width)
    return np.asarray(pixels + found.mean.numpy()[:, None, None])


def test_the_path_is_the_inverse_dct_on_its_colour_axes() -> None:
    found = drawn_basis(100)
    path = DctSynthesis(100, 16)
    path.start(found.order, found.colours, found.mean)
    y = torch.randn(2, 100, 3, 5, generator=torch.Generator().manual_seed(0))
    for one, picture in zip(y, path(y), strict=True):
        np.testing.assert_allclose(picture.detach().numpy(), expected(one.numpy(), found), atol=1e-5)


def test_gains_scale_their_channels_alone() -> None:
    found = drawn_basis(8)
    path = DctSynthesis(8, 16)
    path.start(found.order, found.colours, found.mean)
    y = torch.randn(1, 8, 1, 1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        path.gain[3] = 2.0
    y[:, 3] /= 2
    doubled = y.clone()
    doubled[:, 3] *= 2
    np.testing.assert_allclose(path(y)[0].detach().numpy(), expected(doubled[0].numpy(), found), atol=1e-5)


def test_the_path_to_half_the_side_is_lanczos_within_the_block() -> None:
    config, found = RELEASED.medium_cpu, drawn_basis(RELEASED.high.latent_channels)
    translator = Translator(RELEASED.high, RELEASED.medium, config)
    draw = torch.Generator().manual_seed(3)
    around, target = (torch.randn(3000, width, generator=draw) for width in (5 * len(found.order), 192))
    start_translator(translator, Examples(around, target), found)
    assert isinstance(translator.linear, DctSynthesis)
    y = torch.randn(1, len(found.order), 1, 1, generator=draw)
    block = expected(y[0].numpy(), found) - found.mean.numpy()[:, None, None]
    surrounded = np.pad(block, ((0, 0), (32, 32), (32, 32)))  # a block alone: LANCZOS reaches beyond it, not into it
    for colour in range(3):
        whole = Image.fromarray(surrounded[colour].astype(np.float32))
        half = np.asarray(whole.resize((40, 40), Image.Resampling.LANCZOS))[16:24, 16:24]
        seen = translator.linear(y)[0, colour].detach().numpy() - found.mean.numpy()[colour]
        np.testing.assert_allclose(seen, half, atol=1e-4)


def test_the_latent_starts_as_the_coefficients_of_largest_variance() -> None:
    smooth = torch.randn(400, 2, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    ramps = torch.linspace(-1, 1, 16)[:, None] * torch.randn(400, 2, 1, 1, 1)
    pairs = (10 * smooth + ramps + 0.01 * torch.randn(400, 2, 3, 16, 16)).flatten(2)
    found = dct_statistics(pairs, 5)
    assert found.dct is not None
    # the mean of each colour, then the vertical slope of grey and its third harmonic
    assert {int(one) % 256 for one in found.dct.order[:3]} == {0}
    assert int(found.dct.order[3]) % 256 == 16
    assert torch.allclose(found.basis @ found.basis.T, torch.eye(5), atol=1e-4)


def test_a_place_beyond_the_coefficients_is_refused() -> None:
    path = DctSynthesis(4, 16)
    path.places[2] = 768
    with pytest.raises(ValueError, match="767"):
        path.check()
