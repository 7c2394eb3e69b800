"""Grafana's board: every query gives numbers on a real Prometheus that has scraped a real edge under load."""

import json
import shutil
from pathlib import Path

import pytest

from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.grafana_board import BOARD, queries, text
from tests.prometheus_server import Prometheus
from tests.service.running_edge import running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin

FRESH = {"Cache-Control": "max-age=600"}
SHORT = {"Cache-Control": "max-age=0, stale-while-revalidate=600"}


def test_the_board_is_the_one_that_the_sdk_builds() -> None:
    assert BOARD.read_text(encoding="utf-8") == text(), "run python -m tests.grafana_board"


def test_no_two_panels_have_one_title() -> None:
    titles = [panel["title"] for panel in json.loads(text())["panels"]]
    assert len(titles) == len(set(titles))


@pytest.fixture
def prometheus(tmp_path: Path, unused_port: int) -> Prometheus:
    """Debian's Prometheus; skipped without it, which is a failure under REQUIRE_ALL=1."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no Prometheus on this machine")
    return Prometheus(program, tmp_path, unused_port)


def test_every_query_of_the_board_gives_numbers(
    prometheus: Prometheus, session_valkey: EmbeddedValkey, photo: bytes
) -> None:
    with ScriptedOrigin() as origin:
        for name in ("/cat", "/dog"):
            origin.script(name, Reply(photo, headers=FRESH))
        settings = read_settings(origin=origin.url, redis_url=session_valkey.url, hot_bytes=2**22)
        with running_edge(settings) as edge, prometheus.scraping(edge.url):
            # Two scrapes with all series, and requests before, between and after them.
            for least in (1, 2, 3):
                for picture in ("cat", "dog"):
                    for res in ("high", "medium", "medium"):
                        assert edge.get(f"/image/{picture}?res={res}").status_code == 200
                while prometheus.ask("sum(count_over_time(edge_shadow_error[1h]))") < [2.0 * least]:
                    assert edge.get("/livez").status_code == 200
            empty = [one for one in queries() if not prometheus.ask(one.replace("$__rate_interval", "1h"))]
            assert not empty
            hits = [one for one in queries() if "hit|stale" in one]
            (ratio,) = prometheus.ask(hits[0].replace("$__rate_interval", "1h"))
            assert 0 < ratio <= 1
