"""What an edge answers when its device is lost under it, and when the device's memory is full. Then: is it back?

Loss: a kernel fails in the edge's own process, as a signal tells it (lost_device/sitecustomize.py); CUDA then refuses
every further call of that process. Memory: this process takes what is left of the device, and gives it back.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from service.demo.children import origin_server
from tests.bench import photographs
from tests.bench.edges import picture_path
from tests.bench.processor_time import family
from tests.bench.servers import Server, connected, got
from tests.gpu_check.edge_metrics import totals
from tests.gpu_check.load import Load, heard
from tests.gpu_check.serving import Case, started
from tests.gpu_check.task import Task

SIGNALLED = Path(__file__).parent / "lost_device"
WORKERS = 1
_LARGE, _SMALL = 2**30, 2**21


@dataclass(frozen=True)
class _Standing:
    """How an edge stands: devices lost so far, and the entity tag of a picture, which tells the head."""

    lost: float
    tag: str


def run(task: Task) -> None:
    """Lose the device of one edge, and fill the memory under another."""
    with TemporaryDirectory() as scratch:
        names = [file.name for file in photographs.written(Path(scratch) / "photographs")]
        with origin_server(Path(scratch) / "photographs", log=Path(scratch) / "origin.log") as origin:
            search = os.pathsep.join((str(SIGNALLED), os.environ.get("PYTHONPATH", "")))
            case = Case(WORKERS, {"EDGE_HEAD": "auto", "PYTHONPATH": search})
            with task.journal.tried("device lost"), started(task, case, origin.url, names, Path(scratch)) as server:
                _tell(task, server, names, "before the loss")
                signalled = _signal(server)
                for after in ("after the loss", "later"):
                    _tell(task, server, names, after, signalled=signalled)
            case = Case(WORKERS, {"EDGE_HEAD": "auto"})
            with task.journal.tried("memory full"), started(task, case, origin.url, names, Path(scratch)) as server:
                with memory_taken(task.device) as taken_mib:
                    _tell(task, server, names, "memory full", taken_mib=taken_mib)
                _tell(task, server, names, "memory given back")


def _tell(task: Task, server: Server, names: Sequence[str], what: str, **setting: object) -> None:
    paths = [picture_path(name, "344") for name in names]
    load = Load(server.port, paths, connections=task.choose(64, 4), ramp_s=0.1, seconds=task.choose(1.2, 0.5))
    found = heard(replace(load, patience_s=10.0), processes=1)
    standing = _standing(server, paths[0])
    task.journal.row(
        what,
        statuses=found.statuses,
        per_s=found.per_s,
        p99_ms=found.percentile_ms(99),
        devices_lost=standing.lost,
        tag=standing.tag,
        **setting,
    )


def _standing(server: Server, path: str) -> _Standing:
    connection = connected(server.port)
    answer, _ = got(connection, path)
    connection.close()
    return _Standing(totals(server)["edge_devices_lost_total"], str(answer.headers["ETag"]))


def _signal(server: Server) -> int:
    """Signal the edge's processes that listen for it; gives their number."""
    listening = [pid for pid in family(server.pid) if _listens(pid)]
    for pid in listening:
        os.kill(pid, signal.SIGUSR1)
    return len(listening)


def _listens(pid: int) -> bool:
    """Whether a process runs Python and catches the signal: any other would end (proc(5), SigCgt)."""
    with suppress(OSError, StopIteration):
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
        is_python = b"python" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
        return is_python and bool(caught >> (signal.SIGUSR1 - 1) & 1)
    return False


@contextmanager
def memory_taken(device: str) -> Iterator[int]:
    """Hold all memory that the device has left, in MiB; of a processor none."""
    held: list[torch.Tensor] = []
    for size_bytes in (_LARGE, _SMALL) if device != "cpu" else ():
        with suppress(torch.OutOfMemoryError):
            while True:
                held.append(torch.empty(size_bytes, dtype=torch.uint8, device=device))
    try:
        yield sum(one.numel() for one in held) // 2**20
    finally:
        held.clear()
        if device != "cpu":
            torch.cuda.empty_cache()
