"""Build ICC profiles of colour spaces that a file describes by numbers. No I/O.

Pillow converts colours with LittleCMS, by ICC profiles alone. PNG and AVIF also name colour spaces by code points
(ITU-T H.273), and PNG by a gamma and chromaticities. A profile with three colorants and one curve says the same
(ICC.1:2022, 8.3.3).

High dynamic range (PQ, HLG) is mapped to the range of a display by the curve itself, each channel alone: light up to
KNEE times diffuse white stays as it is, and brighter light is compressed into the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct, pack

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]
"""The light of evenly spaced code values, 0 to 1."""

CURVE_POINTS = 4096
SRGB_PRIMARIES = (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
"""x and y of white, red, green and blue (ITU-R BT.709)."""

_D65 = (0.3127, 0.3290)
# ITU-T H.273, table 2.
_PRIMARIES: dict[int, tuple[float, ...]] = {
    1: SRGB_PRIMARIES,
    2: SRGB_PRIMARIES,  # unspecified
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}

DIFFUSE_WHITE = 203.0
"""The light of a white surface in HDR, in cd/m2 (ITU-R BT.2408)."""
PEAK = 1000.0
"""The light that becomes the white of the display, in cd/m2: the usual peak of HDR content (BT.2408)."""
KNEE = 0.75
"""The part of diffuse white up to which light is unchanged (assumed)."""
USUAL_GAMMA = 0.45455
"""The gAMA of PNG files whose pixels are sRGB (PNG, third edition, 11.3.2.5)."""
GAMMA_TOLERANCE = 0.05
"""How far a gamma may be from the usual one to count as it, relatively. libpng uses the same value."""

_D50 = np.array([0.9642, 1.0, 0.8249])  # ICC.1:2022, 7.2.16
# Bradford's cone responses (ICC.1:2022, annex E).
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_TAG = Struct(">4sII")


@dataclass(frozen=True, slots=True)
class ColourSpace:
    """A colour space that is described by numbers."""

    primaries: tuple[float, ...]
    """x and y of white, red, green and blue."""
    curve: Curve


def from_code_points(primaries: int, transfer: int, *, is_full_range: bool = True) -> ColourSpace | None:
    """Return a colour space of ITU-T H.273, or None if it is unknown."""
    if primaries not in _PRIMARIES:
        return None
    codes = np.linspace(0, 1, CURVE_POINTS)
    if not is_full_range:  # H.273, equation 20: black is 16 and white is 235
        codes = np.clip((codes * 255 - 16) / 219, 0, 1)
    return ColourSpace(_PRIMARIES[primaries], _find_transfer(transfer)(codes))


def from_gamma(gamma: float | None, chromaticities: tuple[float, ...] | None) -> ColourSpace | None:
    """Return the colour space of a PNG with these gAMA and cHRM chunks, or None if they name sRGB or make no sense."""
    is_sensible = chromaticities is not None and _is_sensible(chromaticities)
    primaries = chromaticities if chromaticities is not None and is_sensible else SRGB_PRIMARIES
    is_usual = not gamma or abs(gamma / USUAL_GAMMA - 1) < GAMMA_TOLERANCE
    if is_usual and np.allclose(primaries, SRGB_PRIMARIES, atol=0.002):
        return None
    codes = np.linspace(0, 1, CURVE_POINTS)
    return ColourSpace(primaries, codes ** (1 / gamma) if gamma else _srgb(codes))


def _is_sensible(chromaticities: tuple[float, ...]) -> bool:
    xs, ys = np.array(chromaticities[::2]), np.array(chromaticities[1::2])
    if (ys < 0.001).any() or (xs + ys > 1.001).any():  # noqa: PLR2004  (no colour has such coordinates)
        return False
    area = (xs[2] - xs[1]) * (ys[3] - ys[1]) - (xs[3] - xs[1]) * (ys[2] - ys[1])
    return bool(abs(area) > 0.001)  # noqa: PLR2004  (a triangle without an area gives no matrix)


def _find_transfer(code: int) -> Callable[[Curve], Curve]:
    """Return the function from codes to light of a transfer characteristic (H.273, table 3).

    BT.709 and its relatives describe cameras. Their pictures are made for displays whose curve is nearly that of sRGB.
    """
    return {4: _power(2.2), 5: _power(2.8), 8: _power(1.0), 16: _pq, 17: _power(2.6), 18: _hlg}.get(code, _srgb)


def _power(exponent: float) -> Callable[[Curve], Curve]:
    return lambda codes: codes**exponent


def _srgb(codes: Curve) -> Curve:
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004  (IEC 61966-2-1)


def _pq(codes: Curve) -> Curve:
    """SMPTE ST 2084, in cd/m2 up to 10,000."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = codes ** (1 / m2)
    return _map_tones(10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1))


def _hlg(codes: Curve) -> Curve:
    """ITU-R BT.2100, on a display of 1000 cd/m2 with the system gamma 1.2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12)  # noqa: PLR2004
    return _map_tones(1000 * scene**1.2)


def _map_tones(light: Curve) -> Curve:
    """Map light in cd/m2 to 0 to 1. Above the knee, Reinhard's curve (2002, equation 4) reaches 1 at PEAK."""
    relative = light / DIFFUSE_WHITE
    excess, most = np.maximum(relative - KNEE, 0) / (1 - KNEE), (PEAK / DIFFUSE_WHITE - KNEE) / (1 - KNEE)
    compressed = excess * (1 + excess / most**2) / (1 + excess)
    return np.clip(np.minimum(relative, KNEE) + (1 - KNEE) * compressed, 0, 1)


def is_for_grey(profile: bytes) -> bool:
    """Return whether the channel of a profile is grey (ICC.1:2022, table 19)."""
    return profile[16:20] == b"GRAY"


def build(space: ColourSpace, *, is_grey: bool) -> bytes:
    """Return the ICC profile of a colour space, for grey values or for RGB."""
    curve = b"curv\0\0\0\0" + pack(">I", CURVE_POINTS) + np.rint(space.curve * 65535).astype(">u2").tobytes()
    tags = {b"wtpt": _pack_xyz(_D50)}
    if is_grey:
        tags[b"kTRC"] = curve
    else:
        colorants = _find_colorants(space.primaries)
        tags |= {name: _pack_xyz(colorants[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _pack(b"GRAY" if is_grey else b"RGB ", tags)


def _pack(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    directory, body, start = pack(">I", len(tags)), b"", 128 + 4 + _TAG.size * len(tags)
    for name, tag in tags.items():
        directory += _TAG.pack(name, start + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    head = pack(">I4sI4s4s4s", start + len(body), b"none", 0x02400000, b"mntr", space, b"XYZ ")
    head += pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _pack_xyz(_D50)[8:]
    return head.ljust(128, b"\0") + directory + body


def _find_colorants(primaries: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the XYZ of red, green and blue as columns, adapted from the white of the space to D50."""
    xs, ys = np.array(primaries[::2]), np.array(primaries[1::2])
    white, *_ = unit_xyz = np.stack([xs / ys, np.ones(4), (1 - xs - ys) / ys], -1)
    colorants = unit_xyz[1:].T * np.linalg.solve(unit_xyz[1:].T, white)
    scale = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adapted: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD @ colorants
    return adapted


def _pack_xyz(xyz: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + np.rint(np.clip(xyz, -2, 2) * 65536).astype(">i4").tobytes()
