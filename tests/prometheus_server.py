"""A Prometheus that scrapes an edge once a second."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

SCRAPES_S = 1
LIMIT_S = 60


@dataclass(frozen=True)
class Series:
    """A line of a panel."""

    labels: Mapping[str, str]
    times_s: tuple[float, ...]
    values: tuple[float, ...]


class Prometheus:
    """A Prometheus that is started when there is something to scrape."""

    def __init__(self, program: str, folder: Path, port: int) -> None:
        self._program, self._folder, self._address = program, folder, f"127.0.0.1:{port}"
        self._client = httpx.Client(base_url=f"http://{self._address}", timeout=LIMIT_S, trust_env=False)

    @contextmanager
    def scraping(self, url: str) -> Iterator[Prometheus]:
        """Scrape an edge during the block."""
        jobs = [{"job_name": "edge", "static_configs": [{"targets": [url.removeprefix("http://")]}]}]
        config = {"global": {"scrape_interval": f"{SCRAPES_S}s"}, "scrape_configs": jobs}
        (self._folder / "prometheus.yml").write_text(json.dumps(config))
        arguments = [
            f"--config.file={self._folder}/prometheus.yml",
            f"--storage.tsdb.path={self._folder}/series",
            f"--web.listen-address={self._address}",
        ]
        with (
            (self._folder / "log").open("wb") as log,
            subprocess.Popen([self._program, *arguments], stdout=log, stderr=log) as run,
        ):
            try:
                while not self._answers():
                    assert run.poll() is None, (self._folder / "log").read_text()
                yield self
            finally:
                run.terminate()
                self._client.close()

    def ask(self, query: str) -> list[float]:
        """Return the values of a query now."""
        return [float(one["value"][1]) for one in self._result("/api/v1/query", {"query": query})]

    def ask_range(self, query: str, *, since_s: float, step_s: int) -> list[Series]:
        """Return the lines of a query from a moment until now."""
        span = {"query": query, "start": since_s, "end": time.time(), "step": step_s}
        return [
            Series(one["metric"], *zip(*((at, float(value)) for at, value in one["values"]), strict=True))
            for one in self._result("/api/v1/query_range", span)
        ]

    def _result(self, path: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        answer = self._client.get(path, params=dict(params))
        assert answer.status_code == 200, f"{params}: {answer.text}"
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def _answers(self) -> bool:
        with suppress(httpx.ConnectError):
            return self._client.get("/-/ready").status_code == 200
        return False
