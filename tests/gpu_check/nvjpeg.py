"""JPEG files by torchvision: nvJPEG on a GPU, libjpeg on a processor. torchvision is no dependency of the edge."""

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.picture_array import Pixels

QUALITY = 75


class NvJpeg:
    """Raises ModuleNotFoundError where torchvision is missing."""

    def __init__(self, device: str) -> None:
        self._encode: Any = importlib.import_module("torchvision.io").encode_jpeg
        self._device = device
        self.name = "torchvision, processor" if device == "cpu" else "nvJPEG"

    def uploaded(self, pictures: Sequence[Pixels]) -> list[Tensor]:
        """Return pictures as torchvision takes them: (3, H, W) on the device."""
        on_device = [torch.from_numpy(one).to(self._device) for one in pictures]
        return [one.permute(2, 0, 1).contiguous() for one in on_device]

    def files(self, pictures: Sequence[Tensor]) -> list[bytes]:
        """Encode a batch and bring the files to the processor in one copy."""
        encoded: list[Tensor] = self._encode(list(pictures), quality=QUALITY)
        whole = torch.cat(encoded).cpu().numpy().tobytes()
        ends = torch.tensor([len(one) for one in encoded]).cumsum(0).tolist()
        return [whole[end - len(one) : end] for one, end in zip(encoded, ends, strict=True)]
