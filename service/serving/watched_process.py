"""One process of an edge, as its supervisor sees it and as it runs: its server, its heartbeats and its end."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from uvicorn import Config
from uvicorn.supervisors.multiprocess import Process

from service.serving.heartbeat import BEAT_S, Phase, Silence, starved_s
from service.serving.supervision import Supervision

if TYPE_CHECKING:
    from service.serving.http_server import HttpServer

KILL_S = 1.0  # longest wait for a killed process (assumed): it ends at once, unless it waits for a disk


class WatchedProcess(Process):
    """A child process that sends heartbeats over uvicorn's pipe, in place of answers to pings.

    A supervisor that sends pings, as uvicorn's does, blocks until each is answered. uvicorn also answers from a thread,
    so that an event loop that hangs goes unnoticed.
    """

    def __init__(self, config: Config, sockets: list[socket.socket], *, rules: Supervision) -> None:
        super().__init__(config, sockets)
        self._limits = rules.limits
        self.started_s = time.monotonic()
        self._silence = Silence(limit_s=rules.hung_s, now_s=self.started_s)
        for end in (self.parent_conn, self.child_conn):
            os.set_blocking(end.fileno(), False)  # so that no worker blocks if a stopped supervisor reads no beats

    # The methods of the child process.

    @property
    def server(self) -> HttpServer:
        """The HTTP server of this process. Only the child process may use this property."""
        from service.serving.http_server import HttpServer  # imported only here: see `target`

        if self._server is None:
            self._server = HttpServer(self.config, self._limits, on_turn=lambda: self._beat(Phase.SERVING))
        assert isinstance(self._server, HttpServer), "created above"
        return self._server

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Run the server, and ignore SIGHUP, which a terminal or a log rotation sends to every process."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        gc.disable()  # until the application has started (`frozen_start`): nearly all imports are still to come
        server = self.server
        threading.Thread(target=self._beat_until_started, args=(server,), name="start", daemon=True).start()
        server.run(sockets)

    def _beat_until_started(self, server: HttpServer) -> None:
        while not server.started:
            self._beat(Phase.STARTING)
            time.sleep(BEAT_S)

    def _beat(self, phase: Phase) -> None:
        with suppress(OSError):  # the pipe is full, because the supervisor reads nothing, or the supervisor has ended
            os.write(self.child_conn.fileno(), phase.value)

    # The methods of the supervisor.

    def fault(self, now_s: float) -> str:
        """Return the fault of the process as a predicate, such as "died", or an empty text. Does not wait."""
        if self.pid is None or not self.process.is_alive():
            return "died"
        self._read_beats()
        if self._silence.check(now_s=now_s, starved_s=starved_s(self.pid)):
            return f"has sent no heartbeat for {self._silence.silent_s:.1f} s and is killed"
        return ""

    @property
    def is_serving(self) -> bool:
        """Return whether the process has said that it has started."""
        self._read_beats()
        return self._silence.is_serving

    def send(self, number: int) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.exitcode is None and self.pid is not None:
            os.kill(self.pid, number)

    def end(self) -> None:
        """Kill the process if it has not died, and wait at most KILL_S for its end."""
        self.kill()
        self.process.join(KILL_S)

    def _read_beats(self) -> None:
        with suppress(OSError):  # the pipe is empty, or `kill` has closed it
            while beats := os.read(self.parent_conn.fileno(), 4096):
                self._silence.note_beat(Phase(beats[-1:]))
