"""Pictures in the versions that an edge may show of them, with the SSIMULACRA2 of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX
from models.demoted_codec import DemotedCodec
from models.scores import Ssimulacra2
from service.render import image_file
from service.render.image_file import ImageLimits
from service.rules.conditional import Rendered, entity_tag
from tests.bench.latent_origin import digest_of

SIZES_PX = (HIGH_PX, MEDIUM_PX)
_LIMITS = ImageLimits(source_pixels=10**8)


@dataclass(frozen=True)
class Version:
    """One latent of a picture: its bytes, and the score of the picture that is made from it in each size."""

    bitstream: bytes
    scores: dict[int, float]


class Versions:
    """Makes versions of photographs, the fastest way on a CPU."""

    def __init__(self, photographs: Sequence[Path]) -> None:
        torch.set_num_threads(1)  # more would wait for each other on busy cores
        self.codec = Codec.load()
        self._demoted = DemotedCodec.load(self.codec)
        squares = [image_file.read_squares(file.read_bytes(), SIZES_PX, limits=_LIMITS).pixels for file in photographs]
        self._squares = [dict(zip(SIZES_PX, pixels, strict=True)) for pixels in squares]
        self._scorers = [{px: Ssimulacra2(square) for px, square in both.items()} for both in self._squares]

    def high(self, *, quality: int) -> list[Version]:
        """Return a version of each photograph with a high latent."""
        versions = []
        for both, scorers in zip(self._squares, self._scorers, strict=True):
            bitstream = self.codec.encode(both[HIGH_PX], quality=quality)
            versions.append(Version(bitstream, self._scores(self.codec, bitstream, scorers)))
        return versions

    def demoted(self, high: Sequence[Version], *, quality: int) -> list[Version]:
        """Return what becomes of these versions when an edge demotes them."""
        versions = []
        for version, scorers in zip(high, self._scorers, strict=True):
            bitstream = self._demoted.demote(version.bitstream, quality=quality)
            versions.append(Version(bitstream, self._scores(self._demoted, bitstream, scorers)))
        return versions

    def tag(self, name: str, size_px: int, *, quality: int) -> str:
        """Return the entity tag of the JPEG that an edge makes from a high latent under this name."""
        return entity_tag(
            Rendered(
                source_digest=digest_of(name),
                quality=quality,
                stream_id=self.codec.stream_id,
                head_id=self.codec.head_id(size_px),
                size_px=size_px,
                media_type="image/jpeg",
                refinement=0,
            )
        )

    def _scores(
        self, codec: Codec | DemotedCodec, bitstream: bytes, scorers: dict[int, Ssimulacra2]
    ) -> dict[int, float]:
        symbols = codec.read(bitstream)
        return {px: scorer.score(codec.synthesize([symbols], size_px=px)[0]) for px, scorer in scorers.items()}
