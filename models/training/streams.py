"""What our codecs make of a picture: one bitstream for each quality, decoded to both sizes and scored."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.codec import Codec, MediumCodec
from models.config import HIGH_PX, MEDIUM_PX, QUALITIES
from models.training.processors import in_two_processes, one_thread
from models.training.references import pictures_in, reference, resized
from models.training.scores import ScoredFile, Ssimulacra2, psnr_db

# The default quality of a model is the lowest that scores this on average: hard to tell from the original.
DEFAULT_SSIMULACRA2 = 70.0


@dataclass(frozen=True)
class StreamJob:
    path: Path
    qualities: tuple[int, ...]
    weights: Path | None
    device: str


@dataclass(frozen=True)
class PictureStreams:
    """The streams of one picture, in the order of the qualities. `high`, `medium` and `shrunk` are the same bytes."""

    path: Path
    high: tuple[ScoredFile, ...]  # decoded to 344
    medium: tuple[ScoredFile, ...]  # decoded to 172 by the translator
    shrunk: tuple[ScoredFile, ...]  # decoded to 344, then LANCZOS to 172: the rival of the translator
    alone: tuple[ScoredFile, ...]  # the medium autoencoder as a codec of its own, with its own bytes


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


def score_streams(jobs: Sequence[StreamJob]) -> Iterator[PictureStreams]:
    """In the order of the jobs, as they come."""
    return in_two_processes(_score_picture, jobs)


def _score_picture(job: StreamJob) -> PictureStreams:
    """One picture, in whichever process: loading the codecs anew (0.2 s) is simpler than workers with a state."""
    high, medium = _Scorer(reference(job.path, HIGH_PX)), _Scorer(reference(job.path, MEDIUM_PX))
    codec = Codec.load(job.weights, device=job.device)
    medium_codec = MediumCodec.load(job.weights, device=job.device)
    with one_thread():
        both = [_score_both_sizes(codec, high, medium, quality) for quality in job.qualities]
        alone = [_score_alone(medium_codec, medium, quality) for quality in job.qualities]
    return PictureStreams(
        path=job.path,
        high=tuple(one.high for one in both),
        medium=tuple(one.medium for one in both),
        shrunk=tuple(one.shrunk for one in both),
        alone=tuple(alone),
    )


@dataclass(frozen=True)
class _BothSizes:
    high: ScoredFile
    medium: ScoredFile
    shrunk: ScoredFile


def _score_both_sizes(codec: Codec, high: _Scorer, medium: _Scorer, quality: int) -> _BothSizes:
    blob = codec.encode(high.reference, quality=quality)
    symbols = [codec.read(blob)]
    (decoded,) = codec.synthesize(symbols, size_px=HIGH_PX)
    (translated,) = codec.synthesize(symbols, size_px=MEDIUM_PX)
    return _BothSizes(
        high=high.scored(decoded, quality, blob),
        medium=medium.scored(translated, quality, blob),
        shrunk=medium.scored(resized(decoded, MEDIUM_PX), quality, blob),
    )


def _score_alone(codec: MediumCodec, medium: _Scorer, quality: int) -> ScoredFile:
    blob = codec.encode(medium.reference, quality=quality)
    (decoded,) = codec.synthesize([codec.read(blob)])
    return medium.scored(decoded, quality, blob)


def default_quality(codec: Codec, folder: Path) -> int:
    """The lowest quality whose mean SSIMULACRA2 over the folder is at least 70; the best there is if none is."""
    scorers = [_Scorer(reference(path, HIGH_PX)) for path in pictures_in(folder)]

    def mean_ssimulacra2(quality: int) -> float:
        return float(np.mean([_ssimulacra2(codec, scorer, quality) for scorer in scorers]))

    # By bisection: at most seven of the 64 qualities are tried. The score rises with quality.
    with one_thread():
        found = bisect_left(range(QUALITIES), DEFAULT_SSIMULACRA2, key=mean_ssimulacra2)
    return min(found, QUALITIES - 1)


def _ssimulacra2(codec: Codec, scorer: _Scorer, quality: int) -> float:
    symbols = codec.read(codec.encode(scorer.reference, quality=quality))
    (decoded,) = codec.synthesize([symbols], size_px=HIGH_PX)
    return scorer.perceptual.score(decoded)
