"""The photographs that are coded in a check, and their streams at the default quality."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from models.codec import Codec, Symbols
from models.evaluation.references import reference
from models.picture_array import Pixels
from service.demo.photographs import write_photographs

SIZE_PX = 344


def photographs(count: int) -> list[Pixels]:
    """Return squares of the demonstration's photographs and crops, evenly chosen."""
    with TemporaryDirectory() as folder:
        names = write_photographs(Path(folder)).names
        return [reference(Path(folder) / name, SIZE_PX) for name in names[:: len(names) // count][:count]]


def streams(pictures: Sequence[Pixels]) -> list[bytes]:
    """Encode on the processor, which does not depend on the device under test."""
    codec = Codec.load(device="cpu", head="cpu")
    return [codec.encode(one, quality=codec.default_quality) for one in pictures]


def batch_of(symbols: Sequence[Symbols], items: int) -> list[Symbols]:
    """Repeat them up to the size of a batch."""
    return [symbols[number % len(symbols)] for number in range(items)]
