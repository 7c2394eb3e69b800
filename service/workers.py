"""Several processes: uvicorn's own supervisor, but one that leaves in order. Serves nothing itself.

The workers share the picture port. The admin process, if there is one, has a port of its own; it is there before the
workers are, and until they have ended.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

from uvicorn import Config
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

STARTUP_FAILURE = 3  # uvicorn's


@dataclass(frozen=True)
class Listening:
    """A server that is to be, and where it listens."""

    config: Config
    sockets: Sequence[socket.socket]

    def process(self) -> Process:
        """One more process of it, started."""
        process = Process(self.config, list(self.sockets))
        process.start()
        return process


class Workers(Multiprocess):
    """Starts the processes, restarts those that died, tells them of SIGTERM."""

    def __init__(self, pictures: Listening, *, admin: Listening | None, on_death: Callable[[int], object]) -> None:
        super().__init__(pictures.config, list(pictures.sockets))
        self._admin = admin
        self._on_death = on_death
        self._admin_process: Process | None = None
        signal.signal(signal.SIGTERM, self._leave)

    def init_processes(self) -> None:
        """Start all."""
        if self._admin is not None:
            self._admin_process = self._admin.process()
        super().init_processes()

    def keep_subprocess_alive(self) -> None:
        """Restart what died or hangs."""
        before = self._pids()
        super().keep_subprocess_alive()
        for pid in before - self._pids():
            self._on_death(pid)
        process = self._admin_process
        if process is None or self._admin is None or self.should_exit.is_set():
            return
        if not process.is_alive(self.config.timeout_worker_healthcheck):
            process.kill()
            process.join()
            self._admin_process = self._admin.process()

    def terminate_all(self) -> None:
        """End the workers in order."""
        # Open here, a socket would go on taking connections that nobody serves any more.
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def join_all(self) -> None:
        """Wait for their ends, then for that of the process that has told of them."""
        super().join_all()
        if self._admin_process is not None:
            self._admin_process.terminate()
            self._admin_process.join()
        if any(worker.exitcode == STARTUP_FAILURE for worker in self.processes):
            sys.exit(STARTUP_FAILURE)

    def _pids(self) -> set[int]:
        return {worker.pid for worker in self.processes if worker.pid is not None}

    def _leave(self, number: int, _frame: FrameType | None) -> None:
        # The supervisor looks at its queue twice a second; readiness is to end now.
        self.signal_queue.append(number)
        for worker in self.processes:
            worker.process.terminate()
