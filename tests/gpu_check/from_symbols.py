"""Pictures a second from symbols, by both heads and sizes in batches of 1 to 256, with the kernels' own time."""

import torch

from models.codec import Codec
from tests.gpu_check.device_time import device_time
from tests.gpu_check.golden import SIZES_PX
from tests.gpu_check.subjects import batch_of, photographs, streams
from tests.gpu_check.task import Task, timed

BATCHES = (64, 16, 256, 1, 128, 32, 4)
"""In the order of what they tell, should the time end."""
HEADS = ("cpu", "gpu")


def run(task: Task) -> None:
    """Measure the light heads first."""
    blobs = streams(photographs(task.choose(16, 2)))
    batches = task.choose(BATCHES, (1, 2))
    parts = len(HEADS) * len(SIZES_PX) * len(batches)
    for head in HEADS:
        codec = Codec.load(device=task.device, head=head)
        for batch in batches:
            for size_px in SIZES_PX:
                with task.journal.tried(f"head {head}, {size_px} px, batch {batch}"):
                    _measure(task, codec, blobs, (batch, size_px, parts))
                parts -= 1


def _measure(task: Task, codec: Codec, blobs: list[bytes], case: tuple[int, int, int]) -> None:
    batch, size_px, parts = case
    symbols = batch_of([codec.read(one) for one in blobs], batch)

    def call() -> None:
        codec.synthesize(symbols, size_px=size_px)  # waits for the device: the pictures come back as arrays

    found = timed(call, seconds=task.slice_s(2 * parts))
    task.journal.row(
        "pictures",
        head=codec.head,
        size_px=size_px,
        batch=batch,
        per_s=batch / found.median_s,
        batch_ms=1000 * found.median_s,
        first_ms=1000 * found.first_s,
        memory_mib=_peak_mib(task),
    )
    inside = device_time(call, device=task.device)
    row = {"kernels_ms": inside.kernels_ms, "copies_ms": inside.copies_ms, "launches": inside.launches}
    task.journal.row("kernels", head=codec.head, size_px=size_px, batch=batch, **row)
    task.journal.log(f"{codec.head}, {size_px} px, batch {batch}\n{inside.slowest}")


def _peak_mib(task: Task) -> float:
    return torch.cuda.max_memory_allocated() / 2**20 if task.device != "cpu" else 0.0
