"""The codecs of a process: the current codec, and a codec of the previous weights that is used only to decode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.render.picture_codec import CodecNames

if TYPE_CHECKING:
    from models.codec import Codec


@dataclass(frozen=True, slots=True)
class LoadedCodecs:
    """The current codec, the codec of the previous weights or None, and the names of both."""

    current: Codec
    previous: Codec | None
    names: CodecNames
    """The names of the current codec."""
    readable: Mapping[bytes, Mapping[int, bytes]]
    """For each stream id that can be decoded, the id of the head for each picture size in px."""

    @classmethod
    def of(cls, current: Codec, previous: Codec | None) -> LoadedCodecs:
        """Return both codecs with their names."""
        names = CodecNames.of(current)
        readable = {names.stream_id: names.head_ids}
        if previous is not None:
            readable = {previous.stream_id: CodecNames.of(previous).head_ids} | readable
        return cls(current, previous, names, readable)

    def codec_for(self, stream_id: bytes) -> Codec:
        """Return the codec that decodes this stream: the current codec, unless only the previous one can read it."""
        if self.previous is not None and stream_id == self.previous.stream_id != self.current.stream_id:
            return self.previous
        return self.current
