"""Judge by its heartbeats whether a process hangs. No clock; reads only Linux's /proc/PID/schedstat.

To the kernel, a process that hangs is alive, but its clients wait. So each process sends a beat twice a second: from a
thread while it starts, and from its event loop once it serves. The supervisor checks all processes twice a second.

Silence counts only while the supervisor runs and the process does not wait for a CPU. So neither a suspended machine
nor a loaded one looks like a hang.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

BEAT_S = 0.5
START_LIMIT_S = 30.0
"""The longest silence in seconds of a process that starts (assumed): an import may block its threads for seconds."""
LONGEST_STEP_S = 1.0
"""The maximum number of seconds of silence counted between two checks: twice their interval. After more, the supervisor
slept."""


class Phase(Enum):
    """The state of a process that its beats report. The value is the byte that is sent."""

    STARTING = b"s"
    SERVING = b"."


class Silence:
    """Measures for how long one process has sent no beat."""

    def __init__(self, *, limit_s: float, now_s: float) -> None:
        """`limit_s` is the longest silence of a process that serves; 0 means no limit."""
        self._limit_s = limit_s
        self._checked_s = now_s
        self._starved_s = 0.0
        self._phase = Phase.STARTING
        self._has_beaten = False
        self.silent_s = 0.0

    @property
    def is_serving(self) -> bool:
        """Return whether the process has finished its start."""
        return self._phase is Phase.SERVING

    def note_beat(self, phase: Phase) -> None:
        """Record that a beat has arrived since the last check."""
        self._phase, self._has_beaten = phase, True

    def check(self, *, now_s: float, starved_s: float) -> bool:
        """Return whether the process hangs. `starved_s` is the total time for which it has waited for a CPU."""
        step_s = min(now_s - self._checked_s, LONGEST_STEP_S) - (starved_s - self._starved_s)
        self._checked_s, self._starved_s = now_s, starved_s
        self.silent_s = 0.0 if self._has_beaten else self.silent_s + max(0.0, step_s)
        self._has_beaten = False
        limit_s = self._limit_s if self.is_serving else START_LIMIT_S
        return 0 < limit_s <= self.silent_s


def starved_s(pid: int) -> float:
    """Return the total seconds for which a process's main thread has waited for a CPU, or 0 if they are unknown."""
    try:
        # The fields are the time on a CPU, the time of waiting for one (both in ns), and the number of time slices.
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
