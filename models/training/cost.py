"""What decoding costs: multiplications and parameters counted as the networks run, and milliseconds on one thread."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.flop_counter import FlopCounterMode

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX
from models.training.processors import one_thread


@dataclass(frozen=True)
class DecoderCost:
    """One head: everything between the entropy coder and the pixels, means and exact path included."""

    size_px: int
    macs: int
    parameters: int  # of the modules that run; the exact path keeps its integers outside of them

    @property
    def kmac_per_px(self) -> float:
        return self.macs / 1e3 / self.size_px**2


@dataclass(frozen=True)
class StageTimes:
    """Medians over pictures at the default quality, one thread, a batch of one. On a CPU: its own time, so that
    other load on the machine does not count.
    """

    encode_ms: float
    read_ms: float  # entropy decoding, exact path included
    synthesize_high_ms: float
    synthesize_medium_ms: float


def decoder_cost(codec: Codec, blob: bytes, size_px: int) -> DecoderCost:
    used: dict[int, int] = {}
    with FlopCounterMode(display=False) as counter, _each_module(lambda module: used.update(_own_parameters(module))):
        codec.synthesize([codec.read(blob)], size_px=size_px)
    return DecoderCost(size_px=size_px, macs=counter.get_total_flops() // 2, parameters=sum(used.values()))


def stage_times(codec: Codec, references: Sequence[NDArray[np.uint8]]) -> StageTimes:
    clock = time.process_time if codec.device == "cpu" else time.perf_counter
    quality = codec.default_quality
    with one_thread():
        blobs = [codec.encode(picture, quality=quality) for picture in references]
        symbols = [codec.read(blob) for blob in blobs]
        high = [partial(codec.synthesize, [one], size_px=HIGH_PX) for one in symbols]
        medium = [partial(codec.synthesize, [one], size_px=MEDIUM_PX) for one in symbols]
        return StageTimes(
            encode_ms=_median_ms([partial(codec.encode, one, quality=quality) for one in references], clock),
            read_ms=_median_ms([partial(codec.read, one) for one in blobs], clock),
            synthesize_high_ms=_median_ms(high, clock),
            synthesize_medium_ms=_median_ms(medium, clock),
        )


def _median_ms(calls: Sequence[Callable[[], object]], clock: Callable[[], float]) -> float:
    calls[0]()  # the first call of a shape builds kernels and buffers
    return median(_elapsed_ms(call, clock) for call in calls)


def _elapsed_ms(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start_s = clock()
    call()
    return (clock() - start_s) * 1e3


def _own_parameters(module: nn.Module) -> dict[int, int]:
    return {id(parameter): parameter.numel() for parameter in module.parameters(recurse=False)}


@contextmanager
def _each_module(visit: Callable[[nn.Module], object]) -> Iterator[None]:
    """Calls `visit` with every module that runs meanwhile: what a head does not run is not its cost."""
    hook = register_module_forward_hook(lambda module, _inputs, _output: (visit(module), None)[1])
    try:
        yield
    finally:
        hook.remove()
