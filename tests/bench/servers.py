"""The servers of a benchmark as child processes on loopback, started and ended with it."""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from service.demo.children import HOST

_START_S = 60.0
_STOP_S = 10.0
_POLL_S = 0.05


class NotStartedError(Exception):
    """A server that does not run here."""


@dataclass(frozen=True)
class Server:
    pid: int
    port: int


@contextmanager
def started(
    command: Sequence[str | Path], *, port: int, log: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a command as long as the block lasts; the block starts when its port takes connections."""
    signal.signal(signal.SIGTERM, _leave)
    with log.open("wb") as output:
        child = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **(settings or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait(child, port=port, log=log)
        yield Server(child.pid, port)
    finally:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(_STOP_S)
        with suppress(ProcessLookupError):  # nobody left, as it should be
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def connected(port: int) -> http.client.HTTPConnection:
    """A connection that is kept: every server is asked over one."""
    return http.client.HTTPConnection(HOST, port, timeout=60)


def got(connection: http.client.HTTPConnection, path: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer, answer.read()


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(1)  # as an exception: what was started is ended


def _wait(child: subprocess.Popen[bytes], *, port: int, log: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s and child.poll() is None:
        connection = connected(port)
        try:
            connection.connect()
        except OSError:
            time.sleep(_POLL_S)
        else:
            return
        finally:
            connection.close()
    said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    raise NotStartedError(said[-1] if said else "it said nothing")
