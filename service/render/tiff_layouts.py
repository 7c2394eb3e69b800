"""Let Pillow read layouts of grey TIFF files that its own table lacks. No I/O.

Pillow knows each only for one order of bytes or for files in which zero is black. Which value is white is found later
(see `sample_depth`).
"""

from __future__ import annotations

from PIL import TiffImagePlugin
from PIL.TiffImagePlugin import II, MM

_UNSIGNED, _FLOAT = (1,), (3,)
_LAYOUTS = {
    # (order of bytes, zero is black or white, sample format, order of bits, bits, extra samples): (mode, raw mode)
    **{(order, white, _UNSIGNED, 1, (12,), ()): ("I;16", "I;12") for order in (II, MM) for white in (0, 1)},
    (MM, 0, _UNSIGNED, 1, (16,), ()): ("I;16B", "I;16B"),
    (II, 0, _UNSIGNED, 2, (16,), ()): ("I;16", "I;16R"),
    (II, 0, _UNSIGNED, 1, (32,), ()): ("I", "I;32N"),
    **{(II, white, _FLOAT, 1, (64,), ()): ("F", "F;64F") for white in (0, 1)},
    **{(MM, white, _FLOAT, 1, (64,), ()): ("F", "F;64BF") for white in (0, 1)},
}


def add_layouts() -> None:
    """Add the layouts to Pillow's table, in the whole process."""
    for layout, modes in _LAYOUTS.items():
        TiffImagePlugin.OPEN_INFO.setdefault(layout, modes)
