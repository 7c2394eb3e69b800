"""Run the servers of the demonstration as child processes, which always end with it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx

from service.commands.failure import CommandFailure
from service.serving.origin_server import STATS_PATH

HOST = "127.0.0.1"
_START_S = 120.0  # longest wait for a server's start (assumed): the first import of torch from a cold disk is slow
_POLL_S = 0.1
_STOP_S = 15.0


def free_port() -> int:
    """Return a TCP port that was free a moment ago, and probably still is."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def claim_port(port: int) -> int:
    """Return `port` if it can be used, or any free port if it is 0. Raises CommandFailure if the port is in use."""
    if port == 0:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise CommandFailure(f"latentedge: port {port} cannot be used: choose another one with --port") from error
    return port


@dataclass(frozen=True)
class Child:
    """A server that runs as a child process, and its URL."""

    url: str
    popen: subprocess.Popen[bytes]


@contextmanager
def origin_server(folder: Path, *, log: Path) -> Iterator[Child]:
    """Run an origin over a folder of pictures during this block, with its log in the file `log`."""
    port = free_port()
    arguments = ("origin", "--dir", str(folder), "--port", str(port))
    with _server(arguments, environment=os.environ, log=log, ready_path=STATS_PATH) as child:
        yield child


@contextmanager
def edge_server(
    origin_url: str, *, log: Path, port: int, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Child]:
    """Run an edge with an embedded store during this block. Its settings are the environment and then `settings`."""
    environment = {**os.environ, "EDGE_ORIGIN": origin_url, "EDGE_REDIS_URL": "", **settings}
    with _server(("serve", "--port", str(port)), environment=environment, log=log, ready_path="/readyz") as child:
        yield child


@contextmanager
def _server(arguments: Sequence[str], *, environment: Mapping[str, str], log: Path, ready_path: str) -> Iterator[Child]:
    """Run the server `latentedge ARGUMENTS` in a child process during this block, which begins when it is ready."""
    command = [sys.executable, "-m", "service.child_entry", str(os.getpid()), *arguments]
    url = f"http://{HOST}:{arguments[-1]}"
    with log.open("wb") as output:
        # In a session of its own, the child gets no Ctrl-C, so that the demonstration can stop its children in order.
        popen = subprocess.Popen(  # noqa: S603  (our own command line)
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_until_ready(popen, log=log, url=url + ready_path)
        yield Child(url, popen)
    finally:
        _end(popen)


def _wait_until_ready(child: subprocess.Popen[bytes], *, log: Path, url: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise CommandFailure(
                f"latentedge: a server of the demonstration ended with exit code {child.returncode}: {_last_line(log)}"
            )
        try:
            if httpx.get(url, timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(_POLL_S)
    raise CommandFailure(
        f"latentedge: a server of the demonstration did not answer at {url} within {_START_S:.0f} s: {_last_line(log)}"
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    with suppress(ProcessLookupError):  # the usual case: the child and its own children have all ended
        os.killpg(child.pid, signal.SIGKILL)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "its log is empty")
