"""Golden bitstreams, one per quality; `python -m tests.models.golden_streams` makes them anew for new weights."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX, QUALITIES
from models.picture_array import Pixels
from models.scores import psnr_db
from tests.models.golden_archive import write_archive
from tests.models.pictures import photograph

FILE = Path(__file__).parent / "golden_streams.zip"
_SCORES = "scores.json"
_SOFT_PX = 86


@dataclass(frozen=True)
class GoldenStream:
    """A bitstream, and the PSNR of its pictures where it was made, by each head."""

    quality: int
    blob: bytes
    gpu_db: float
    cpu_db: float
    medium_gpu_db: float
    medium_cpu_db: float

    def of(self, head: str, size_px: int) -> float:
        """PSNR in dB of the picture of a size, by a head of the high picture or the one that goes with it."""
        if size_px == MEDIUM_PX:
            return self.medium_cpu_db if head == "high-cpu" else self.medium_gpu_db
        return self.cpu_db if head == "high-cpu" else self.gpu_db


def soft_photograph(size_px: int) -> Pixels:
    """A blurred photograph: its streams are small enough to keep 64 of them."""
    small = Image.fromarray(photograph()).resize((_SOFT_PX, _SOFT_PX), Image.Resampling.BOX)
    return np.asarray(small.resize((size_px, size_px), Image.Resampling.BICUBIC))


def score(codec: Codec, blob: bytes, size_px: int) -> float:
    """PSNR in dB of the picture of one size."""
    (picture,) = codec.synthesize([codec.read(blob)], size_px=size_px)
    return psnr_db(soft_photograph(size_px), picture)


def read_all() -> list[GoldenStream]:
    with zipfile.ZipFile(FILE) as archive:
        found = json.loads(archive.read(_SCORES))
        return [
            GoldenStream(quality, archive.read(f"{quality:02}.le"), *of_heads) for quality, of_heads in enumerate(found)
        ]


def write_all() -> None:
    torch.set_num_threads(1)
    gpu, cpu = (Codec.load(kernels="float32", head=head) for head in ("gpu", "cpu"))
    blobs = [gpu.encode(soft_photograph(HIGH_PX), quality=quality) for quality in range(QUALITIES)]
    shown = [[score(codec, one, size_px) for size_px in (HIGH_PX, MEDIUM_PX) for codec in (gpu, cpu)] for one in blobs]
    entries = [(f"{quality:02}.le", blob) for quality, blob in enumerate(blobs)]
    entries.append((_SCORES, json.dumps(shown).encode()))
    write_archive(FILE, entries)


if __name__ == "__main__":
    write_all()
