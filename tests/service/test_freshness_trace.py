"""A freshness decision is one line of the log at debug level, with every input and the verdict."""

import json
import logging
import signal
import time
from pathlib import Path

import pytest

from service.reason import Reason
from service.rules.freshness import FreshnessRules, Storage
from service.rules.freshness_trace import FreshnessTrace
from service.rules.http_date import http_date
from service.rules.negative_ttls import NegativeTtls
from service.rules.response_fields import PassedOn, ResponseFields
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.server_process import serving

LOGGER = "service.upstream.intake"
RULES = FreshnessRules(default_ttl_s=600, ttl_jitter=0.5, negative_ttls=NegativeTtls((("404", 60),)))
LIMIT_S = 60


def test_a_line_has_every_input_and_the_verdict() -> None:
    passed = PassedOn(cache_control='s-maxage=60, x="\n"', vary="DPR")
    fields = ResponseFields(asked_s=100.0, answered_s=101.5, passed=passed, age="7", etag='"e"')
    assert str(FreshnessTrace(fields, RULES, draw=0.25, verdict=Storage(60, stale_if_error_s=5))) == (
        "status=200 cache-control='s-maxage=60, x=\"\\n\"' vary='DPR' age='7' etag='\"e\"' "
        "initial_age_s=8.500 redirects=0 parent_said_stale=false "
        "default_ttl_s=600 min_ttl_s=0 max_ttl_s=0 heuristic_fraction=0.0 ttl_jitter=0.5 "
        "stale_while_revalidate_s=0 stale_if_error_s=0 negative_ttls=404=60 forward=all draw=0.250 "
        "-> lifetime_s=60 stale_while_revalidate_s=0 stale_if_error_s=5"
    )


def test_a_verdict_against_storing_names_the_obstacle() -> None:
    fields = ResponseFields(asked_s=0.0, answered_s=0.0, passed=PassedOn(cache_control="no-store"))
    line = str(FreshnessTrace(fields, RULES, draw=0.0, verdict=Storage(0, obstacle=Reason.NO_STORE)))
    assert line.endswith("draw=0.000 -> not stored: no-store")


def traced(edge: RunningEdge, caplog: pytest.LogCaptureFixture, image_id: str) -> list[str]:
    """Return the lines that one request leads to."""
    caplog.clear()
    with caplog.at_level(logging.DEBUG, LOGGER):
        edge.get(f"/image/{image_id}?res=medium")
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


def test_each_answer_of_the_origin_is_traced(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    origin.script("/cat", Reply(photo, headers={"Cache-Control": "max-age=60"}))
    origin.script("/secret", Reply(photo, headers={"Cache-Control": "private"}))
    origin.script("/none", Reply(status=404, headers={"Cache-Control": "max-age=30"}))
    (stored,) = traced(edge, caplog, "cat")
    assert stored.startswith("freshness of 'cat': status=200 cache-control='max-age=60' date=")
    assert " -> lifetime_s=60 " in stored
    assert traced(edge, caplog, "cat") == [], "a hit decides nothing about storing"
    (private,) = traced(edge, caplog, "secret")
    assert private.endswith("-> not stored: private")
    (refused,) = traced(edge, caplog, "none")
    assert refused.startswith("freshness of 'none': status=404 cache-control='max-age=30' ")
    assert " -> lifetime_s=30 " in refused


def test_a_revalidation_is_traced(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    old = {"Cache-Control": "max-age=60", "Date": http_date(time.time() - 90), "ETag": '"1"'}
    origin.script("/cat", Reply(photo, headers=old), Reply(status=304, headers={"Cache-Control": "max-age=7"}))
    (first,) = traced(edge, caplog, "cat")
    assert "initial_age_s=9" in first
    (renewed,) = traced(edge, caplog, "cat")
    assert "cache-control='max-age=7'" in renewed
    assert " -> lifetime_s=7 " in renewed


@pytest.mark.parametrize(("level", "workers", "lines"), [("debug", 1, 1), ("debug", 2, 1), ("info", 1, 0)])
def test_the_log_level_decides_whether_lines_are_written(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, level: str, workers: int, lines: int
) -> None:
    origin.script("/cat", Reply(photo, headers={"Cache-Control": "max-age=60"}))
    with serving(short_path, origin.url, workers=workers, log_level=level) as server:
        assert server.get("/image/cat").status_code == 200
        server.parent.send_signal(signal.SIGTERM)
        assert server.parent.stderr is not None
        said = server.parent.stderr.read().splitlines()
        assert server.parent.wait(LIMIT_S) == 0
    log = [json.loads(line) for line in said if line.startswith("{")]
    assert [line["level"] for line in log if line["message"].startswith("freshness of 'cat': ")] == ["debug"] * lines
