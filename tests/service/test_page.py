"""The page at / in a headless Chromium: its figures appear and change, and it works for everyone and everywhere."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, Request, Route, ViewportSize, expect, sync_playwright

from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin

LIMIT_MS = 60_000
FRESH = {"Cache-Control": "max-age=600"}
PREFIX = "/pictures-of/edge-7"
DESKTOP: ViewportSize = {"width": 1180, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium; skipped without it, which is a failure under REQUIRE_ALL=1."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        # --no-sandbox: a test run as root has no sandbox of its own.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Story:
    """An edge with some load behind it, and the browser."""

    edge: RunningEdge
    browser: Browser
    complaints: list[str] = field(default_factory=list)
    """What the page wrote to the console, and the addresses elsewhere that it asked for."""

    def blank(self, scheme: Literal["light", "dark"] = "light") -> Page:
        page = self.browser.new_context(viewport=DESKTOP, color_scheme=scheme).new_page()
        page.set_default_timeout(LIMIT_MS)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._note_if_elsewhere)
        return page

    def open(self, scheme: Literal["light", "dark"] = "light") -> Page:
        page = self.blank(scheme)
        page.goto(f"{self.edge.url}/")
        wait_for_text(page, "state", "running")
        return page

    def close(self) -> None:
        for context in self.browser.contexts:
            context.close()

    def _note_if_elsewhere(self, request: Request) -> None:
        if not request.url.startswith((self.edge.url, "data:")):
            self.complaints.append(request.url)

    def load(self, requests: int) -> None:
        for res in ("high", "medium"):
            for _ in range(requests):
                assert self.edge.get(f"/image/cat?res={res}").status_code == 200


@pytest.fixture(scope="module")
def _loaded(chromium: Browser, session_valkey: EmbeddedValkey, photo: bytes) -> Iterator[Story]:
    with ScriptedOrigin() as origin:
        origin.script("/cat", Reply(photo, headers=FRESH))
        settings = read_settings(origin=origin.url, redis_url=session_valkey.url, hot_bytes=2**22)
        with running_edge(settings) as edge:
            story = Story(edge, chromium)
            story.load(3)
            yield story


@pytest.fixture
def story(_loaded: Story) -> Iterator[Story]:
    """The edge and the browser; the page must not complain about anything."""
    yield _loaded
    _loaded.close()
    assert not _loaded.complaints


def text(page: Page, id_: str) -> str:
    return page.locator(f"#{id_}").inner_text()


def wait_for_text(page: Page, id_: str, words: str) -> None:
    # No wait_for_function: it evaluates a string, which the page's policy forbids.
    expect(page.locator(f"#{id_}")).to_contain_text(words, timeout=LIMIT_MS)


def wait_until_drawn(page: Page) -> None:
    page.locator("#chart-ratio > svg path").first.wait_for(state="attached")


def test_figures_appear_and_change_under_load(story: Story) -> None:
    page = story.open()
    assert text(page, "ratio").endswith("%")
    before = story.edge.stats()["requests_total"]
    wait_for_text(page, "ratio-note", f"{before} requests")
    story.load(5)
    wait_for_text(page, "ratio-note", f"{before + 10} requests")
    # The line of the last five minutes has points once two seconds are recorded.
    line = page.locator("#chart-ratio > svg path.c0")
    expect(line).to_have_attribute("d", re.compile(".{6}"), timeout=LIMIT_MS)
    assert "%" in text(page, "chart-ratio")


def test_hits_from_memory_and_decoded_hits_are_told_apart(story: Story) -> None:
    page = story.open()
    wait_for_text(page, "memory-time", "ms")
    hits = {(one["res"], one["source"]): one for one in story.edge.stats()["hits"]}
    assert hits["high", "memory"]["count"] >= 2
    assert hits["medium", "codec"]["count"] == 1
    assert "172 px" in text(page, "decoded-note")
    assert "from memory" in text(page, "hits")
    assert hits["medium", "memory"]["p50_ms"] <= hits["medium", "codec"]["p50_ms"]


def test_it_works_behind_a_path_prefix(story: Story) -> None:
    """A proxy takes the prefix off. Here the browser's request interception does it."""
    page, asked = story.blank(), []

    def forward(route: Route) -> None:
        path = route.request.url.removeprefix(story.edge.url)
        asked.append(path.removeprefix(PREFIX).partition("?")[0])
        if path.startswith(PREFIX):
            route.fulfill(response=route.fetch(url=story.edge.url + path.removeprefix(PREFIX)))
        else:
            route.fulfill(status=404)

    page.route("**/*", forward)
    page.goto(f"{story.edge.url}{PREFIX}/")
    wait_for_text(page, "state", "running")
    page.unroute_all(behavior="wait")
    assert set(asked) >= {"/", "/page/style.css", "/page/figures.js", "/page/charts.js", "/stats", "/history"}
    links = page.evaluate("[...document.querySelectorAll('footer a')].map(one => new URL(one.href).pathname)")
    assert links == [f"{PREFIX}/{name}" for name in ("stats", "history", "metrics", "docs")]


