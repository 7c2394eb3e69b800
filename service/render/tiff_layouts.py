"""Let Pillow read layouts of TIFF files that its own reader mixes up, or that its table lacks. No I/O.

Pillow reads uncompressed files by itself, and takes planes of 16 bits for planes of 8, and subsampled YCbCr for whole
pixels. libtiff reads all files right, and returns the samples in the order of bytes of this machine.

Which value of a grey picture is white is found later (see `sample_depth`).
"""

from __future__ import annotations

import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.TiffImagePlugin import COLORMAP, II, MM

PLANAR_CONFIGURATION, PLANES = 284, 2
"""TIFF 6.0: the tag of how samples are arranged, and its value if each channel is stored by itself."""

_UNSIGNED, _SIGNED, _FLOAT = (1,), (2,), (3,)
_BY_SAMPLES = {
    # (sample format, bits): (mode, raw mode). N is the order of bytes of this machine.
    (_UNSIGNED, 12): ("I;16", "I;12"),
    (_UNSIGNED, 16): ("I;16", "I;16"),
    (_UNSIGNED, 32): ("I", "I;32N"),
    (_SIGNED, 16): ("I", "I;16NS"),
    (_SIGNED, 32): ("I", "I;32NS"),
    (_FLOAT, 32): ("F", "F;32NF"),
    (_FLOAT, 64): ("F", "F;64NF"),
}
_LAYOUTS = {
    # (order of bytes, zero is white or black, sample format, order of bits, bits, extra samples)
    (order, white, sample_format, bit_order, (bits,), ()): modes
    for (sample_format, bits), modes in _BY_SAMPLES.items()
    for order in (II, MM)
    for white in (0, 1)
    if white or sample_format != _SIGNED  # no one says what the opposite of a negative value is
    for bit_order in (1, 2)
}


def use_libtiff() -> None:
    """Let libtiff read all TIFF files, in the whole process, and add the layouts to Pillow's table."""
    TiffImagePlugin.READ_LIBTIFF = True
    for layout, modes in _LAYOUTS.items():
        TiffImagePlugin.OPEN_INFO[layout] = modes


def is_mixed_up(image: Image.Image) -> bool:
    """Return whether alpha is stored beside grey or palette indexes, in a plane that Pillow would take for them."""
    planes = isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(PLANAR_CONFIGURATION) == PLANES
    return planes and image.mode in {"LA", "La", "PA"}


def widen_palette(image: Image.Image) -> None:
    """Take a palette of a TIFF without a value above 255 for one of 8 bits, as libtiff's own tools do.

    TIFF 6.0 says that its values have 16 bits, of which Pillow keeps the upper ones.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.mode != "P":
        return
    colours = np.array(image.tag_v2.get(COLORMAP, ()))
    if colours.size and colours.max() < 256:  # noqa: PLR2004  (8 bits)
        image.putpalette(colours.reshape(3, -1).T.astype(np.uint8).tobytes())
