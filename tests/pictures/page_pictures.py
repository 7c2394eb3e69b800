"""Photograph the page at / in headless Chromium: light, dark, and at the width of a phone."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import ViewportSize, expect, sync_playwright

DESKTOP: ViewportSize = {"width": 1180, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


def draw(url: str, folder: Path) -> None:
    """Write the pictures into a folder."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"), args=["--no-sandbox"]
        )
        for name, scheme, size in (("light", "light", DESKTOP), ("dark", "dark", DESKTOP), ("phone", "light", PHONE)):
            page = browser.new_context(
                viewport=size, color_scheme="dark" if scheme == "dark" else "light", device_scale_factor=1
            ).new_page()
            page.goto(f"{url}/")
            expect(page.locator("#state")).to_contain_text("running", timeout=60_000)
            page.locator("#chart-ratio > svg path").first.wait_for(state="attached")
            page.screenshot(path=folder / f"page-{name}.png", full_page=True)
        browser.close()
