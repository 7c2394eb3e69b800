"""Encode pictures with the search for better latents, and cache the bitstreams in a folder.

An interrupted evaluation that is started again reads the cached bitstreams instead of searching for them again.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.checkpoint import RELEASED
from models.codec import Codec
from models.evaluation.cost import clock
from models.evaluation.cpu_use import in_two_processes, one_thread
from models.evaluation.figures import Ours
from models.evaluation.streams import Heads, Scorers, StreamScores, score_stream
from models.picture_array import Pixels
from models.refinement import VERSION


@dataclass(frozen=True)
class SearchJob:
    """One picture to encode with a search of `steps` steps for one head, at each of the qualities."""

    path: Path
    head: Ours
    qualities: tuple[int, ...]
    steps: int
    weights: Path | None
    device: str
    folder: Path


@dataclass(frozen=True)
class SearchedPicture:
    """The searched bitstreams of one job with their scores and times, in the order of the job's qualities."""

    path: Path
    head: Ours
    steps: int
    streams: tuple[StreamScores, ...]
    bitstreams: tuple[bytes, ...]
    seconds: tuple[float, ...]  # duration of each encode with its search on one thread (CPU time on a CPU)

    def bitstream_at(self, quality: int) -> bytes:
        """Return the searched bitstream of a quality. Raises `ValueError` where that quality was not searched."""
        qualities = [one.high.quality for one in self.streams]
        return self.bitstreams[qualities.index(quality)]


def search_streams(jobs: Sequence[SearchJob]) -> Iterator[SearchedPicture]:
    """Run each search job in worker processes, or read its cached result; yield results in the order of the jobs."""
    return in_two_processes(_search_picture, jobs)


@dataclass(frozen=True)
class _Found:
    bitstream: bytes
    seconds: float


def _search_picture(job: SearchJob) -> SearchedPicture:
    scorers, heads = Scorers.of(job.path), Heads.load(job.weights, job.device)
    codec = heads.gpu if job.head is Ours.HIGH else heads.cpu
    name = _name(job)
    with one_thread():
        for together in _batches(job, [one for one in job.qualities if _read_found(job.folder, name, one) is None]):
            for quality, found in zip(together, _search(codec, scorers.high.reference, job, together), strict=True):
                _write_found(job.folder, name, quality, found=found)
        kept = [one for one in (_read_found(job.folder, name, quality) for quality in job.qualities) if one is not None]
        streams = tuple(score_stream(one.bitstream, heads, scorers) for one in kept)
    return SearchedPicture(
        path=job.path,
        head=job.head,
        steps=job.steps,
        streams=streams,
        bitstreams=tuple(one.bitstream for one in kept),
        seconds=tuple(one.seconds for one in kept),
    )


def _batches(job: SearchJob, qualities: Sequence[int]) -> list[list[int]]:
    """Return the qualities in groups to search together: all at once on a GPU, one by one on a CPU."""
    return [[one] for one in qualities] if job.device == "cpu" else [list(qualities)] if qualities else []


def _search(codec: Codec, picture: Pixels, job: SearchJob, qualities: Sequence[int]) -> list[_Found]:
    seconds = clock(codec)
    start_s = seconds()
    search = codec.refinement([picture] * len(qualities), qualities=qualities, steps=job.steps)
    while not search.is_done:
        search.step()
    bitstreams = search.bitstreams()
    each_s = (seconds() - start_s) / len(qualities)
    return [_Found(bitstream, each_s) for bitstream in bitstreams]


def _name(job: SearchJob) -> str:
    """Return the cache name of a job, with a digest of the picture file, the weights file and the search's version."""
    digest = hashlib.sha256(job.path.read_bytes() + (job.weights or RELEASED).read_bytes() + bytes([VERSION]))
    return f"{job.path.stem}-{job.head.value}-{job.steps}-{digest.hexdigest()[:12]}"


def _read_found(folder: Path, name: str, quality: int) -> _Found | None:
    stream = folder / f"{name}-{quality}.le"
    try:
        seconds = float(json.loads(stream.with_suffix(".json").read_text())["seconds"])
        return _Found(stream.read_bytes(), seconds)
    except (
        FileNotFoundError,
        ValueError,
        KeyError,
    ):  # The cached stream is missing or incomplete; the caller searches again.
        return None


def _write_found(folder: Path, name: str, quality: int, *, found: _Found) -> None:
    """Write the bitstream as a .le file, and then a .json file whose presence marks it as complete."""
    folder.mkdir(parents=True, exist_ok=True)
    stream = folder / f"{name}-{quality}.le"
    stream.write_bytes(found.bitstream)
    stream.with_suffix(".json").write_text(json.dumps({"seconds": found.seconds}) + "\n")
