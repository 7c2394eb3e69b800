"""Score demoted pictures: a medium latent and its upscaled picture, beside what a high latent of the same bytes gives.

Each picture is stored as a high latent at the default quality. It is then demoted at several qualities. The rivals are
high latents of the same bytes: `AGAIN` is made from the stored latent's own picture, as a demotion is, and `ANEW` from
the original, as a refill at a lower quality would be.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX
from models.demoted_codec import DemotedCodec
from models.evaluation.perceptual_distance import DistanceMissingError, PerceptualDistance
from models.evaluation.references import reference
from models.medium_codec import MediumCodec
from models.pixels import lanczos_half
from models.rate_control import TargetError
from models.scores import Ssimulacra2, psnr_db

if TYPE_CHECKING:
    from models.picture_array import Pixels

QUALITIES = (22, 30, 38, 46, 54)
"""Qualities of the medium latents (assumed: from a fifth of the bytes of the high latent to four fifths)."""


class Way(StrEnum):
    """How the bytes that are left of a picture were made, and how they become the picture that is scored."""

    STORED = "high latent as stored"
    BICUBIC = "medium latent, bicubic"
    LANCZOS = "medium latent, LANCZOS"
    UPSCALER = "medium latent, upscaler"
    AGAIN = "high latent of the same bytes, from the stored one"
    ANEW = "high latent of the same bytes, from the original"
    MEDIUM = "medium latent"
    MEDIUM_OF_LANCZOS = "medium latent, made from the decoded 344 picture by LANCZOS"
    MEDIUM_OF_ORIGINAL = "medium latent, made from the original"


@dataclass(frozen=True)
class DemotionScore:
    """The bytes and scores of one picture of one size, by one way, for one quality of the medium latent."""

    picture: str
    way: Way
    size_px: int
    quality: int
    size_bytes: int
    psnr_db: float
    ssimulacra2: float
    distance: float | None
    """The perceptual distance at 344 px (perceptual_distance.py), or None without its package."""


@dataclass(frozen=True)
class DemotionJob:
    """One picture to score."""

    path: Path
    folder: Path
    """Where the scores are kept, so that an interrupted run can be continued."""
    weights: Path | None = None
    upscaler: Path | None = None
    qualities: tuple[int, ...] = QUALITIES


class DemotionCodecs:
    """The codecs of a comparison, loaded once in each process."""

    def __init__(self, weights: Path | None, upscaler: Path | None) -> None:
        """Load the weights, by default the released ones, and the perceptual distance if its package is there."""
        self.codec = Codec.load(weights)
        self.demoted = DemotedCodec.load(self.codec, weights, upscaler_weights=upscaler)
        self.medium = MediumCodec.load(weights)
        try:
            self.distance: PerceptualDistance | None = PerceptualDistance()
        except DistanceMissingError:
            self.distance = None

    def key(self, *, generated: bool) -> str:
        """Return a name of the weights that changes whenever the scores, generated ones or the others, may change."""
        ids = (self.codec.stream_id, *(self.codec.head_id(px) for px in (HIGH_PX, MEDIUM_PX)), self.demoted.stream_id)
        last = self.demoted.head_id(HIGH_PX if generated else MEDIUM_PX)
        return b"".join((*ids, last)).hex() + ("" if self.distance is None else "-distance")

    def fitting(self, pixels: Pixels, most_bytes: int) -> bytes:
        """Return the best high latent of at most `most_bytes`, or that of quality 0 where none fits."""
        try:
            return self.codec.encode_to_bytes(pixels, target_bytes=most_bytes)
        except TargetError:
            return self.codec.encode(pixels, quality=0)

    def high_picture(self, blob: bytes, size_px: int = HIGH_PX) -> Pixels:
        """Decode a high latent."""
        return self.codec.synthesize([self.codec.read(blob)], size_px=size_px)[0]

    def demoted_picture(self, blob: bytes, size_px: int) -> Pixels:
        """Decode a medium latent to 172 px, or generate its 344 picture."""
        return self.demoted.synthesize([self.demoted.read(blob)], size_px=size_px)[0]


@cache
def load_codecs(weights: Path | None, upscaler: Path | None) -> DemotionCodecs:
    """Return the codecs of these files, loaded once in each process."""
    return DemotionCodecs(weights, upscaler)


def resized(pixels: Pixels, by: Image.Resampling) -> Pixels:
    """Return the 172 picture at 344 px."""
    return np.asarray(Image.fromarray(pixels).resize((HIGH_PX, HIGH_PX), by), dtype=np.uint8)


def score_demotion(job: DemotionJob) -> list[DemotionScore]:
    """Return all scores of one picture. Scores in the job's folder are not computed again."""
    codecs = load_codecs(job.weights, job.upscaler)
    return _kept(job, codecs, generated=False) + _kept(job, codecs, generated=True)


