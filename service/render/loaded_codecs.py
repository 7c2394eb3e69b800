"""The codecs that a process has loaded: one that writes and reads, and one that reads what older weights wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.render.picture_codec import CodecNames

if TYPE_CHECKING:
    from models.codec import Codec


@dataclass(frozen=True, slots=True)
class LoadedCodecs:
    """Both, and what they are called."""

    current: Codec
    previous: Codec | None
    names: CodecNames
    """The names of the current one."""
    readable: Mapping[bytes, Mapping[int, bytes]]
    """The head ids by size, by stream id."""

    @classmethod
    def of(cls, current: Codec, previous: Codec | None) -> LoadedCodecs:
        """Take loaded codecs."""
        names = CodecNames.of(current)
        readable = {names.stream_id: names.head_ids}
        if previous is not None:
            readable = {previous.stream_id: CodecNames.of(previous).head_ids} | readable
        return cls(current, previous, names, readable)

    def reading(self, stream_id: bytes) -> Codec:
        """Return the codec for a stream: the current one, unless it is of the previous weights alone."""
        if self.previous is not None and stream_id == self.previous.stream_id != self.current.stream_id:
            return self.previous
        return self.current
