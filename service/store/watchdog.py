"""Keep a Valkey running while this process runs, and no longer. This file starts processes, and sends no commands.

A server that outlived its edge would keep its memory. So a small shell, the watchdog, starts the server and reads from
a pipe. When this process ends, even by SIGKILL, the kernel closes the pipe, and the watchdog stops the server. When the
server ends, the watchdog starts another one, which is empty.

Each end of a pipe belongs to one process, so a thread of this process sees the end of each part of the watchdog. It
then kills what is left, and starts all of it anew.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

STOP_LIMIT_S = 10.0
RESTART_S = 0.5

# $1 is the folder, $2 the server's program. $3 is `temporary` if the folder is removed when the server stops.
# File descriptor 3 is the pipe, and only this shell has it. 4 tells the edge of restarts, and only the loop has it.
# The loop ends by USR1: systemd sends TERM to every process of a service.
_WATCHDOG = """
exec 3<&0 </dev/null 4>&1 1>&2
trap '' INT TERM
(
  exec 3<&-
  trap 'kill "$server"; wait "$server"; exit 0' USR1
  while :; do
    "$2" "$1/valkey.conf" 4>&- &
    server=$!
    wait "$server"
    echo "$?" >&4
    sleep 0.5 4>&- &
    wait $!
  done
) &
loop=$!
exec 4>&-
read -r _ <&3
exec 3<&-
kill -s USR1 "$loop"
wait "$loop"
kill 0
[ "$3" = temporary ] && rm -rf -- "$1"
exit 0
"""


@dataclass(frozen=True)
class ServedFolder:
    """The folder of a Valkey, with its configuration, and the program that serves it."""

    path: Path
    program: Path
    is_temporary: bool


class Watchdog:
    """The shell that watches a server, and the thread that watches the shell."""

    def __init__(self, folder: ServedFolder) -> None:
        """Start the server. It answers a moment later."""
        self._folder = folder
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._shell = self._start()
        self._watching = threading.Thread(target=self._watch, name="store-watch", daemon=True)
        self._watching.start()

    def stop(self) -> None:
        """Stop the server."""
        with self._starting:
            self._stopping.set()
            with suppress(OSError):  # the watchdog has just been killed
                os.write(_pipe(self._shell.stdin), b"\n")
        self._watching.join(2 * STOP_LIMIT_S)

    def _start(self) -> subprocess.Popen[bytes]:
        path = self._folder.path
        lifetime = "temporary" if self._folder.is_temporary else "kept"
        with (path / "valkey.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603  (our own script, our own paths)
                ["/bin/sh", "-c", _WATCHDOG, "latentedge-store", str(path), str(self._folder.program), lifetime],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                cwd=path,
                start_new_session=True,  # Ctrl-C must not stop the store while the edge finishes its requests
            )

    # On the thread.

    def _watch(self) -> None:
        while True:
            self._wait_for_end()
            self._clear_away()
            if self._stopping.is_set():
                return
            logging.getLogger(__name__).error("the watchdog of the embedded Valkey was killed; both are started anew")
            if self._stopping.wait(RESTART_S) or not self._start_anew():
                return

    def _wait_for_end(self) -> None:
        """Wait until the shell or its loop stops or ends, and log each server that has ended until then."""
        parts = select.poll()
        parts.register(_pipe(self._shell.stdin), 0)  # an error, once the shell has closed its end
        statuses = _pipe(self._shell.stdout)
        parts.register(statuses, select.POLLIN)
        while parts.poll() == [(statuses, select.POLLIN)]:
            for status in os.read(statuses, 4096).split():
                logging.getLogger(__name__).error(
                    "the embedded Valkey has ended with status %s; an empty one is started", status.decode()
                )

    def _clear_away(self) -> None:
        if self._stopping.is_set():
            with suppress(subprocess.TimeoutExpired):
                self._shell.wait(STOP_LIMIT_S)
        # The number of the group is not given away while the group has members, or its first process is not waited for.
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        for pipe in (self._shell.stdin, self._shell.stdout):
            if pipe is not None:
                pipe.close()

    def _start_anew(self) -> bool:
        with self._starting:
            if self._stopping.is_set():
                return False
            try:
                self._shell = self._start()
            except OSError:
                logging.getLogger(__name__).exception("the embedded Valkey cannot be started anew")
                return False
        return True


def _pipe(end: IO[bytes] | None) -> int:
    assert end is not None, "opened by _start"
    return end.fileno()
