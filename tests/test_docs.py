"""The README against the code: every setting, every metric and every file that it names, and none besides."""

import re
from pathlib import Path

import pytest

from service.settings.edge_settings import table

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def rows(markdown: str) -> dict[str, list[str]]:
    """The rows of all tables whose first cell is code, by that cell; code marks are taken off."""
    found: dict[str, list[str]] = {}
    for line in markdown.splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if line.lstrip().startswith("| `"):
            found[cells[0]] = cells[1:]
    return found


def test_every_setting_is_in_the_readme_with_its_default_and_unit(readme: str) -> None:
    written = {name: cells[:2] for name, cells in rows(readme).items() if name.startswith("EDGE_")}
    assert written == {row.name: [row.default, row.unit] for row in table()}


def test_every_metric_is_in_the_readme(readme: str) -> None:
    # The labels may follow the name: `edge_response_bytes_total{res,status}`.
    written = {name.partition("{")[0] for name in rows(readme) if name.startswith("edge_")}
    assert written == metric_names()


def metric_names() -> set[str]:
    from service.metrics import telemetry

    source = Path(telemetry.__file__).read_text(encoding="utf-8")
    return set(re.findall(r"\"(edge_[a-z_]+)\"", source))


def test_every_entry_of_the_tree_exists(readme: str) -> None:
    entries = tree_entries(readme)
    assert entries, "no tree in the README"
    assert [entry for entry in entries if not list(ROOT.glob(entry))] == []


def tree_entries(markdown: str) -> list[str]:
    """Paths of the indented tree in the code block that shows `service/`.

    Two spaces end a line's names and begin a remark; in a folder's remark, names of files are files of that folder.
    """
    blocks = re.findall(r"```[a-z]*\n(.*?)```", markdown, re.DOTALL)
    block = next(block for block in blocks if re.search(r"^service/", block, re.MULTILINE))
    entries: list[str] = []
    folders: list[tuple[int, str]] = []
    for line in filter(str.strip, block.splitlines()):
        indent = len(line) - len(line.lstrip())
        names, remark = [*re.split(r"\s{2,}", line.strip(), maxsplit=1), ""][:2]
        folders = [(depth, folder) for depth, folder in folders if depth < indent]
        parent = folders[-1][1] if folders else ""
        entries += [parent + name.rstrip("/") for name in names.split()]
        if names.endswith("/"):
            folders.append((indent, parent + names.split()[-1]))
            entries += [folders[-1][1] + file for file in re.findall(r"\b\w+\.(?:py|html|md)\b", remark)]
    return entries


def test_every_test_that_the_readme_names_exists(readme: str) -> None:
    named = re.findall(r"`(test_\w+)::(test_\w+)`", readme)
    assert named, "the comparison names the test of each row"
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not re.search(rf"def {test}\(", (ROOT / "tests" / "service" / f"{file}.py").read_text(encoding="utf-8"))
    ]
    assert missing == []
