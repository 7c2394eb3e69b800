"""The codec as the cache sees it, whether it runs on a thread of this process or in the decoder process."""

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
    """What tells one loaded codec from another. Entity tags are made of the stream id and the head ids."""

    device: str
    head: str
    kernels: str
    stream_id: bytes
    default_quality: int
    head_ids: Mapping[int, bytes]
    """By the size of the picture in pixels."""

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
    """Made, then started, then used, then closed."""

    async def start(self) -> None:
        """Raises what loading the weights raises."""

    async def close(self) -> None:
        """Fail every job that is still open, and end."""

    @property
    def names(self) -> CodecNames:
        """The names of the codec that decodes now."""

    @property
    def readable(self) -> Mapping[bytes, Mapping[int, bytes]]:
        """The head ids by size, by the stream id of everything that it decodes."""

    @property
    def is_there(self) -> bool:
        """Whether it takes work now: a decoder process may be away for a moment."""

    @property
    def is_processor(self) -> bool:
        """Whether a thread of this process decodes on the processor: then it also writes quick files itself."""

    async def decode(self, bitstream: bytes, *, size_px: int, write: Write | None = None) -> Decoded:
        """Return a rendition's pixels, and what `write` makes of them if the codec runs on a thread of this process.

        Raises QueueFull, DamagedBitstream or CodecFailed.
        """

    async def encode(self, pixels: Pixels, *, quality: Quality, patient: bool = False) -> bytes:
        """Return the bitstream of a high picture; `patient` where no client waits. Raises QueueFull or CodecFailed."""

    async def refine(self, pixels: Pixels, search: Search) -> bytes | None:
        """Return the best bitstream that a search finds, if any: seconds of work. Raises as `encode` does."""
