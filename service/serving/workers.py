"""Supervise the processes of an edge: start, watch, restart and stop them. Extends uvicorn's supervisor.

The workers share the picture port. An admin process, with a port of its own, and a decoder process, without a port, may
run beside them. Both start before the workers and end after them.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from types import FrameType

from uvicorn import Config
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from service.bus.end_signal import END
from service.serving.client_limits import ClientLimits
from service.serving.http_server import HttpServer
from service.serving.restarts import Restarts

STARTUP_FAILURE = 3  # the exit status of a server that could not start, as in uvicorn
ANSWER_S = 1  # seconds to wait for the answer to a ping (assumed): a worker that has started answers at once
END_S = 10  # seconds until the decoder or admin process is killed (assumed): only one batch is left to finish


class WatchedProcess(Process):
    """A child process whose death is noticed at once, even while the supervisor waits for the answer to a ping."""

    def __init__(self, config: Config, sockets: list[socket.socket], *, leaving: int, limits: ClientLimits) -> None:
        """`leaving` is a file descriptor that becomes readable when the supervisor receives a signal to end."""
        super().__init__(config, sockets)
        self._limits = limits
        self._leaving = leaving
        self.started_s = time.monotonic()

    @property
    def server(self) -> HttpServer:
        """The HTTP server of this process. Only the child process may use this property."""
        if self._server is None:
            self._server = HttpServer(self.config, self._limits)
        assert isinstance(self._server, HttpServer), "created above"
        return self._server

    def ping(self, timeout: float = 5) -> bool:
        """Return whether the process answers within `timeout` seconds.

        If the supervisor is told to end meanwhile, return at once whether the process is alive.
        """
        try:
            self.parent_conn.send(b"ping")
            readable = connection.wait([self.parent_conn, self.process.sentinel, self._leaving], timeout)
            if self.parent_conn in readable:
                self.parent_conn.recv()
                return True
        except (OSError, EOFError):
            return False
        return self._leaving in readable and self.process.sentinel not in readable


@dataclass(frozen=True)
class Listening:
    """The configuration of a server, the sockets on which it listens, and the back-off of its restarts."""

    config: Config
    sockets: Sequence[socket.socket]
    restarts: Restarts = field(default_factory=Restarts)


class Workers(Multiprocess):
    """Starts the processes of an edge, restarts dead ones, and forwards SIGTERM to the workers."""

    def __init__(
        self,
        pictures: Listening,
        *,
        beside: Sequence[Listening],
        limits: ClientLimits,
        on_death: Callable[[int], object],
    ) -> None:
        """Supervise the workers, which listen as in `pictures`, and one process for each server in `beside`.

        `on_death` is called with the pid of each process that has died.
        """
        super().__init__(pictures.config, list(pictures.sockets))
        self._pictures = pictures
        self._beside = beside
        self._limits = limits
        self._on_death = on_death
        self._beside_processes: list[Process] = []
        self._buried: set[int | None] = set()
        """The pids of dead processes that have not been restarted yet."""
        self._leaving, self._leave_by = os.pipe()
        signal.signal(signal.SIGTERM, self._leave)
        signal.signal(signal.SIGINT, self._leave)

    def init_processes(self) -> None:
        """Start the processes beside the workers, and then the workers."""
        self._beside_processes = [self._start(listening) for listening in self._beside]
        self.processes = [self._start(self._pictures) for _ in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        """Restart all processes that have died or do not answer."""
        self._keep_alive(self.processes, [self._pictures] * len(self.processes))
        self._keep_alive(self._beside_processes, self._beside)

    def handle_ttin(self) -> None:
        """Start one more worker after SIGTTIN. uvicorn's method would start it without this project's HTTP server."""
        self.processes_num += 1
        self.processes.append(self._start(self._pictures))

    def restart_all(self) -> None:
        """Replace the workers one by one. Each worker is told to stop only when its replacement is ready."""
        for place, old in enumerate(self.processes):
            new = self._start(self._pictures)
            if not new.wait_until_ready(self.config.timeout_worker_healthcheck, self.should_exit):
                new.kill()
                new.join()
                logging.getLogger(__name__).error("a new worker was not ready in time; the old workers stay")
                return
            old.terminate()
            old.join()
            self.processes[place] = new

    def terminate_all(self) -> None:
        """Tell the workers to shut down gracefully."""
        # If a socket stayed open in this process, the kernel would accept connections that no worker serves.
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def join_all(self) -> None:
        """Wait until the workers have ended, then end the decoder and admin processes, which the workers needed."""
        super().join_all()
        for process in self._beside_processes:
            if process.exitcode is None and process.pid is not None:
                os.kill(process.pid, END)
            process.process.join(END_S)
            process.kill()  # has no effect if the process has ended within END_S
            process.join()
        if any(process.exitcode == STARTUP_FAILURE for process in (*self.processes, *self._beside_processes)):
            sys.exit(STARTUP_FAILURE)

    def _start(self, listening: Listening) -> WatchedProcess:
        process = WatchedProcess(listening.config, list(listening.sockets), leaving=self._leaving, limits=self._limits)
        process.start()
        return process

    def _keep_alive(self, processes: list[Process], listenings: Sequence[Listening]) -> None:
        for place, listening in enumerate(listenings):
            if self.should_exit.is_set() or self.signal_queue:
                return
            processes[place] = self._check_or_restart(processes[place], listening)

    def _check_or_restart(self, process: Process, listening: Listening) -> Process:
        """Return the process if it is alive, else a newly started one, or the dead one while its back-off lasts."""
        if process.pid not in self._buried:
            if process.is_alive(self.config.timeout_worker_healthcheck):
                return process
            self._bury(process, listening.restarts)
        if self.should_exit.is_set() or not listening.restarts.is_due(now_s=time.monotonic()):
            return process
        self._buried.discard(process.pid)
        return self._start(listening)

    def _bury(self, process: Process, restarts: Restarts) -> None:
        process.kill()
        process.join()
        self._buried.add(process.pid)
        if process.pid is not None:
            self._on_death(process.pid)
        if process.exitcode == STARTUP_FAILURE:
            self._give_up()
            return
        now_s = time.monotonic()
        assert isinstance(process, WatchedProcess), "created by _start"
        lived_s = now_s - process.started_s
        wait_s = restarts.note_death(lived_s=lived_s, now_s=now_s)
        logging.getLogger(__name__).error("process %s died; it is restarted in %g s", process.pid, wait_s)

    def _give_up(self) -> None:
        """Shut the edge down because a process could not start. Kill workers that still wait for the decoder."""
        logging.getLogger(__name__).error("a process could not start; the edge shuts down")
        self.should_exit.set()
        for worker in self.processes:
            if not worker.is_ready(ANSWER_S):
                worker.process.kill()

    def _leave(self, number: int, _frame: FrameType | None) -> None:
        # The supervisor reads its queue only twice a second, or less if a process hangs, but workers must turn
        # unready at once. So they get SIGTERM here.
        self.signal_queue.append(number)
        os.write(self._leave_by, b"\0")
        if number == signal.SIGTERM:
            for worker in self.processes:
                worker.process.terminate()
