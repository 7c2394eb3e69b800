"""Run the networks on batches padded to a few sizes (buckets: 1, 2, 4, ...), as captured CUDA graphs where possible.

A CUDA graph has a fixed batch size and reads and writes the same memory at each replay. Therefore a batch is padded to
the next bucket. The padding rows hold symbols of earlier pictures, and their results are not read. All runs follow each
other on one stream, so they can share inputs and intermediate memory.
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
"""Runs of each bucket before its capture, in which cuBLAS and cuDNN choose kernels and allocate memory (assumed)."""


class Buckets:
    """Computes the pixels of up to `largest` pictures at once, on the device."""

    def __init__(self, networks: Mapping[int, Network], inputs: Inputs, lane: Lane) -> None:
        """Run every bucket of each size's network once or more, and capture it as a graph on a CUDA device.

        `inputs` is the memory from which all runs read; its number of rows is the largest bucket.
        """
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
        """Return whether at least one bucket runs as a CUDA graph."""
        return bool(self._graphs)

    def run(self, size_px: int, batch: int) -> Tensor:
        """Return the pixels (batch, S, S, 3) of the first `batch` rows of the inputs, in uint8 on the device.

        The next run overwrites them.
        """
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
        """Run every bucket from `limit` down, and return the largest that fits the device's memory."""
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
        """Capture the graphs of all buckets, the largest first, so that the smaller ones reuse its memory."""
        pool, bucket = torch.cuda.graph_pool_handle(), self.largest
        try:
            while bucket >= 1:
                for size_px in self._networks:
                    graph = torch.cuda.CUDAGraph()
                    # thread_local, because other threads may call CUDA meanwhile, which would end a global capture
                    with torch.cuda.graph(
                        graph, pool=pool, stream=self._lane.stream, capture_error_mode="thread_local"
                    ):
                        self._compute(size_px, bucket)
                    self._graphs[size_px, bucket] = graph
                bucket //= 2
        except RuntimeError as error:
            self._go_on_without(bucket, error)

    def _go_on_without(self, bucket: int, error: RuntimeError) -> None:
        """Keep the graphs captured so far, and log that buckets of this size and smaller run without one."""
        with watching(self._device):
            finish_work(self._device)
        logging.getLogger(__name__).warning("batches of %d and fewer run without CUDA graphs: %s", bucket, error)
