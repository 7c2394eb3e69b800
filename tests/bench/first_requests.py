"""What a first request costs: by the latent, by the source (EDGE_MISS), from a parent (EDGE_PARENT), not yet admitted.

Real processes on loopback, one request at a time, each picture once; medians. The bytes are those that came from
upstream for a picture. Last line JSON.
"""

import json
import os
import re
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from service.demo.children import edge_server, free_port, origin_server
from service.demo.photographs import write_photographs

PICTURES = 40
TOKEN = "between-two-tiers"
STAGES = ("origin", "parent", "source", "latent", "encode", "queue", "entropy", "synthesis", "file")


@dataclass(frozen=True)
class Way:
    name: str
    settings: Mapping[str, str]


def main() -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as running:
        folder = write_photographs(Path(scratch) / "photographs").folder
        names = sorted(file.name for file in folder.glob("*.jpg"))[:PICTURES]
        origin = running.enter_context(origin_server(folder, log=Path(scratch) / "origin.log")).url
        tokens = {"EDGE_LATENT_TOKEN": TOKEN}
        shield = edge_server(origin, log=Path(scratch) / "shield.log", port=free_port(), settings=tokens)
        parent = running.enter_context(shield).url
        first_requests(parent, names)
        for way in (
            Way("latent", {}),
            Way("source", {"EDGE_MISS": "source", "EDGE_MISS_ITEMS": str(PICTURES)}),
            Way("not admitted", {"EDGE_ADMISSION_S": "3600"}),
            Way("parent", {"EDGE_PARENT": parent, "EDGE_PARENT_TOKEN": TOKEN}),
        ):
            log = Path(scratch) / f"{way.name}.log"
            with edge_server(origin, log=log, port=free_port(), settings=way.settings) as edge:
                found[way.name] = first_requests(edge.url, names)
    for name, figures in found.items():
        print(f"{name:14}", "  ".join(f"{what} {value:.1f}" for what, value in figures.items()))
    print(json.dumps(found))


def first_requests(url: str, names: list[str]) -> dict[str, float]:
    """Milliseconds until the answer is there, those of each stage that it waited for, and bytes."""
    answer_ms: list[float] = []
    stages: dict[str, list[float]] = {}
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        client.get("/livez")
        for name in names:
            started_s = time.perf_counter()
            answer = client.get(f"/image/{name}").raise_for_status()
            answer_ms.append(1000 * (time.perf_counter() - started_s))
            assert "fwd=uri-miss" in answer.headers["cache-status"]
            for stage, ms in re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"]):
                stages.setdefault(stage, []).append(float(ms))
        metrics = client.get("/metrics").text
    fetched = re.findall(r"^edge_(?:origin|parent)_bytes_total (\S+)$", metrics, re.MULTILINE)
    medians = {stage: median(stages[stage]) for stage in STAGES if stage in stages}
    return {"answer_ms": median(answer_ms), **medians, "upstream_bytes": sum(map(float, fetched)) / len(names)}


if __name__ == "__main__":
    main()
