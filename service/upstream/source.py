"""A fetched picture: its pixels in both sizes, and facts about its file. This file sends no requests."""

from __future__ import annotations

from dataclasses import dataclass

from models.config import HIGH_PX, MEDIUM_PX
from models.picture_array import Pixels
from service.records.latent_facts import LatentFacts
from service.records.record import source_digest
from service.render import image_file
from service.render.image_file import ImageLimits
from service.render.shown_part import WHITE, Colour
from service.rules.freshness import Storage
from service.rules.response_fields import ResponseFields
from service.rules.vary import NO_FIELDS, Fields


@dataclass(frozen=True, slots=True)
class Original:
    """A file that must be sent to clients unchanged (Cache-Control: no-transform)."""

    body: bytes
    media_type: str
    """The media type, detected from the bytes of the file. The origin's Content-Type is ignored."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture of the origin as pixels in both sizes, and facts about its file.

    The file itself is kept only if it must be sent unchanged, because many pictures may wait for the codec in memory.
    """

    source_digest: bytes
    """The digest of the file."""
    source_bytes: int
    """The size of the file."""
    high: Pixels
    """The pixels of the high rendition in sRGB, of shape (HIGH_PX, HIGH_PX, 3)."""
    medium: Pixels
    """The pixels of the medium rendition in sRGB, of shape (MEDIUM_PX, MEDIUM_PX, 3)."""
    conventional_high_bytes: int
    """The size of `high` as a JPEG file, as a conventional edge would store it."""
    conventional_medium_bytes: int
    """The size of `medium` as a JPEG file."""
    media_type: str
    """The media type, detected from the bytes of the file. The origin's Content-Type is ignored."""
    original: Original | None = None
    """The file, if it must be sent unchanged (no-transform); otherwise None."""
    bitstream: bytes | None = None
    """The bitstream of the latent, if the picture came as a latent; otherwise None."""
    refinement: int = 0
    """The number of search steps that improved `bitstream`."""

    @property
    def facts(self) -> LatentFacts:
        """The facts to send with a latent of this picture."""
        return LatentFacts(
            source_digest=self.source_digest,
            source_bytes=self.source_bytes,
            conventional_high_bytes=self.conventional_high_bytes,
            conventional_medium_bytes=self.conventional_medium_bytes,
            refinement=self.refinement,
        )

    def of_size(self, size_px: int) -> Pixels:
        """Return the pixels of this size, HIGH_PX or MEDIUM_PX."""
        return self.high if size_px == HIGH_PX else self.medium


@dataclass(frozen=True, slots=True)
class Terms:
    """The fields of an upstream request that depend on the client's request."""

    passed_by: str = ""
    """The CDN-Loop field: the edges that the request has passed, this one last (RFC 8586)."""
    fields: Fields = NO_FIELDS
    """The forwarded fields of the client's request, by which the origin may select a variant."""


ANY_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Latent:
    """A picture that was sent as a latent. It was decoded once as a check, so this edge's weights can decode it."""

    fields: ResponseFields
    bitstream: bytes
    facts: LatentFacts
    storage: Storage


@dataclass(frozen=True, slots=True)
class Source:
    """A picture of the origin, and whether it may be stored."""

    fields: ResponseFields
    prepared: Prepared
    storage: Storage


def prepare(blob: bytes, limits: ImageLimits, background: Colour = WHITE) -> Prepared:
    """Decode a file, and resize it to both sizes. The call blocks, so it must run on a thread.

    Each size is resized directly from the decoded file. Raises NotAPicture, DamagedPicture or PictureTooLarge.
    """
    squares = image_file.read_squares(blob, (HIGH_PX, MEDIUM_PX), limits=limits, background=background)
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
