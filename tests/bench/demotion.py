"""Whether demotion pays: the same requests to edges with the same memory, one of which demotes cold records.

Real edges, each with its own store of the same size under allkeys-lfu, before one origin; more pictures than fit, asked
for by Zipf's law, in real time, because the store's counters fade with it. The ways are: the store evicts; the edge
demotes before that (with refills, and without); and the pictures are encoded at a lower quality, so that more of them
fit. Requests are HEAD, so that nothing is decoded: the entity tag tells which version a client would have seen, and
its SSIMULACRA2 was computed before, for each picture and version. Last line JSON.
"""

import argparse
import http.client
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import redis

from models.config import HIGH_PX
from service.demo.children import free_port
from service.demo.photographs import write_photographs
from service.store.embedded import EmbeddedValkey
from tests.bench.latent_origin import LatentOrigin, latent_origin
from tests.bench.scored_versions import SIZES_PX, Version, Versions
from tests.bench.servers import Server, connected, got, started

PHOTOGRAPHS = 24
NAMES = 800
"""Each photograph has many names, so that more pictures are asked for than have to be scored."""
ZIPF = 0.9
FIT = 0.3
"""The share of all pictures that fit in the store as high latents of the default quality."""
RECORD_BYTES = 420
"""Of a record beside its latent: header, key and the store's bookkeeping (assumed; the store's allocator rounds up too,
so that a tenth fewer records fit)."""
LOWER = (26, 21, 16)
"""Qualities below the default one."""
_SEED = 3


@dataclass(frozen=True)
class Way:
    name: str
    quality: int
    settings: Mapping[str, str]
    origin: LatentOrigin
    high: Sequence[Version]
    demoted: Sequence[Version]


@dataclass(frozen=True)
class Ask:
    name: str
    photograph: int
    size_px: int


class Client:
    """Sends the requests of one way in real time, and counts what came back after the warm-up."""

    def __init__(self, way: Way, server: Server, asks: Sequence[Ask], versions: Versions, *, per_s: float) -> None:
        self.way, self.server, self._asks, self._versions, self._per_s = way, server, asks, versions, per_s
        self.counts: Counter[str] = Counter()
        self.scores: dict[int, list[float]] = {px: [] for px in SIZES_PX}
        self._warm = len(asks) // 3
        self._fetched_before = 0

    def run(self) -> None:
        connection, begun_s = connected(self.server.port), time.monotonic()
        for number, ask in enumerate(self._asks):
            if number == self._warm:
                self._fetched_before = self.way.origin.requests
            time.sleep(max(0.0, begun_s + number / self._per_s - time.monotonic()))
            answer = _head(connection, ask)
            if number >= self._warm:
                self._note(ask, answer)
        self.counts["late_s"] = round(time.monotonic() - begun_s - len(self._asks) / self._per_s)
        self.counts["fetched"] = self.way.origin.requests - self._fetched_before
        connection.close()

    def _note(self, ask: Ask, answer: http.client.HTTPResponse) -> None:
        status, tag = answer.headers["Cache-Status"], answer.headers["ETag"]
        is_real = tag == self._versions.tag(ask.name, ask.size_px, quality=self.way.quality)
        version = (self.way.high if is_real else self.way.demoted)[ask.photograph]
        self.scores[ask.size_px].append(version.scores[ask.size_px])
        self.counts["requests"] += 1
        self.counts["hits"] += "; hit" in status
        self.counts["generated"] += "detail=generated" in status
        self.counts["from_medium"] += not is_real


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=330)
    parser.add_argument("--per-second", type=float, default=10)
    given = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as running:
        versions = Versions(_photographs(Path(scratch) / "photographs"))
        ways = _ways(versions, running)
        limit_bytes = round(FIT * NAMES * (_mean_bytes(ways[0].high) + RECORD_BYTES))
        asks = _drawn(round(given.seconds * given.per_second))
        clients = [
            Client(way, _edge(way, limit_bytes, Path(scratch), running), asks, versions, per_s=given.per_second)
            for way in ways
        ]
        with ThreadPoolExecutor(len(clients)) as pool:
            list(pool.map(Client.run, clients))
        found = {client.way.name: _figures(client) for client in clients}
    for name, figures in found.items():
        print(f"{name:22}", "  ".join(f"{what} {value}" for what, value in figures.items()))
    print(json.dumps({"limit_bytes": limit_bytes, "names": NAMES, "zipf": ZIPF, "ways": found}))


