"""Make picture files byte by byte, without the code that is tested: PNG chunks, ICC profiles, TIFF tags."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, ...]
RED, GREEN, BLUE, YELLOW = (200, 40, 40), (40, 160, 60), (40, 60, 190), (220, 200, 60)
QUADRANTS = (RED, GREEN, BLUE, YELLOW)
GREYS = (40, 100, 160, 220)
WHITE = (255, 255, 255)
SIDE_PX = 64

# The colorants of red, green and blue in the profile connection space (columns), as published profiles have them.
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
ROTATED = SRGB[:, [1, 2, 0]]
"""Primaries in another order: a file with them must hold the channels as green, blue, red."""


def quadrants(colours: Sequence[Colour] = QUADRANTS) -> NDArray[np.uint8]:
    """Return a picture (64, 64, channels) of four flat quadrants: top left, top right, bottom left, bottom right."""
    two_by_two = np.array(colours, np.uint8).reshape(2, 2, -1)
    return two_by_two.repeat(SIDE_PX // 2, 0).repeat(SIDE_PX // 2, 1)


def grey_quadrants() -> NDArray[np.uint8]:
    return quadrants([(value,) for value in GREYS])


def centres(pixels: NDArray[np.uint8]) -> list[Colour]:
    """Return the colours in the centres of the four quadrants."""
    height, width = pixels.shape[:2]
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [tuple(int(value) for value in pixels[place]) for place in places]


def farthest(found: Sequence[Colour] | NDArray[np.uint8], wanted: Sequence[Colour] | NDArray[np.uint8]) -> int:
    """Return the largest difference between the channels of colours."""
    return int(np.abs(np.array(found, int) - np.array(wanted, int)).max())


def linear(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the light of sRGB values (IEC 61966-2-1)."""
    values = pixels / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb_curve(light: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)


def in_p3(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return sRGB pixels as Display P3."""
    light = linear(pixels) @ SRGB.T @ np.linalg.inv(P3).T
    return np.rint(srgb_curve(np.clip(light, 0, 1)) * 255).astype(np.uint8)


def profile(space: bytes, tags: dict[bytes, bytes], description: str) -> bytes:
    """Return an ICC v2 profile of a display (ICC.1:2001)."""
    text = description.encode() + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"wtpt": _xyz(0.9642, 1, 0.8249),
    } | tags
    table, body = struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    head = b"none" + struct.pack(">I", 0x02100000) + b"mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += _xyz(0.9642, 1, 0.8249)[8:]
    return struct.pack(">I", 128 + len(table) + len(body)) + head.ljust(124, b"\0") + table + body


def rgb_profile(
    colorants: NDArray[np.float64], description: str, *, linear_light: bool = False, padding: bytes = b""
) -> bytes:
    curve = _curve(linear_light=linear_light)
    tags = {name: _xyz(*colorants[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return profile(b"RGB ", tags | ({b"priv": b"data\0\0\0\0" + padding} if padding else {}), description)


def linear_grey_profile() -> bytes:
    return profile(b"GRAY", {b"kTRC": _curve(linear_light=True)}, "sRGB grey, linear")


def _curve(*, linear_light: bool) -> bytes:
    if linear_light:
        return b"curv\0\0\0\0" + bytes(4)
    table = np.rint(linear(np.linspace(0, 255, 1024)) * 65535).astype(">u2").tobytes()  # type: ignore[arg-type]
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + table


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def iccp(icc: bytes) -> bytes:
    return chunk(b"iCCP", b"icc\0\0" + zlib.compress(icc))


def png(pixels: NDArray[np.uint8] | NDArray[np.uint16], *chunks: bytes, after: bytes = b"") -> bytes:
    """Return a PNG of 8 or 16 bits, with chunks before and after the pixels."""
    depth = 16 if pixels.dtype == np.uint16 else 8
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[pixels.shape[2]]
    rows = pixels.astype(">u2" if depth == 16 else np.uint8).reshape(pixels.shape[0], -1).view(np.uint8)
    return png_of_rows(rows, pixels.shape[1], depth, colour_type, b"".join(chunks), after=after)


def png_of_rows(
    rows: NDArray[np.uint8], width: int, depth: int, colour_type: int, before: bytes = b"", *, after: bytes = b""
) -> bytes:
    header = struct.pack(">IIBBBBB", width, rows.shape[0], depth, colour_type, 0, 0, 0)
    data = zlib.compress(unfiltered(rows))
    parts = (chunk(b"IHDR", header), before, chunk(b"IDAT", data), after, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def unfiltered(rows: NDArray[np.uint8]) -> bytes:
    """Return the rows (height, bytes) of a PNG with filter 0."""
    return np.concatenate([np.zeros((rows.shape[0], 1), np.uint8), rows], 1).tobytes()


def packed(values: NDArray[np.uint8], depth: int) -> NDArray[np.uint8]:
    """Return rows of values of 1, 2 or 4 bits."""
    bits = np.unpackbits(values[..., None], axis=-1)[..., 8 - depth :]
    return np.packbits(bits.reshape(len(values), -1), axis=1)


def tiff(body: bytes, bits: int, *, order: str = "<", white_is_zero: bool = False, sample_format: int = 1) -> bytes:
    """Return an uncompressed grey TIFF of 64 x 64 pixels in one strip."""
    tags = [(256, SIDE_PX), (257, SIDE_PX), (258, bits), (259, 1), (262, 0 if white_is_zero else 1)]
    tags += [(273, 8 + 2 + 12 * 10 + 4), (277, 1), (278, SIDE_PX), (279, len(body)), (339, sample_format)]
    directory = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "IH", 8, len(tags)) + directory + bytes(4) + body
