"""Pack the symbols of a batch into contiguous bytes on the host, and unpack them on the device.

Only the channels that a quality codes are packed. Pictures with the same number of coded channels are adjacent (a run),
so the device unpacks a run by one copy and one zero fill. A batch of one quality is one run.

    offset      bytes               field
    0           8 B                 qualities, int64
    8 B         2 * 484 * sum(n)    q of each picture (484, n), int16
    .           484 * C * B         h1 of each picture (484, C), int8

Letters: B pictures, n coded channels, N latent channels, C hyper channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.cpu.matrices import CELLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from models.latent_codec import Symbols

    Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Run:
    """Adjacent rows of a batch with the same number of coded channels, and the offset of their q in the bytes."""

    rows: range
    channels: int
    at_bytes: int

    @property
    def end_bytes(self) -> int:
        """Return the offset at which the q of the run ends."""
        return self.at_bytes + 2 * CELLS * self.channels * len(self.rows)


@dataclass(frozen=True)
class Inputs:
    """The input of the networks on the device: quality (B,) int64, h1 (B, 484, C) int8 and q (B, 484, N) int16."""

    quality: Tensor
    h1: Tensor
    q: Tensor

    @classmethod
    def zeros(cls, batch: int, *, hyper_channels: int, channels: int, device: str) -> Inputs:
        return cls(
            torch.zeros(batch, dtype=torch.int64, device=device),
            torch.zeros(batch, CELLS, hyper_channels, dtype=torch.int8, device=device),
            torch.zeros(batch, CELLS, channels, dtype=torch.int16, device=device),
        )

    def first(self, batch: int) -> Inputs:
        """Return views of the first `batch` rows."""
        return Inputs(self.quality[:batch], self.h1[:batch], self.q[:batch])


@dataclass(frozen=True)
class Packing:
    """The layout of one packed batch: the order of its pictures and its runs."""

    order: tuple[int, ...]
    """For each row of the packed batch, the index of its picture in the caller's order."""
    runs: tuple[Run, ...]
    hyper_channels: int

    @classmethod
    def of(cls, symbols: Sequence[Symbols]) -> Packing:
        counts = [one.q.shape[1] for one in symbols]
        order = tuple(sorted(range(len(symbols)), key=counts.__getitem__))
        runs, row, at_bytes = list[Run](), 0, 8 * len(symbols)
        for channels, group in groupby(counts[picture] for picture in order):
            run = Run(range(row, row + len(list(group))), channels, at_bytes)
            runs.append(run)
            row, at_bytes = run.rows.stop, run.end_bytes
        return cls(order, tuple(runs), symbols[0].h1.shape[1])

    @property
    def size_bytes(self) -> int:
        """Return the length of the packed batch in bytes."""
        return self.runs[-1].end_bytes + len(self.order) * CELLS * self.hyper_channels

    def write_qualities(self, packed: Bytes, symbols: Sequence[Symbols]) -> None:
        packed[: 8 * len(self.order)].view(np.int64)[:] = [symbols[picture].quality for picture in self.order]

    def write_rows(self, packed: Bytes, symbols: Sequence[Symbols], rows: range) -> None:
        """Copy q and h1 of the rows in `rows` into `packed`. Threads may do this at once for different rows."""
        h1 = packed[self.runs[-1].end_bytes : self.size_bytes].view(np.int8).reshape(len(self.order), CELLS, -1)
        for run in self.runs:
            q = packed[run.at_bytes : run.end_bytes].view(np.int16).reshape(-1, CELLS, run.channels)
            for row in range(max(rows.start, run.rows.start), min(rows.stop, run.rows.stop)):
                q[row - run.rows.start] = symbols[self.order[row]].q
                h1[row] = symbols[self.order[row]].h1

    def unpack(self, packed: Tensor, inputs: Inputs) -> None:
        """Copy a packed batch into the first rows of `inputs`, and set the channels that are not coded to zero."""
        batch = len(self.order)
        inputs.quality[:batch].copy_(packed[: 8 * batch].view(torch.int64))
        inputs.h1[:batch].copy_(_view(packed, self.runs[-1].end_bytes, self.size_bytes, torch.int8, batch))
        for run in self.runs:
            q = inputs.q[run.rows.start : run.rows.stop]
            q[..., : run.channels].copy_(_view(packed, run.at_bytes, run.end_bytes, torch.int16, len(run.rows)))
            if run.channels < q.shape[2]:
                q[..., run.channels :].zero_()


def _view(packed: Tensor, start: int, end: int, dtype: torch.dtype, batch: int) -> Tensor:
    return packed[start:end].view(dtype).view(batch, CELLS, -1)
