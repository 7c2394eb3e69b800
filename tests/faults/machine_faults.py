"""Limits of the machine: no descriptor is left, and the file system under the metrics is full."""

import os
import signal
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from service.serving.open_files import LEAST_FILES
from tests.faults.answers import Limits, Summary
from tests.faults.scenario import Scenario
from tests.faults.stage import RunningEdge, processor_s, stage
from tests.faults.timeline import break_under_load
from tests.service.other_folders import with_folders

IDLE = 2 * LEAST_FILES  # connections without a request: more than there are descriptors
REQUEST_TIMEOUT_S = 3.0
METRICS_BYTES = 8 << 20
CHUNK = bytes(1 << 16)


async def no_descriptors(seconds: float) -> Summary:
    """Clients ask beside idle connections that take all descriptors, until the edge closes these."""
    with stage() as here, ExitStack() as idle:
        limited = ("sh", "-c", f'ulimit -n {LEAST_FILES} && exec "$@"', "sh")
        edge = here.edge(*limited, redis_url=here.store().url, request_timeout_s=REQUEST_TIMEOUT_S)
        load, before_s = here.load(edge), processor_s(edge.parent)
        seen = await break_under_load(load, lambda: hold_idle(edge, idle), heal=idle.close, seconds=seconds)
        used_s = processor_s(edge.parent) - before_s
        told = sum("waited for their clients" in line for line in edge.log)
        return replace(seen, figures={"processor seconds": round(used_s, 1), "lines of the log": told})


def hold_idle(edge: RunningEdge, idle: ExitStack) -> None:
    for _ in range(IDLE):
        connection = idle.enter_context(socket.socket())
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.1", edge.server.port))


async def full_metrics(seconds: float) -> Summary:
    """Fill the tmpfs under the figures of two workers, and let two new workers start meanwhile."""
    with stage() as here:
        folder = here.new_folder()
        try:
            before = with_folders({folder: f"size={METRICS_BYTES}"})
        except pytest.skip.Exception:
            return Summary(skipped="nobody may mount a tmpfs here")
        edge = here.edge(*before, workers=2, folder=folder, redis_url=here.store().url)
        full = Path(f"/proc/{edge.parent}/root{folder}/full")
        seen = await break_under_load(
            here.load(edge), lambda: fill_and_renew(full, edge), heal=full.unlink, seconds=seconds
        )
        died = sum(" died" in line for line in edge.log)
        told = sum("figures of this worker are not shared" in line for line in edge.log)
        return replace(seen, figures={"workers that died": died, "workers without a file": told})


def fill_and_renew(full: Path, edge: RunningEdge) -> None:
    assert list(full.parent.glob("*/*.db")), "the figures are elsewhere"
    fill(full)
    os.kill(edge.parent, signal.SIGHUP)


def fill(file: Path) -> None:
    """Write until the file system is full."""
    with file.open("wb", buffering=0) as written:
        try:
            while True:
                written.write(CHUNK)
        except OSError:
            return


SCENARIOS = (
    Scenario(
        "no-descriptors",
        f"{IDLE} idle connections under `ulimit -n {LEAST_FILES}`",
        no_descriptors,
        Limits(slowest_s=10, normal_after_s=5),
    ),
    Scenario(
        "full-metrics",
        "the tmpfs under the metrics is full, and workers are replaced",
        full_metrics,
        Limits(resets=0, other_statuses=0, slowest_s=5, figures={"workers that died": 0}),
        seconds=60,
    ),
)