def test_keyboard_and_screen_reader_get_the_figures(story: Story) -> None:
    page = story.open()
    wait_until_drawn(page)  # a second was recorded before this load
    story.load(1)
    chart = page.get_by_role("img", name="Hit ratio. latents: last")
    chart.wait_for()
    chart.focus()
    page.keyboard.press("ArrowLeft")
    output = page.locator("#chart-ratio output")
    assert output.get_attribute("aria-live") == "polite"
    assert "latents" in output.inner_text()
    page.get_by_text("Hit ratio: figures as a table").press("Enter")
    page.locator("#chart-ratio tbody tr").first.wait_for()
    page.get_by_role("radio", name="1 hour").check()
    page.get_by_role("radio", name="172 px").focus()
    page.keyboard.press("Space")
    assert page.locator("#chart-latency .legend li").count() == 3
    unnamed = page.evaluate(
        "[...document.querySelectorAll('[tabindex=\"0\"]')].filter("
        "one => !one.getAttribute('aria-label') && !one.getAttribute('aria-labelledby')).length"
    )
    assert unnamed == 0


CONTRASTS = """() => {
  const channel = value => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => .2126 * channel(r / 255) + .7152 * channel(g / 255) + .0722 * channel(b / 255);
  const ground = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + .05) / (low + .05);
  };
  const contrastOf = (one, colour) => contrast(rgb(getComputedStyle(one)[colour]), ground(one));
  const worst = (elements, colour) => Math.min(...elements.map(one => contrastOf(one, colour)));
  const names = 'h1, h2, p, a, label, legend, summary, figcaption, th, td, li, dt, dd, footer';
  const texts = [...document.querySelectorAll(names)].filter(
    one => one.innerText.trim() && !one.classList.contains('skip'));
  return {
    text: worst(texts, 'color'),
    labels: worst([...document.querySelectorAll('svg text')], 'fill'),
    lines: worst([...document.querySelectorAll('path.series')], 'stroke'),
  };
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_sufficient(story: Story, scheme: Literal["light", "dark"]) -> None:
    """WCAG 2.2: 1.4.3 asks for 4.5 to 1 for text, 1.4.11 for 3 to 1 for lines."""
    page = story.open(scheme)
    wait_until_drawn(page)
    contrasts = page.evaluate(CONTRASTS)
    assert contrasts["text"] >= 4.5
    assert contrasts["labels"] >= 4.5
    assert contrasts["lines"] >= 3


def test_nothing_is_wider_than_a_phone(story: Story) -> None:
    page = story.open()
    page.set_viewport_size(PHONE)
    wait_until_drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_policy_forbids_what_is_elsewhere(story: Story) -> None:
    policy = story.edge.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
