"""Servers measured side by side: in turns and over many rounds, as a shared machine is faster and slower by the second.

A figure is the median over rounds of the processor time of a whole family of processes, by request. One client, one
connection to each, kept; the next request goes out when the answer is there. Ratios are those of single rounds, since
the rivals of one round had the same machine.
"""

import http.client
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.processor_time import used_s
from tests.bench.servers import connected, got

SIZES = ("344", "172")
LEAST_ROUNDS = 3
WITHIN_S = 50.0
"""Then fewer rounds have to do: a busy machine makes less of them, not a longer run."""
Path = Callable[[str, str], str]


@dataclass(frozen=True)
class Contestant:
    name: str
    pid: int
    port: int
    path: Path
    """Of a picture in a size."""
    detail: str = ""
    """What its Cache-Status must say."""


@dataclass(frozen=True)
class Result:
    """Milliseconds of processor time for a request, by round."""

    by_round: dict[tuple[str, str], list[float]]

    @property
    def rounds(self) -> int:
        return len(next(iter(self.by_round.values())))

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self.by_round))

    def ms(self, name: str, size: str) -> float:
        return median(self.by_round[name, size])

    def ratio(self, name: str, rival: str, size: str) -> float:
        """How many times as much as the rival."""
        pairs = zip(self.by_round[name, size], self.by_round[rival, size], strict=True)
        return median(ours / theirs for ours, theirs in pairs)

    def as_json(self) -> dict[str, dict[str, dict[str, float]]]:
        found: dict[str, dict[str, dict[str, float]]] = {}
        for (name, size), ms in self.by_round.items():
            found.setdefault(name, {})[size] = {"cpu_ms": median(ms), "least": min(ms), "most": max(ms)}
        return found


def nothing() -> None:
    """What is done between the rounds unless something is."""


def contest(
    contestants: Sequence[Contestant],
    pictures: Sequence[str],
    *,
    rounds: int,
    requests: int,
    between: Callable[[], None] = nothing,
) -> Result:
    connections = {one.name: connected(one.port) for one in contestants}
    by_round: dict[tuple[str, str], list[float]] = {(one.name, size): [] for one in contestants for size in SIZES}
    ended_s = time.monotonic() + WITHIN_S
    for turn in range(rounds + 1):
        if turn > LEAST_ROUNDS and time.monotonic() > ended_s:
            break
        between()
        for one in contestants:
            for size in SIZES:
                paths = [one.path(pictures[number % len(pictures)], size) for number in range(requests)]
                spent_ms = _spent_ms(one, connections[one.name], paths)
                if turn:  # the first round warms up
                    by_round[one.name, size].append(spent_ms / requests)
    for connection in connections.values():
        connection.close()
    return Result(by_round)


def _spent_ms(one: Contestant, connection: http.client.HTTPConnection, paths: Sequence[str]) -> float:
    started_s = used_s(one.pid)
    for path in paths:
        answer, body = got(connection, path)
        assert answer.status == 200, f"{one.name}: {answer.status} for {path}"
        assert body[:2] == b"\xff\xd8", f"{one.name}: no JPEG for {path}"
    assert one.detail in (answer.getheader("cache-status") or ""), f"{one.name}: {answer.getheader('cache-status')}"
    return 1000 * (used_s(one.pid) - started_s)
