"""Several processes: uvicorn's own supervisor, but one that leaves in order. Serves nothing itself.

The workers share the picture port. Beside them there may be an admin process, which has a port of its own, and a
decoder process, which has none: both are there before the workers are, and until they have ended.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from types import FrameType

from uvicorn import Config
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

STARTUP_FAILURE = 3  # uvicorn's
END_S = 10  # assumed: a process that no worker uses any more has nothing to finish but a batch


class WatchedProcess(Process):
    """A process whose end is noticed at once, even if it ends between a ping and its answer."""

    def ping(self, timeout: float = 5) -> bool:
        """Whether it answers in time; uvicorn's own method waits for the whole time where the process has ended."""
        try:
            self.parent_conn.send(b"ping")
            if self.parent_conn not in connection.wait([self.parent_conn, self.process.sentinel], timeout):
                return False
            self.parent_conn.recv()
        except (OSError, EOFError):
            return False
        return True


@dataclass(frozen=True)
class Listening:
    """A server that is to be, and where it listens."""

    config: Config
    sockets: Sequence[socket.socket]

    def process(self) -> WatchedProcess:
        """One more process of it, started."""
        process = WatchedProcess(self.config, list(self.sockets))
        process.start()
        return process


class Workers(Multiprocess):
    """Starts the processes, restarts those that died, tells them of SIGTERM."""

    def __init__(self, pictures: Listening, *, beside: Sequence[Listening], on_death: Callable[[int], object]) -> None:
        """`beside` are the servers that have one process each."""
        super().__init__(pictures.config, list(pictures.sockets))
        self._beside = beside
        self._on_death = on_death
        self._beside_processes: list[WatchedProcess] = []
        signal.signal(signal.SIGTERM, self._leave)

    def init_processes(self) -> None:
        """Start all."""
        self._beside_processes = [listening.process() for listening in self._beside]
        super().init_processes()

    def keep_subprocess_alive(self) -> None:
        """Restart what died or hangs."""
        before = self._pids()
        super().keep_subprocess_alive()
        for pid in before - self._pids():
            self._on_death(pid)
        for place, listening in enumerate(self._beside):
            if not self.should_exit.is_set():
                self._keep_alive(place, listening)

    def terminate_all(self) -> None:
        """End the workers in order."""
        # Open here, a socket would go on taking connections that nobody serves any more.
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def join_all(self) -> None:
        """Wait for their ends, then for that of the process that has told of them."""
        super().join_all()
        for process in self._beside_processes:
            process.terminate()
            process.process.join(END_S)
            process.kill()  # nothing, if it has ended
            process.join()
        if any(process.exitcode == STARTUP_FAILURE for process in (*self.processes, *self._beside_processes)):
            sys.exit(STARTUP_FAILURE)

    def _keep_alive(self, place: int, listening: Listening) -> None:
        process = self._beside_processes[place]
        if process.is_alive(self.config.timeout_worker_healthcheck):
            return
        process.kill()
        process.join()
        if process.pid is not None:
            self._on_death(process.pid)
        if process.exitcode == STARTUP_FAILURE:
            self._give_up()
        else:
            logging.getLogger(__name__).error("process %s died and is started again", process.pid)
            self._beside_processes[place] = listening.process()

    def _give_up(self) -> None:
        """End, as uvicorn does for a worker that cannot start; a worker may be waiting for the one that could not."""
        logging.getLogger(__name__).error("a process could not start; all end")
        self.should_exit.set()
        for worker in self.processes:
            worker.process.kill()

    def _pids(self) -> set[int]:
        return {worker.pid for worker in self.processes if worker.pid is not None}

    def _leave(self, number: int, _frame: FrameType | None) -> None:
        # The supervisor looks at its queue twice a second; readiness is to end now.
        self.signal_queue.append(number)
        for worker in self.processes:
            worker.process.terminate()
