"""What becomes of an edge that is asked for more than it can do: answers in time and their latency by offered load.

Requests come at random moments at a fixed mean rate (`arrivals.py`), from a tenth of what the edge can do to twice as
much; every one is a decode of 344 px. An answer counts that is a picture within the patience of a client, who leaves
then. Past its limit an edge should refuse what it cannot do and go on doing what it can. Last line JSON.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from service.demo.children import origin_server
from tests.bench import photographs
from tests.bench.arrivals import GONE, Plan, Reply, come
from tests.bench.edges import edge, picture_path
from tests.bench.processor_time import used_s
from tests.bench.servers import Server, connected, got

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.25, 1.5, 2.0)
SECONDS = 6.0
LEAST_REQUESTS = 60
PATIENCE_S = 2.0
CLIENTS = 16
CLOSED_S = 3.0
TRIES = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--capacity", type=float, help="Pictures a second; else it is measured first.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pictures = [file.name for file in photographs.written(folder / "photographs")]
        with (
            origin_server(folder / "photographs", log=folder / "origin.log") as origin,
            edge(origin.url, pictures, scratch=folder) as server,
        ):
            paths = [picture_path(name, "344") for name in pictures]
            # Others on the machine can only make it less.
            tries = [closed_loop(server, paths, clients=CLIENTS, seconds=CLOSED_S).per_s for _ in range(TRIES)]
            per_s = arguments.capacity or max(tries)
            print(f"capacity with {CLIENTS} clients that wait: {per_s:.1f} pictures a second of {tries}")
            rows = [_row(server, paths, share, per_s, seconds=arguments.seconds) for share in arguments.shares]
    print(json.dumps({"capacity_per_s": per_s, "patience_s": PATIENCE_S, "loads": rows}))


@dataclass(frozen=True)
class Answered:
    pictures: int
    seconds: float

    @property
    def per_s(self) -> float:
        return self.pictures / self.seconds


def closed_loop(server: Server, paths: Sequence[str], *, clients: int, seconds: float) -> Answered:
    """By clients that each send their next request when they have their answer."""
    ended_s, counts = time.monotonic() + seconds, [0] * clients

    def one_client(number: int) -> None:
        connection = connected(server.port)
        while time.monotonic() < ended_s:
            counts[number] += got(connection, paths[(number + counts[number]) % len(paths)])[0].status == 200

    threads = [threading.Thread(target=one_client, args=(number,)) for number in range(clients)]
    started_s = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Answered(sum(counts), time.monotonic() - started_s)


def _row(
    server: Server, paths: Sequence[str], share: float, capacity: float, *, seconds: float
) -> dict[str, float | int]:
    per_s = share * capacity
    lasting_s = max(seconds, LEAST_REQUESTS / per_s)
    spent_s, began_s = used_s(server.pid), time.monotonic()
    replies = come(Plan(server.port, paths, per_s=per_s, seconds=lasting_s, patience_s=PATIENCE_S))
    spent_s, took_s = used_s(server.pid) - spent_s, time.monotonic() - began_s
    row = _summed(replies, lasting_s) | {"share": share, "offered_per_s": per_s, "busy": spent_s / took_s}
    row["cpu_ms"] = 1000 * spent_s / max(1, sum(one.status == 200 for one in replies))
    print("  ".join(f"{name} {value:.3g}" for name, value in row.items()))
    return row


def _summed(replies: Sequence[Reply], seconds: float) -> dict[str, float | int]:
    good = sorted(1000 * one.seconds for one in replies if one.status == 200)
    refused = [1000 * one.seconds for one in replies if one.status == 503]
    return {
        "good_per_s": len(good) / seconds,
        "p50_ms": median(good) if good else 0.0,
        "p99_ms": good[int(0.99 * (len(good) - 1))] if good else 0.0,
        "refused": len(refused),
        "refusal_ms": median(refused) if refused else 0.0,
        "gone": sum(one.status == GONE for one in replies),
        "other": sum(one.status not in {200, 503, GONE} for one in replies),
    }


if __name__ == "__main__":
    main()
