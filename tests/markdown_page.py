"""A committed Markdown file as values: anchors, links, tables and code. Reads files, judges nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
FOLDERS = (".", "docs/**", "models/**", "tests/**")
"""Where committed pages are."""

_NO_PART_OF_AN_ANCHOR = re.compile(r"[^\w\- ]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


@dataclass(frozen=True)
class Link:
    """A link or a picture that leads into this repository."""

    target: Path
    anchor: str
    written: str


@dataclass(frozen=True)
class Page:
    """One file."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def anchors(self) -> set[str]:
        """The anchors of all headings, as GitHub and GitLab make them."""
        seen: Counter[str] = Counter()
        anchors = set()
        for heading in self._headings():
            slug = _NO_PART_OF_AN_ANCHOR.sub("", heading.lower()).replace(" ", "-")
            anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
        return anchors

    @cached_property
    def links(self) -> list[Link]:
        """All links and pictures but those that lead elsewhere."""
        written = [str(one.attrs.get("href", one.attrs.get("src", ""))) for one in self._inline("link_open", "image")]
        return [self._link(one) for one in written if not _SCHEME.match(one)]

    @cached_property
    def code_spans(self) -> list[str]:
        """What stands between backticks within the text."""
        return [one.content for one in self._inline("code_inline")]

    @cached_property
    def diagrams(self) -> list[str]:
        """The source of all mermaid diagrams."""
        return [one.content for one in self._tokens if one.type == "fence" and one.info.strip() == "mermaid"]

    @cached_property
    def tables(self) -> list[list[list[str]]]:
        """All tables, as rows of cells as they are written; the first row has the titles."""
        tables: list[list[list[str]]] = []
        for before, token in zip(self._tokens, self._tokens[1:], strict=False):
            if token.type == "table_open":
                tables.append([])
            elif token.type == "tr_open":
                tables[-1].append([])
            elif before.type in {"th_open", "td_open"}:
                tables[-1][-1].append(token.content)
        return tables

    def rows(self, *titles: str) -> dict[str, list[str]]:
        """The rows of all tables that have these titles in front, by their first cell without backticks."""
        of_them = [table for table in self.tables if table[0][: len(titles)] == list(titles)]
        assert of_them, f"{self.name} has no table with the titles {titles}"
        return {row[0].strip("`"): row[1:] for table in of_them for row in table[1:]}

    @cached_property
    def _tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(self.path.read_text(encoding="utf-8"))

    def _headings(self) -> Iterator[str]:
        for before, token in zip(self._tokens, self._tokens[1:], strict=False):
            if before.type == "heading_open":
                yield "".join(child.content for child in token.children or [])

    def _inline(self, *kinds: str) -> Iterator[Token]:
        for token in self._tokens:
            yield from (child for child in token.children or [] if child.type in kinds)

    def _link(self, written: str) -> Link:
        path, _, anchor = unquote(written).partition("#")
        target = (self.path.parent / path).resolve() if path else self.path
        return Link(target, anchor, written)


def pages() -> list[Page]:
    """Return every committed page."""
    return [Page(path) for folder in FOLDERS for path in sorted(ROOT.glob(f"{folder}/*.md"))]
