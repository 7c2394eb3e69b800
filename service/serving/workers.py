"""Supervise the processes of an edge: uvicorn's supervisor with heartbeats and a graceful shutdown. Serves nothing.

The workers share the picture port. An admin process, with a port of its own, and a decoder process, without a port, may
run beside them. Both start before the workers and end after them.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType

from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from service.bus.end_signal import END
from service.serving.listening import refuse_new
from service.serving.replacement import Replacement
from service.serving.supervision import Listening, Supervision
from service.serving.watched_process import WatchedProcess

STARTUP_FAILURE = 3  # the exit status of a server that could not start, as in uvicorn
STOP_S = 8  # seconds after its time limit until a worker is killed (assumed): it only has to close its connections
END_S = 10  # seconds until the decoder or admin process is killed (assumed): only one batch is left to finish
POLL_S = 0.05


class Workers(Multiprocess):
    """Starts the processes, restarts dead ones and those that hang, and forwards SIGTERM to them."""

    def __init__(
        self,
        pictures: Listening,
        *,
        beside: Sequence[Listening],
        rules: Supervision,
        on_death: Callable[[int], object],
    ) -> None:
        """Supervise the workers, which listen as in `pictures`, and one process for each server in `beside`.

        `on_death` is called with the pid of each process that has died.
        """
        super().__init__(pictures.config, list(pictures.sockets))
        self._pictures = pictures
        self._beside = beside
        self._rules = rules
        self._on_death = on_death
        self._beside_processes: list[Process] = []
        self._buried: set[int | None] = set()
        """The pids of dead processes that have not been restarted yet."""
        self._replacement = Replacement(lambda: self._start(self._pictures), rules=rules, on_death=on_death)
        self._skips_delay = False
        signal.signal(signal.SIGTERM, self._leave)
        signal.signal(signal.SIGINT, self._leave)

    def init_processes(self) -> None:
        """Start the processes beside the workers, and then the workers."""
        self._beside_processes = [self._start(listening) for listening in self._beside]
        self.processes = [self._start(self._pictures) for _ in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        """Restart processes that have died or hang, and take the next step of a replacement. No check waits."""
        self._keep_alive(self.processes, [self._pictures] * len(self.processes))
        self._keep_alive(self._beside_processes, self._beside)
        self._replacement.advance(self.processes)

    def handle_hup(self) -> None:
        """Replace the workers one by one."""
        self._replacement.begin(self.processes)

    def handle_ttin(self) -> None:
        """Start one more worker after SIGTTIN. uvicorn's method would start it without this project's HTTP server."""
        self.processes_num += 1
        self.processes.append(self._start(self._pictures))

    def handle_ttou(self) -> None:
        """Stop one worker after SIGTTOU. uvicorn's method would wait for its end, and check no other process."""
        if self.processes_num > 1:
            self.processes_num -= 1
            self._replacement.retire(self.processes.pop())

    def terminate_all(self) -> None:
        """Tell the workers to shut down. After the delay, refuse new connections; those in the backlog are accepted."""
        self._send(signal.SIGTERM)
        self._wait_for_delay()
        for listening in self.sockets:
            refuse_new(listening)
            # If a socket stayed open in this process, the kernel would accept connections that no worker serves.
            listening.close()
        self._send(END)

    def join_all(self) -> None:
        """Wait until the workers have ended, then end the decoder and admin processes, which the workers needed."""
        self._join(self._serving, within_s=self._rules.drain_s + STOP_S)
        for process in self._beside_processes:
            _watched(process).send(END)
        self._join(self._beside_processes, within_s=END_S)
        if any(process.exitcode == STARTUP_FAILURE for process in (*self.processes, *self._beside_processes)):
            sys.exit(STARTUP_FAILURE)

    @property
    def _serving(self) -> list[Process]:
        """All processes that serve pictures, including old and new workers during a replacement."""
        return [*self.processes, *self._replacement.processes]

    def _start(self, listening: Listening) -> WatchedProcess:
        process = WatchedProcess(listening.config, list(listening.sockets), rules=self._rules)
        process.start()
        return process

    def _send(self, number: int) -> None:
        for process in self._serving:
            _watched(process).send(number)

    def _wait_for_delay(self) -> None:
        ends_s = time.monotonic() + self._rules.drain_delay_s
        while time.monotonic() < ends_s and not self._skips_delay:
            if all(process.exitcode is not None for process in self._serving):
                return
            time.sleep(POLL_S)

    def _join(self, processes: Sequence[Process], *, within_s: float) -> None:
        """Wait until the processes have ended, and kill each that is still alive after `within_s` seconds."""
        ends_s = time.monotonic() + within_s
        for process in processes:
            process.process.join(max(0.0, ends_s - time.monotonic()))
            if process.exitcode is None:
                logging.getLogger(__name__).error("process %s has not ended in time; it is killed", process.pid)
            process.kill()  # has no effect if the process has ended
            process.process.join()

    def _keep_alive(self, processes: list[Process], listenings: Sequence[Listening]) -> None:
        for place, listening in enumerate(listenings):
            if self.should_exit.is_set() or self.signal_queue:
                return
            processes[place] = self._check_or_restart(processes[place], listening)

    def _check_or_restart(self, process: Process, listening: Listening) -> Process:
        """Return the process if it is alive, else a newly started one, or the dead one while its back-off lasts."""
        if process.pid not in self._buried:
            fault = _watched(process).fault(time.monotonic())
            if not fault:
                return process
            self._bury(_watched(process), listening, fault)
        if self.should_exit.is_set() or not listening.restarts.is_due(now_s=time.monotonic()):
            return process
        self._buried.discard(process.pid)
        return self._start(listening)

    def _bury(self, process: WatchedProcess, listening: Listening, fault: str) -> None:
        process.end()
        self._buried.add(process.pid)
        if process.pid is not None:
            self._on_death(process.pid)
        if process.exitcode == STARTUP_FAILURE:
            self._give_up()
            return
        now_s = time.monotonic()
        wait_s = listening.restarts.note_death(lived_s=now_s - process.started_s, now_s=now_s)
        logging.getLogger(__name__).error("process %s %s; it is restarted in %g s", process.pid, fault, wait_s)

    def _give_up(self) -> None:
        """Shut the edge down because a process could not start. Kill workers that still wait for the decoder."""
        logging.getLogger(__name__).error("a process could not start; the edge shuts down")
        self.should_exit.set()
        for worker in self._serving:
            if not _watched(worker).is_serving:
                worker.process.kill()

    def _leave(self, number: int, _frame: FrameType | None) -> None:
        # The supervisor reads its queue twice a second, but readiness must end at once.
        self.signal_queue.append(number)
        if number == signal.SIGINT:
            self._skips_delay = True
        else:
            self._send(number)


def _watched(process: Process) -> WatchedProcess:
    assert isinstance(process, WatchedProcess), "created by _start"
    return process
