"""Training's own kernels against torch's layers; only where there is a GPU."""

import pytest
import torch
from torch import nn

from models.layers import Pointwise

pytestmark = pytest.mark.gpu


def gradients(layer: nn.Module, x: torch.Tensor, slope: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    (layer(x) * slope).sum().backward()
    found = [x.grad, *(parameter.grad for parameter in layer.parameters())]
    layer.zero_grad()
    return [grad.clone() for grad in found if grad is not None]


@pytest.mark.parametrize(("channels", "height", "width"), [(48, 44, 44), (40, 16, 16), (33, 5, 22)])
def test_depthwise_filters_and_their_gradients(channels: int, height: int, width: int) -> None:
    from models.training.fast_layers import FastDepthwise

    plain = nn.Conv2d(channels, channels, 3, padding=1, groups=channels).cuda()
    x = torch.randn(3, channels, height, width, device="cuda").contiguous(memory_format=torch.channels_last)
    slope = torch.randn_like(x)
    fast = FastDepthwise(plain)
    torch.testing.assert_close(fast(x), plain(x), atol=1e-4, rtol=1e-4)
    for ours, theirs in zip(gradients(fast, x, slope), gradients(plain, x, slope), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-2, rtol=1e-3)


def test_pointwise_maps_and_their_gradients() -> None:
    from models.training.fast_layers import FastPointwise

    plain = Pointwise(40, 24).cuda()
    x = torch.randn(2, 40, 22, 22, device="cuda").contiguous(memory_format=torch.channels_last)
    slope = torch.randn(2, 24, 22, 22, device="cuda")
    fast = FastPointwise(plain)
    torch.testing.assert_close(fast(x), plain(x), atol=1e-4, rtol=1e-4)
    for ours, theirs in zip(gradients(fast, x, slope), gradients(plain, x, slope), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-2, rtol=1e-3)
