"""What others would keep of the same pictures at the same score: an AVIF of 344 px, and JPEG files of both sizes.

Of each file the lowest quality whose SSIMULACRA2 is at least that of the edge's own picture, so a file is up to one
step of its quality too good. The settings are those of the anchors of `latentedge evaluate`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX
from models.evaluation.anchors import YARDSTICK, Anchor, anchor
from models.picture_array import Pixels
from models.scores import Ssimulacra2
from service.render import image_file


@dataclass(frozen=True)
class EqualFiles:
    """Mean bytes of a picture."""

    latent: float
    avif_high: float
    jpeg_high: float
    jpeg_medium: float
    score_high: float
    score_medium: float


def written(sources: Sequence[Path], *, avif: Path, jpeg: Path) -> EqualFiles:
    """The files, under the sources' names: `avif/NAME`, `jpeg/344/NAME`, `jpeg/172/NAME`."""
    torch.set_num_threads(1)  # two would wait for each other where others use the machine
    codec, avif_anchor, jpeg_anchor = Codec.load(), anchor(YARDSTICK), anchor("JPEG")
    for folder in (avif, jpeg / str(HIGH_PX), jpeg / str(MEDIUM_PX)):
        folder.mkdir(parents=True)
    rows = []
    for source in sources:
        picture = image_file.read(source.read_bytes(), limits=image_file.ImageLimits(source_pixels=2**31)).pixels
        high, medium = (image_file.square(picture, px) for px in (HIGH_PX, MEDIUM_PX))
        stream = codec.encode(high, quality=codec.default_quality)
        scores = _scores(codec, stream, {HIGH_PX: high, MEDIUM_PX: medium})
        files = {
            avif / source.name: _equal(high, avif_anchor, scores[HIGH_PX]),
            jpeg / str(HIGH_PX) / source.name: _equal(high, jpeg_anchor, scores[HIGH_PX]),
            jpeg / str(MEDIUM_PX) / source.name: _equal(medium, jpeg_anchor, scores[MEDIUM_PX]),
        }
        for path, blob in files.items():
            path.write_bytes(blob)
        rows.append((len(stream), *map(len, files.values()), *scores.values()))
    return EqualFiles(*(fmean(column) for column in zip(*rows, strict=True)))


def _scores(codec: Codec, stream: bytes, references: Mapping[int, Pixels]) -> dict[int, float]:
    symbols = [codec.read(stream)]
    return {px: Ssimulacra2(one).score(codec.synthesize(symbols, size_px=px)[0]) for px, one in references.items()}


def _equal(reference: Pixels, by: Anchor, score: float) -> bytes:
    """By halving: the score rises with the quality."""
    scale = Ssimulacra2(reference)
    low, high = 1, 97  # of 100, and never the best: files grow without an end there
    while low < high:
        middle = (low + high) // 2
        good = scale.score(by.decode(by.encode(reference, middle))) >= score
        low, high = (low, middle) if good else (middle + 1, high)
    return by.encode(reference, low)
