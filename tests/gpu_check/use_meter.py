"""What a load uses of the machine: processors by the kernel's books, and the GPU by its driver's.

The driver counts the share of the time with a kernel running, and the memory in use.
"""

import importlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.bench.processor_time import used_s

EVERY_S = 0.1


@dataclass
class Use:
    """Of an edge; the GPU's lists are empty where there is no driver or no binding to it."""

    processors: float = 0.0
    busy_percent: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)

    def row(self) -> dict[str, float]:
        """Return the mean load and the most memory."""
        found = {"edge_processors": self.processors}
        if self.busy_percent:
            found["gpu_busy_percent"] = sum(self.busy_percent) / len(self.busy_percent)
            found["gpu_memory_mib"] = max(self.memory_mib)
        return found


@contextmanager
def metered(pid: int, *, after_s: float) -> Iterator[Use]:
    """Measure an edge and its family from some time after the block's begin to its end."""
    use, done = Use(), threading.Event()
    meter = threading.Thread(target=_measure, args=(use, done), kwargs={"pid": pid, "after_s": after_s}, daemon=True)
    meter.start()
    try:
        yield use
    finally:
        done.set()
        meter.join()


def _measure(use: Use, done: threading.Event, *, pid: int, after_s: float) -> None:
    if done.wait(after_s):
        return
    spent_s, began_s = used_s(pid), time.monotonic()
    with suppress(Exception):  # no binding or no driver: a figure less, and never a reason to stop
        _sample_gpu(use, done)
    done.wait()
    use.processors = (used_s(pid) - spent_s) / (time.monotonic() - began_s)


def _sample_gpu(use: Use, done: threading.Event) -> None:
    nvml: Any = importlib.import_module("pynvml")
    nvml.nvmlInit()
    gpu = nvml.nvmlDeviceGetHandleByIndex(0)
    while not done.wait(EVERY_S):
        use.busy_percent.append(float(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu))
        use.memory_mib.append(nvml.nvmlDeviceGetMemoryInfo(gpu).used / 2**20)
