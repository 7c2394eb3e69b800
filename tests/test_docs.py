"""Tables of the docs against the code: every setting, metric, status, reason and version, and none besides."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from models import bitstream
from models.bitstream import parse
from service import errors
from service.errors import EdgeError
from service.metrics.outcomes import Outcome, ReencodeOutcome, RefinementOutcome
from service.records import negative_entry, record, vary_rule
from service.settings.edge_settings import table
from tests.markdown_page import ROOT, Page
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


def metric_names() -> set[str]:
    from service.metrics import telemetry

    source = Path(telemetry.__file__).read_text(encoding="utf-8")
    return set(re.findall(r"\"(edge_[a-z_]+)\"", source))


def test_every_outcome_is_told_beside_its_metric(operations: Page) -> None:
    rows = operations.rows("metric")
    for name, outcomes in (
        ("edge_cache_requests_total{res,status}", Outcome),
        ("edge_refinements_total{outcome}", RefinementOutcome),
        ("edge_reencodes_total{outcome}", ReencodeOutcome),
    ):
        (sentence,) = rows[name]
        assert set(re.findall(r"[a-z]+", sentence.partition(" is ")[2])) - {"or"} == {one.value for one in outcomes}


def test_every_reason_of_cache_status_is_told(http: Page) -> None:
    assert set(http.rows("detail")) == only_tokens(details())
    told = {name.removeprefix("fwd=") for name in http.rows("parameter") if name.startswith("fwd=")}
    assert told == only_tokens(forwards())


DETAILS = {"detail", "obstacle", "skipped", "fault", "_STALE"}
"""The names under which the code holds words for `detail`."""
FORWARDS = {"forwarded", "miss"}
"""And for `fwd`."""


def details() -> Iterator[str]:
    for tree in service_trees():
        yield from words(tree, DETAILS)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_skipped":
                yield from strings(node.args[-1])


def forwards() -> Iterator[str]:
    for tree in service_trees():
        yield from words(tree, FORWARDS)
        for text in strings(tree):
            yield from re.findall(r"fwd=([a-z-]+)", text)


def only_tokens(texts: Iterable[str]) -> set[str]:
    """Sentences of error messages are called `detail` and `fault` too."""
    return {text for text in texts if re.fullmatch(r"[a-z-]+", text)}


def service_trees() -> Iterator[ast.AST]:
    for path in (ROOT / "service").rglob("*.py"):
        yield ast.parse(path.read_text(encoding="utf-8"))


def words(tree: ast.AST, names: set[str]) -> Iterator[str]:
    """The strings that the code gives to these names: as an argument, a value, a default or a result."""
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg=str(name), value=value) if name in names:
                yield from strings(value)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in names:
                yield from strings(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant() as value) if name in names:
                yield from strings(value)
            case ast.For(target=ast.Tuple(elts=[ast.Name(id=name), *_]), iter=ast.Tuple(elts=rows)) if name in names:
                yield from (text for row in rows if isinstance(row, ast.Tuple) for text in strings(row.elts[0]))
            case ast.FunctionDef(name=name) if name in names:
                yield from (text for one in ast.walk(node) if isinstance(one, ast.Return) for text in strings(one))


def strings(tree: ast.AST) -> Iterator[str]:
    """All texts in an expression."""
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    yield from (value for value in constants if isinstance(value, str))


def test_every_error_s_status_is_told(http: Page) -> None:
    told = {int(number) for cell in http.rows("status", "when") for number in re.findall(r"\d{3}", cell)}
    raised = {int(one.status) for one in vars(errors).values() if isinstance(one, type) and issubclass(one, EdgeError)}
    assert told == raised


def test_a_test_shows_each_feature_of_the_comparison() -> None:
    comparison = Page(DOCS / "comparison.md")
    tests = comparison.rows("feature", "test")
    assert tests.keys() == comparison.rows("feature", "imgproxy").keys()
    named = [test.strip("`").split("::") for (test,) in tests.values()]
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
