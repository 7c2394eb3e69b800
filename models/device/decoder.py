"""Decode symbols to pixels on an accelerator, in batches. The tests compare the result with the torch modules.

    host's thread   pack -> copy in -> unpack, networks, round -> copy out -> wait
    lane in                 [======]
    lane work                        [========================]
    lane out                                                    [======]

A lane is a CUDA stream. Each batch uses one of two buffers on the device for its input and output, so that the host
packs and copies a batch while the previous one is computed. The lanes wait for each other on the device; only
`Ticket.pictures` blocks the host. Only one thread may call `submit`; any thread may wait for a ticket.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from models.device.buckets import Buckets
from models.device.lanes import HostMemory, Lane, Mark
from models.device.networks import DeviceLatent, DevicePicture
from models.device.packing import Inputs, Packing
from models.device_errors import finish_work, halve_once, watching

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from models.hyperprior import Hyperprior
    from models.latent_codec import Symbols
    from models.picture_array import Pixels
    from models.synthesis import HighHead
    from models.translator import Translator

LARGEST_BATCH = 128
"""Largest number of pictures in a batch (assumed): a larger batch is hardly more efficient, but increases latency."""
_PACKERS = 4
"""Threads that pack symbols; each packs some 30,000 pictures per second (derived: 280 kB a picture at 10 GB/s)."""
_ROWS_A_TASK = 16


@dataclass
class _Place:
    """Device memory for one batch's packed symbols and pixels.

    After the mark `unpacked`, `packed` may be overwritten; after the mark `returned`, `pixels` may be.
    """

    packed: Tensor
    pixels: Tensor
    unpacked: Mark
    returned: Mark


@dataclass(frozen=True)
class _Batch:
    packing: Packing
    pixels: Tensor
    returned: Mark


class Ticket:
    """The result of `DeviceDecoder.submit`: pictures that the device is still decoding."""

    def __init__(self, batches: Sequence[_Batch], device: str) -> None:
        self._batches, self._device = batches, device

    def pictures(self) -> list[Pixels]:
        """Wait for the pictures and return them (S, S, 3), in the order of the submitted symbols.

        All pictures of a batch share one block of memory, which stays allocated while one of them is referenced. Copy a
        picture to keep it for long. Raises `DeviceLost`.
        """
        found: list[Pixels] = []
        for batch in self._batches:
            with watching(self._device):
                batch.returned.wait()
            rows = batch.pixels.numpy()
            by_picture = sorted(zip(batch.packing.order, rows, strict=True), key=lambda pair: pair[0])
            found += [row for _, row in by_picture]
        return found


class DeviceDecoder:
    """Decodes symbols to 344 or 172 pictures on an accelerator, in batches."""

    def __init__(
        self,
        hyperprior: Hyperprior,
        heads: Mapping[int, HighHead | Translator],
        *,
        device: str,
        largest: int = LARGEST_BATCH,
    ) -> None:
        """Prepare the networks, which are on `device` already, for batches of up to `largest`, a power of two.

        `heads` maps a picture size in pixels to its head, in the number format in which it is to run.
        """
        self._device, self._memory = device, HostMemory(device)
        self._in, self._work, self._out = Lane(device), Lane(device), Lane(device)
        self._packers = ThreadPoolExecutor(_PACKERS, thread_name_prefix="pack")
        channels, hyper_channels = len(hyperprior.deviation), hyperprior.means.read.weight.shape[1]
        with torch.inference_mode():
            latent = DeviceLatent(hyperprior)
            networks = {size_px: DevicePicture(latent, head, size_px) for size_px, head in heads.items()}
            self._inputs = Inputs.zeros(largest, hyper_channels=hyper_channels, channels=channels, device=device)
            finish_work(device)  # The inputs are zeroed on CUDA's default stream, for which the lanes do not wait.
            self._buckets = Buckets(networks, self._inputs, self._work)
            self._places = [self._place(max(heads)) for _ in range(2)]

    def _place(self, size_px: int) -> _Place:
        largest, inputs = self._buckets.largest, self._inputs
        most_bytes = 8 + 2 * inputs.q[0].numel() + inputs.h1[0].numel()
        packed, pixels = (
            torch.empty(largest * each, dtype=torch.uint8, device=self._device) for each in (most_bytes, 3 * size_px**2)
        )
        return _Place(packed, pixels, Mark(), Mark())

    @property
    def largest(self) -> int:
        """Return the largest batch that fits the device's memory, in pictures."""
        return self._buckets.largest

    @torch.inference_mode()
    def submit(self, symbols: Sequence[Symbols], *, size_px: int) -> Ticket:
        """Start to decode symbols to pictures of `size_px`, and return the ticket to wait for.

        A batch for which the device has no memory is tried again in two halves. Raises `torch.OutOfMemoryError` where a
        half fails too, and `DeviceLost`.
        """
        batches: list[_Batch] = []
        with watching(self._device):
            for start in range(0, len(symbols), self.largest):
                together = symbols[start : start + self.largest]
                batches += halve_once(lambda part: self._start(part, size_px), together)
        return Ticket(batches, self._device)

    def _start(self, symbols: Sequence[Symbols], size_px: int) -> _Batch:
        packing, place = Packing.of(symbols), self._places[0]
        self._places.reverse()
        packed = place.packed[: packing.size_bytes]
        host = self._pack(packing, symbols)
        with self._in as lane:
            lane.after(place.unpacked)
            packed.copy_(host, non_blocking=True)
            arrived = lane.mark()
        pixels = self._compute(packing, place, arrived, size_px)
        returned = self._copy_out(pixels, place, self._work.mark())
        return _Batch(packing, returned, place.returned)

    def _pack(self, packing: Packing, symbols: Sequence[Symbols]) -> Tensor:
        host = self._memory.empty(packing.size_bytes)
        array, count = host.numpy(), len(symbols)
        packing.write_qualities(array, symbols)
        tasks = [range(start, min(start + _ROWS_A_TASK, count)) for start in range(0, count, _ROWS_A_TASK)]
        if len(tasks) == 1:
            packing.write_rows(array, symbols, tasks[0])
        else:
            list(self._packers.map(lambda rows: packing.write_rows(array, symbols, rows), tasks))
        return host

    def _compute(self, packing: Packing, place: _Place, arrived: Mark, size_px: int) -> Tensor:
        batch = len(packing.order)
        pixels = place.pixels[: 3 * batch * size_px**2].view(batch, size_px, size_px, 3)
        with self._work as lane:
            lane.after(arrived)
            packing.unpack(place.packed, self._inputs)
            place.unpacked = lane.mark()
            made = self._buckets.run(size_px, batch)
            lane.after(place.returned)
            pixels.copy_(made)
        return pixels

    def _copy_out(self, pixels: Tensor, place: _Place, computed: Mark) -> Tensor:
        host = self._memory.empty(*pixels.shape)
        with self._out as lane:
            lane.after(computed)
            host.copy_(pixels, non_blocking=True)
            place.returned = lane.mark()
        return host
