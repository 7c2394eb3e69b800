"""How long operators wait while pictures saturate the edge: on the pictures' own port, and with EDGE_ADMIN_PORT.

A process of its own sends hits as fast as the edge takes them; this one asks each admin route in turn, on a connection
of its own, and reads the clock. Last line JSON: median and worst milliseconds by route.
"""

import argparse
import http.client
import json
import multiprocessing
import socket
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import quote

from service.demo.children import edge_server, free_port, origin_server
from service.demo.photographs import write_photographs

PICTURES = 12
CLIENTS = 64
ROUNDS = 100
ROUTES = ("/livez", "/readyz", "/metrics", "/stats")


def fill(port: int, names: Sequence[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for name in names:
        connection.request("GET", f"/image/{quote(name)}")
        connection.getresponse().read()


def load(port: int, names: Sequence[str], *, method: str) -> None:
    """Each client sends its next request when it has its answer, for ever."""

    def one_client(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        number = first
        while True:
            connection.request(method, f"/image/{quote(names[number % len(names)])}?res=high")
            connection.getresponse().read()
            number += 1

    clients = [threading.Thread(target=one_client, args=(number,), daemon=True) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()


@contextmanager
def loaded(port: int, names: Sequence[str], *, method: str) -> Iterator[None]:
    process = multiprocessing.get_context("spawn").Process(target=load, args=(port, names), kwargs={"method": method})
    process.start()
    time.sleep(3)  # until every client waits
    try:
        yield
    finally:
        process.kill()
        process.join()


def waits_ms(port: int) -> dict[str, dict[str, float]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times = defaultdict(list)
    for _ in range(ROUNDS):
        for route in ROUTES:
            started_s = time.perf_counter()
            connection.request("GET", route)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, route
            times[route].append(1000 * (time.perf_counter() - started_s))
        time.sleep(0.02)
    return {
        route: {"median": median(ms), "p99": sorted(ms)[int(0.99 * (len(ms) - 1))], "worst": max(ms)}
        for route, ms in times.items()
    }


def measured(folder: Path, scratch: Path, *, own_port: bool) -> dict[str, dict[str, dict[str, float]]]:
    names = sorted(file.name for file in folder.glob("*.jpg"))[:PICTURES]
    admin_port, port = free_port(), free_port()
    # Every picture a decode: that is what keeps others waiting.
    settings = {"EDGE_ADMIN_PORT": str(admin_port if own_port else 0), "EDGE_HOT_BYTES": "0"}
    found = {}
    with (
        origin_server(folder, log=scratch / "origin.log") as origin,
        edge_server(origin.url, log=scratch / "edge.log", port=port, settings=settings),
    ):
        fill(port, names)
        for method in ("GET", "HEAD"):
            with loaded(port, names, method=method):
                found[method] = waits_ms(admin_port if own_port else port)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--own-port-only", action="store_true", help="Leave out the pictures' own port.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_photographs(Path(scratch) / "photographs").folder
        ways = [("EDGE_ADMIN_PORT", True)] + [("one port", False)] * (not arguments.own_port_only)
        table = {name: measured(folder, Path(scratch), own_port=own) for name, own in ways}
    for name, methods in table.items():
        for method, routes in methods.items():
            for route, ms in routes.items():
                figures = "  ".join(f"{which} {one:7.1f}" for which, one in ms.items())
                print(f"{name:16} while {CLIENTS} clients {method:4} pictures: {route:9} {figures} ms")
    print(json.dumps(table))


if __name__ == "__main__":
    main()
