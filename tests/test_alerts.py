"""The alerts of docker/alerts.yml in Prometheus' own unit tests: when each of them fires, and when it does not."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.markdown_page import ROOT, Page
from tests.metric_names import metric_names

RULES = ROOT / "docker" / "alerts.yml"
EDGE = 'job="edge",instance="edge1:8080"'


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus' tool; skipped without it, which is a failure under REQUIRE_ALL=1."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool on this machine")
    return program


def series(name: str, values: str, labels: str = "") -> dict[str, str]:
    return {"series": f"{name}{{{EDGE}{labels and ','}{labels}}}", "values": values}


def requests(status: str, values: str) -> dict[str, str]:
    return series("edge_cache_requests_total", values, f'res="high",status="{status}"')


def slow_hits(under: str, over: str) -> list[dict[str, str]]:
    labels = 'res="high",status="hit",le="{}"'
    return [
        series("edge_request_seconds_bucket", under, labels.format("0.5")),
        series("edge_request_seconds_bucket", over, labels.format("2.0")),
        series("edge_request_seconds_bucket", over, labels.format("+Inf")),
    ]


def fetches(failed: str) -> list[dict[str, str]]:
    return [
        series("edge_origin_requests_total", "0+60x30", 'outcome="ok"'),
        series("edge_origin_requests_total", failed, 'outcome="unreachable"'),
        series("edge_origin_requests_total", "0+600x30", 'outcome="refused"'),
    ]


# By alert: the series with which it fires after half an hour (the hit ratio: after seven hours), and those without.
STORIES: dict[str, tuple[list[dict[str, str]], list[dict[str, str]]]] = {
    "EdgeDown": ([series("up", "1x25 0x10")], [series("up", "1x25 0 1x10")]),
    "EdgeHitRatioFell": (
        [requests("hit", "0+90x390 35100+40x40"), requests("miss", "0+10x390 3900+60x40")],
        [requests("hit", "0+90x430"), requests("miss", "0+10x430"), requests("error", "0+1000x430")],
    ),
    "EdgeOriginFails": (fetches("0+60x30"), fetches("0+2x30")),
    "EdgeStoreDown": (
        [series("edge_store_errors_total", "0+20x30", 'reason="timeout"')],
        [series("edge_store_errors_total", "0x20 3x10", 'reason="timeout"')],
    ),
    "EdgeQueueRefuses": (
        [series("edge_encodes_skipped_total", "0+30x30", 'reason="queue_full"')],
        [series("edge_encodes_skipped_total", "0+30x30", 'reason="not_admitted"')],
    ),
    "EdgeRecordsDamaged": (
        [series("edge_record_faults_total", "0x25 1x5", 'fault="damaged_record"')],
        [series("edge_record_faults_total", "0+5x30", 'fault="newer_record"')],
    ),
    "EdgeHitsSlow": (slow_hits("0+60x30", "0+90x30"), slow_hits("0+90x30", "0+90x30")),
    "EdgeAcceleratorLost": (
        [series("edge_devices_lost_total", "0x20 1x10")],
        [series("edge_devices_lost_total", "1x30")],
    ),
}
AT = {"EdgeHitRatioFell": "420m"}


def test_every_alert_has_a_story_and_a_runbook() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8"))
    assert sorted(alerts) == sorted(STORIES)
    assert set(Page(ROOT / "docs" / "operations.md").rows("alert")) == set(alerts)


def test_every_metric_of_the_alerts_exists() -> None:
    known = metric_names()
    used = set(re.findall(r"edge_[a-z_]+", RULES.read_text(encoding="utf-8")))
    assert {name.removesuffix("_bucket") for name in used} <= known


def test_each_alert_fires_when_it_should_alone(promtool: str, tmp_path: Path) -> None:
    """By the series ALERTS, because a list of expected alerts would have to repeat their sentences."""
    stories = [one for name in STORIES for one in (told(name, fires=True), told(name, fires=False))]
    file = tmp_path / "stories.json"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": stories}))
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def told(name: str, *, fires: bool) -> dict[str, Any]:
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1}] if fires else []
    return {
        "name": f"{name} {'fires' if fires else 'is silent'}",
        "interval": "1m",
        "input_series": STORIES[name][not fires],
        "promql_expr_test": [
            {
                "expr": f'max by (alertname) (ALERTS{{alertname="{name}",alertstate="firing"}})',
                "eval_time": AT.get(name, "30m"),
                "exp_samples": expected,
            }
        ],
    }


def test_the_configuration_of_prometheus_is_sound(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "config", ROOT / "docker" / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
