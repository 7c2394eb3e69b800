"""The pages: short enough, reachable, and every link, anchor and path in them leads somewhere. No network."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.markdown_page import ROOT, Page, pages

README = Page(ROOT / "README.md")
README_CAP_BYTES = 12_288
FRONT = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")

PATH = re.compile(r"(?:latentedge|service|models|tests|docs|docker|\.ci)(?:/[\w.-]+)+/?")
"""A path from the root of the repository, whether or not the file exists."""
BARE_FILE = re.compile(r"[\w-]+\.(?:py|html|toml|md)")
AT_THE_ROOT = {path.name for path in ROOT.iterdir()}


def front_pages() -> list[Page]:
    """Return the pages that newcomers read; logs and result pages keep the names of their day."""
    return [README, *(Page(ROOT / name) for name in FRONT), *(Page(path) for path in sorted(ROOT.glob("docs/*.md")))]


def by_name(page: Page) -> str:
    return page.name


def test_the_readme_is_short() -> None:
    assert README.path.stat().st_size <= README_CAP_BYTES


def test_every_page_is_reachable_from_the_readme() -> None:
    reached, waiting = {README.path}, [README]
    while waiting:
        targets = {link.target for link in waiting.pop().links if link.target.suffix == ".md"} - reached
        reached |= targets
        waiting += [Page(target) for target in targets if target.is_file()]
    assert sorted(page.name for page in front_pages() if page.path not in reached) == []


@pytest.mark.parametrize("page", pages(), ids=by_name)
def test_every_link_leads_to_a_file_and_an_anchor(page: Page) -> None:
    assert sorted(faults(page)) == []


def faults(page: Page) -> Iterator[str]:
    for link in page.links:
        if not (link.target.exists() and link.target.is_relative_to(ROOT)):
            yield f"{link.written}: no such file"
        elif link.anchor and link.anchor not in Page(link.target).anchors:
            yield f"{link.written}: no such heading"


@pytest.mark.parametrize("page", front_pages(), ids=by_name)
def test_every_path_that_a_page_names_exists(page: Page) -> None:
    named = [one for text in (*page.code_spans, *page.diagrams) for one in PATH.findall(text)]
    assert [one for one in named if not (ROOT / one).exists()] == []


@pytest.mark.parametrize("page", front_pages(), ids=by_name)
def test_every_file_is_named_by_its_whole_path(page: Page) -> None:
    """A bare name outlives a move unnoticed; files at the root have no other."""
    named = [one for one in page.code_spans if BARE_FILE.fullmatch(one)]
    assert [one for one in named if one not in AT_THE_ROOT] == []


def test_the_architecture_names_every_room() -> None:
    named = set(Page(ROOT / "docs" / "architecture.md").rows("path", "what is in it"))
    rooms = {room_of(path) for root in ("latentedge", "service", "models") for path in (ROOT / root).rglob("*.py")}
    assert sorted(rooms - named) == []


def test_the_architecture_names_the_layers_of_the_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    floors = next(one["layers"] for one in settings["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    told = Page(ROOT / "docs" / "architecture.md").rows("layer, from the top", "packages").values()
    assert [re.findall(r"service/(\w+)", rooms) for (rooms,) in told] == [floor.split(" | ") for floor in floors]


def room_of(file: Path) -> str:
    return file.parent.relative_to(ROOT).as_posix()


def test_a_page_without_its_anchor_or_file_is_found_out(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `code` heading, twice\n# A `code` heading, twice\n[x](#a-code-heading-twice-1) [y](#no) [z](no)\n"
    )
    assert Page(page).anchors == {"a-code-heading-twice", "a-code-heading-twice-1"}
    written = [link.written for link in Page(page).links if link.anchor not in Page(page).anchors]
    assert written == ["#no", "no"]
