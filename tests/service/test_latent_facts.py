"""The field that describes the source of a latent: it is read back as written, and ignored if it is invalid."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.records.latent_facts import LatentFacts, facts_of, latent_tag, read_facts, write_facts
from tests.service.test_record import SAMPLE

SIZES = st.integers(0, 2**32 - 1)
FACTS = st.builds(
    LatentFacts,
    source_digest=st.binary(min_size=16, max_size=16),
    source_bytes=SIZES,
    conventional_high_bytes=SIZES,
    conventional_medium_bytes=SIZES,
    refinement=st.integers(0, 255),
    is_stale=st.booleans(),
    origin_etag=st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=512),
)
WRITTEN = write_facts(facts_of(SAMPLE))


@given(FACTS)
def test_written_facts_are_read_back(facts: LatentFacts) -> None:
    assert read_facts(write_facts(facts)) == facts


@given(st.text(st.characters(max_codepoint=255)))
def test_an_invalid_field_is_ignored(field: str) -> None:
    assert read_facts(field) is None


@pytest.mark.parametrize("member", ["digest", "bytes", "high", "medium", "refinement", "etag"])
@pytest.mark.parametrize("value", ["", "=1.5", "=?1", '="text"', "=(1 2)", "=-1", "=4294967296", "=:AAAA:", "=:_:"])
def test_a_field_with_an_invalid_member_is_ignored(member: str, value: str) -> None:
    members = [part for part in WRITTEN.split(", ") if not part.startswith(member + "=")]
    if (member, value) != ("etag", "=:AAAA:"):  # three bytes are a fine entity tag
        assert read_facts(", ".join([*members, member + value])) is None
    assert read_facts(", ".join(members)) is None


def test_an_overlong_field_is_not_parsed() -> None:
    assert read_facts(WRITTEN + ", a" * 10_000) is None


def test_a_better_latent_has_another_entity_tag() -> None:
    """The fields that distinguish pictures in their entity tags distinguish latents too."""
    others = [
        replace(SAMPLE, refinement=SAMPLE.refinement + 1),
        replace(SAMPLE, quality=SAMPLE.quality + 1),
        replace(SAMPLE, stream_id=b"\0\0\0\0"),
        replace(SAMPLE, source_digest=bytes(16)),
    ]
    tags = {latent_tag(record) for record in (SAMPLE, *others)}
    assert len(tags) == 5
    assert latent_tag(replace(SAMPLE, lifetime_s=1, filled_ms=1)) == latent_tag(SAMPLE)
