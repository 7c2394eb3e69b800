"""The codec of 172x172 pictures alone, by the medium autoencoder: for evaluations and demoted_codec.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch

from models.bitstream import FLAG_MEDIUM
from models.checkpoint import MediumPart, load_medium
from models.config import MEDIUM_PX
from models.cpu.kernels import Kernels
from models.flat_grounds import FlatGrounds, FlatLimits
from models.latent_codec import LatentCodec, Symbols
from models.layers import HEAD_DTYPES, set_precision
from models.picture_array import Pixels
from models.pixels import as_pictures, to_levels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor


class MediumCodec(LatentCodec):
    """The codec of 172x172 pictures by the medium autoencoder. Its bitstreams (flag bit 0) are not `Codec`'s."""

    _flags = FLAG_MEDIUM

    def __init__(self, part: MediumPart, *, device: str, kernels: Kernels) -> None:
        """Build a codec from the part of a weights file that has been read; callers use `MediumCodec.load`."""
        super().__init__(part.notes, part.autoencoding, device=device, kernels=kernels)
        self.head_id = part.head_id
        """A 4-byte digest of the head's weights, which changes whenever the decoded pictures may change."""
        self._head = part.autoencoding.networks.head
        self._flat = FlatGrounds(FlatLimits.of_medium(), device)
        set_precision(self._head, HEAD_DTYPES[kernels.heads])

    @classmethod
    def load(cls, path: Path | None = None, *, device: str = "cpu", kernels: str = "auto") -> Self:
        """Read the medium autoencoder of a weights file, by default the released one, and return its codec.

        The other networks of the file are not read. `kernels` is as in `Codec.load`. Raises `CheckpointError` or
        `KernelsError`.
        """
        return cls(load_medium(path), device=device, kernels=Kernels.choose(kernels, device=device))

    @torch.inference_mode()
    def decode(self, symbols: Sequence[Symbols]) -> Tensor:
        """Decode a batch of latents to integers 0..255 held in float32, (B, 172, 172, 3), on the codec's device."""
        y_hat, quality = self._latents(symbols)
        x_hat: Tensor = self._head(y_hat, quality=quality, deviation=self._networks.hyperprior.deviation)
        return self.settle(to_levels(x_hat, MEDIUM_PX), quality)

    def settle(self, levels: Tensor, quality: Tensor) -> Tensor:
        """Make flat grounds exact in pictures that are made from medium latents; see flat_grounds.py."""
        return self._flat.settle(levels, quality)

    def synthesize(self, symbols: Sequence[Symbols]) -> list[Pixels]:
        """Decode a batch of latents to pictures (172, 172, 3) in sRGB."""
        return as_pictures(self.decode(symbols))
