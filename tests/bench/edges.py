"""The edge of a benchmark: a real one on loopback, before a real origin, filled with the pictures."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from service.demo.children import free_port
from tests.bench.contest import Contestant
from tests.bench.servers import Server, connected, got, started

ANSWERED = 200


def picture_path(name: str, size: str) -> str:
    return f"/image/{quote(name)}?res={size}"


@contextmanager
def edge(origin: str, pictures: Sequence[str], *, scratch: Path, workers: int = 1, **settings: str) -> Iterator[Server]:
    """Filled. Without EDGE_HOT_BYTES every request is a decode."""
    port = free_port()
    child = (sys.executable, "-m", "service.child_entry", str(os.getpid()))  # ends with us, whatever becomes of us
    command = (*child, "serve", "--port", str(port), "--workers", str(workers))
    ours = {"EDGE_ORIGIN": origin, "EDGE_REDIS_URL": "", "EDGE_HOT_BYTES": "0", **settings}
    with started(command, port=port, log=scratch / f"edge-{port}.log", settings=ours) as server:
        fill(server, pictures)
        yield server


def fill(server: Server, pictures: Sequence[str]) -> None:
    connection = connected(server.port)
    for name in pictures:
        answer, body = got(connection, picture_path(name, "344"))
        assert answer.status == ANSWERED, f"{name}: {answer.status} {body[:200]!r}"
    connection.close()


def contestant(name: str, server: Server, *, detail: str) -> Contestant:
    return Contestant(name, server.pid, server.port, picture_path, detail)


def record_bytes(server: Server) -> float:
    """Memory of the store for one picture, key and bookkeeping included, as the edge tells it."""
    connection = connected(server.port)
    store = json.loads(got(connection, "/stats")[1])["store"]
    connection.close()
    return float(store["latent_bytes"] / store["objects"])
