"""The files that a conventional edge would keep of a picture: JPEG or AVIF, in one size, at the score of its latent.

They are written from the picture that the latent decodes to, since its source is gone. The qualities are measured: they
give the mean bytes of the files whose SSIMULACRA2 against the source is that of the latent. The settings are those of
the anchors of `latentedge evaluate`. No I/O.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image

from models.config import HIGH_PX, MEDIUM_PX
from models.picture_array import Pixels

JPEG, AVIF = "image/jpeg", "image/avif"

LATENT_QUALITIES = (16, 31, 46)
SCREEN_AS_LATENT_QUALITY = 31
"""The latent quality whose files are counted for a screen stream (assumed): no lossy file has the score of an exact
picture, and a conventional edge writes its logos with the quality of its photographs."""
# By media type and size: the qualities of files for LATENT_QUALITIES, over twelve Kodak pictures (measured, see
# models/training/LOG.md).
FILE_QUALITIES: Mapping[tuple[str, int], tuple[int, ...]] = MappingProxyType(
    {
        (JPEG, HIGH_PX): (26, 62, 88),
        (JPEG, MEDIUM_PX): (70, 92, 97),
        (AVIF, HIGH_PX): (35, 54, 72),
        (AVIF, MEDIUM_PX): (58, 78, 91),
    }
)
# By media type and size: the bytes of such files over those of JPEG files of quality 80, at quality 31 (the same
# measurement). They only count until the first pictures of an edge are measured.
FACTORS: Mapping[tuple[str, int], float] = MappingProxyType(
    {(JPEG, HIGH_PX): 0.62, (JPEG, MEDIUM_PX): 1.40, (AVIF, HIGH_PX): 0.43, (AVIF, MEDIUM_PX): 0.95}
)


def file_bytes(pixels: Pixels, media_type: str, latent_quality: int) -> int:
    """Return the bytes of the file with the score of a latent of this quality."""
    qualities = FILE_QUALITIES[media_type, pixels.shape[0]]
    quality = round(float(np.interp(latent_quality, LATENT_QUALITIES, qualities)))
    image, file = Image.fromarray(pixels), io.BytesIO()
    if media_type == JPEG:
        image.save(file, "JPEG", quality=quality, optimize=True, progressive=True)
    else:
        tune = {"tune": "iq"}
        image.save(
            file, "AVIF", quality=quality, speed=6, subsampling="4:4:4", max_threads=1, codec="aom", advanced=tune
        )
    return len(file.getvalue())
