"""Golden bitstreams of demoted pictures; `python -m tests.models.golden_demoted` makes them anew for new weights."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX
from models.demoted_codec import DemotedCodec
from models.scores import psnr_db
from tests.models.golden_archive import write_archive
from tests.models.golden_streams import soft_photograph

FILE = Path(__file__).parent / "golden_demoted.zip"
QUALITIES = (0, 9, 18, 27, 36, 45, 54, 63)
_HIGH_QUALITY = 31
_SCORES = "scores.json"


@dataclass(frozen=True)
class GoldenDemoted:
    """A medium bitstream, and the PSNR of its two pictures where it was made."""

    quality: int
    blob: bytes
    high_db: float
    medium_db: float

    def of(self, size_px: int) -> float:
        """PSNR in dB of the picture of a size."""
        return self.high_db if size_px == HIGH_PX else self.medium_db


def score(demoted: DemotedCodec, blob: bytes, size_px: int) -> float:
    """PSNR in dB of the picture of one size."""
    (picture,) = demoted.synthesize([demoted.read(blob)], size_px=size_px)
    return psnr_db(soft_photograph(size_px), picture)


def read_all() -> list[GoldenDemoted]:
    with zipfile.ZipFile(FILE) as archive:
        found = json.loads(archive.read(_SCORES))
        return [
            GoldenDemoted(quality, archive.read(f"{quality:02}.le"), *scores)
            for quality, scores in zip(QUALITIES, found, strict=True)
        ]


def write_all() -> None:
    torch.set_num_threads(1)
    codec = Codec.load(kernels="float32")
    demoted = DemotedCodec.load(codec)
    high = codec.encode(soft_photograph(HIGH_PX), quality=_HIGH_QUALITY)
    blobs = [demoted.demote(high, quality=quality) for quality in QUALITIES]
    shown = [[score(demoted, one, size_px) for size_px in (HIGH_PX, MEDIUM_PX)] for one in blobs]
    entries = [(f"{quality:02}.le", blob) for quality, blob in zip(QUALITIES, blobs, strict=True)]
    entries.append((_SCORES, json.dumps(shown).encode()))
    write_archive(FILE, entries)


if __name__ == "__main__":
    write_all()
