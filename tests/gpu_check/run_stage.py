"""One stage in a process of its own: a lost context, a crash or a call that never returns ends that stage alone.

Processes are forked from one that has imported torch but has not touched the device, so that each begins at once.
"""

import faulthandler
import multiprocessing
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from tests.gpu_check.budget import Clock
from tests.gpu_check.journal import LOG, Journal
from tests.gpu_check.plan import PLAN, Stage
from tests.gpu_check.task import Task

IMPORTED = ["torch", "numba", "scipy.ndimage", "models.codec", "service.render.image_file", "tests.gpu_check.drawn"]
GRACE_S = 4.0
"""What a stage may take beyond its time before it is killed."""
_DUMP_S = 0.5


@dataclass(frozen=True)
class Order:
    """What the process of a stage needs to know."""

    stage: str
    device: str
    quick: bool
    folder: Path


def forking() -> multiprocessing.context.ForkServerContext:
    """Return the way in which stages are started."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def imported_s() -> float:
    """Import what all stages need, before the time of the first one begins; gives the seconds."""
    began_s = time.monotonic()
    first = forking().Process(target=_start_torch)
    first.start()
    first.join()
    return time.monotonic() - began_s


def run_stage(stage: Stage, order: Order, *, seconds: float) -> None:
    """Run it, and write down how it ended."""
    journal, began_s = Journal(order.folder, stage.name), time.monotonic()
    process = forking().Process(target=_in_child, args=(order, seconds))
    process.start()
    process.join(seconds + GRACE_S)
    cut = process.is_alive()
    if cut:
        process.kill()
        process.join()
    took_s = time.monotonic() - began_s
    if cut:
        journal.failed("cut", f"not done within {seconds + GRACE_S:.0f} s")
    elif process.exitcode:
        journal.failed("crashed", f"exit code {process.exitcode}")
    journal.row("done", seconds=took_s, allotted_s=seconds, whole=not cut and not process.exitcode)


def _in_child(order: Order, seconds: float) -> None:
    """Run the stage; where it stood when it was cut or crashed goes into the log."""
    journal = Journal(order.folder, order.stage)
    with (order.folder / LOG).open("a") as log:
        faulthandler.enable(log)
        faulthandler.dump_traceback_later(seconds + GRACE_S - _DUMP_S, file=log)
        try:
            _start_torch()
            stage = next(one for one in PLAN if one.name == order.stage)
            stage.function()(Task(order.device, order.quick, Clock.of(seconds), journal))
        except Exception as error:  # noqa: BLE001  (the next stage is started whatever this one has met)
            journal.failed("stage", f"{type(error).__name__}: {error}", details=traceback.format_exc())
        faulthandler.cancel_dump_traceback_later()


def _start_torch() -> None:
    import torch

    torch.set_num_threads(1)  # as a worker of the edge does
