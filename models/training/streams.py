"""What our codecs make of a picture: one bitstream for each quality, decoded to both sizes and scored."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.codec import Codec, MediumCodec
from models.config import HIGH_PX, MEDIUM_PX, QUALITIES
from models.training.references import pictures_in, reference, resized
from models.training.scores import ScoredFile, Ssimulacra2, psnr_db

# The default quality of a model is the lowest that scores this on average: hard to tell from the original.
DEFAULT_SSIMULACRA2 = 70.0


@dataclass(frozen=True)
class OurCodecs:
    high: Codec
    medium: MediumCodec


@dataclass(frozen=True)
class PictureStreams:
    """The streams of one picture, in the order of the qualities. `high`, `medium` and `shrunk` are the same bytes."""

    path: Path
    high: tuple[ScoredFile, ...]  # decoded to 344
    medium: tuple[ScoredFile, ...]  # decoded to 172 by the translator
    shrunk: tuple[ScoredFile, ...]  # decoded to 344, then LANCZOS to 172: the rival of the translator
    alone: tuple[ScoredFile, ...]  # the medium autoencoder as a codec of its own, with its own bytes


def score_streams(path: Path, codecs: OurCodecs, qualities: Sequence[int]) -> PictureStreams:
    high, medium = _Scorer(reference(path, HIGH_PX)), _Scorer(reference(path, MEDIUM_PX))
    of_high, of_medium, of_shrunk, of_alone = [], [], [], []
    for quality in qualities:
        blob = codecs.high.encode(high.reference, quality=quality)
        symbols = [codecs.high.read(blob)]
        (decoded,) = codecs.high.synthesize(symbols, size_px=HIGH_PX)
        (translated,) = codecs.high.synthesize(symbols, size_px=MEDIUM_PX)
        of_high.append(high.scored(decoded, quality, blob))
        of_medium.append(medium.scored(translated, quality, blob))
        of_shrunk.append(medium.scored(resized(decoded, MEDIUM_PX), quality, blob))

        own_blob = codecs.medium.encode(medium.reference, quality=quality)
        (own,) = codecs.medium.synthesize([codecs.medium.read(own_blob)])
        of_alone.append(medium.scored(own, quality, own_blob))
    return PictureStreams(
        path=path, high=tuple(of_high), medium=tuple(of_medium), shrunk=tuple(of_shrunk), alone=tuple(of_alone)
    )


def default_quality(codec: Codec, folder: Path) -> int:
    """The lowest quality whose mean SSIMULACRA2 over the folder is at least 70; the best there is if none is."""
    scorers = [_Scorer(reference(path, HIGH_PX)) for path in pictures_in(folder)]

    def mean_ssimulacra2(quality: int) -> float:
        return float(np.mean([_ssimulacra2(codec, scorer, quality) for scorer in scorers]))

    # By bisection: six of the 64 qualities are tried. The score rises with quality.
    return min(bisect_left(range(QUALITIES), DEFAULT_SSIMULACRA2, key=mean_ssimulacra2), QUALITIES - 1)


class _Scorer:
    def __init__(self, reference_pixels: NDArray[np.uint8]) -> None:
        self.reference = reference_pixels
        self.perceptual = Ssimulacra2(reference_pixels)

    def scored(self, decoded: NDArray[np.uint8], quality: int, blob: bytes) -> ScoredFile:
        return ScoredFile(
            quality=quality,
            size_bytes=len(blob),
            psnr_db=psnr_db(self.reference, decoded),
            ssimulacra2=self.perceptual.score(decoded),
        )


def _ssimulacra2(codec: Codec, scorer: _Scorer, quality: int) -> float:
    symbols = codec.read(codec.encode(scorer.reference, quality=quality))
    (decoded,) = codec.synthesize([symbols], size_px=HIGH_PX)
    return scorer.perceptual.score(decoded)
