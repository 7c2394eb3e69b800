"""A picture as the origin has it now: in both sizes, and what is left of the file. Asks nobody."""

from __future__ import annotations

from dataclasses import dataclass

from models.config import HIGH_PX, MEDIUM_PX
from models.picture_array import Pixels
from service.records.latent_facts import LatentFacts
from service.records.record import source_digest
from service.render import image_file
from service.render.image_file import ImageLimits
from service.rules.freshness import Storage
from service.rules.response_fields import ResponseFields
from service.rules.vary import NO_FIELDS, Fields


@dataclass(frozen=True, slots=True)
class Original:
    """A file that must reach the client as it is, and what it was found to be."""

    body: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """The reference picture in both sizes, what they would take as conventional files, and facts of the source.

    The file itself is left out wherever it is not needed: up to `queue_items` pictures wait for the codec.
    """

    source_digest: bytes
    source_bytes: int
    high: Pixels
    medium: Pixels
    conventional_high_bytes: int
    conventional_medium_bytes: int
    media_type: str
    """What the file is, whatever it was said to be."""
    original: Original | None = None
    """The file itself, where nobody may make another one of it."""
    bitstream: bytes | None = None
    """The latent itself, where the picture came as one,"""
    refinement: int = 0
    """and the steps of search in it."""

    @property
    def facts(self) -> LatentFacts:
        """What will be told of a latent that is made from it."""
        return LatentFacts(
            source_digest=self.source_digest,
            source_bytes=self.source_bytes,
            conventional_high_bytes=self.conventional_high_bytes,
            conventional_medium_bytes=self.conventional_medium_bytes,
            refinement=self.refinement,
        )

    def of_size(self, size_px: int) -> Pixels:
        """One of the two."""
        return self.high if size_px == HIGH_PX else self.medium


@dataclass(frozen=True, slots=True)
class Terms:
    """How a picture is sought upstream."""

    passed_by: str = ""
    """The edges that have asked for it, this one last (RFC 8586)."""
    fields: Fields = NO_FIELDS
    """Of the client's request, those by which the origin may choose."""


ANY_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Latent:
    """A picture that came as a bitstream, which has been decoded once: it is whole, and of the weights in use."""

    fields: ResponseFields
    bitstream: bytes
    facts: LatentFacts
    storage: Storage


@dataclass(frozen=True, slots=True)
class Source:
    """What the origin has answered, and whether it may be stored."""

    fields: ResponseFields
    prepared: Prepared
    storage: Storage


def prepare(blob: bytes, limits: ImageLimits) -> Prepared:
    """A file as the reference picture in both sizes, each resized once from the source. Takes a while: for a thread."""
    squares = image_file.read_squares(blob, (HIGH_PX, MEDIUM_PX), limits=limits)
    high, medium = squares.pixels
    return Prepared(
        source_digest=source_digest(blob),
        source_bytes=len(blob),
        high=high,
        medium=medium,
        conventional_high_bytes=image_file.conventional_bytes(high),
        conventional_medium_bytes=image_file.conventional_bytes(medium),
        media_type=squares.media_type,
    )
