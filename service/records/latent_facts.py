"""The facts about a picture that a parent edge sends with its latent, as a structured field (RFC 9651). No I/O.

    Latentedge-Source: digest=:...:, bytes=81234, high=31000, medium=9800, refinement=0, etag=:...:, stale

With these facts, a child edge sends the same entity tags as its parent, and can revalidate the picture with the origin.
"""

from __future__ import annotations

from dataclasses import dataclass

from http_sfv.dictionary import Dictionary
from http_sfv.item import Item

from models.config import HIGH_PX
from service.records.record import DIGEST_BYTES, ETAG_CAP_BYTES, REFINEMENT_CAP, Record, fits
from service.rules.conditional import Rendered, entity_tag
from service.rules.negotiation import LATENT_MEDIA_TYPE

FIELD = "Latentedge-Source"
FIELD_CAP_CHARACTERS = 2048
"""The longest field that is parsed. Derived: `etag` takes up to 684 characters, all other members less than 150."""
_LARGEST = 2**32 - 1
"""The largest size in bytes that a record can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentFacts:
    """Facts about the file from which a latent was encoded, and about the latent itself."""

    source_digest: bytes
    source_bytes: int
    conventional_high_bytes: int
    conventional_medium_bytes: int
    refinement: int = 0
    origin_etag: str = ""
    is_stale: bool = False
    """Whether the parent's record is stale. After a soft purge, its dates alone do not show this."""


def facts_of(record: Record, *, is_stale: bool = False) -> LatentFacts:
    """Return the facts to send with the latent of a stored picture."""
    return LatentFacts(
        source_digest=record.source_digest,
        source_bytes=record.source_bytes,
        conventional_high_bytes=record.conventional_high_bytes,
        conventional_medium_bytes=record.conventional_medium_bytes,
        refinement=record.refinement,
        origin_etag=record.origin_etag,
        is_stale=is_stale,
    )


def latent_tag(record: Record) -> str:
    """Return the entity tag of a stored latent: a hash like the tags of its pictures, but without a head id."""
    return entity_tag(
        Rendered(
            source_digest=record.source_digest,
            quality=record.quality,
            stream_id=record.stream_id,
            head_id=b"",
            size_px=HIGH_PX,
            media_type=LATENT_MEDIA_TYPE,
            refinement=record.refinement,
        )
    )


def write_facts(facts: LatentFacts) -> str:
    """Return the value of the Latentedge-Source field. Texts are written as byte sequences, which need no escapes."""
    members = Dictionary()
    members["digest"] = Item(facts.source_digest)
    members["bytes"] = Item(facts.source_bytes)
    members["high"] = Item(facts.conventional_high_bytes)
    members["medium"] = Item(facts.conventional_medium_bytes)
    members["refinement"] = Item(facts.refinement)
    members["etag"] = Item(facts.origin_etag.encode("ascii"))
    if facts.is_stale:
        members["stale"] = Item(True)
    return str(members)


def read_facts(field: str) -> LatentFacts | None:
    """Parse the Latentedge-Source field. Return None if it is empty, malformed or out of range (RFC 9651 4.2)."""
    members = Dictionary()
    if len(field) > FIELD_CAP_CHARACTERS:
        return None
    try:
        members.parse(field.encode("ascii"))
        facts = LatentFacts(
            source_digest=_bytes(members, "digest"),
            source_bytes=_integer(members, "bytes", _LARGEST),
            conventional_high_bytes=_integer(members, "high", _LARGEST),
            conventional_medium_bytes=_integer(members, "medium", _LARGEST),
            refinement=_integer(members, "refinement", REFINEMENT_CAP),
            origin_etag=_bytes(members, "etag").decode("ascii"),
            is_stale="stale" in members and members["stale"].value is True,
        )
    except (ValueError, KeyError, AttributeError):  # the field is malformed, or a member is missing or a list
        return None
    return facts if len(facts.source_digest) == DIGEST_BYTES and fits(facts.origin_etag, ETAG_CAP_BYTES) else None


def _bytes(members: Dictionary, name: str) -> bytes:
    value = members[name].value
    if not isinstance(value, bytes):
        raise ValueError(f"{name} is not a byte sequence")  # noqa: TRY004  (`read_facts` catches ValueError)
    return value


def _integer(members: Dictionary, name: str, largest: int) -> int:
    value = members[name].value
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
        raise ValueError(f"{name} is not an integer from 0 to {largest}")
    return value
