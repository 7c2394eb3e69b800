"""The interface of the codec, which is the same for a codec on a thread of this process and in a decoder process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from models.picture_array import Pixels
from service.render.jobs import Decoded, Search, Write
from service.settings.quality import Quality

if TYPE_CHECKING:
    from models.codec import Codec


@dataclass(frozen=True, slots=True)
class CodecNames:
    """The names that identify a loaded codec. The stream id and the head ids become part of entity tags."""

    device: str
    head: str
    kernels: str
    stream_id: bytes
    default_quality: int
    readable: Mapping[bytes, Mapping[int, bytes]]
    """For each stream id that can be decoded, the id of the head for each picture size in px."""

    @classmethod
    def of(cls, codec: Codec, readable: Mapping[bytes, Mapping[int, bytes]]) -> CodecNames:
        """Return the names of a loaded codec, with all streams that can be decoded beside its own."""
        return cls(
            device=codec.device,
            head=codec.head,
            kernels=str(codec.kernels),
            stream_id=codec.stream_id,
            default_quality=codec.default_quality,
            readable=readable,
        )


class PictureCodec(Protocol):
    """The interface of the codec. Call `start` before use and `close` after it."""

    async def start(self) -> None:
        """Wait until the weights are loaded. Raises the errors of loading."""

    async def close(self) -> None:
        """Fail all jobs that have no answer yet, and stop the codec."""

    @property
    def names(self) -> CodecNames:
        """Return the names of the current codec, which change when the CPU takes over from an accelerator."""

    @property
    def readable(self) -> Mapping[bytes, Mapping[int, bytes]]:
        """Return, for each stream id that can be decoded, the id of the head for each picture size in px."""

    @property
    def is_there(self) -> bool:
        """Return whether the codec takes work now. A decoder process that restarts takes none for a moment."""

    @property
    def runs_on_cpu(self) -> bool:
        """Return whether a thread of this process decodes on the CPU. If so, it also encodes the cheap file formats."""

    async def decode(self, bitstream: bytes, *, size_px: int, write: Write | None = None) -> Decoded:
        """Decode a latent, and return its picture (size_px, size_px, 3) and the file that `write` makes of the pixels.

        `write` is only allowed if the codec runs on a thread of this process.
        Raises QueueFull, DamagedBitstream or CodecFailed.
        """

    async def encode(self, pixels: Pixels, *, quality: Quality, patient: bool = False) -> bytes:
        """Return the bitstream of a picture (344, 344, 3). Raises QueueFull or CodecFailed.

        With `patient`, no client waits, and the expected wait is not checked.
        """

    async def demote(self, bitstream: bytes, *, quality: int) -> bytes:
        """Return the medium bitstream, at `quality`, that replaces a high one. It is made while the codec is idle.

        Raises QueueFull, DamagedBitstream or CodecFailed.
        """

    async def refine(self, pixels: Pixels, search: Search) -> bytes | None:
        """Return a better bitstream of a picture, found in seconds of idle time, or None if it misses its target score.

        Raises QueueFull or CodecFailed.
        """
