"""What a scenario breaks: an origin, a store and edges with the settings of a real one, all ended with the block."""

import os
import random
import re
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import redis

from service.store.embedded import EmbeddedValkey
from tests.faults.load import Load
from tests.faults.versioned_origin import FRESH_S, VersionedOrigin
from tests.service.server_process import Server, serving
from tests.service.slow_store import slow_store
from tests.service.stored import stored_keys

STORE_BYTES = 256 << 20
TOKEN = "a token of the faults"
AS_SHIPPED = {"store_timeout_s": 1.0, "origin_timeout_s": 10.0, "admin_token": TOKEN, "screen": "off"}
"""The tests' servers have patience with a busy machine. Here the time-outs are those of a real edge. The scenarios are
about latents, and their drawn pictures would become screen streams."""


@dataclass(frozen=True)
class RunningEdge:
    """A whole edge. Its log is read as it is written, so that a full pipe never stops a worker."""

    server: Server
    log: list[str]

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def parent(self) -> int:
        return self.server.parent.pid

    def workers(self) -> list[int]:
        """Return the process ids of the workers that have not ended."""
        started = re.findall(r"Started server process \[(\d+)\]", self.server.said + "".join(self.log))
        return [pid for pid in map(int, started) if Path(f"/proc/{pid}").exists()]


class Stage:
    """Starts what a scenario needs. Everything ends when the stage is left."""

    def __init__(self, ending: ExitStack, *, fresh_s: int) -> None:
        self._ending = ending
        self.folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        self.origin = ending.enter_context(VersionedOrigin(fresh_s=fresh_s))

    def store(self) -> EmbeddedValkey:
        server = self._ending.enter_context(EmbeddedValkey(limit_bytes=STORE_BYTES))
        self._ending.callback(_let_run, store_pid(server.url))
        return server

    def delayed(self, url: str, *, delay_s: float) -> str:
        """Return the address of a proxy that passes every answer of a store on after `delay_s` at most."""
        return self._ending.enter_context(slow_store(url, delay_s=lambda: random.uniform(0, delay_s))).url

    def new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="edge-", dir=self.folder))

    def edge(self, *before: str, workers: int = 1, folder: Path | None = None, **settings: object) -> RunningEdge:
        """Start an edge, with an embedded store unless `redis_url` is given. `before` starts the command.

        Its temporary files are in `folder`.
        """
        folder = folder or self.new_folder()
        given = AS_SHIPPED | settings
        server = self._ending.enter_context(serving(folder, self.origin.url, *before, workers=workers, **given))
        edge = RunningEdge(server, [])
        reading = threading.Thread(target=_read_log, args=(edge,), daemon=True)
        reading.start()
        self._ending.callback(_end, edge, reading)
        return edge

    def load(self, *edges: RunningEdge) -> Load:
        return Load([edge.url for edge in edges], published=self.origin.versions)


@contextmanager
def stage(*, fresh_s: int = FRESH_S) -> Iterator[Stage]:
    with ExitStack() as ending:
        yield Stage(ending, fresh_s=fresh_s)


def store_pid(url: str) -> int:
    with redis.Redis.from_url(url) as direct:
        return cast("int", direct.info("server")["process_id"])


def count_stored(url: str) -> int:
    with redis.Redis.from_url(url) as direct:
        return len(stored_keys(direct))


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def processor_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _read_log(edge: RunningEdge) -> None:
    assert edge.server.parent.stderr is not None
    edge.log.extend(edge.server.parent.stderr)


def _let_run(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _end(edge: RunningEdge, reading: threading.Thread) -> None:
    """End all processes of an edge, also a worker that stands still and so cannot follow its parent."""
    edge.server.parent.kill()
    for pid in edge.workers():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    reading.join()
