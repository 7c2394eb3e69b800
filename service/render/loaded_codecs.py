"""The codecs of a process, and which one decodes a bitstream: its stream id decides.

    current     high latents of the weights in use
    previous    high latents of the previous weights; it only decodes
    demoted     medium latents of the weights in use (see service/records/demoted.py)

Another kind of bitstream needs another entry in `LoadedCodecs.of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from models.picture_array import Pixels
from service.render.picture_codec import CodecNames
from service.rendition import RENDITIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.codec import Codec
    from models.demoted_codec import DemotedCodec
    from models.latent_codec import Symbols


class PictureDecoder(Protocol):
    """The part of every codec that decodes: a bitstream to symbols, and a batch of symbols to pictures."""

    @property
    def stream_id(self) -> bytes:
        """Return the stream id of the bitstreams that this decoder reads."""

    def head_id(self, size_px: int) -> bytes:
        """Return the id of the network that makes pictures of this size."""

    def symbol_channels(self, quality: int) -> tuple[int, int]:
        """Return the numbers of channels of h1 and of q in the symbols of a bitstream of this quality."""

    def read(self, blob: bytes) -> Symbols:
        """Entropy-decode a bitstream. Raises a BitstreamError."""

    def synthesize(self, symbols: Sequence[Symbols], *, size_px: int) -> list[Pixels]:
        """Return the pictures (size_px, size_px, 3) of a batch of symbols."""


@dataclass(frozen=True, slots=True)
class LoadedCodecs:
    """The codec in use, and the decoder of each stream id."""

    current: Codec
    demoted: DemotedCodec | None
    """Makes and decodes medium latents; None if the weights have no upscaler."""
    by_stream: Mapping[bytes, PictureDecoder]
    names: CodecNames
    """The names of the current codec, and of all heads."""

    @classmethod
    def of(cls, current: Codec, *, previous: Codec | None, demoted: DemotedCodec | None) -> LoadedCodecs:
        """Return the codecs with their names. Of two with the same stream id, the current one decodes."""
        decoders: tuple[PictureDecoder | None, ...] = (previous, demoted, current)
        by_stream = {one.stream_id: one for one in decoders if one is not None}
        readable = {stream_id: _head_ids(decoder) for stream_id, decoder in by_stream.items()}
        return cls(current, demoted, by_stream, CodecNames.of(current, readable))

    def decoder_for(self, stream_id: bytes) -> PictureDecoder:
        """Return the decoder of this stream. It is the codec in use if no codec reads the stream."""
        return self.by_stream.get(stream_id, self.current)


def _head_ids(decoder: PictureDecoder) -> Mapping[int, bytes]:
    return {one.size_px: decoder.head_id(one.size_px) for one in RENDITIONS}
