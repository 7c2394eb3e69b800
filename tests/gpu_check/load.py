"""A load from several client processes, and what they heard together. The clients themselves are in clients.py."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

START_S = 0.5
"""Until all client processes have started."""
SLACK_S = 10.0
ANSWERED = 200


@dataclass(frozen=True)
class Load:
    """What one client process asks for. With `per_s` requests come at random moments, else each follows an answer."""

    port: int
    paths: Sequence[str]
    connections: int
    ramp_s: float
    """Connections are opened one by one within this time, so that all workers take some; nothing counts before."""
    seconds: float
    per_s: float = 0.0
    begin_s: float = 0.0
    """On the monotonic clock."""
    seed: int = 0
    patience_s: float = 5.0


@dataclass(frozen=True)
class Heard:
    """What one client process heard, or all of them: answers by status, latencies of pictures, stages of the edge."""

    statuses: Mapping[str, int]
    latencies_ms: Sequence[float]
    stages_ms: Mapping[str, float]
    seconds: float
    busy: float
    """Share of a processor that a client process used: near 1 it was the bottleneck itself."""

    @property
    def per_s(self) -> float:
        return len(self.latencies_ms) / self.seconds

    def percentile_ms(self, percent: float) -> float | None:
        """Return the latency that so many percent of the pictures do not exceed."""
        if not self.latencies_ms:
            return None
        return float(np.percentile(self.latencies_ms, percent, method="inverted_cdf"))


def heard(load: Load, *, processes: int) -> Heard:
    """Divide a load among client processes, run them at once and put their answers together."""
    begin_s = time.monotonic() + START_S
    parts = [
        replace(
            load,
            connections=max(1, load.connections // processes),
            per_s=load.per_s / processes,
            begin_s=begin_s,
            seed=load.seed + number,
        )
        for number in range(processes)
    ]
    clients = [_started(part) for part in parts]
    limit_s = START_S + load.ramp_s + load.seconds + load.patience_s + SLACK_S
    return together([_ended(client, limit_s) for client in clients])


def together(parts: Sequence[Heard]) -> Heard:
    """Add what client processes heard; stages are averaged by the pictures behind them."""
    statuses: Counter[str] = Counter()
    stages: Counter[str] = Counter()
    pictures = sum(len(part.latencies_ms) for part in parts)
    for part in parts:
        statuses.update(part.statuses)
        for name, mean_ms in part.stages_ms.items():
            stages[name] += mean_ms * len(part.latencies_ms) / max(1, pictures)  # type: ignore[assignment]
    return Heard(
        statuses=dict(statuses),
        latencies_ms=[one for part in parts for one in part.latencies_ms],
        stages_ms=dict(stages),
        seconds=max(part.seconds for part in parts),
        busy=max(part.busy for part in parts),
    )


def _started(load: Load) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.gpu_check.clients", json.dumps(asdict(load))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _ended(client: subprocess.Popen[str], limit_s: float) -> Heard:
    try:
        said, errors = client.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        client.kill()
        raise
    if client.returncode:
        failure = RuntimeError(f"a client process failed: {errors.strip().rpartition(chr(10))[2]}")
        failure.add_note(errors)
        raise failure
    return Heard(**json.loads(said))
