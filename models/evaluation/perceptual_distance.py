"""The perceptual distance ST-LPIPS of two pictures (Ghildyal and Liu 2022, arXiv 2207.13686); its backbone is AlexNet.

Features of both pictures are compared at five layers of an AlexNet that hardly reacts to shifts of a pixel, weighted as
people's judgements were fitted. 0 means equal; a lower distance is better. The weights come in the wheel of the package
stlpips_pytorch (BSD-2-Clause, `pip install stlpips_pytorch`), of which nothing but the file is used, so that its own
dependencies are not needed. No network access.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.pixels import to_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.picture_array import Pixels

_PACKAGE = "stlpips_pytorch"
_FILE = Path("weights/vST0.0/alex_shift_tolerant.pth")
_LAYERS = ((0, 3), (3, 7), (7, 11), (11, 13), (13, 15))
"""The modules, from the first to before the last, after which the features of each of the five layers are taken."""
_CHANNELS = (64, 192, 384, 256, 256)
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_BLUR = (1.0, 2.0, 1.0)
_NORM_FLOOR = 1e-10


class DistanceMissingError(Exception):
    """The package whose wheel holds the weights of the perceptual distance is not installed."""


class _BlurredHalf(nn.Module):
    """Halves the sides of a feature map after a 3x3 binomial blur, with reflected borders of two pixels."""

    def forward(self, x: Tensor) -> Tensor:
        row = torch.tensor(_BLUR)
        kernel = torch.outer(row, row) / row.sum() ** 2
        filters = kernel.expand(x.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), filters, stride=2, groups=x.shape[1])


class PerceptualDistance:
    """Computes ST-LPIPS distances of pictures."""

    def __init__(self) -> None:
        """Read the weights from the installed package. Raises `DistanceMissingError`."""
        found = find_spec(_PACKAGE)
        if found is None or found.origin is None:
            raise DistanceMissingError(
                f"the perceptual distance needs the weights in {_PACKAGE}: pip install {_PACKAGE}"
            )
        tensors = torch.load(Path(found.origin).parent / _FILE, map_location="cpu", weights_only=True)
        features = features_of_alexnet()
        self._layers = [nn.Sequential(*features[first:last]) for first, last in _LAYERS]
        for number, (first, last) in enumerate(_LAYERS, start=1):
            for place, module in enumerate(features[first:last], start=first):
                if isinstance(module, nn.Conv2d):
                    prefix = f"net.slice{number}.{place}."
                    module.load_state_dict({name: tensors[prefix + name] for name in ("weight", "bias")})
        self._weights = [tensors[f"lin{number}.model.1.weight"] for number in range(len(_LAYERS))]

    def between(self, reference: Pixels, decoded: Pixels) -> float:
        """Return the distance of two pictures (H, W, 3) of one shape."""
        return self.from_features(self.features(reference), decoded)

    @torch.inference_mode()
    def from_features(self, reference: Sequence[Tensor], decoded: Pixels) -> float:
        """Return the distance of a picture from a reference of which `features` has been computed before."""
        layers = zip(self._weights, reference, self.features(decoded), strict=True)
        return sum(float(F.conv2d((ours - theirs).square(), weight).mean()) for weight, ours, theirs in layers)

    @torch.inference_mode()
    def features(self, pixels: Pixels) -> list[Tensor]:
        """Return the normalised features of a picture (H, W, 3) at the five layers."""
        shift, scale = (torch.tensor(one).view(1, 3, 1, 1) for one in (_SHIFT, _SCALE))
        x, found = (2 * to_tensor(pixels) - 1 - shift) / scale, []
        for layer in self._layers:
            x = layer(x)
            found.append(x / (x.square().sum(1, keepdim=True).sqrt() + _NORM_FLOOR))
        return found


def features_of_alexnet() -> list[nn.Module]:
    """Return the modules of the shift-tolerant AlexNet, with initial weights."""
    first, second, third, fourth, fifth = _CHANNELS
    return [
        *(nn.Conv2d(3, first, 11, padding=2), _BlurredHalf(), nn.ReLU()),
        *(nn.MaxPool2d(3, 1), _BlurredHalf(), nn.Conv2d(first, second, 5, padding=2), nn.ReLU()),
        *(nn.MaxPool2d(3, 1), _BlurredHalf(), nn.Conv2d(second, third, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(third, fourth, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(fourth, fifth, 3, padding=1), nn.ReLU()),
    ]
