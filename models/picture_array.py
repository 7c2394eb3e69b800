"""The type of a picture's pixels. It needs numpy only, so that importing it does not import torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""(height, width, 3), sRGB, 8 bits."""
