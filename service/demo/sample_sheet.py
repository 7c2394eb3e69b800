"""Draw the sheet: a PNG file that shows photographs beside the edge's decoded pictures, with bytes and scores."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from models.config import HIGH_PX, MEDIUM_PX
from models.picture_array import Pixels
from service.commands.failure import CommandFailure, reason
from service.demo.samples import Sample

_MARGIN_PX = 40
_GAP_PX = 12
_BLOCK_GAP_PX = 44
_TITLE_PX = 84
_NAME_PX = 34
_CAPTION_PX = 52
_BLOCK_WIDTH_PX = 2 * HIGH_PX + MEDIUM_PX + 2 * _GAP_PX
_BLOCK_HEIGHT_PX = _NAME_PX + HIGH_PX + _CAPTION_PX
_COLUMNS = 2
_PAPER = "#ffffff"
_INK = "#1a1d21"
_GREY = "#626a73"


def write_sheet(samples: Sequence[Sample], *, path: Path) -> None:
    title = "latentedge: one latent per picture, every size decoded from it"
    subtitle = "True size. The originals are the sources' centre squares. Both renditions are decoded from one latent."
    try:
        _Sheet(samples, title=title, subtitle=subtitle).save(path)
    except OSError as error:
        raise CommandFailure(f"latentedge: cannot write the sheet {path}: {reason(error)}") from error


class _Sheet:
    """A drawing with two columns of blocks. Each block shows one picture: the original, 344 px and 172 px."""

    def __init__(self, samples: Sequence[Sample], *, title: str, subtitle: str) -> None:
        rows = -(-len(samples) // _COLUMNS)
        columns = min(_COLUMNS, len(samples))
        width = 2 * _MARGIN_PX + columns * _BLOCK_WIDTH_PX + (columns - 1) * _BLOCK_GAP_PX
        height = _MARGIN_PX + _TITLE_PX + rows * (_BLOCK_HEIGHT_PX + _BLOCK_GAP_PX) - _BLOCK_GAP_PX + _MARGIN_PX
        self._image = Image.new("RGB", (width, height), _PAPER)
        self._draw = ImageDraw.Draw(self._image)
        self._text((_MARGIN_PX, _MARGIN_PX - 8), title, font=_font(26, bold=True))
        self._text((_MARGIN_PX, _MARGIN_PX + 30), subtitle, font=_font(16), colour=_GREY)
        for number, sample in enumerate(samples):
            self._block(sample, column=number % _COLUMNS, row=number // _COLUMNS)

    def save(self, path: Path) -> None:
        self._image.save(path, "PNG", optimize=True)

    def _block(self, sample: Sample, *, column: int, row: int) -> None:
        left = _MARGIN_PX + column * (_BLOCK_WIDTH_PX + _BLOCK_GAP_PX)
        top = _MARGIN_PX + _TITLE_PX + row * (_BLOCK_HEIGHT_PX + _BLOCK_GAP_PX)
        self._text(
            (left, top), f"{sample.name}: one latent of {sample.latent_bytes:,} bytes", font=_font(18, bold=True)
        )
        columns = (
            (sample.high.reference, "original", f"source file {sample.source_bytes:,} bytes"),
            (sample.high.decoded, f"high, {HIGH_PX} px", f"SSIMULACRA2 {sample.high.ssimulacra2:.1f}"),
            (sample.medium.decoded, f"medium, {MEDIUM_PX} px", f"SSIMULACRA2 {sample.medium.ssimulacra2:.1f}"),
        )
        for picture, name, note in columns:
            self._picture(picture, (left, top + _NAME_PX), name=name, note=note)
            left += picture.shape[1] + _GAP_PX

    def _picture(self, picture: Pixels, place: tuple[int, int], *, name: str, note: str) -> None:
        left, top = place
        self._image.paste(Image.fromarray(picture), place)
        below = top + picture.shape[0] + 6
        self._text((left, below), name, font=_font(15, bold=True))
        self._text((left, below + 20), note, font=_font(15), colour=_GREY)

    def _text(self, place: tuple[int, int], text: str, *, font: ImageFont.FreeTypeFont, colour: str = _INK) -> None:
        self._draw.text(place, text, font=font, fill=colour)


def _font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans from matplotlib's wheel, so that the sheet looks the same on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    with resources.as_file(resources.files("matplotlib") / "mpl-data" / "fonts" / "ttf" / name) as path:
        return ImageFont.truetype(str(path), size_px)
