"""Measure the cost of decoding a picture: multiplications and parameters, counted while networks run, and time."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode

from models.codec import Codec
from models.evaluation.cpu_use import one_thread
from models.evaluation.figures import Ours
from models.evaluation.streams import Heads


@dataclass(frozen=True)
class DecoderCost:
    """The cost of decoding one picture by one head at the default quality, without entropy decoding."""

    ours: Ours
    macs: int
    means_macs: int  # the part of `macs` in the means and the exact path, which is the same for every head
    kmac_per_px: float  # `macs` / 1000 per pixel of the decoded picture
    parameters: int  # parameters of the modules that run, without the integers of the exact path
    synthesize_ms: float  # median time from symbols to pixels: the entropy model's means, then the head


@dataclass(frozen=True)
class StageTimes:
    """Median times per picture that do not depend on the head."""

    encode_ms: float
    read_ms: float  # time of entropy decoding, including the exact path


@dataclass(frozen=True)
class Cost:
    """The cost of each head and the times of the other stages, at the default quality.

    Times are medians over pictures, on one thread in batches of one. On a CPU they are CPU times, so that other load on
    the machine hardly matters; on a GPU they are wall-clock times.
    """

    decoders: tuple[DecoderCost, ...]
    times: StageTimes


def measure_cost(heads: Heads, references: Sequence[NDArray[np.uint8]]) -> Cost:
    codec, quality = heads.gpu, heads.gpu.default_quality
    blobs = [codec.encode(picture, quality=quality) for picture in references]
    decoders = ((Ours.HIGH, heads.gpu), (Ours.HIGH_CPU, heads.cpu), (Ours.MEDIUM, heads.cpu))
    with one_thread():
        return Cost(
            decoders=tuple(_decoder_cost(of_head, ours, blobs) for ours, of_head in decoders),
            times=StageTimes(
                encode_ms=_median_ms([partial(codec.encode, one, quality=quality) for one in references], clock(codec)),
                read_ms=_median_ms([partial(codec.read, one) for one in blobs], clock(codec)),
            ),
        )


def clock(codec: Codec) -> Callable[[], float]:
    """Return the clock, in seconds, by which to time a codec: CPU time on a CPU, else wall-clock time."""
    return time.process_time if codec.device == "cpu" else time.perf_counter


def _decoder_cost(codec: Codec, ours: Ours, blobs: Sequence[bytes]) -> DecoderCost:
    counted = _count(codec, blobs[0], ours.size_px)
    symbols = [codec.read(blob) for blob in blobs]
    calls = [partial(codec.synthesize, [one], size_px=ours.size_px) for one in symbols]
    return DecoderCost(
        ours=ours,
        macs=counted.macs,
        means_macs=counted.macs - counted.head_macs,
        kmac_per_px=counted.macs / 1e3 / ours.size_px**2,
        parameters=counted.parameters,
        synthesize_ms=_median_ms(calls, clock(codec)),
    )


def flop_counter() -> FlopCounterMode:
    """Return torch's FLOP counter, extended to count the int8 matrix products of the exact path."""
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten._int_mm: _product_flops})  # noqa: SLF001


def _product_flops(left: tuple[int, int], right: tuple[int, int], **_others: object) -> int:
    return 2 * left[0] * left[1] * right[1]


@dataclass(frozen=True)
class _Counted:
    macs: int
    head_macs: int
    parameters: int


def _count(codec: Codec, blob: bytes, size_px: int) -> _Counted:
    with flop_counter() as flops, _watch_modules(flops) as modules:
        codec.synthesize_plainly([codec.read(blob)], size_px=size_px)
    return _Counted(flops.get_total_flops() // 2, modules.last_flops // 2, sum(modules.parameters.values()))


class _Modules:
    """Records the parameters of all modules that run, and the FLOPs of the last top-level module.

    A top-level module is one that no other module calls. The last one to run is the head.
    """

    def __init__(self, flops: FlopCounterMode) -> None:
        self.parameters: dict[int, int] = {}
        self.last_flops = 0
        self._flops = flops
        self._depth = 0
        self._flops_before = 0

    def enter(self, _module: nn.Module, _inputs: object) -> None:
        if not self._depth:
            self._flops_before = self._flops.get_total_flops()
        self._depth += 1

    def leave(self, module: nn.Module, _inputs: object, _output: object) -> None:
        self.parameters.update((id(one), one.numel()) for one in module.parameters(recurse=False))
        self._depth -= 1
        if not self._depth:
            self.last_flops = self._flops.get_total_flops() - self._flops_before


@contextmanager
def _watch_modules(flops: FlopCounterMode) -> Iterator[_Modules]:
    modules = _Modules(flops)
    hooks = register_module_forward_pre_hook(modules.enter), register_module_forward_hook(modules.leave)
    try:
        yield modules
    finally:
        for hook in hooks:
            hook.remove()


def _median_ms(calls: Sequence[Callable[[], object]], seconds: Callable[[], float]) -> float:
    calls[0]()  # a warm-up call, not timed: the first call with a shape builds kernels and buffers
    return median(_elapsed_ms(call, seconds) for call in calls)


def _elapsed_ms(call: Callable[[], object], seconds: Callable[[], float]) -> float:
    start_s = seconds()
    call()
    return (seconds() - start_s) * 1e3
