"""Convert pictures between uint8 arrays and float tensors. No file I/O."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.picture_array import Pixels


def to_tensor(pixels: Pixels, device: str = "cpu") -> Tensor:
    """Convert pixels (H, W, 3) or (B, H, W, 3) in uint8 to a float32 tensor (B, 3, H, W) in 0..1, channels_last."""
    writable = np.array(pixels).reshape(-1, *pixels.shape[-3:])  # a copy, because torch warns about read-only arrays
    x = torch.from_numpy(writable).to(device).permute(0, 3, 1, 2)
    return (x.float() / 255).contiguous(memory_format=torch.channels_last)


def to_pixels(x_hat: Tensor, size_px: int) -> list[Pixels]:
    """Crop x_hat (B, 3, H, W), about 0..1, to `size_px`, round it to 0..255, and return B pictures in uint8."""
    return as_pictures(to_levels(x_hat, size_px))


def to_levels(x_hat: Tensor, size_px: int) -> Tensor:
    """Crop and round as `to_pixels` does, but return integers held in float32, (B, size_px, size_px, 3)."""
    cropped = x_hat[:, :, :size_px, :size_px].permute(0, 2, 3, 1)
    return (cropped * 255).round_().clamp_(0, 255)


def as_pictures(levels: Tensor) -> list[Pixels]:
    """Return integers 0..255 held in float32 (B, S, S, 3) as B pictures in uint8."""
    return list(levels.to(torch.uint8).contiguous().cpu().numpy())


def lanczos_half(pixels: Pixels) -> Pixels:
    """Return a picture resized to half its width and height by Pillow's LANCZOS: the reference of the 172 picture."""
    height, width = pixels.shape[:2]
    half = Image.fromarray(pixels).resize((width // 2, height // 2), Image.Resampling.LANCZOS)
    return np.asarray(half, dtype=np.uint8)
