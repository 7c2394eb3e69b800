"""EDGE_BACKGROUND is the colour behind transparent pictures, wherever they are decoded."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from service.errors import SettingsError
from service.render.decoding_work import bound_px
from service.render.image_file import ImageLimits
from service.settings.background import read_background
from service.settings.edge_settings import read_settings
from service.upstream.source import Prepared
from service.upstream.source_reader import SourceReader


def transparent(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(file, kind)
    return file.getvalue()


def prepared_on(background: tuple[int, int, int], file: bytes) -> Prepared:
    with ThreadPoolExecutor(1) as threads:
        reader = SourceReader(ImageLimits(10**6), threads=threads, cpu_s=60, background=background)
        try:
            return asyncio.run(reader.prepare(file))
        finally:
            reader.close()


@pytest.mark.parametrize(("kind", "lane"), [("PNG", "thread"), ("TIFF", "child")])
def test_each_lane_lays_pictures_on_the_background(kind: str, lane: str) -> None:
    file = transparent(kind)
    assert (bound_px(file) is None) == (lane == "child")
    prepared = prepared_on((10, 20, 30), file)
    for pixels in (prepared.high, prepared.medium):
        assert (pixels == np.array((10, 20, 30))).all(), f"{pixels[0, 0]} is not the background"


@pytest.mark.parametrize(("text", "colour"), [("ffffff", (255,) * 3), ("#0A14ff", (10, 20, 255))])
def test_a_background_is_a_colour(text: str, colour: tuple[int, int, int]) -> None:
    assert read_background(text) == colour


@pytest.mark.parametrize("text", ["white", "fff", "#1234567", "-1ffff", "ffffff "])
def test_another_text_is_refused_at_start(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ORIGIN", "http://127.0.0.1:1")
    monkeypatch.setenv("EDGE_BACKGROUND", text)
    with pytest.raises(SettingsError, match="EDGE_BACKGROUND"):
        read_settings()
