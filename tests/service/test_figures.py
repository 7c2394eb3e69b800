"""Metrics, statistics, health checks and the status page."""

import json
import logging
import re

import httpx
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from service.metrics.release import read_version
from service.metrics.samples import Distribution
from service.records.census import estimate
from service.records.record import VERSION, Record, pack
from service.serving.log_lines import JsonLines
from service.store.random_sample import Sample, StoredValue
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import stored_keys

FRESH = {"Cache-Control": "max-age=600"}

# The table in docs/operations.md; dashboards and alerts of others rely on these names.
METRICS = {
    "edge_cache_requests": {"res", "status"},
    "edge_response_bytes": {"res", "status"},
    "edge_request_seconds": {"res", "status"},
    "edge_hit_seconds": {"res", "source"},
    "edge_stage_seconds": {"stage"},
    "edge_connections": set(),
    "edge_connections_cut": {"reason"},
    "edge_connections_not_accepted": {"reason"},
    "edge_requests_refused": {"status"},
    "edge_origin_requests": {"outcome"},
    "edge_origin_bytes": set(),
    "edge_origin_retries": set(),
    "edge_origin_avoided_bytes": set(),
    "edge_encodes_skipped": {"reason"},
    "edge_forwarded": {"reason", "detail"},
    "edge_parent_requests": {"outcome"},
    "edge_parent_bytes": set(),
    "edge_parent_retries": set(),
    "edge_parent_fallbacks": {"reason"},
    "edge_renditions": {"source"},
    "edge_demotions": {"outcome"},
    "edge_demoted_bytes": {"latent"},
    "edge_demoted_refills": set(),
    "edge_generated": set(),
    "edge_hot_bytes": set(),
    "edge_batch_size": {"size"},
    "edge_queue_depth": set(),
    "edge_store_bytes": set(),
    "edge_store_objects": set(),
    "edge_store_screens": set(),
    "edge_store_conventional_bytes": set(),
    "edge_store_errors": {"reason"},
    "edge_record_faults": {"fault"},
    "edge_variants_dropped": set(),
    "edge_access_log_dropped": set(),
    "edge_purges": {"scope"},
    "edge_devices_lost": set(),
    "edge_reencodes": {"outcome"},
    "edge_refinements": {"outcome"},
    "edge_refinement_seconds": set(),
    "edge_refined_bytes": {"latent"},
    "edge_build_info": {"version", "stream_id", "record_version"},
    "edge_clock_offset_seconds": set(),
    "edge_shadow_hit_ratio": {"files"},
    "edge_shadow_error": {"files"},
    "edge_shadow_files": set(),
    "edge_shadow_sampled_share": set(),
    "edge_shadow_full": set(),
    "edge_shadow_events": {"result"},
    "edge_shadow_measured": set(),
}
TOLD_ELSEWHERE = {"edge_parent_requests", "edge_parent_fallbacks", "edge_reencodes", "edge_requests_refused"}
"""The metrics whose labels test_tiers, test_distrusted_parent, test_roll_out and test_greedy_clients check."""


