"""Make a pack: a zip file of a training's photographs, re-encoded as AVIF to fit a size limit.

A pack brings the photographs to a rented machine in one transfer. It holds each photograph at the largest scale that
training uses (`Augmentation`), with its long side cropped. `PhotographSet` reads a pack like a folder.
"""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from models.scores import Ssimulacra2, psnr_db
from models.training.dataset import available_cores
from models.training.options import PACK_BYTES, Augmentation
from models.training.picture_file import read_picture, training_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SAMPLE = 50
"""Largest number of photographs in the sample by which the AVIF quality is chosen and whose scores are reported."""
_SPARE = 0.01
"""Share of the size limit that is left free, because the sample predicts the total size to within about 1 %."""
_BEST_QUALITY = 95
_SPEED = 6


class PackError(Exception):
    """The photographs do not fit the size limit, or two of them would have the same name in the pack."""


@dataclass(frozen=True)
class PackOptions:
    """The options of `latentedge pack`."""

    data: list[Path]
    output: Path
    most_bytes: int = PACK_BYTES
    threads: int | None = None
    """Number of encoding threads; None means one for each core."""


@dataclass(frozen=True)
class PackFigures:
    """Size and AVIF quality of a pack, with the mean scores of a sample of `scored` photographs.

    The scores are against the original photographs at the pack's scale.
    """

    photographs: int
    size_bytes: int
    quality: int
    psnr_db: float
    ssimulacra2: float
    scored: int

    def __str__(self) -> str:
        return (
            f"{self.photographs} photographs in {self.size_bytes:,} B at quality {self.quality}; "
            f"mean of {self.scored}: {self.psnr_db:.2f} dB, SSIMULACRA2 {self.ssimulacra2:.1f}"
        )


@dataclass(frozen=True)
class _Source:
    file: Path
    name: str


def pack(options: PackOptions) -> PackFigures:
    """Write the pack at the highest AVIF quality that fits, and return its figures.

    Raises `PackError` where even quality 0 is too large or two photographs have one name, and `ReferencePictureError`.
    """
    sources = _sources(options.data)
    sample = sources[:: -(-len(sources) // _SAMPLE)]
    with ThreadPoolExecutor(options.threads or available_cores()) as pool:
        quality = _quality_that_fits(sources, sample, options.most_bytes, pool)
        fresh = options.output.with_suffix(".new")
        while (size_bytes := _write(sources, fresh, quality, pool)) > options.most_bytes:
            if not quality:
                fresh.unlink()
                raise PackError(f"{len(sources)} photographs do not fit {options.most_bytes} bytes even at quality 0")
            quality -= 1
        fresh.replace(options.output)
        scores = list(pool.map(lambda source: _score(source, quality), sample))
    psnr, ssimulacra2 = np.mean(scores, axis=0).tolist()
    return PackFigures(len(sources), size_bytes, quality, psnr, ssimulacra2, len(sample))


def _sources(folders: Sequence[Path]) -> list[_Source]:
    """Return the photographs in `folders`, each with its name in the pack: its folder's name and its path in it."""
    found = [
        _Source(file, f"{folder.name}/{file.relative_to(folder).with_suffix('.avif').as_posix()}")
        for folder in folders
        for file in training_files(folder)
        if isinstance(file, Path)
    ]
    if len({source.name for source in found}) < len(found):
        raise PackError("two photographs would have one name in the pack: rename one of them, or its folder")
    return found


def _quality_that_fits(
    sources: Sequence[_Source], sample: Sequence[_Source], most_bytes: int, pool: ThreadPoolExecutor
) -> int:
    """Return the highest AVIF quality at which the encoded sample, scaled to all photographs, fits `most_bytes`.

    Raises `PackError` where quality 0 does not fit.
    """
    given_bytes = sum(source.file.stat().st_size for source in sources)
    share = sum(source.file.stat().st_size for source in sample) / given_bytes
    room_bytes = share * most_bytes * (1 - _SPARE)
    pictures = list(pool.map(_pixels, sample))
    low, high = -1, _BEST_QUALITY
    while low < high:
        middle = (low + high + 1) // 2
        size_bytes = sum(pool.map(lambda pixels, quality=middle: len(_encode(pixels, quality)), pictures))
        low, high = (middle, high) if size_bytes <= room_bytes else (low, middle - 1)
    if low < 0:
        raise PackError(f"{len(sources)} photographs do not fit {most_bytes} bytes even at quality 0")
    return low


def _write(sources: Sequence[_Source], fresh: Path, quality: int, pool: ThreadPoolExecutor) -> int:
    fresh.parent.mkdir(parents=True, exist_ok=True)
    files = pool.map(lambda source: _encode(_pixels(source), quality), sources)
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_STORED) as archive:
        pairs, title = zip(sources, files, strict=True), f"packing at quality {quality}"
        # The progress bar is on stderr, because stdout carries the figures.
        for source, content in track(pairs, total=len(sources), description=title, console=Console(stderr=True)):
            archive.writestr(source.name, content)
    return fresh.stat().st_size


def _pixels(source: _Source) -> NDArray[np.uint8]:
    return np.asarray(read_picture(source.file, short_side_px=max(Augmentation().short_sides_px)))


def _encode(pixels: NDArray[np.uint8], quality: int) -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(pixels)
    picture.save(file, format="AVIF", quality=quality, speed=_SPEED, subsampling="4:4:4", max_threads=1)
    return file.getvalue()


def _score(source: _Source, quality: int) -> tuple[float, float]:
    """Return PSNR in dB and SSIMULACRA2 of one photograph encoded at an AVIF quality."""
    pixels = _pixels(source)
    with Image.open(io.BytesIO(_encode(pixels, quality))) as opened:
        packed = np.asarray(opened.convert("RGB"))
    return psnr_db(pixels, packed), Ssimulacra2(pixels).score(packed)
