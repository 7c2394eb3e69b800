"""encode --refine: better latents of files, searched for batch by batch. A bad file never stops the good ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from models.picture_array import Pixels
from service.commands.encode_target import Plain, Wish, encoded, searched
from service.commands.failure import CommandFailure, FileRun, file_run

if TYPE_CHECKING:  # torch is imported when a codec is loaded, not before
    from models.codec import Codec

PROCESSOR_FILES, GPU_FILES = 1, 64
"""Measured: a processor gains 10 % at most by several together (LOG.md). Assumed: a GPU has room for so many."""


@dataclass(frozen=True)
class Places:
    """Where pictures come from, and where bitstreams go; both raise FileFailure."""

    read: Callable[[Path], Pixels]
    write: Callable[[Path, bytes], None]


def encode_searched(files: Sequence[Path], *, places: Places, wish: Wish, codec: Codec) -> None:
    """Encode every file that can be encoded; then fail if any could not."""
    size = wish.refine_batch or (PROCESSOR_FILES if codec.device == "cpu" else GPU_FILES)
    with file_run(files, title="encoding", steps=wish.refine) as run:
        for first in range(0, len(files), size):
            _encode_batch(files[first : first + size], places, wish, codec=codec, run=run)


def _encode_batch(files: Sequence[Path], places: Places, wish: Wish, *, codec: Codec, run: FileRun) -> None:
    def begun(path: Path) -> Plain:
        return encoded(codec, places.read(path), wish)

    tried = [(path, run.attempt(path, partial(begun, path))) for path in files]
    plain = [(path, one) for path, one in tried if one is not None]
    if plain:
        run.begin_steps()
        found = _found(codec, [one for _, one in plain], wish, run)
        for (path, _), bitstream in zip(plain, found, strict=True):
            run.attempt(path, partial(places.write, path, bitstream))
    run.advance(len(files))


def _found(codec: Codec, plain: Sequence[Plain], wish: Wish, run: FileRun) -> list[bytes]:
    try:
        return searched(codec, plain, wish, stepped=run.step)
    except RuntimeError as error:  # torch's own; that of a full GPU is one of them
        hint = "; a smaller --refine-batch takes less memory" if len(plain) > 1 else ""
        raise CommandFailure(f"latentedge: the search failed: {error}{hint}") from error