def test_every_metric_has_its_name_and_labels(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    origin.script("/cat", *[Reply(photo, headers=FRESH)] * 2)
    edge.get("/image/cat")
    (key,) = stored_keys(store)
    store.set(key, b"damaged", ex=60)
    edge.get("/image/cat")  # a miss, because the record is damaged
    edge.get("/image/cat")
    while "edge_shadow_error{" not in edge.get("/metrics").text:  # set at the next full second
        assert edge.get("/livez").status_code == 200
    families = {family.name: family for family in text_string_to_metric_families(edge.get("/metrics").text)}
    assert families.keys() == METRICS.keys()
    for name in METRICS.keys() - TOLD_ELSEWHERE:
        samples, labels = families[name].samples, METRICS[name]
        assert samples, f"{name} was never counted"
        assert {label for one in samples for label in one.labels} - {"le"} == labels, name
        assert families[name].documentation.endswith(".")


def test_build_info_has_version_stream_and_record(edge: RunningEdge) -> None:
    stream_id = edge.stats()["codec"]["stream_id"]
    labels = f'version="{read_version()}",stream_id="{stream_id}",record_version="{VERSION}"'
    told = sorted(labels.split(","))
    (line,) = [line for line in edge.get("/metrics").text.splitlines() if line.startswith("edge_build_info{")]
    named, _, value = line.removeprefix("edge_build_info{").partition("} ")
    assert sorted(named.split(",")) == told
    assert float(value) == 1


def test_each_request_is_counted_once_by_its_outcome(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    origin.script("/gone", Reply(status=404))
    origin.script("/secret", Reply(photo, headers={"Cache-Control": "no-store"}))

    def counts() -> dict[str, float]:
        return {
            f"{res} {status}": edge.metric(f'edge_cache_requests_total{{res="{res}",status="{status}"}}')
            for res in ("high", "medium", "none")
            for status in ("hit", "miss", "bypass", "error")
        }

    before = counts()
    sent_before = edge.metric('edge_response_bytes_total{res="medium",status="hit"}')
    avoided_before = edge.stats()["origin"]["avoided_bytes"]
    edge.get("/image/cat")
    hit = edge.get("/image/cat?res=172")
    edge.get("/image/gone")
    edge.get("/image/secret?res=medium")
    edge.get("/image/cat?res=nonsense")
    after = counts()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"high miss": 1, "medium hit": 1, "high error": 1, "medium bypass": 1, "none error": 1}
    assert edge.metric('edge_response_bytes_total{res="medium",status="hit"}') - sent_before == len(hit.content)
    assert edge.stats()["origin"]["avoided_bytes"] - avoided_before == len(photo)


def test_figures_agree_with_the_metrics(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    for _ in range(3):
        edge.get("/image/cat?res=medium")
    figures = edge.stats()
    assert figures["requests_total"] == edge.metric("edge_cache_requests_total")
    assert 0 < figures["hit_ratio"] < 1
    assert figures["codec"]["device"] == "cpu"
    assert figures["codec"]["head"] == "high-cpu"
    assert re.fullmatch("[0-9a-f]{8}", figures["codec"]["stream_id"])
    assert figures["version"] == read_version()
    assert figures["origin"]["fetched_bytes"] == edge.metric("edge_origin_bytes_total")
    assert {one["stage"] for one in figures["stages"]} >= {"store", "queue", "entropy", "synthesis", "file", "origin"}
    for one in figures["requests"]:
        assert one["p50_ms"] <= one["p99_ms"]


def test_health_checks_need_no_picture(edge: RunningEdge) -> None:
    assert edge.get("/livez").text == "alive\n"
    assert edge.get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/stats", "/history", "/docs", "/openapi.json"])
def test_head_is_get_without_the_content(edge: RunningEdge, path: str) -> None:
    """RFC 9110 9.3.2."""
    full, head = edge.get(path), edge.client.head(path)
    assert head.status_code == full.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == full.headers["content-type"]


def test_the_docs_load_nothing_from_other_hosts(edge: RunningEdge) -> None:
    page = edge.get("/docs")
    files = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page.text)
    assert len(files) == 3
    for file in files:
        assert edge.get(str(page.url.join(file))).status_code == 200, file
    assert not re.findall(r"""["']https?:""", page.text)


def test_the_page_loads_nothing_from_other_hosts(edge: RunningEdge) -> None:
    page = edge.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page.text)
    assert "viewport" in page.text
    assert "prefers-color-scheme" in edge.get("/page/style.css").text


def test_the_interface_is_documented(edge: RunningEdge) -> None:
    assert edge.get("/docs").status_code == 200
    paths = edge.get("/openapi.json").json()["paths"]
    assert {"/image/{id}", "/stats", "/metrics", "/livez", "/readyz"} <= paths.keys()
    assert {one["name"] for one in paths["/image/{id}"]["get"]["parameters"]} == {"id", "res", "fmt"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", "/nowhere", 404), ("GET", "/image", 404), ("GET", "/livez/", 404)),
        *(("POST", "/image/cat", 405), ("OPTIONS", "/image/cat", 405), ("DELETE", "/stats", 405)),
    ],
)
def test_an_unknown_route_is_answered_with_a_problem(edge: RunningEdge, method: str, path: str, status: int) -> None:
    answer: httpx.Response = edge.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    if status == 405:
        assert answer.headers["allow"] == "GET, HEAD"


def test_the_store_is_estimated_from_a_sample() -> None:
    record = Record(
        bitstream=bytes(4000),
        born_ms=0,
        filled_ms=0,
        lifetime_s=1,
        source_digest=bytes(16),
        source_bytes=1,
        conventional_high_bytes=30_000,
        conventional_medium_bytes=8_000,
        stream_id=bytes(4),
        quality=0,
    )
    value = pack(record, b"p:{1}")
    stored = StoredValue(b"p:{1}", value, memory_bytes=len(value) + 100)
    strange = StoredValue(b"p:{2}", b"someone else's", memory_bytes=99)
    sample = Sample(objects=50, used_bytes=7, limit_bytes=8, evicted_total=9, values=(stored, strange, stored))
    census = estimate(sample)
    assert census.latent_bytes == 50 * (len(value) + 100)
    assert census.conventional_bytes == 50 * (38_000 + 200)
    assert estimate(Sample(0, 0, 0, 0, ())).latent_bytes == 0


def test_quantiles_are_interpolated_within_a_bucket() -> None:
    ten_of_each = Distribution(at_most={0.1: 10, 0.2: 20, float("inf"): 20}, count=20, total=2.5)
    assert ten_of_each.quantile(0.5) == pytest.approx(0.1)
    assert ten_of_each.quantile(0.75) == pytest.approx(0.15)
    assert ten_of_each.mean == pytest.approx(0.125)
    assert Distribution(at_most={0.1: 0, float("inf"): 3}, count=3).quantile(0.5) == pytest.approx(0.1)
    assert Distribution().quantile(0.5) == 0


def test_a_log_line_is_one_json_object() -> None:
    record = logging.LogRecord("service.x", logging.WARNING, "f", 1, 'a "quoted"\nline %s', ("1",), None)
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == 'a "quoted"\nline 1'
