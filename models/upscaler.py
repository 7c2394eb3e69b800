"""The upscaler: a generative network from the decoded medium picture (172x172) to a picture of twice its side.

    x_medium --+-- LANCZOS to twice the side, fixed -------------------------------------------------+--> x_hat, 344x344
               +-- cells -- 1x1 * quality -- depthwise blocks -- 1x1 (from 0) -- shuffle(2 cell_px) -+

A cell is a block of `cell_px` x `cell_px` pixels, so that no layer runs at the size of the 344 picture. The decoded
medium picture holds what the medium latent holds, because a cell of the latent has as many channels as its block has
values; the quality tells how coarsely it was quantised. Before training, the network returns the LANCZOS picture. The
detail that it adds is not in the latent. It is inferred from the training pictures, and may be wrong.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import UPSCALER, UpscalerConfig
from models.layers import QUALITY_KNOTS, DepthwiseBlock, Pointwise, QualityTable, activate, pixel_shuffle
from models.weights_file import HEAD_ID_BYTES, CheckpointError, digest, fill, read_tensors, to_stored, write_tensors

RELEASED = Path(__file__).parent / "weights" / "upscaler.safetensors"
_FORMAT = "latentedge-upscaler-1"
_REACH = 3
"""LANCZOS with a = 3 reads three pixels on each side of a position."""


class Upscaler(nn.Module):
    """The network that maps the decoded medium picture to a picture of twice its side."""

    def __init__(self, config: UpscalerConfig) -> None:
        """Build an upscaler that returns the LANCZOS picture until it is trained."""
        super().__init__()
        self.config = config
        self.enter = Pointwise(config.patch_values, config.width)
        self.quality = QualityTable(torch.ones(QUALITY_KNOTS, config.width))
        self.blocks = nn.Sequential(*[DepthwiseBlock(config.width) for _ in range(config.blocks)])
        self.leave = Pointwise(config.width, 4 * config.patch_values, gain=0)
        self.register_buffer("taps", lanczos_taps(), persistent=False)
        self.taps: Tensor

    def forward(self, x: Tensor, *, quality: Tensor) -> Tensor:
        """Map x (B, 3, S, S) in 0..1 and the latents' quality (B,) to x_hat (B, 3, 2 S, 2 S), about 0..1."""
        detail = self._detail(x, quality)[:, :, : 2 * x.shape[2], : 2 * x.shape[3]]
        return lanczos_double(x, self.taps) + detail.float()

    def _detail(self, x: Tensor, quality: Tensor) -> Tensor:
        cell_px, dtype = self.config.cell_px, self.enter.weight.dtype
        spare = (-x.shape[2] % cell_px, -x.shape[3] % cell_px)
        cells = F.pixel_unshuffle(F.pad(x, (0, spare[1], 0, spare[0]), mode="replicate") - 0.5, cell_px)
        h = activate(self.enter(cells.to(dtype, memory_format=torch.channels_last)))
        gain: Tensor = self.quality(quality)[:, :, None, None]
        return pixel_shuffle(self.leave(self.blocks(h * gain.to(h.dtype))), 2 * cell_px)


def lanczos_taps() -> Tensor:
    """Return the LANCZOS weights (2, 6) of the six nearest pixels, for the left and the right half of a pixel."""
    rows = [[_lanczos(place + shift) for place in range(-_REACH, _REACH)] for shift in (0.25, -0.25 + 1)]
    taps = torch.tensor(rows)
    return taps / taps.sum(1, keepdim=True)


def _lanczos(place: float) -> float:
    angle = math.pi * place
    return _REACH * math.sin(angle) * math.sin(angle / _REACH) / (angle * angle) if abs(place) < _REACH else 0.0


def lanczos_double(x: Tensor, taps: Tensor) -> Tensor:
    """Return x (B, 3, H, W) resized to twice its sides by LANCZOS, in float32; borders are continued by replication."""
    with torch.autocast(x.device.type, enabled=False):
        planes = x.float().flatten(0, 1)[:, None]
        columns = _double(planes, taps.view(2, 1, 1, 2 * _REACH))
        return _double(columns.mT, taps.view(2, 1, 1, 2 * _REACH)).mT.reshape(*x.shape[:2], 2 * x.shape[2], -1)


def _double(planes: Tensor, taps: Tensor) -> Tensor:
    """Return planes (P, 1, H, W) with twice the columns."""
    padded = F.pad(planes, (_REACH, _REACH, 0, 0), mode="replicate")
    left, right = F.conv2d(padded, taps).unbind(1)
    return torch.stack([left[..., :-1], right[..., 1:]], dim=-1).flatten(2)[:, None]


@dataclass(frozen=True)
class UpscalerNotes:
    """The metadata of an upscaler's file, on its training and its use."""

    stream_id: str
    """The stream id, in hexadecimal, of the medium autoencoder whose pictures it was trained on."""
    trained: str
    """A sentence for people on how the weights were trained."""


@dataclass(frozen=True)
class TrainedUpscaler:
    """The contents of an upscaler's file, with its network built."""

    network: Upscaler
    notes: UpscalerNotes
    weights_id: bytes
    """The first four bytes of the SHA-256 of its weights."""


def untrained(stream_id: bytes) -> TrainedUpscaler:
    """Return an upscaler that returns the LANCZOS picture, for the medium autoencoder of this stream id."""
    notes = UpscalerNotes(stream_id.hex(), trained="not trained: the LANCZOS picture")
    return TrainedUpscaler(Upscaler(UPSCALER).eval(), notes, weights_id=bytes(HEAD_ID_BYTES))


def save(path: Path, network: Upscaler, notes: UpscalerNotes) -> None:
    """Write an upscaler's file, with matrices in half precision."""
    tensors = {name: to_stored(name, tensor) for name, tensor in network.state_dict().items()}
    metadata = {"architecture": json.dumps(asdict(network.config)), "notes": json.dumps(asdict(notes))}
    write_tensors(path, tensors, metadata=metadata | {"format": _FORMAT})


def load(path: Path | None = None) -> TrainedUpscaler:
    """Read an upscaler's file, by default the released one, and build its network. Raises `CheckpointError`."""
    chosen = path or RELEASED
    metadata, tensors = read_tensors(chosen, file_format=_FORMAT)
    try:
        network = Upscaler(TypeAdapter(UpscalerConfig).validate_json(metadata["architecture"], strict=True))
        fill(network, tensors)
        notes = TypeAdapter(UpscalerNotes).validate_json(metadata["notes"])
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"the weights in {chosen} do not fit this version's upscaler: {error}") from error
    return TrainedUpscaler(network.eval(), notes, weights_id=digest(tensors, ("",), size=HEAD_ID_BYTES))
