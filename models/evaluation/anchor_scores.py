"""Measure the bytes and scores of the anchors' files, and cache the results on disk.

At 344 px on one core an AVIF file takes about 170 ms at speed 6 and 2.7 s at speed 2, and a SSIMULACRA2 score 50 ms
(measured). The name of a cache entry is a digest of the source file, the settings and the library versions.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from PIL import features
from ssimulacra2 import __version__ as ssimulacra2_version

from models.evaluation.anchors import Anchor, anchor
from models.evaluation.cpu_use import in_two_processes
from models.evaluation.references import reference
from models.picture_array import Pixels
from models.scores import ScoredFile, Ssimulacra2, psnr_db

# Part of the cache key. Raise it when the scores or the reference pictures change, so that old entries are not used.
_MEASUREMENT = 1


@dataclass(frozen=True)
class AnchorJob:
    path: Path
    size_px: int
    anchor_name: str


@dataclass(frozen=True)
class AnchorResult:
    job: AnchorJob
    files: tuple[ScoredFile, ...]


def measure(jobs: Sequence[AnchorJob], cache: Path) -> Iterator[AnchorResult]:
    """Yield the result of each job, in the order of the jobs, from the cache or by measuring it in worker processes."""
    yield from in_two_processes(partial(_measure_one, cache=cache), jobs)


def default_cache() -> Path:
    """Return the folder `latentedge` in the user's cache directory."""
    root = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(root) if root else Path.home() / ".cache") / "latentedge"


def score_files(picture: Pixels, by: Anchor) -> tuple[ScoredFile, ...]:
    perceptual = Ssimulacra2(picture)
    return tuple(_score(picture, perceptual, by, quality) for quality in by.qualities)


def _score(picture: Pixels, perceptual: Ssimulacra2, by: Anchor, quality: int) -> ScoredFile:
    blob = by.encode(picture, quality)
    decoded = by.decode(blob)
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
        *(by.name, by.settings, by.library, repr(by.qualities)),
        *(str(features.version("pil")), ssimulacra2_version, str(_MEASUREMENT)),
    ]
    return hashlib.sha256("\n".join(what).encode()).hexdigest()


def _read(kept: Path) -> tuple[ScoredFile, ...] | None:
    try:
        return tuple(ScoredFile(**entry) for entry in json.loads(kept.read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # The entry is missing or damaged; the caller measures it again.
        return None


def _write(kept: Path, files: tuple[ScoredFile, ...]) -> None:
    """Write a cache entry atomically, so that another evaluation that runs at the same time reads all of it or none."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=kept.parent, suffix=".part", delete=False) as part:
        json.dump([asdict(file) for file in files], part)
    Path(part.name).replace(kept)
