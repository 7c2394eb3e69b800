"""Grafana's board of an edge, built with Grafana's own SDK: `python -m tests.grafana_board` writes the file.

It lies with the tests, because only they and nobody who runs an edge need the SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grafana_foundation_sdk.builders import heatmap, prometheus, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tests.markdown_page import ROOT

BOARD = ROOT / "docker" / "grafana" / "latentedge.json"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="prometheus")
RATE = "[$__rate_interval]"
COUNTED = f'sum(rate(edge_cache_requests_total{{status!~"bypass|error"}}{RATE}))'


@dataclass(frozen=True)
class Drawn:
    """A panel: its queries by the names of their lines."""

    title: str
    queries: Mapping[str, str]
    unit: str = "short"
    is_heat_map: bool = False


def rate(metric: str, label: str, matching: str = "") -> str:
    return f"sum by ({label}) (rate({metric}{{{matching}}}{RATE}))"


def quantile(share: float, metric: str, label: str, matching: str = "") -> str:
    return f"histogram_quantile({share}, sum by ({label}, le) (rate({metric}_bucket{{{matching}}}{RATE})))"


ROWS: Mapping[str, tuple[Drawn, ...]] = {
    "Hits": (
        Drawn(
            "Hit ratio, and of the last hour with files in the same memory",
            {
                "latents, now": f'sum(rate(edge_cache_requests_total{{status=~"hit|stale"}}{RATE})) / {COUNTED}',
                "as {{files}}, last hour": "max by (files) (edge_shadow_hit_ratio)",
            },
            "percentunit",
        ),
        Drawn("Error of the shadow baseline", {"{{files}}": "max by (files) (edge_shadow_error)"}, "percentunit"),
        Drawn("Requests by outcome", {"{{status}}": rate("edge_cache_requests_total", "status")}, "reqps"),
        Drawn("Requests by size", {"{{res}}": rate("edge_cache_requests_total", "res")}, "reqps"),
        Drawn(
            "Why the origin was asked",
            {"{{reason}} {{detail}}": rate("edge_forwarded_total", "reason, detail")},
            "reqps",
        ),
        Drawn("Files by source", {"{{source}}": rate("edge_renditions_total", "source")}, "ops"),
    ),
    "Time": (
        Drawn("Time to answer", {"{{le}}": rate("edge_request_seconds_bucket", "le")}, "s", is_heat_map=True),
        Drawn(
            "Hits, median by source of the file",
            {"{{source}}": quantile(0.5, "edge_hit_seconds", "source", 'source!="none"')},  # none: 304 and HEAD
            "s",
        ),
        Drawn("99 % by outcome", {"{{status}}": quantile(0.99, "edge_request_seconds", "status")}, "s"),
        Drawn(
            "Mean time of each stage",
            {"{{stage}}": f"{rate('edge_stage_seconds_sum', 'stage')} / {rate('edge_stage_seconds_count', 'stage')}"},
            "s",
        ),
    ),
    "Bytes": (
        Drawn(
            "Origin egress",
            {
                "avoided": f"sum(rate(edge_origin_avoided_bytes_total{RATE}))",
                "fetched": f"sum(rate(edge_origin_bytes_total{RATE}))",
            },
            "Bps",
        ),
        Drawn("Sent to clients", {"{{status}}": rate("edge_response_bytes_total", "status")}, "Bps"),
        Drawn(
            "In the store",
            {"latents": "max(edge_store_bytes)", "the same as JPEG files": "max(edge_store_conventional_bytes)"},
            "bytes",
        ),
        Drawn("Keys in the store", {"keys": "max(edge_store_objects)"}),
    ),
    "Load and faults": (
        Drawn("Waiting for the codec", {"{{instance}}": "sum by (instance) (edge_queue_depth)"}),
        Drawn("Connections", {"{{instance}}": "sum by (instance) (edge_connections)"}),
        Drawn(
            "Refused and cut off",
            {
                "not stored: {{reason}}": rate("edge_encodes_skipped_total", "reason"),
                "cut off: {{reason}}": rate("edge_connections_cut_total", "reason"),
                "not accepted: {{reason}}": rate("edge_connections_not_accepted_total", "reason"),
            },
            "ops",
        ),
        Drawn("Fetches from the origin", {"{{outcome}}": rate("edge_origin_requests_total", "outcome")}, "reqps"),
        Drawn("Store errors", {"{{reason}}": rate("edge_store_errors_total", "reason")}, "ops"),
        Drawn("Searches for better latents", {"{{outcome}}": rate("edge_refinements_total", "outcome")}, "ops"),
    ),
}


def queries() -> list[str]:
    """Return every query of the board."""
    return [query for row in ROWS.values() for drawn in row for query in drawn.queries.values()]


def text() -> str:
    """Return the board as Grafana's JSON."""
    board = Dashboard("latentedge").uid("latentedge").tags(["latentedge"]).refresh("10s").time("now-1h", "now")
    for title, row in ROWS.items():
        board = board.with_row(Row(title))
        for drawn in row:
            board = board.with_panel(_panel(drawn))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _panel(drawn: Drawn) -> timeseries.Panel | heatmap.Panel:
    panel = heatmap.Panel() if drawn.is_heat_map else timeseries.Panel()
    panel = panel.title(drawn.title).unit(drawn.unit).datasource(SOURCE)
    for number, (legend, query) in enumerate(drawn.queries.items()):
        target = prometheus.Dataquery().expr(query).legend_format(legend).ref_id(chr(ord("A") + number))
        panel = panel.with_target(target.format(PromQueryFormat.HEATMAP) if drawn.is_heat_map else target)
    return panel


if __name__ == "__main__":
    BOARD.write_text(text(), encoding="utf-8")