def _photographs(folder: Path) -> list[Path]:
    photographs = write_photographs(folder)
    return [folder / name for name in photographs.names[:: len(photographs.names) // PHOTOGRAPHS]][:PHOTOGRAPHS]


def _ways(versions: Versions, running: ExitStack) -> list[Way]:
    default = versions.codec.default_quality
    high = {quality: versions.high(quality=quality) for quality in (default, *LOWER)}
    demoted = versions.demoted(high[default], quality=default)
    demote = {"EDGE_DEMOTE": "0.8", "EDGE_DEMOTE_PER_MINUTE": "600"}

    def way(name: str, quality: int, settings: Mapping[str, str]) -> Way:
        latents = {_name(number): high[quality][number % PHOTOGRAPHS].bitstream for number in range(NAMES)}
        origin = running.enter_context(latent_origin(latents))
        return Way(name, quality, settings, origin, high[quality], demoted)

    for name, made in {**{f"quality {quality}": made for quality, made in high.items()}, "demoted": demoted}.items():
        means = [float(np.mean([one.scores[px] for one in made])) for px in SIZES_PX]
        print(f"{name}: {_mean_bytes(made):.0f} B, SSIMULACRA2 {means[0]:.1f} and {means[1]:.1f}", flush=True)
    return [
        way("evicts", default, {}),
        way("demotes", default, demote),
        way("demotes, no refills", default, {**demote, "EDGE_REFILL_REQUESTS": "0"}),
        *(way(f"evicts, quality {quality}", quality, {}) for quality in LOWER),
    ]


def _edge(way: Way, limit_bytes: int, scratch: Path, running: ExitStack) -> Server:
    store = running.enter_context(EmbeddedValkey(limit_bytes=2**30))
    port = free_port()
    child = (sys.executable, "-m", "service.child_entry", str(os.getpid()))  # ends with us, whatever becomes of us
    settings = {"EDGE_ORIGIN": way.origin.url, "EDGE_REDIS_URL": store.url, "EDGE_HOT_BYTES": "0", **way.settings}
    command = (*child, "serve", "--port", str(port), "--workers", "1")
    server = running.enter_context(started(command, port=port, log=scratch / f"{port}.log", settings=settings))
    connection = connected(port)
    got(connection, "/livez")
    connection.close()
    with redis.Redis.from_url(store.url) as direct:
        direct.config_set("maxmemory-policy", "allkeys-lfu")
        direct.config_set("maxmemory", int(direct.info("memory")["used_memory"]) + limit_bytes)
    return server


def _drawn(count: int) -> list[Ask]:
    draw = np.random.default_rng(_SEED)
    weights = 1 / np.arange(1, NAMES + 1) ** ZIPF
    numbers = draw.permutation(NAMES)[draw.choice(NAMES, count, p=weights / weights.sum())]
    sizes_px = draw.choice(SIZES_PX, count)
    return [Ask(_name(one), int(one) % PHOTOGRAPHS, int(px)) for one, px in zip(numbers, sizes_px, strict=True)]


def _name(number: int) -> str:
    return f"picture{number}"


def _head(connection: http.client.HTTPConnection, ask: Ask) -> http.client.HTTPResponse:
    connection.request("HEAD", f"/image/{ask.name}?res={ask.size_px}&fmt=jpeg")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == http.HTTPStatus.OK, answer.headers
    return answer


def _mean_bytes(versions: Sequence[Version]) -> float:
    return float(np.mean([len(version.bitstream) for version in versions]))


def _figures(client: Client) -> dict[str, float]:
    counts, requests = client.counts, client.counts["requests"]
    connection = connected(client.server.port)
    store = json.loads(got(connection, "/stats")[1])["store"]
    connection.close()
    means = {px: round(float(np.mean(scores)), 2) for px, scores in client.scores.items()}
    return {
        "hit_ratio": round(counts["hits"] / requests, 4),
        "fetched_per_request": round(counts["fetched"] / requests, 4),
        "generated": round(counts["generated"] / requests, 4),
        "from_medium": round(counts["from_medium"] / requests, 4),
        "ssimulacra2_high": means[HIGH_PX],
        "ssimulacra2_medium": next(score for px, score in means.items() if px != HIGH_PX),
        "ssimulacra2": round(float(np.mean([one for scores in client.scores.values() for one in scores])), 2),
        "records": store["objects"],
        "evicted": store["evicted"],
        "late_s": counts["late_s"],
    }


if __name__ == "__main__":
    main()
