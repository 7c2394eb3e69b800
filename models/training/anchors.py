"""The files we are measured against: JPEG, WebP and AVIF of the same references. The only writer of the anchor cache.

Settings as an operator would choose them for a still picture: JPEG optimised and progressive with Pillow's
default 4:2:0, WebP method 6 (always 4:2:0), AVIF speed 6 with 4:4:4. File bytes include the container.

AVIF costs about 170 ms an encode and SSIMULACRA2 50 ms a score at 344 px (measured, one core), so results are
kept on disk by digest of the source file, settings and library versions.
"""

import hashlib
import io
import json
import os
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from ssimulacra2 import __version__ as ssimulacra2_version

from models.scores import ScoredFile, Ssimulacra2, psnr_db
from models.training.processors import in_two_processes
from models.training.references import reference

# Raise it when a score or a reference comes out otherwise than before: old entries are then not found.
_MEASUREMENT = 1

_BEST_QUALITY = 100


@dataclass(frozen=True)
class Anchor:
    name: str
    file_format: str  # Pillow's name
    settings: str  # as shown to people; enters the cache key
    qualities: tuple[int, ...]  # 11: BD-rates within 0.5 % of those from 26, mostly (measured)
    save: Callable[[Image.Image, io.BytesIO, int], None]


@dataclass(frozen=True)
class AnchorJob:
    path: Path
    size_px: int
    anchor_name: str


@dataclass(frozen=True)
class AnchorResult:
    job: AnchorJob
    files: tuple[ScoredFile, ...]


def anchors() -> tuple[Anchor, ...]:
    return (
        Anchor(
            name="JPEG",
            file_format="JPEG",
            settings="optimize progressive 4:2:0",
            qualities=(5, 10, 18, 30, 45, 60, 75, 85, 92, 97, 100),
            save=_save_jpeg,
        ),
        Anchor(
            name="WebP",
            file_format="WEBP",
            settings="method 6 4:2:0",
            qualities=(0, 8, 20, 40, 60, 75, 83, 90, 95, 98, 100),
            save=_save_webp,
        ),
        Anchor(
            name="AVIF",
            file_format="AVIF",
            settings="speed 6 4:4:4 one thread",
            qualities=(0, 12, 24, 35, 45, 54, 62, 70, 78, 87, 96),
            save=_save_avif,
        ),
    )


def anchor(name: str) -> Anchor:
    return next(anchor for anchor in anchors() if anchor.name == name)


def measure(jobs: Sequence[AnchorJob], cache: Path) -> Iterator[AnchorResult]:
    """Results in the order of the jobs, as they come; what is not in the cache is measured."""
    yield from in_two_processes(partial(_measure_one, cache=cache), jobs)


def default_cache() -> Path:
    """The platform's folder for what can be made again."""
    root = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(root) if root else Path.home() / ".cache") / "latentedge"


def encode_file(picture: NDArray[np.uint8], by: Anchor, quality: int) -> bytes:
    file = io.BytesIO()
    by.save(Image.fromarray(picture), file, quality)
    return file.getvalue()


def file_within(picture: NDArray[np.uint8], by: Anchor, at_most_bytes: int) -> bytes:
    """The best file of at most those bytes, of all qualities; the smallest there is where none is small enough."""

    def bytes_of(quality: int) -> int:
        return len(encode_file(picture, by, quality))

    quality = max(bisect_right(range(_BEST_QUALITY + 1), at_most_bytes, key=bytes_of) - 1, 0)
    return encode_file(picture, by, quality)


def decode_file(blob: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(blob)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def score_files(picture: NDArray[np.uint8], by: Anchor) -> tuple[ScoredFile, ...]:
    perceptual = Ssimulacra2(picture)
    return tuple(_scored(picture, perceptual, quality, encode_file(picture, by, quality)) for quality in by.qualities)


def _scored(picture: NDArray[np.uint8], perceptual: Ssimulacra2, quality: int, blob: bytes) -> ScoredFile:
    decoded = decode_file(blob)
    return ScoredFile(
        quality=quality,
        size_bytes=len(blob),
        psnr_db=psnr_db(picture, decoded),
        ssimulacra2=perceptual.score(decoded),
    )


def _measure_one(job: AnchorJob, cache: Path) -> AnchorResult:
    by = anchor(job.anchor_name)
    kept = cache / "anchors" / f"{_key(job, by)}.json"
    files = _read(kept)
    if files is None:
        files = score_files(reference(job.path, job.size_px), by)
        _write(kept, files)
    return AnchorResult(job=job, files=files)


def _key(job: AnchorJob, by: Anchor) -> str:
    what = [
        hashlib.sha256(job.path.read_bytes()).hexdigest(),
        str(job.size_px),
        *(by.name, by.settings, repr(by.qualities)),
        *(str(features.version(library)) for library in ("pil", "jpg", "libjpeg_turbo", "webp", "avif")),
        *(ssimulacra2_version, str(_MEASUREMENT)),
    ]
    return hashlib.sha256("\n".join(what).encode()).hexdigest()


def _read(kept: Path) -> tuple[ScoredFile, ...] | None:
    try:
        return tuple(ScoredFile(**entry) for entry in json.loads(kept.read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # absent, or damaged: measured again and overwritten
        return None


def _write(kept: Path, files: tuple[ScoredFile, ...]) -> None:
    """A reader sees the whole entry or none, also while two runs measure the same picture."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=kept.parent, suffix=".part", delete=False) as part:
        json.dump([asdict(file) for file in files], part)
    Path(part.name).replace(kept)


def _save_jpeg(image: Image.Image, file: io.BytesIO, quality: int) -> None:
    image.save(file, "JPEG", quality=quality, optimize=True, progressive=True)


def _save_webp(image: Image.Image, file: io.BytesIO, quality: int) -> None:
    image.save(file, "WEBP", quality=quality, method=6)


def _save_avif(image: Image.Image, file: io.BytesIO, quality: int) -> None:
    # One thread: the bytes of a file must not depend on the machine that measures it.
    image.save(file, "AVIF", quality=quality, speed=6, subsampling="4:4:4", max_threads=1)
