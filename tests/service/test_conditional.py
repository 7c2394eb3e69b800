"""RFC 9110 13 at its clauses: one row, one rule."""

from dataclasses import replace

import pytest

from service.web.conditional import Conditions, Rendered, entity_tag

TAG = 'W/"abc"'
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
MODIFIED_S = 784_111_777
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"


@pytest.mark.parametrize(
    ("clause", "if_none_match", "if_modified_since", "expected"),
    [
        ("13.2.2", "", "", False),
        ("13.1.2", 'W/"abc"', "", True),
        ("8.8.3.2", '"abc"', "", True),
        ("13.1.2", "*", "", True),
        ("13.1.2", " * ", "", True),
        ("13.1.2", '"x", W/"abc"', "", True),
        ("13.1.2", '"x",W/"abc","y"', "", True),
        ("8.8.3", '"x,W/"abc"', "", False),
        ("13.1.2", '"x", "y"', "", False),
        ("8.8.3", '"ABC"', "", False),
        ("8.8.3", "abc", "", False),
        ("8.8.3", '"ab"', "", False),
        ("13.1.3", '"x"', AFTER, False),
        ("13.1.3", TAG, BEFORE, True),
        ("13.1.3", "", MODIFIED, True),
        ("13.1.3", "", AFTER, True),
        ("13.1.3", "", BEFORE, False),
        ("13.1.3", "", "yesterday", False),
    ],
)
def test_not_modified(clause: str, if_none_match: str, if_modified_since: str, *, expected: bool) -> None:
    conditions = Conditions(if_none_match=if_none_match, if_modified_since=if_modified_since)
    found = conditions.not_modified(entity_tag=TAG, last_modified_s=MODIFIED_S)
    assert found is expected, f"RFC 9110 {clause}"


def test_without_a_modification_date_a_date_decides_nothing() -> None:
    """RFC 9110 13.1.3."""
    assert not Conditions(if_modified_since=AFTER).not_modified(entity_tag=TAG, last_modified_s=None)


RENDERED = Rendered(
    source_digest=b"s" * 16,
    quality=20,
    stream_id=b"stre",
    head_id=b"head",
    size_px=344,
    media_type="image/jpeg",
    refinement=0,
)


def test_an_entity_tag_is_weak_and_always_the_same() -> None:
    assert entity_tag(RENDERED) == 'W/"KkXZSnGWHQR_dZ6H"'


@pytest.mark.parametrize(
    "other",
    [
        replace(RENDERED, source_digest=b"t" * 16),
        replace(RENDERED, quality=21),
        replace(RENDERED, stream_id=b"mert"),
        replace(RENDERED, head_id=b"tail"),
        replace(RENDERED, size_px=172),
        replace(RENDERED, media_type="image/png"),
        replace(RENDERED, refinement=1),
        replace(RENDERED, quality=2, size_px=344, refinement=1),
    ],
)
def test_whatever_changes_the_picture_changes_the_tag(other: Rendered) -> None:
    assert entity_tag(other) != entity_tag(RENDERED)
