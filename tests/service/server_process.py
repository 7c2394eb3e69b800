"""A whole server in a process of its own, as `latentedge serve` starts it."""

import os
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
import sys
from service.serving.launch import run
from service.settings.edge_settings import read_settings
run(read_settings(), host="127.0.0.1", port=int(sys.argv[1]), workers=int(sys.argv[2]))
"""


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


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


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
def serving(tmp_path: Path, origin: str, *before: str, workers: int = 1, **settings: object) -> Iterator[Server]:
    """Run a server during the block. Settings are given by their names in lower case, without the prefix.

    `before` is a command that starts the server.
    """
    port = free_port()
    environment = {"EDGE_ORIGIN": origin, "TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    # A busy machine is not what these tests are about.
    settings = {"store_timeout_s": 30, "origin_timeout_s": 60, **settings}
    environment |= {f"EDGE_{name.upper()}": str(value) for name, value in settings.items()}
    command = [*before, sys.executable, "-c", SERVER, str(port), str(workers)]
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
        wait_until_listening(port)
        try:
            yield Server(parent, port, tmp_path, said="".join(said), stdout=stdout)
        finally:
            parent.kill()
