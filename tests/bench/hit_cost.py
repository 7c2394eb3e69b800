"""What a hit costs in processor time: stage by stage in this process, then the whole edge from outside, beside a rival.

The rival keeps one AVIF of 344 px (speed 9, quality 50) and decodes, resizes and writes a JPEG on every hit. All
figures are processor time, not the clock's, so that other work on the machine disturbs little; medians. Last line JSON.
"""

import asyncio
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import httpx
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX
from service.demo.children import edge_server, free_port, origin_server
from service.demo.photographs import write_bundled
from service.render import image_file
from service.store.connection import Connection, Patience
from service.store.embedded import EmbeddedValkey
from service.store.latent_store import LatentStore, Token

Pixels = NDArray[np.uint8]

PICTURES = 12
ROUNDS = 12
STORE_READS = 500
REQUESTS = 240
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
SIZES = (("344", HIGH_PX), ("172", MEDIUM_PX))


class NoAlarm:
    def store_failed(self) -> None:
        raise AssertionError("the store must answer in a benchmark")


def median_ms(calls: Sequence[Callable[[], object]]) -> float:
    """Median processor time of a call, over all calls and rounds, after one round to warm up."""
    times = []
    for turn in range(ROUNDS + 1):
        for call in calls:
            started_s = time.process_time()
            call()
            if turn:
                times.append(time.process_time() - started_s)
    return 1000 * median(times)


def squares(folder: Path) -> list[Pixels]:
    files = sorted(folder.glob("*.jpg"))[:PICTURES]
    limits = image_file.ImageLimits(source_pixels=2**31)
    return [image_file.square(image_file.read(file.read_bytes(), limits=limits).pixels, HIGH_PX) for file in files]


def stage_ms(pictures: Sequence[Pixels]) -> dict[str, dict[str, float]]:
    torch.set_num_threads(1)
    codec = Codec.load()
    streams = [codec.encode(picture, quality=codec.default_quality) for picture in pictures]
    symbols = [codec.read(stream) for stream in streams]
    store = store_read_ms(streams)
    entropy = median_ms([partial(codec.read, stream) for stream in streams])
    table = {}
    for name, size_px in SIZES:
        decoded = codec.synthesize(symbols, size_px=size_px)
        table[name] = {
            "store": store,
            "entropy": entropy,
            "synthesis": median_ms([partial(codec.synthesize, [one], size_px=size_px) for one in symbols]),
            "file": median_ms([partial(image_file.write, one, "image/jpeg") for one in decoded]),
        }
        table[name]["sum"] = sum(table[name].values())
    table["encode (a miss)"] = {
        "sum": median_ms([partial(codec.encode, one, quality=codec.default_quality) for one in pictures[:3]])
    }
    return table


def store_read_ms(streams: Sequence[bytes]) -> float:
    async def read_all(url: str) -> float:
        connection = Connection(url, patience=Patience(timeout_s=5, retry_s=0), observer=NoAlarm())
        store, lease = LatentStore(connection), Token(b"bench", b"token")
        keys = [f"bench:{number}".encode() for number in range(len(streams))]
        for key, stream in zip(keys, streams, strict=True):
            await store.take(lease, ttl_ms=60_000)
            await store.put(key, stream, ttl_s=600, under=lease)
        started_s = time.process_time()
        for number in range(STORE_READS):
            await store.get(keys[number % len(keys)])
        spent_s = time.process_time() - started_s
        await connection.close()
        return 1000 * spent_s / STORE_READS

    with EmbeddedValkey(limit_bytes=2**26) as valkey:
        return asyncio.run(read_all(valkey.url))


def rival_ms(pictures: Sequence[Pixels]) -> dict[str, float]:
    files = []
    for picture in pictures:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, format="AVIF", quality=50, speed=9)
        files.append(file.getvalue())

    def hit(blob: bytes, size_px: int) -> bytes:
        image = Image.open(io.BytesIO(blob)).convert("RGB").resize((size_px, size_px), Image.Resampling.LANCZOS)
        return image_file.write(np.asarray(image), "image/jpeg")

    return {name: median_ms([partial(hit, one, px) for one in files]) for name, px in SIZES}


def family(pid: int) -> Iterator[int]:
    """A process and all below it: the edge and its embedded store."""
    yield pid
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            yield from family(int(entry.parent.name))


def cpu_s(pid: int) -> float:
    fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in family(pid)]
    return TICK_S * sum(int(part[11]) + int(part[12]) for part in fields)


def edge_ms(folder: Path, scratch: Path, *, hot_bytes: int) -> dict[str, float]:
    """Processor time of the whole edge, store included, for a hit: one client, keep-alive.

    Without hot bytes every request is a decode, with them none is.
    """
    names = sorted(file.name for file in folder.glob("*.jpg"))[:PICTURES]
    with (
        origin_server(folder, log=scratch / "origin.log") as origin,
        edge_server(
            origin.url, log=scratch / "edge.log", port=free_port(), settings={"EDGE_HOT_BYTES": str(hot_bytes)}
        ) as edge,
        httpx.Client(base_url=edge.url, timeout=60, trust_env=False) as client,
    ):
        found = {}
        for name, _ in SIZES:
            for picture in names:
                client.get(f"/image/{picture}?res={name}").raise_for_status()
            started_s = cpu_s(edge.popen.pid)
            for number in range(REQUESTS):
                answer = client.get(f"/image/{names[number % len(names)]}?res={name}")
                assert "hit" in answer.headers["cache-status"]
                assert ("memory" in answer.headers["cache-status"]) == (hot_bytes > 0)
            found[name] = 1000 * (cpu_s(edge.popen.pid) - started_s) / REQUESTS
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        photos = write_bundled(Path(scratch) / "photographs")
        pictures = squares(photos.folder)
        stages, rival = stage_ms(pictures), rival_ms(pictures)
        edge = edge_ms(photos.folder, Path(scratch), hot_bytes=0)
        hot = edge_ms(photos.folder, Path(scratch), hot_bytes=2**26)
    for name, row in stages.items():
        print(f"{name:16}", "  ".join(f"{stage} {ms:.2f}" for stage, ms in row.items()), "ms")
    for name, _ in SIZES:
        ratio = edge[name] / rival[name]
        print(f"{name:16} whole edge {edge[name]:.2f} ms, AVIF rival without HTTP {rival[name]:.2f} ms: {ratio:.2f}x")
        print(f"{name:16} whole edge, the file still in memory {hot[name]:.2f} ms")
    print(json.dumps({"stages_ms": stages, "edge_ms": edge, "edge_from_memory_ms": hot, "rival_ms": rival}))


if __name__ == "__main__":
    main()
