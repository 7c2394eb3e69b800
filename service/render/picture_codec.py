"""The interface of the codec for the cache. It runs on a thread of this process or in the decoder process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from models.picture_array import Pixels
from service.render.jobs import Decoded, Search, Write
from service.rendition import RENDITIONS
from service.settings.quality import Quality

if TYPE_CHECKING:
    from models.codec import Codec


@dataclass(frozen=True, slots=True)
class CodecNames:
    """The names that identify a loaded codec. Entity tags are made from the stream id and the head ids."""

    device: str
    head: str
    kernels: str
    stream_id: bytes
    default_quality: int
    head_ids: Mapping[int, bytes]
    """The id of the network that decodes each picture size, by the size in px."""

    @classmethod
    def of(cls, codec: Codec) -> CodecNames:
        """Return the names of a loaded codec."""
        return cls(
            device=codec.device,
            head=codec.head,
            kernels=str(codec.kernels),
            stream_id=codec.stream_id,
            default_quality=codec.default_quality,
            head_ids={one.size_px: codec.head_id(one.size_px) for one in RENDITIONS},
        )


class PictureCodec(Protocol):
    """The codec. Call `start` before use and `close` after it."""

    async def start(self) -> None:
        """Load the weights. Raises the errors of loading."""

    async def close(self) -> None:
        """Fail all jobs without an answer, and stop."""

    @property
    def names(self) -> CodecNames:
        """Return the names of the codec that decodes now."""

    @property
    def readable(self) -> Mapping[bytes, Mapping[int, bytes]]:
        """Return the head ids by picture size, by the stream ids that can be decoded."""

    @property
    def is_there(self) -> bool:
        """Return whether it takes work now. A decoder process may be away for a moment."""

    @property
    def runs_on_cpu(self) -> bool:
        """Return whether a thread of this process decodes on the CPU. If so, it also encodes the cheap file formats."""

    async def decode(self, bitstream: bytes, *, size_px: int, write: Write | None = None) -> Decoded:
        """Return a rendition's pixels (size, size, 3), and the file that `write` encodes from them.

        `write` is only allowed if the codec runs on a thread of this process.
        Raises QueueFull, DamagedBitstream or CodecFailed.
        """

    async def encode(self, pixels: Pixels, *, quality: Quality, patient: bool = False) -> bytes:
        """Return the bitstream of a 344 picture (344, 344, 3). Raises QueueFull or CodecFailed.

        `patient` says that no client waits, so that the expected wait is not checked.
        """

    async def refine(self, pixels: Pixels, search: Search) -> bytes | None:
        """Return the best bitstream that a search finds, or None. It takes seconds. Raises as `encode` does."""
