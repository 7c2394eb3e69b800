"""The error of the shadow baseline over a larger load, and its ghost caches beside a real Valkey with volatile-lfu.

Last line JSON: the hit ratios of a simulation of every request, of samples of several sizes, and of the Valkey.
"""

import argparse
import json
from itertools import groupby

import redis

from service.shadow.baseline import FORMATS, Baseline
from service.store.embedded import EmbeddedValkey
from tests.shadow_load import JPEG_BYTES, OVERHEAD_BYTES, Load, Replayed, replay, sampled

SAMPLES = (512, 1024, 2048, 4096)
TTL_S = 86_400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--megabytes", type=float, default=300)
    options = parser.parse_args()
    load = Load.drawn(pictures=options.pictures, requests=options.requests, exponent=0.9, seed=1)
    memory_bytes = round(options.megabytes * 1e6)
    replayed = replay(load, memory_bytes=memory_bytes)
    print(f"every request: latents {replayed.own:.4f}, files {replayed.files}")
    samples = {most: _estimate(replayed, memory_bytes, most) for most in SAMPLES}
    valkey = _ask_valkey(load, memory_bytes)
    print(f"a Valkey with JPEG files: {valkey:.4f}")
    print(json.dumps({"own": replayed.own, "files": replayed.files, "samples": samples, "valkey_jpeg": valkey}))


def _estimate(replayed: Replayed, memory_bytes: int, most_files: int) -> dict[str, list[float]]:
    baseline = Baseline(most_files=most_files)
    baseline.set_memory(memory_bytes, file_overhead_bytes=OVERHEAD_BYTES)
    for minute, events in groupby(sampled(replayed, baseline), key=lambda one: one[0]):
        baseline.add([event for _, event in events], minute=minute)
    told = {}
    for name in FORMATS:
        estimate = baseline.estimate(name)
        assert estimate is not None
        difference = estimate.hit_ratio - replayed.files[name]
        print(f"{most_files} files, {baseline.rate:.3f} of the pictures: {name} off by {difference:+.4f}", end=", ")
        print(f"told {estimate.error:.4f}")
        told[name] = [baseline.rate, estimate.hit_ratio, estimate.error]
    return told


def _ask_valkey(load: Load, memory_bytes: int) -> float:
    """Replay the load at once: minutes do not pass, so counters do not decay."""
    hits, requests = 0, len(load.sizes)
    with EmbeddedValkey(limit_bytes=memory_bytes) as server, redis.Redis.from_url(server.url) as client:
        for _, picture, size in load:
            key = f"{picture}:{size}"
            if client.get(key) is None:
                client.set(key, bytes(load.bytes_of(picture, size, JPEG_BYTES)), ex=TTL_S)
            else:
                hits += 1
    return hits / requests


if __name__ == "__main__":
    main()
