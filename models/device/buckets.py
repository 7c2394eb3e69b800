"""One run of a network for each size and bucket of batch sizes: a captured CUDA graph, or the network itself.

A graph reads and writes the same memory at each replay, so a batch is padded to the next bucket: 1, 2, 4 and so on. The
padding rows hold earlier pictures, and their results are not read. All runs follow each other on one stream, so they
can share inputs and intermediate memory.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from models.device_errors import finish_work, is_out_of_memory, watching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from models.device.lanes import Lane
    from models.device.packing import Inputs

    Network = Callable[[Tensor, Tensor, Tensor], Tensor]

_WARM_UP_RUNS = 3
"""cuBLAS and cuDNN choose kernels and allocate workspaces in the first runs (assumed)."""


class Buckets:
    """Computes the pixel levels of up to `largest` pictures at once."""

    def __init__(self, networks: Mapping[int, Network], inputs: Inputs, lane: Lane) -> None:
        """Take the network of each size; warm up every bucket now, and capture it on a CUDA device."""
        self._networks, self._inputs, self._lane = networks, inputs, lane
        self._device = str(inputs.q.device)
        limit = len(inputs.quality)
        self._outputs = {
            size_px: torch.zeros(limit, size_px, size_px, 3, dtype=torch.uint8, device=self._device)
            for size_px in networks
        }
        self._graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}
        self.largest = self._find_largest(limit)
        if lane.stream is not None:
            self._capture_all()

    @property
    def uses_graphs(self) -> bool:
        """Return whether graphs are replayed."""
        return bool(self._graphs)

    def run(self, size_px: int, batch: int) -> Tensor:
        """Return the pixels (batch, S, S, 3) of the first inputs, on the device; the next run overwrites them."""
        bucket = 1 << (batch - 1).bit_length()
        graph = self._graphs.get((size_px, bucket))
        if graph is None:
            self._compute(size_px, bucket)
        else:
            graph.replay()
        return self._outputs[size_px][:batch]

    def _compute(self, size_px: int, bucket: int) -> None:
        inputs = self._inputs.first(bucket)
        levels = self._networks[size_px](inputs.quality, inputs.h1, inputs.q)
        self._outputs[size_px][:bucket].copy_(levels)

    def _find_largest(self, limit: int) -> int:
        """Run every bucket a few times, and return the largest that fits the memory of the device."""
        largest, bucket = limit, limit
        while bucket >= 1:
            try:
                self._warm_up(bucket)
            except RuntimeError as error:
                if not is_out_of_memory(error) or bucket == 1:
                    raise
                largest = bucket // 2
                logging.getLogger(__name__).warning("no memory for %d pictures at once", bucket)
            bucket //= 2
        return largest

    def _warm_up(self, bucket: int) -> None:
        runs = 1 if self._lane.stream is None else _WARM_UP_RUNS
        with self._lane, watching(self._device):
            for size_px in self._networks:
                for _ in range(runs):
                    self._compute(size_px, bucket)
        self._lane.mark().wait()

    def _capture_all(self) -> None:
        """Capture the largest buckets first: the smaller ones reuse their memory."""
        pool, bucket = torch.cuda.graph_pool_handle(), self.largest
        try:
            while bucket >= 1:
                for size_px in self._networks:
                    graph = torch.cuda.CUDAGraph()
                    # other threads may use the device meanwhile, hence thread_local
                    with torch.cuda.graph(
                        graph, pool=pool, stream=self._lane.stream, capture_error_mode="thread_local"
                    ):
                        self._compute(size_px, bucket)
                    self._graphs[size_px, bucket] = graph
                bucket //= 2
        except RuntimeError as error:
            self._go_on_without(bucket, error)

    def _go_on_without(self, bucket: int, error: RuntimeError) -> None:
        """Keep the captured graphs; batches of the other buckets run without a graph."""
        with watching(self._device):
            finish_work(self._device)
        logging.getLogger(__name__).warning("batches of %d and fewer run without CUDA graphs: %s", bucket, error)
