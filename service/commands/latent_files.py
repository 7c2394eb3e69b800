"""The commands `encode`, `decode` and `info` for latent files (.le). A bad file is reported and skipped."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer
from numpy.typing import NDArray

from models.bitstream import MAX_WORDS_BYTES, Bitstream, BitstreamError, is_screen, kind_of, parse
from models.config import HIGH_PX
from service.commands.codec_choice import CodecChoice
from service.commands.encode_target import EncodeOptions, encode_plain
from service.commands.failure import CommandFailure, FileFailure, for_each_file, reason
from service.commands.output_folder import prepare_folder
from service.commands.searched_files import FileAccess, encode_with_search
from service.commands.whole_file import write_whole
from service.errors import DamagedPicture, NotAPicture, PictureTooLarge, SourceError
from service.rendition import RES_VALUES, find_rendition
from service.settings.background import read_background
from service.settings.edge_settings import Settings

if TYPE_CHECKING:  # importing torch takes seconds, so it is imported only when a codec is loaded
    from models.codec import Codec

BYTES_PER_PX = 8
"""Bytes for each pixel in the largest accepted file: four values of 16 bits, without compression."""


def encode(files: Sequence[Path], *, output: Path, options: EncodeOptions, codec: CodecChoice) -> None:
    options.check()
    targets = _Targets(output, suffix=".le")
    loaded = codec.load()
    read_square = partial(_read_square, background=read_background(options.background))
    if options.refine:
        encode_with_search(files, access=FileAccess(read_square, targets.write), options=options, codec=loaded)
        return

    def encode_one(path: Path) -> None:
        targets.write(path, encode_plain(loaded, read_square(path), options).bitstream)

    for_each_file(files, encode_one, title="encoding")


def decode(files: Sequence[Path], *, output: Path, res: str, codec: CodecChoice) -> None:
    rendition = find_rendition(res)
    if rendition is None:
        raise CommandFailure(f"latentedge: --res must be one of {', '.join(RES_VALUES)}, not {res!r}")
    targets = _Targets(output, suffix=".png")
    loaded = codec.load()

    def decode_one(path: Path) -> None:
        from service.render import image_file

        try:
            picture = _decode(loaded, _read_latent(path), rendition.size_px)
        except BitstreamError as error:
            raise FileFailure(f"not a latent that these weights can decode: {error}") from error
        targets.write(path, image_file.write(picture, "image/png"))

    for_each_file(files, decode_one, title="decoding")


def info(files: Sequence[Path], *, codec: CodecChoice) -> None:
    loaded = codec.load()

    def describe_one(path: Path) -> None:
        blob = _read_latent(path)
        try:
            bitstream = parse(blob)
            _check(loaded, blob)
        except BitstreamError as error:
            raise FileFailure(f"not a latent that these weights can decode: {error}") from error
        typer.echo(_description(path, bitstream, kind=kind_of(blob), total_bytes=len(blob)))

    for_each_file(files, describe_one, title="reading")


def _decode(codec: Codec, blob: bytes, size_px: int) -> NDArray[np.uint8]:
    if is_screen(blob):
        from models.screen import stream

        return stream.decode(blob, size_px=size_px)
    (picture,) = codec.synthesize([codec.read(blob)], size_px=size_px)
    return picture


def _check(codec: Codec, blob: bytes) -> None:
    """Raise a BitstreamError if a bit is wrong. The checksum covers symbols or pixels, so the bytes are decoded."""
    if is_screen(blob):
        _decode(codec, blob, HIGH_PX)
    else:
        codec.read(blob)


class _Targets:
    """The output files of a command, all in one folder. Two input files are never written to the same output file."""

    def __init__(self, folder: Path, *, suffix: str) -> None:
        self._folder = folder
        self._suffix = suffix
        self._sources: dict[str, Path] = {}
        prepare_folder(folder)

    def write(self, source: Path, content: bytes) -> None:
        target = self._folder / (source.stem + self._suffix)
        first = self._sources.setdefault(target.name, source)
        if first != source:
            raise FileFailure(f"its output file {target} has been written for {first} already; rename one of the two")
        try:
            write_whole(target, content)
        except OSError as error:
            raise FileFailure(f"cannot write {target}: {reason(error)}") from error


def _read(path: Path) -> bytes:
    """Return the bytes of a picture file. Raises FileFailure, also if it has more bytes than a picture can have."""
    most_bytes = BYTES_PER_PX * _largest_pixels()
    try:
        with path.open("rb") as file:
            # The size is known before anything is read, but not that of a pipe.
            if os.fstat(file.fileno()).st_size <= most_bytes and len(blob := file.read(most_bytes + 1)) <= most_bytes:
                return blob
    except OSError as error:
        raise FileFailure(f"cannot read the file: {reason(error)}") from error
    raise FileFailure(f"too large: it has more than {most_bytes} bytes")


def _read_latent(path: Path) -> bytes:
    """Return the first MAX_WORDS_BYTES + 1024 bytes of a latent file, because a longer file is invalid anyway."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_WORDS_BYTES + 1024)
    except OSError as error:
        raise FileFailure(f"cannot read the file: {reason(error)}") from error


def _read_square(path: Path, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    from service.render import image_file

    try:
        # Pillow's warnings are hidden, because a failure is reported in a line of its own.
        with warnings.catch_warnings(action="ignore"):
            limits = image_file.ImageLimits(_largest_pixels())
            squares = image_file.read_squares(_read(path), (HIGH_PX,), limits=limits, background=background)
    except SourceError as error:
        raise FileFailure(_wrong_with(error)) from error
    except MemoryError as error:
        raise FileFailure("there is not enough memory to decode it") from error
    return squares.pixels[0]


def _largest_pixels() -> int:
    """Return the largest number of pixels that an edge with default settings accepts."""
    return int(Settings.model_fields["source_pixels"].default)


def _wrong_with(error: SourceError) -> str:
    """Return a message for a user of the command line. The public message of the error would mention an origin."""
    kind = {NotAPicture: "not a picture", DamagedPicture: "a damaged picture", PictureTooLarge: "too large"}
    name = kind.get(type(error), "cannot be read as a picture")
    return f"{name}: {error}" if str(error) else name


def _description(path: Path, bitstream: Bitstream, *, kind: str, total_bytes: int) -> str:
    pixels = bitstream.width_px * bitstream.height_px
    rows = (
        ("version", f"{bitstream.version}"),
        ("stream id", bitstream.stream_id.hex()),
        ("kind", kind),
        ("largest error" if kind == "screen" else "quality", f"{bitstream.quality}"),
        ("flags", f"{bitstream.flags:#04x}"),
        ("picture", f"{bitstream.width_px}x{bitstream.height_px} px"),
        ("header", f"{bitstream.header_bytes} bytes"),
        ("words", f"{len(bitstream.words)} bytes"),
        ("file", f"{total_bytes} bytes"),
        ("bits per pixel", f"{8 * total_bytes / pixels:.4f}"),
    )
    return "\n".join([f"{path}", *(f"  {name:<16}{value}" for name, value in rows)])
