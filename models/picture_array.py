"""The array type of a decoded picture. This module imports numpy only, so that its users need not import torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""Pixels of a picture: (height, width, 3), sRGB, 8 bits per channel."""
