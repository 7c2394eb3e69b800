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
from models.training.scores import psnr_db
from tests.models.pictures import Pixels, photograph

FILE = Path(__file__).parent / "golden_streams.zip"
_SCORES = "scores.json"
_SOFT_PX = 86
_DATE = (2026, 11, 22, 0, 0, 0)  # the archive's bytes depend on its content alone


@dataclass(frozen=True)
class GoldenStream:
    """A bitstream, and the PSNR of its two pictures where it was made."""

    quality: int
    blob: bytes
    high_db: float
    medium_db: float


def soft_photograph(size_px: int) -> Pixels:
    """A blurred photograph: its streams are small enough to keep 64 of them."""
    small = Image.fromarray(photograph()).resize((_SOFT_PX, _SOFT_PX), Image.Resampling.BOX)
    return np.asarray(small.resize((size_px, size_px), Image.Resampling.BICUBIC))


def scores(codec: Codec, blob: bytes) -> tuple[float, float]:
    """PSNR in dB of the high and of the medium picture."""
    symbols = [codec.read(blob)]
    high, medium = (codec.synthesize(symbols, size_px=px)[0] for px in (HIGH_PX, MEDIUM_PX))
    return psnr_db(soft_photograph(HIGH_PX), high), psnr_db(soft_photograph(MEDIUM_PX), medium)


def read_all() -> list[GoldenStream]:
    with zipfile.ZipFile(FILE) as archive:
        found = json.loads(archive.read(_SCORES))
        return [
            GoldenStream(quality, archive.read(f"{quality:02}.le"), high_db=high, medium_db=medium)
            for quality, (high, medium) in enumerate(found)
        ]


def write_all() -> None:
    torch.set_num_threads(1)
    codec = Codec.load(dtype="float32")
    blobs = [codec.encode(soft_photograph(HIGH_PX), quality=quality) for quality in range(QUALITIES)]
    entries = [(f"{quality:02}.le", blob) for quality, blob in enumerate(blobs)]
    entries.append((_SCORES, json.dumps([scores(codec, blob) for blob in blobs]).encode()))
    with zipfile.ZipFile(FILE, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name, date_time=_DATE), content)


if __name__ == "__main__":
    write_all()
