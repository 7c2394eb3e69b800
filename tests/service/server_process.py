"""A whole server in a process of its own, as `latentedge serve` starts it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis

SERVER = """
import os, sys
exec(os.environ.get("OF_THE_TEST", ""))
from service.serving.launch import run
from service.settings.edge_settings import read_settings
run(read_settings(), host="127.0.0.1", port=int(sys.argv[1]), workers=int(sys.argv[2]))
"""
_ADDRESS = re.compile(r"running on http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Server:
    parent: subprocess.Popen[str]
    port: int
    folder: Path
    said: str
    """Until it was ready."""
    stdout: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send a request on a new connection, which any worker may accept."""
        return httpx.get(self.url + path, headers=headers, timeout=60, trust_env=False)

    def wait_until_said(self, words: str) -> None:
        assert self.parent.stderr is not None
        assert any(words in line for line in self.parent.stderr), f"never said: {words}"

    def ctrl_c(self) -> None:
        """Send SIGINT to all processes at once, as a terminal does."""
        os.killpg(self.parent.pid, signal.SIGINT)

    def store(self) -> redis.Redis:
        (path,) = self.folder.glob("latentedge-*/store.sock")
        return redis.Redis(unix_socket_path=str(path), socket_timeout=60)


@contextmanager
def reserved_port() -> Iterator[int]:
    """Yield a port that no other process is given during the block, and on which nothing listens yet.

    A server can bind it nevertheless and listen on it, because its socket and this one set SO_REUSEADDR.
    """
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def wait_until_listening(port: int) -> None:
    """Wait until the server accepts connections. A worker logs its start a moment before it listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "nobody listens"
        else:
            return


@contextmanager
def serving(
    tmp_path: Path, origin: str, *before: str, workers: int = 1, first: object = "", **settings: object
) -> Iterator[Server]:
    """Run a server during the block. Settings are given by their names in lower case, without the prefix.

    `before` is a command that starts the server. `first` is the code that its first process begins with.
    """
    environment = {"EDGE_ORIGIN": origin, "TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", "OF_THE_TEST": str(first)}
    # A busy machine is not what these tests are about.
    settings = {"store_timeout_s": 30, "origin_timeout_s": 240, "drain_s": 240, "hung_s": 60, **settings}
    environment |= {f"EDGE_{name.upper()}": str(value) for name, value in settings.items()}
    command = [*before, sys.executable, "-c", SERVER, "0", str(workers)]
    stdout = tmp_path / "stdout"
    with (
        stdout.open("ab") as output,
        subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as parent,
    ):
        assert parent.stderr is not None
        said = []
        processes = workers + ("admin_port" in settings) + (settings.get("decoder") == "process")
        for line in parent.stderr:
            said.append(line)
            # One worker listens after it has started, several share a socket that is there before.
            if sum("startup complete" in one for one in said) == processes and any("running on" in one for one in said):
                break
        else:
            pytest.fail("the server did not start:\n" + "".join(said))
        port = int(next(found for line in said if (found := _ADDRESS.search(line)))[1])  # that of an admin port follows
        wait_until_listening(port)
        try:
            yield Server(parent, port, tmp_path, said="".join(said), stdout=stdout)
        finally:
            parent.kill()
