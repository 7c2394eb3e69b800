"""`make bench ARGS=--write-docs`: the section that it writes into docs/operations.md, and what it leaves alone."""

import pytest

from tests.bench.capacity import BEGIN, END, OPERATIONS, PAGE, page, with_section
from tests.bench.figures import Figures
from tests.markdown_page import ROOT, Page

FIGURES = Figures(
    {
        "rivals": {
            "requests": 288,
            "record_bytes": 10_000,
            "source_bytes": 120_000,
            "bytes": {
                "latent": 9_700,
                "jpeg_high": 17_000,
                "jpeg_medium": 6_000,
                "avif_high": 7_000,
                "score_high": 57.0,
                "score_medium": 81.0,
            },
            "cpu_ms": {
                "edge": {"344": {"cpu_ms": 7.0}, "172": {"cpu_ms": 7.2}},
                "edge, from memory": {"344": {"cpu_ms": 0.4}, "172": {"cpu_ms": 0.3}},
                "nginx, files": {"344": {"cpu_ms": 0.02}, "172": {"cpu_ms": 0.02}},
            },
        }
    },
    machine="2 x a processor",
    date="2026-11-28",
    load=1.0,
)


@pytest.fixture
def written() -> str:
    return (ROOT / OPERATIONS).read_text(encoding="utf-8")


def test_the_section_takes_the_place_of_the_former_one(written: str) -> None:
    renewed = with_section(written, page(FIGURES))
    assert renewed.partition(BEGIN)[0] == written.partition(BEGIN)[0]
    assert renewed.partition(END)[2] == written.partition(END)[2]
    assert "| latentedge, every hit a decode | 10,000 | 107,374 | 1.97 |" in renewed
    assert with_section(renewed, page(FIGURES)) == renewed


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        with_section("# Operations\n", page(FIGURES))


def test_the_committed_section_has_the_words_of_the_template(written: str) -> None:
    section = written.partition(BEGIN)[2].partition(END)[0]
    fixed = [line for line in PAGE.splitlines() if line and "{" not in line]
    assert [line for line in fixed if line not in section] == []


def test_what_the_section_shows_is_there() -> None:
    plot = page(FIGURES).rpartition("](")[2].rstrip(")")
    assert plot in {link.written for link in Page(ROOT / OPERATIONS).links}
