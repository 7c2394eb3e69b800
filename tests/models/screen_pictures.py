"""Thirty synthetic pictures made by code: text, charts, pixel art, QR codes, dithers, gradients, logos, screenshots.

Each is a source picture as an origin would send it, of any size; `as_stored` gives its 344x344 square.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import segno
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from models.config import HIGH_PX
from models.picture_array import Pixels
from service.render import image_file

Box = tuple[int, int, int, int]
INK, PAPER, RED, BLUE, GREEN, GREY = "#111111", "#ffffff", "#d0021b", "#1a56db", "#188038", "#e6e8eb"
WORDS = "Every hit is decoded from the latent on a processor or in batches. A miss asks the origin once, and stores it."


def as_stored(name: str) -> Pixels:
    """Return the picture as an edge would encode it: (344, 344, 3)."""
    return image_file.square(np.asarray(PICTURES[name]().convert("RGB")), HIGH_PX)


def canvas(side_px: int = HIGH_PX, colour: str = PAPER) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (side_px, side_px), colour)
    return image, ImageDraw.Draw(image)


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont:
    found = ImageFont.load_default(size_px)
    assert isinstance(found, ImageFont.FreeTypeFont), "Pillow is built with FreeType"
    return found


def write_lines(draw: ImageDraw.ImageDraw, box: Box, size_px: int, colours: tuple[str, ...] = (INK,)) -> None:
    """Fill a box with lines of text, each in the next of the colours."""
    left, top, right, bottom = box
    words, number = WORDS.split(), 0
    for line, y in enumerate(range(top, bottom - size_px, round(1.35 * size_px))):
        text = ""
        while draw.textlength(text + words[number % len(words)], font(size_px)) < right - left:
            text, number = text + words[number % len(words)] + " ", number + 1
        draw.text((left, y), text, colours[line % len(colours)], font(size_px))


def page(size_px: int, *colours: str, side_px: int = HIGH_PX, paper: str = PAPER) -> Image.Image:
    image, draw = canvas(side_px, paper)
    write_lines(draw, (8, 8, side_px - 8, side_px - 8), size_px, colours or (INK,))
    return image


def size_chart() -> Image.Image:
    image, draw = canvas()
    for row in range(9):
        for column in range(5):
            left, top = 12 + 64 * column, 20 + 34 * row
            draw.rectangle((left, top, left + 64, top + 34), GREY if row == 0 else PAPER, "#9aa0a6")
            text = ("Size", "Chest", "Waist", "Hip", "Arm")[column] if row == 0 else f"{28 + 3 * row + 7 * column}"
            draw.text((left + 10, top + 9), text, INK, font(14))
    return image


def bar_chart() -> Image.Image:
    image, draw = canvas(688)
    for number, height in enumerate((210, 340, 120, 480, 400, 300, 530, 90)):
        left = 70 + 74 * number
        draw.rectangle((left, 620 - height, left + 50, 620), (BLUE, RED, GREEN, "#f9ab00")[number % 4])
        draw.text((left, 630), f"Q{number + 1}", INK, font(24))
    draw.line((50, 40, 50, 620, 670, 620), INK, 3)
    return image


def line_chart() -> Image.Image:
    image, draw = canvas(1032)
    for y in range(100, 1000, 150):
        draw.line((80, y, 1000, y), "#dddddd", 3)
        draw.text((10, y - 16), f"{1000 - y}", "#666666", font(30))
    for phase, colour in enumerate((RED, BLUE, GREEN)):
        points = [(80 + 23 * i, 520 + round(300 * np.sin(i / 6 + phase)) + 20 * (i % 3)) for i in range(40)]
        draw.line(points, colour, 7, joint="curve")
    return image


def sprite(cells: int, colours: int) -> Image.Image:
    """Return a mirrored figure of random cells on sky and ground, one pixel a cell."""
    draw = np.random.default_rng(7)
    palette = draw.integers(0, 256, (colours, 3)).astype(np.uint8)
    half = draw.integers(0, colours, (cells // 4, cells // 8)).repeat(2, 0).repeat(2, 1)
    figure = np.concatenate([half, half[:, ::-1]], 1)
    picture = np.zeros((cells, cells), int)
    picture[3 * cells // 4 :] = 1
    top, left = cells // 4, (cells - figure.shape[1]) // 2
    picture[top : top + figure.shape[0], left : left + figure.shape[1]] = figure
    return Image.fromarray(palette[picture])


def qr_code(version: int, module_px: int | None) -> Image.Image:
    """Return a QR code with its quiet zone; without `module_px` as large as whole modules fit into 344 px."""
    code = segno.make("LE.EXAMPLE/" + "A7" * (version * version // 2), version=version, error="m")
    modules = np.array([[not one for one in row] for row in code.matrix_iter(border=4)])
    scale = module_px or HIGH_PX // len(modules)
    image = Image.fromarray(modules.repeat(scale, 0).repeat(scale, 1)).convert("RGB")
    if module_px:
        return image
    whole, _ = canvas()
    whole.paste(image, ((HIGH_PX - image.width) // 2,) * 2)
    return whole


def dithered_desktop() -> Image.Image:
    """Return a black and white desktop of the eighties: a dither of one pixel, and windows."""
    y, x = np.mgrid[:HIGH_PX, :HIGH_PX]
    image = Image.fromarray((255 * ((x + y) % 2)).astype(np.uint8)).convert("RGB")
    draw = ImageDraw.Draw(image)
    for left, top in ((20, 40), (150, 150)):
        draw.rectangle((left, top, left + 170, top + 150), PAPER, "black")
        for stripe in range(6):
            draw.line((left, top + 3 * stripe, left + 170, top + 3 * stripe), "black")
        write_lines(draw, (left + 8, top + 26, left + 162, top + 145), 11, ("black",))
    return image


def dithered_photograph() -> Image.Image:
    return Image.fromarray(square_photograph(HIGH_PX)).convert("1").convert("RGB")


def ordered_dither() -> Image.Image:
    bayer = np.array([[0]])
    for _ in range(3):
        bayer = np.block([[4 * bayer, 4 * bayer + 2], [4 * bayer + 3, 4 * bayer + 1]])
    y, x = np.mgrid[:HIGH_PX, :HIGH_PX]
    light = (64 * x / HIGH_PX > bayer[y % 8, x % 8]).astype(np.uint8)
    return Image.fromarray(np.stack([255 * light, 200 * light, 90 + 165 * light], -1).astype(np.uint8))


def gradient(*, radial: bool) -> Image.Image:
    y, x = np.mgrid[:HIGH_PX, :HIGH_PX] / HIGH_PX
    share = np.hypot(x - 0.5, y - 0.5) if radial else y
    return Image.fromarray(
        np.stack([255 * share, 120 + 100 * share, 255 - 200 * share], -1).clip(0, 255).astype(np.uint8)
    )


def logo(side_px: int, background: str | None) -> Image.Image:
    """Return a logo; without a background it is transparent, and the edge lays it on white."""
    image = Image.new("RGBA", (side_px, side_px), background or (0, 0, 0, 0))
    draw, unit = ImageDraw.Draw(image), side_px / 100
    draw.ellipse([unit * v for v in (12, 12, 88, 88)], "#0b5fff")
    draw.polygon([unit * v for v in (30, 70, 50, 24, 70, 70)], "#ffd400")
    draw.rectangle([unit * v for v in (44, 52, 56, 70)], "#0b5fff")
    draw.text((unit * 24, unit * 89), "latentedge", RED, font(round(9 * unit)))
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.resize(image.size))


def desktop(side_px: int) -> Image.Image:
    """Return a screenshot: a title bar, a side bar, a table of files and a dialogue."""
    image, draw = canvas(side_px, "#f3f4f6")
    unit = side_px // 86
    draw.rectangle((0, 0, side_px, 5 * unit), "#1f2937")
    draw.text((2 * unit, unit), "Files - latentedge", "#f9fafb", font(round(2.6 * unit)))
    draw.rectangle((0, 5 * unit, 20 * unit, side_px), "#e5e7eb")
    small = font(round(2.4 * unit))
    for row in range(18):
        top = (7 + 4 * row) * unit
        middle = top + unit // 2
        draw.rectangle((22 * unit, top, side_px - 2 * unit, top + 4 * unit - 1), PAPER if row % 2 else "#eef2ff")
        icon = (23 * unit, middle, 26 * unit, top + 3 * unit)
        draw.rounded_rectangle(icon, unit // 2, BLUE if row % 3 else "#f59e0b")
        draw.text((28 * unit, middle), f"picture-{row * 7919 % 997:03d}.jpg   {row * 37 % 90 + 4} kB", INK, small)
    for row, folder in enumerate(("Home", "Recent", "Photos", "Shared", "Bin") * 2):
        draw.text((2 * unit, (7 + 4 * row) * unit), folder, "#374151", small)
    draw.rounded_rectangle((36 * unit, 50 * unit, 78 * unit, 72 * unit), unit, PAPER, "#6b7280", max(1, unit // 4))
    draw.text((39 * unit, 53 * unit), "Delete 3 pictures?", INK, font(3 * unit))
    draw.rounded_rectangle((60 * unit, 64 * unit, 75 * unit, 69 * unit), unit, RED)
    draw.text((64 * unit, round(64.8 * unit)), "Delete", PAPER, font(round(2.6 * unit)))
    return image


def phone() -> Image.Image:
    """Return a screenshot of cards on a phone, 1080 px wide."""
    image, draw = canvas(1080, "#0f172a")
    for row in range(4):
        top = 40 + 260 * row
        draw.rounded_rectangle((40, top, 1040, top + 230), 36, "#1e293b")
        draw.ellipse((70, top + 35, 230, top + 195), ("#38bdf8", "#a3e635", "#f472b6", "#fb923c")[row])
        draw.text((270, top + 40), ("Message", "Reminder", "Weather", "Music")[row], "#f8fafc", font(56))
        write_lines(draw, (270, top + 120, 1000, top + 230), 34, ("#94a3b8",))
    return image


def square_photograph(side_px: int) -> Pixels:
    return image_file.square(data.astronaut(), side_px)  # type: ignore[no-untyped-call]


def web_page(photograph_px: int) -> Image.Image:
    """Return a web page with a photograph in it."""
    image = page(12)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, HIGH_PX, 34), "#123456")
    draw.text((10, 8), "News of today", PAPER, font(16))
    image.paste(Image.fromarray(square_photograph(photograph_px)), (HIGH_PX - photograph_px - 10, 44))
    return image


def captioned_photograph() -> Image.Image:
    image = Image.fromarray(square_photograph(HIGH_PX))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 290, HIGH_PX, HIGH_PX), "black")
    draw.text((12, 300), "SALE  -40 % until Sunday", "#ffee00", font(24))
    return image


def product(*, noise: float) -> Image.Image:
    """Return a shaded bottle with a soft shadow on near white, as a photographer delivers it."""
    y, x = np.mgrid[:1000, :1000] / 1000
    draw = np.random.default_rng(3)
    width = np.where(y < 0.35, 0.06 + 0.1 * np.clip((y - 0.25) / 0.1, 0, 1), 0.16)
    inside = (np.abs(x - 0.5) < width) & (y > 0.12) & (y < 0.88)
    shade = np.sqrt(np.clip(1 - ((x - 0.5) / width) ** 2, 0, 1))
    shine = 0.7 * np.exp(-(((x - 0.44) / 0.02) ** 2))
    bottle = np.stack([40 + 90 * shade, 90 + 100 * shade, 60 + 60 * shade], -1) + 200 * shine[..., None]
    shadow = 40 * np.exp(-(((x - 0.5) / 0.25) ** 2) - ((y - 0.89) / 0.03) ** 2)
    picture = np.where(inside[..., None], bottle, (253 - shadow)[..., None]) + draw.normal(
        0, noise or 1e-9, (1000, 1000, 1)
    )
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def line_art() -> Image.Image:
    image, draw = canvas()
    for radius in range(10, 170, 8):
        draw.ellipse((172 - radius, 172 - radius, 172 + radius, 172 + radius), outline=INK)
    for step in range(0, HIGH_PX, 16):
        draw.line((step, 0, HIGH_PX - step, HIGH_PX), INK)
    return image


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "text 9": lambda: page(9),
    "text 12": lambda: page(12),
    "text red": lambda: page(14, RED),
    "terminal": lambda: page(12, "#c9d1d9", "#7ee787", "#ff7b72", "#79c0ff", paper="#0d1117"),
    "text 28 of 1280": lambda: page(28, side_px=1280),
    "size chart": size_chart,
    "bar chart": bar_chart,
    "line chart": line_chart,
    "pixel art": lambda: sprite(43, 8).resize((HIGH_PX, HIGH_PX), Image.Resampling.NEAREST),
    "pixel art of 64": lambda: sprite(64, 16),
    "QR 1": lambda: qr_code(1, None),
    "QR 10 resized": lambda: qr_code(10, 8),
    "QR 20 resized": lambda: qr_code(20, 8),
    "QR 20": lambda: qr_code(20, None),
    "dithered desktop": dithered_desktop,
    "dithered photograph": dithered_photograph,
    "ordered dither": ordered_dither,
    "gradient": lambda: gradient(radial=False),
    "radial gradient": lambda: gradient(radial=True),
    "logo": lambda: logo(HIGH_PX, None),
    "logo of 1000": lambda: logo(1000, None),
    "logo on black": lambda: logo(1000, "black"),
    "desktop": lambda: desktop(HIGH_PX),
    "desktop of 1032": lambda: desktop(1032),
    "phone of 1080": phone,
    "web page": lambda: web_page(120),
    "captioned photograph": captioned_photograph,
    "product": lambda: product(noise=0),
    "product with noise": lambda: product(noise=1.5),
    "line art": line_art,
}
