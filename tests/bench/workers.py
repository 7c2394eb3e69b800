"""What more processes bring: decodes a second with one worker and with two, and what the figures of all say.

Clients that send their next request when they have their answer; the clients have the machine's processors too. By the
clock, so other work on the machine counts: the processor time of a hit is told beside. The edge's own count, over all
workers, must be that of the clients. Last line JSON.
"""

import argparse
import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from service.demo.children import origin_server
from tests.bench import photographs
from tests.bench.edges import edge, picture_path
from tests.bench.open_loop import closed_loop
from tests.bench.processor_time import used_s
from tests.bench.servers import Server, connected, got

WORKERS = (1, 2)
CLIENTS = 16
SECONDS = 3.0
TURNS = 3
_HITS = re.compile(r"^edge_cache_requests_total\{[^}]*status=\"hit\"[^}]*\} (\S+)$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS)
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pictures = [file.name for file in photographs.written(folder / "photographs")]
        with (
            origin_server(folder / "photographs", log=folder / "origin.log") as origin,
            edge(origin.url, pictures, scratch=folder, workers=1) as one,
            edge(origin.url, pictures, scratch=folder, workers=2) as two,
        ):
            rows = _rows({1: one, 2: two}, [picture_path(name, "344") for name in pictures], turns=turns)
    for workers, row in rows.items():
        print(f"{workers} workers: {row['per_s']:.1f} decodes a second, {row['cpu_ms']:.2f} ms of processor time each")
    gain = rows[2]["per_s"] / rows[1]["per_s"]
    print(f"two do {gain:.2f} times as much as one on {os.cpu_count()} processors")
    print(json.dumps({"processors": os.cpu_count(), "gain": gain, "by_workers": rows}))


def _rows(servers: dict[int, Server], paths: Sequence[str], *, turns: int) -> dict[int, dict[str, float]]:
    seen: dict[int, list[tuple[float, float]]] = {workers: [] for workers in servers}
    for _ in range(turns):
        for workers, server in servers.items():
            counted, spent_s = _hits(server), used_s(server.pid)
            answered = closed_loop(server, paths, clients=CLIENTS, seconds=SECONDS)
            seen[workers].append((answered.per_s, 1000 * (used_s(server.pid) - spent_s) / answered.pictures))
            assert _hits(server) - counted == answered.pictures, "the workers do not count together"
    return {
        workers: {"per_s": median(per_s for per_s, _ in rows), "cpu_ms": median(ms for _, ms in rows)}
        for workers, rows in seen.items()
    }


def _hits(server: Server) -> float:
    """As whichever worker answers says of all."""
    connection = connected(server.port)
    figures = got(connection, "/metrics")[1].decode()
    connection.close()
    return sum(float(count) for count in _HITS.findall(figures))


if __name__ == "__main__":
    main()
