"""What the device itself does during one call: the time of its kernels and copies, as its profiler counts them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

SHOWN = 8
_COPIES = ("Memcpy", "Memset")


@dataclass(frozen=True)
class DeviceTime:
    """Of a processor: the time of torch's own operators."""

    kernels_ms: float
    copies_ms: float
    launches: int
    slowest: str


def device_time(call: Callable[[], object], *, device: str) -> DeviceTime:
    """Profile one call."""
    on_gpu = device != "cpu"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as found:
        call()
        if on_gpu:
            torch.cuda.synchronize()
    field = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    # Calls of the driver are events too, without time of the device.
    events = [one for one in found.key_averages() if getattr(one, field) > 0]
    events.sort(key=lambda one: -float(getattr(one, field)))
    kernels = [one for one in events if not one.key.startswith(_COPIES)]
    copies = [one for one in events if one.key.startswith(_COPIES)]
    return DeviceTime(
        kernels_ms=_sum_ms(kernels, field),
        copies_ms=_sum_ms(copies, field),
        launches=sum(one.count for one in kernels),
        slowest="\n".join(
            f"{getattr(one, field) / 1000:9.3f} ms {one.count:5} x {one.key[:100]}" for one in events[:SHOWN]
        ),
    )


def _sum_ms(events: list[Any], field: str) -> float:
    return float(sum(getattr(one, field) for one in events)) / 1000
