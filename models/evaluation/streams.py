"""Encode a picture at each quality with our codecs, decode the streams to both sizes, and score the results."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX, QUALITIES
from models.evaluation.cpu_use import in_two_processes, one_thread
from models.evaluation.figures import Contender, Ours
from models.evaluation.references import pictures_in, reference, resize
from models.medium_codec import MediumCodec
from models.scores import ScoredFile, Ssimulacra2, psnr_db

# The default quality of a model is the lowest with at least this mean score ("high quality" on SSIMULACRA2's scale).
DEFAULT_SSIMULACRA2 = 70.0


@dataclass(frozen=True)
class StreamJob:
    path: Path
    qualities: tuple[int, ...]
    weights: Path | None
    device: str


@dataclass(frozen=True)
class Heads:
    """The codec loaded twice from the same weights: with the head `high-gpu` and with the head `high-cpu`."""

    gpu: Codec
    cpu: Codec

    @classmethod
    def load(cls, weights: Path | None, device: str) -> Self:
        """Load both codecs onto `device`; the `high-gpu` one has the wide encoder, which is slow on a CPU."""
        return cls(
            gpu=Codec.load(weights, device=device, head="gpu", encoder="wide"),
            cpu=Codec.load(weights, device=device, head="cpu"),
        )


@dataclass(frozen=True)
class StreamScores:
    """The scores of one bitstream, decoded by each head and size."""

    high: ScoredFile  # decoded to 344 px by the head `high-gpu`
    high_cpu: ScoredFile  # decoded to 344 px by the head `high-cpu`
    medium: ScoredFile  # decoded to 172 px by the translator
    shrunk: ScoredFile  # decoded to 344 px by `high-gpu`, resized to 172 px by LANCZOS: compares with the translator


@dataclass(frozen=True)
class PictureStreams:
    """The scores of one picture's bitstreams, in the order of the job's qualities."""

    path: Path
    streams: tuple[StreamScores, ...]
    alone: tuple[ScoredFile, ...]  # scores of the medium autoencoder, a separate codec with its own bitstreams


class Scorer:
    """Computes PSNR and SSIMULACRA2 of decoded bitstreams against one reference picture."""

    def __init__(self, reference_pixels: NDArray[np.uint8]) -> None:
        self.reference = reference_pixels
        self._perceptual = Ssimulacra2(reference_pixels)

    def score(self, decoded: NDArray[np.uint8], quality: int, blob: bytes) -> ScoredFile:
        return ScoredFile(
            quality=quality,
            size_bytes=len(blob),
            psnr_db=psnr_db(self.reference, decoded),
            ssimulacra2=self._perceptual.score(decoded),
        )


@dataclass(frozen=True)
class Scorers:
    """A scorer for the 344 and one for the 172 reference of the same picture."""

    high: Scorer
    medium: Scorer

    @classmethod
    def of(cls, path: Path) -> Self:
        return cls(high=Scorer(reference(path, HIGH_PX)), medium=Scorer(reference(path, MEDIUM_PX)))


def contenders(streams: Sequence[StreamScores]) -> tuple[Contender, ...]:
    return (
        Contender(Ours.HIGH, HIGH_PX, tuple(one.high for one in streams)),
        Contender(Ours.HIGH_CPU, HIGH_PX, tuple(one.high_cpu for one in streams)),
        Contender(Ours.MEDIUM, MEDIUM_PX, tuple(one.medium for one in streams)),
        Contender(Ours.SHRUNK, MEDIUM_PX, tuple(one.shrunk for one in streams)),
    )


def score_streams(jobs: Sequence[StreamJob]) -> Iterator[PictureStreams]:
    """Encode and score each job's picture in worker processes; yield the results in the order of the jobs."""
    return in_two_processes(_score_picture, jobs)


def _score_picture(job: StreamJob) -> PictureStreams:
    """Encode and score one picture, in a worker process.

    It loads the codecs again for each picture, which takes 0.2 s, so that the workers hold no state.
    """
    scorers, heads = Scorers.of(job.path), Heads.load(job.weights, job.device)
    medium_codec = MediumCodec.load(job.weights, device=job.device)
    with one_thread():
        blobs = [heads.gpu.encode(scorers.high.reference, quality=quality) for quality in job.qualities]
        return PictureStreams(
            path=job.path,
            streams=tuple(score_stream(blob, heads, scorers) for blob in blobs),
            alone=tuple(_score_alone(medium_codec, scorers.medium, quality) for quality in job.qualities),
        )


def score_stream(blob: bytes, heads: Heads, scorers: Scorers) -> StreamScores:
    symbols = [heads.gpu.read(blob)]
    quality = symbols[0].quality
    (high,) = heads.gpu.synthesize(symbols, size_px=HIGH_PX)
    (high_cpu,) = heads.cpu.synthesize(symbols, size_px=HIGH_PX)
    (medium,) = heads.cpu.synthesize(symbols, size_px=MEDIUM_PX)
    return StreamScores(
        high=scorers.high.score(high, quality, blob),
        high_cpu=scorers.high.score(high_cpu, quality, blob),
        medium=scorers.medium.score(medium, quality, blob),
        shrunk=scorers.medium.score(resize(high, MEDIUM_PX), quality, blob),
    )


def _score_alone(codec: MediumCodec, medium: Scorer, quality: int) -> ScoredFile:
    blob = codec.encode(medium.reference, quality=quality)
    (decoded,) = codec.synthesize([codec.read(blob)])
    return medium.score(decoded, quality, blob)


def default_quality(codec: Codec, folder: Path) -> int:
    """Return the lowest quality whose mean SSIMULACRA2 over the pictures in `folder` is at least 70, or 63."""
    references = [reference(path, HIGH_PX) for path in pictures_in(folder)]
    scored = [(one, Ssimulacra2(one)) for one in references]

    def mean_ssimulacra2(quality: int) -> float:
        return float(np.mean([_ssimulacra2(codec, *one, quality=quality) for one in scored]))

    # The mean score rises with the quality, so bisection measures at most seven of the 64 qualities.
    with one_thread():
        found = bisect_left(range(QUALITIES), DEFAULT_SSIMULACRA2, key=mean_ssimulacra2)
    return min(found, QUALITIES - 1)


def _ssimulacra2(codec: Codec, original: NDArray[np.uint8], perceptual: Ssimulacra2, *, quality: int) -> float:
    symbols = codec.read(codec.encode(original, quality=quality))
    (decoded,) = codec.synthesize([symbols], size_px=HIGH_PX)
    return perceptual.score(decoded)
