"""The command `encode --refine`: encode files with a search for better latents, several files in each search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from models.bitstream import is_screen
from models.picture_array import Pixels
from service.commands.encode_target import EncodeOptions, Plain, encode_plain, search_better
from service.commands.failure import CommandFailure, FileRun, file_run

if TYPE_CHECKING:  # importing torch takes seconds, so it is imported only when a codec is loaded
    from models.codec import Codec

CPU_FILES, GPU_FILES = 1, 64
"""The files in one search. On a CPU, more than one saves at most 10 % (measured, LOG.md). 64 fit on a GPU (assumed)."""


@dataclass(frozen=True)
class FileAccess:
    """The functions that read the picture of an input file and write its bitstream. Both raise FileFailure."""

    read: Callable[[Path], Pixels]
    write: Callable[[Path, bytes], None]


def encode_with_search(files: Sequence[Path], *, access: FileAccess, options: EncodeOptions, codec: Codec) -> None:
    """Encode every file with a search, even after failures. Exit with code 2 at the end if a file failed."""
    size = options.refine_batch or (CPU_FILES if codec.device == "cpu" else GPU_FILES)
    with file_run(files, title="encoding", steps=options.refine) as run:
        for first in range(0, len(files), size):
            _encode_batch(files[first : first + size], access, options, codec=codec, run=run)


def _encode_batch(
    files: Sequence[Path], access: FileAccess, options: EncodeOptions, *, codec: Codec, run: FileRun
) -> None:
    def encode_one(path: Path) -> Plain:
        return encode_plain(codec, access.read(path), options)

    tried = [(path, run.attempt(path, partial(encode_one, path))) for path in files]
    done = [(path, one) for path, one in tried if one is not None]
    plain = [(path, one) for path, one in done if not is_screen(one.bitstream)]
    for path, one in done:
        if is_screen(one.bitstream):  # no search improves it
            run.attempt(path, partial(access.write, path, one.bitstream))
    if plain:
        run.begin_steps()
        found = _search(codec, [one for _, one in plain], options, run)
        for (path, _), bitstream in zip(plain, found, strict=True):
            run.attempt(path, partial(access.write, path, bitstream))
    run.advance(len(files))


def _search(codec: Codec, plain: Sequence[Plain], options: EncodeOptions, run: FileRun) -> list[bytes]:
    try:
        return search_better(codec, plain, options, on_step=run.step)
    except RuntimeError as error:  # the errors of torch, such as a lack of GPU memory
        hint = "; a smaller --refine-batch takes less memory" if len(plain) > 1 else ""
        raise CommandFailure(f"latentedge: the search failed: {error}{hint}") from error