def _kept(job: DemotionJob, codecs: DemotionCodecs, *, generated: bool) -> list[DemotionScore]:
    """Return the scores of the upscaler (`generated`) or of all other ways, which do not change with its weights."""
    name = "-".join((job.path.stem, codecs.key(generated=generated), *map(str, job.qualities)))
    kept = job.folder / f"{name}.json"
    if kept.exists():
        return [DemotionScore(**{**one, "way": Way(one["way"])}) for one in json.loads(kept.read_text())]
    found = list((_generated if generated else _decoded)(_Scorer(job, codecs), codecs, job.qualities))
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps([asdict(one) for one in found]))
    return found


def _generated(scorer: _Scorer, codecs: DemotionCodecs, qualities: Sequence[int]) -> Iterator[DemotionScore]:
    high = codecs.codec.encode(scorer.high, quality=codecs.codec.default_quality)
    for quality in qualities:
        blob = codecs.demoted.demote(high, quality=quality)
        yield scorer.score(Way.UPSCALER, codecs.demoted_picture(blob, HIGH_PX), blob, quality)


def _decoded(scorer: _Scorer, codecs: DemotionCodecs, qualities: Sequence[int]) -> Iterator[DemotionScore]:
    high = codecs.codec.encode(scorer.high, quality=codecs.codec.default_quality)
    stored = codecs.high_picture(high)
    yield scorer.score(Way.STORED, stored, high)
    yield scorer.score(Way.STORED, codecs.high_picture(high, MEDIUM_PX), high)
    for quality in qualities:
        blob = codecs.demoted.demote(high, quality=quality)
        medium = codecs.demoted_picture(blob, MEDIUM_PX)
        yield scorer.score(Way.MEDIUM, medium, blob, quality)
        yield scorer.score(Way.BICUBIC, resized(medium, Image.Resampling.BICUBIC), blob, quality)
        yield scorer.score(Way.LANCZOS, resized(medium, Image.Resampling.LANCZOS), blob, quality)
        for way, source in ((Way.AGAIN, stored), (Way.ANEW, scorer.high)):
            rival = codecs.fitting(source, len(blob))
            yield scorer.score(way, codecs.high_picture(rival), rival, quality)
            yield scorer.score(way, codecs.high_picture(rival, MEDIUM_PX), rival, quality)
        sources = ((Way.MEDIUM_OF_LANCZOS, lanczos_half(stored)), (Way.MEDIUM_OF_ORIGINAL, scorer.medium))
        for way, source in sources:
            other = codecs.medium.encode(source, quality=quality)
            yield scorer.score(way, codecs.medium.synthesize([codecs.medium.read(other)])[0], other, quality)


class _Scorer:
    """Scores pictures of one original, at 344 and at 172 px."""

    def __init__(self, job: DemotionJob, codecs: DemotionCodecs) -> None:
        self._name, self._distance = job.path.stem, codecs.distance
        self.high, self.medium = (reference(job.path, size_px) for size_px in (HIGH_PX, MEDIUM_PX))
        self._seen = {HIGH_PX: Ssimulacra2(self.high), MEDIUM_PX: Ssimulacra2(self.medium)}
        self._features = codecs.distance.features(self.high) if codecs.distance else []

    def score(self, way: Way, picture: Pixels, blob: bytes, quality: int = -1) -> DemotionScore:
        size_px = len(picture)
        truth = self.high if size_px == HIGH_PX else self.medium
        apart = self._distance.from_features(self._features, picture) if self._distance and size_px == HIGH_PX else None
        return DemotionScore(
            self._name,
            way,
            size_px,
            quality,
            len(blob),
            psnr_db=psnr_db(truth, picture),
            ssimulacra2=self._seen[size_px].score(picture),
            distance=apart,
        )


@dataclass(frozen=True)
class DemotionMean:
    """The means over pictures of the scores of one way, size and quality."""

    way: Way
    size_px: int
    quality: int
    share: float
    """Bytes as a share of the bytes of the high latent as stored."""
    psnr_db: float
    ssimulacra2: float
    distance: float | None


def means(scores: Sequence[DemotionScore]) -> list[DemotionMean]:
    """Return the means over pictures, in the order in which the kinds of scores first appear."""
    stored = {one.picture: one.size_bytes for one in scores if one.way is Way.STORED}
    kinds = dict.fromkeys((one.way, one.size_px, one.quality) for one in scores)
    return [
        _mean(kind, [one for one in scores if (one.way, one.size_px, one.quality) == kind], stored) for kind in kinds
    ]


def _mean(kind: tuple[Way, int, int], scores: Sequence[DemotionScore], stored: dict[str, int]) -> DemotionMean:
    distances = [one.distance for one in scores if one.distance is not None]
    return DemotionMean(
        *kind,
        share=float(np.mean([one.size_bytes / stored[one.picture] for one in scores])),
        psnr_db=float(np.mean([one.psnr_db for one in scores])),
        ssimulacra2=float(np.mean([one.ssimulacra2 for one in scores])),
        distance=float(np.mean(distances)) if distances else None,
    )
