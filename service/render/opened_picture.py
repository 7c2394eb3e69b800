"""Open picture files with Pillow, and find what their headers say of the pixels. No I/O.

The format is found from the first bytes, and the number of pixels is checked before any is decoded.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import GifImagePlugin, Image, ImageChops, UnidentifiedImageError

from service.errors import DamagedPicture, NotAPicture, PictureTooLarge
from service.render import avif_colours, bmp_file, icc_profile, jpeg_file, png_file
from service.render.icc_profile import ColourSpace
from service.render.jpeg_file import END, drop_damaged_segments, lacks_end
from service.render.png_file import Box, PngColours, PngFile
from service.render.tiff_layouts import is_mixed_up, use_libtiff, widen_palette
from service.render.webp_frame import drop_cut_chunks, find_first_frame

# The formats that browsers show and cameras write. Pillow has many more, and each decoder is an attack surface.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
SIDE_CAP_PX = 65_535
"""The longest width or height that is accepted, as in JPEG. Pillow takes 88 bytes per row of a picture (measured)."""

_FILLER = bytes(range(0x35, 0x75))
"""Bytes that are no marker, and no likely continuation of a scan."""


@dataclass(frozen=True, slots=True)
class FirstFrame:
    """The place of an animation's first frame. The rest of its canvas is transparent."""

    canvas_px: tuple[int, int]
    box: Box
    """The part of the canvas that the frame covers."""
    origin: tuple[int, int]
    """The place of the decoded pixels on the canvas: of the whole canvas or of the frame alone."""


@dataclass(frozen=True, slots=True)
class OpenedPicture:
    """A picture whose header was read."""

    image: Image.Image
    profile: bytes | None
    """The ICC profile of its pixels. Without one they are sRGB."""
    is_grey: bool
    """Whether the file holds grey values, although Pillow may decode them to RGB."""
    frame: FirstFrame | None
    """The place of the first frame, if it does not cover the canvas."""
    wide_png: bytes | None = None
    """A PNG of 16 bits for each colour, of which Pillow decodes the upper 8."""

    @property
    def canvas_px(self) -> tuple[int, int]:
        """Return the width and height of the picture."""
        return self.image.size if self.frame is None else self.frame.canvas_px


def raise_pillow_limit(source_pixels: int) -> None:
    """Let Pillow open pictures of up to this many pixels, in the whole process. Its own limit is 179 million."""
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, source_pixels)


def load_decoders() -> None:
    """Import Pillow's decoders. Without memory, an import fails with an error that does not say so."""
    Image.init()


def open_picture(blob: bytes, source_pixels: int) -> OpenedPicture:
    """Read the header of a file of at most `source_pixels`. Raises NotAPicture, PictureTooLarge or DamagedPicture."""
    png = _simplify_png(blob)
    blob = _mend(blob, source_pixels) if png is None else png.file
    image = _open(blob, source_pixels)
    for name in ("xmp", "XML:com.adobe.xmp"):  # Pillow would turn a TIFF by it; the orientation of EXIF counts alone
        image.info.pop(name, None)
    widen_palette(image)
    if png is not None:
        _check_size(png.canvas_px, source_pixels)
        _scale_transparency(image, png)
    return OpenedPicture(
        image=image,
        profile=_find_profile(blob, image, png),
        is_grey=bool(png and png.is_grey),
        frame=_find_frame(blob, image, png),
        wide_png=blob if png is not None and png.depth_bits == 16 and not png.is_grey else None,  # noqa: PLR2004  (bits)
    )


def _mend(blob: bytes, source_pixels: int) -> bytes:
    """Return a JPEG, WebP or BMP file without the damage that browsers tolerate; any other file unchanged."""
    if blob.startswith(b"\xff\xd8\xff"):
        blob = drop_damaged_segments(blob)
        return _end_jpeg(blob, source_pixels) if lacks_end(blob) else blob
    if blob.startswith(b"RIFF"):
        return drop_cut_chunks(blob)
    if blob.startswith(bmp_file.SIGNATURE):
        return bmp_file.complete_last_row(blob)
    return blob


def load_lower_bytes(png: bytes) -> Image.Image:
    """Decode a PNG of 16 bits for each colour to the lower 8: in the other order of bytes they are the upper ones."""
    image = Image.open(io.BytesIO(png), formats=["PNG"])
    image.tile = [image.tile[0]._replace(args=f"{image.mode};16L")]
    image.load()
    return image


def _simplify_png(blob: bytes) -> PngFile | None:
    if not blob.startswith(png_file.SIGNATURE):
        return None
    try:
        return png_file.simplify(blob)
    except ValueError as error:
        raise DamagedPicture(f"the header of the picture cannot be read: {error}") from error
    except MemoryError as error:
        raise PictureTooLarge("the process ran out of memory while it read the chunks of the picture") from error


