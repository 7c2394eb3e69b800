"""Golden streams of the screen mode; `python -m tests.models.golden_screens` makes them anew for a new coder."""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from models.config import HIGH_PX
from models.picture_array import Pixels
from models.screen.stream import decode, encode_if_smaller
from tests.models.golden_archive import write_archive
from tests.models.screen_pictures import as_stored

FILE = Path(__file__).parent / "golden_screens.zip"
NAMES = ("text 12", "terminal", "logo", "logo of 1000", "dithered desktop", "ordered dither", "gradient", "QR 20")
_SUMS = "sums.json"


@dataclass(frozen=True)
class GoldenScreen:
    """A screen stream, and the CRC-32 of its pixels where it was made."""

    name: str
    blob: bytes
    crc: int

    def is_of(self, pixels: Pixels) -> bool:
        """Return whether these are the pixels of the stream."""
        return zlib.crc32(pixels.tobytes()) == self.crc


def read_screens() -> list[GoldenScreen]:
    """Read all golden screen streams."""
    with zipfile.ZipFile(FILE) as archive:
        sums = json.loads(archive.read(_SUMS))
        return [GoldenScreen(name, archive.read(f"{name}.le"), crc) for name, crc in sums.items()]


def main() -> None:
    """Write the golden streams of this coder."""
    streams = {}
    for name in NAMES:
        blob = encode_if_smaller(as_stored(name))
        assert blob is not None, name
        streams[name] = blob
    sums = {name: zlib.crc32(decode(blob, size_px=HIGH_PX).tobytes()) for name, blob in streams.items()}
    entries = [(_SUMS, json.dumps(sums).encode()), *((f"{name}.le", blob) for name, blob in streams.items())]
    write_archive(FILE, entries)


if __name__ == "__main__":
    main()
