"""Tables of the docs against the code: every setting, metric, status, reason and version, and none besides."""

import ast
import re

import pytest

from models import bitstream
from models.bitstream import parse
from service import errors
from service.errors import EdgeError
from service.metrics.outcomes import DemotionOutcome, Outcome, ReencodeOutcome, RefinementOutcome
from service.reason import NOT_ENCODED, Reason
from service.records import negative_entry, record, vary_rule
from service.settings.edge_settings import table
from tests.markdown_page import ROOT, Page
from tests.metric_names import metric_names
from tests.models.golden_streams import read_all

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def operations() -> Page:
    return Page(DOCS / "operations.md")


@pytest.fixture(scope="module")
def http() -> Page:
    return Page(DOCS / "http.md")


def test_every_setting_is_told_as_by_the_help(operations: Page) -> None:
    written = {name: [cell.replace("`", "") for cell in cells] for name, cells in operations.rows("setting").items()}
    assert written == {row.name: [row.default, row.unit, row.help.replace("`", "")] for row in table()}


def test_every_metric_is_told(operations: Page) -> None:
    # The labels may follow the name: `edge_response_bytes_total{res,status}`.
    written = {name.partition("{")[0] for name in operations.rows("metric")}
    assert written == metric_names()


def test_every_outcome_is_told_beside_its_metric(operations: Page) -> None:
    rows = operations.rows("metric")
    for name, outcomes in (
        ("edge_cache_requests_total{res,status}", Outcome),
        ("edge_refinements_total{outcome}", RefinementOutcome),
        ("edge_reencodes_total{outcome}", ReencodeOutcome),
        ("edge_demotions_total{outcome}", DemotionOutcome),
    ):
        (sentence,) = rows[name]
        assert set(re.findall(r"[a-z_]+", sentence.partition(" is ")[2])) - {"or"} == {one.value for one in outcomes}


def test_every_reason_of_cache_status_is_told(http: Page) -> None:
    assert set(http.rows("detail")) == {reason.detail for reason in Reason} - {""}
    told = {name.removeprefix("fwd=") for name in http.rows("parameter") if name.startswith("fwd=")}
    assert told == {reason.fwd for reason in Reason} - {""}


def test_metrics_name_every_reason_by_its_own_label() -> None:
    labels = {reason.label for reason in Reason}
    assert labels == {reason.name.lower() for reason in Reason}
    assert all(reason.fwd or reason.detail for reason in Reason)


def test_every_reason_against_an_encode_is_told_beside_its_metric(operations: Page) -> None:
    (sentence,) = operations.rows("metric")["edge_encodes_skipped_total{reason}"]
    told = set(re.findall(r"[a-z_]+", sentence.partition(": ")[2])) - {"or"}
    assert told == {reason.label for reason in NOT_ENCODED}


def test_no_other_file_spells_a_reason() -> None:
    """A reason that is written as text would be missing from the table."""
    words = {reason.detail for reason in Reason if "-" in reason.detail}
    words -= {"no-store", "no-transform", "no-cache", "stale-while-revalidate", "stale-if-error"}  # directives too
    for path in (ROOT / "service").rglob("*.py"):
        if path.name != "reason.py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert not words & {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}, path


def test_every_error_s_status_is_told(http: Page) -> None:
    told = {int(number) for cell in http.rows("status", "when") for number in re.findall(r"\d{3}", cell)}
    raised = {int(one.status) for one in vars(errors).values() if isinstance(one, type) and issubclass(one, EdgeError)}
    assert told == raised


def test_a_test_shows_each_feature_of_the_comparison() -> None:
    comparison = Page(DOCS / "comparison.md")
    tests = comparison.rows("feature", "test")
    assert tests.keys() == comparison.rows("feature", "imgproxy").keys()
    named = [test.strip("` ").split("::") for (cell,) in tests.values() for test in cell.split(",")]
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not re.search(rf"def {test}\(", (ROOT / "tests" / "service" / f"{file}.py").read_text(encoding="utf-8"))
    ]
    assert missing == []


def test_the_changelog_tells_the_versions_of_stored_data() -> None:
    changelog = Page(ROOT / "CHANGELOG.md")
    written = {name: cells[0].strip("`") for name, cells in changelog.rows("what", "now").items()}
    stream_id = parse(read_all()[0].blob).stream_id.hex()
    assert written == {
        "stream id": stream_id,
        "bitstream version": str(bitstream.VERSION),
        "weights format": weights_format(),
        "record version": str(record.VERSION),
        "negative entry version": str(negative_entry.VERSION),
        "vary rule version": str(vary_rule.VERSION),
    }
    *_, latest = changelog.rows("weights", "day", "stream id").values()
    assert latest[1].strip("`") == stream_id


def weights_format() -> str:
    from safetensors import safe_open

    from models.checkpoint import RELEASED

    with safe_open(str(RELEASED), framework="numpy") as file:
        return str(file.metadata()["format"])