def _open(blob: bytes, source_pixels: int) -> Image.Image:
    use_libtiff()
    try:
        image = Image.open(io.BytesIO(blob), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise NotAPicture(f"the file is in none of the known picture formats, {', '.join(FORMATS)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise PictureTooLarge(f"the picture is too large to be opened: {error}") from error
    except Exception as error:  # the file has a known signature, but an invalid header
        raise DamagedPicture(f"the header of the picture cannot be read: {type(error).__name__}: {error}") from error
    try:
        _check_size(image.size, source_pixels)
        _check_planes(image)
    except (PictureTooLarge, NotAPicture):
        image.close()
        raise
    return image


def _check_size(size_px: tuple[int, int], source_pixels: int) -> None:
    width_px, height_px = size_px
    if width_px * height_px > source_pixels or max(size_px) > SIDE_CAP_PX:
        raise PictureTooLarge(
            f"the picture has {width_px} x {height_px} pixels; at most {source_pixels} pixels and sides of "
            f"at most {SIDE_CAP_PX} are accepted"
        )


def _check_planes(image: Image.Image) -> None:
    if is_mixed_up(image):
        raise NotAPicture("the file is a TIFF with grey and alpha in planes of their own, which is not supported")


def _end_jpeg(blob: bytes, source_pixels: int) -> bytes:
    """Return a JPEG with the marker of its end, or the same bytes if its last scan is not complete.

    A decoder ignores what follows a complete scan, so other bytes before the marker change no pixel. They do change the
    pixels of a truncated scan, which is decoded from them.
    """
    scan = blob.rstrip(b"\xff")  # the first byte of a cut marker
    pictures = []
    for ending in (END, _FILLER + END):
        pictures.append(_open(scan + ending, source_pixels))
        try:
            pictures[-1].load()
        except (OSError, ValueError, SyntaxError):
            return blob
    return scan + END if ImageChops.difference(*pictures).getbbox(alpha_only=False) is None else blob


def _scale_transparency(image: Image.Image, png: PngFile) -> None:
    """Scale the transparent colour of a PNG as Pillow scales its pixels (PNG, third edition, 11.3.1.1).

    Pillow keeps the upper 8 bits of a colour of 16 bits, and spreads grey of 2 or 4 bits to 8 bits.
    """
    colour = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(colour, tuple):
        image.info["transparency"] = tuple(
            value >> 8 if png.depth_bits == 16 else value & 255  # noqa: PLR2004  (bits)
            for value in colour
        )
    elif image.mode == "L" and isinstance(colour, int):
        most = 2**png.depth_bits - 1
        image.info["transparency"] = (colour & most) * 255 // most


def _find_profile(blob: bytes, image: Image.Image, png: PngFile | None) -> bytes | None:
    """Return the ICC profile of the pixels: embedded, or built from what else the file says of its colours."""
    embedded = _find_embedded(blob, image, png)
    if png is not None:
        space = _find_png_space(png.colours)
    else:
        space = _find_avif_space(blob) if image.format == "AVIF" and not embedded else None
    is_grey = image.mode == "L" or bool(png and png.is_grey)
    return embedded if space is None else icc_profile.build(space, is_grey=is_grey)


def _find_embedded(blob: bytes, image: Image.Image, png: PngFile | None) -> bytes | None:
    if png is not None:
        profile = png.colours.profile
        # libpng and browsers ignore a profile for colours on a grey PNG. On a grey JPEG they use it.
        return None if png.is_grey and profile and not icc_profile.is_for_grey(profile) else profile
    match image.format:
        case "JPEG" | "MPO":
            return jpeg_file.find_profile(blob)
        case "BMP":
            return bmp_file.find_profile(blob)
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) else None


def _find_avif_space(blob: bytes) -> ColourSpace | None:
    code_points = avif_colours.find_code_points(blob)
    return None if code_points is None else icc_profile.from_code_points(*code_points)


def _find_png_space(colours: PngColours) -> ColourSpace | None:
    """Return the colour space that the chunks name, by the first chunk that counts (PNG, third edition, 4.3)."""
    if colours.code_points is not None:
        primaries, transfer, _, is_full_range = colours.code_points
        space = icc_profile.from_code_points(primaries, transfer, is_full_range=bool(is_full_range))
        if space is not None:
            return space
    if colours.profile is not None or colours.is_srgb:
        return None
    return icc_profile.from_gamma(colours.gamma, colours.chromaticities)


def _find_frame(blob: bytes, image: Image.Image, png: PngFile | None) -> FirstFrame | None:
    if png is not None:
        left, top, *_ = box = png.frame or (0, 0, *png.canvas_px)
        frame = FirstFrame(png.canvas_px, box, (left, top))
    elif isinstance(image, GifImagePlugin.GifImageFile) and len(image.tile) == 1:
        frame = FirstFrame(image.size, image.tile[0][1] or (0, 0, *image.size), (0, 0))
    elif image.format == "WEBP":
        frame = FirstFrame(image.size, find_first_frame(blob) or (0, 0, *image.size), (0, 0))
    else:
        return None
    return None if frame.box == (0, 0, *frame.canvas_px) else frame


def drop_empty_alpha(image: Image.Image) -> Image.Image:
    """Return a BMP whose pixels are all transparent without its alpha channel, as Chrome and Windows show it.

    Many programs leave the fourth byte of a pixel 0, whatever the header says of it.
    """
    is_empty = image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0)
    return image.convert("RGB") if is_empty else image
