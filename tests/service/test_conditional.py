"""RFC 9110 13 at its clauses: one row, one rule."""

from dataclasses import replace

import pytest

from service.rules.conditional import Conditions, Rendered, Validators, entity_tag

TAG = 'W/"abc"'
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"


NOW_S = 1_795_000_000.0
CURRENT = Validators(entity_tag=TAG, last_modified=MODIFIED, date=AFTER)


@pytest.mark.parametrize(
    ("clause", "if_none_match", "if_modified_since", "expected"),
    [
        ("13.2.2", None, None, False),
        ("13.1.2", 'W/"abc"', None, True),
        ("8.8.3.2", '"abc"', None, True),
        ("13.1.2", "*", None, True),
        ("13.1.2", " * ", None, True),
        ("13.1.2", '*, "x"', None, False),
        ("13.1.2", '"x", W/"abc"', None, True),
        ("13.1.2", '"x",W/"abc","y"', None, True),
        ("13.1.2", '"abc", "x"', None, True),
        ("8.8.3", '"x,W/"abc"', None, False),
        ("8.8.3", '"x,abc"', None, False),
        ("13.1.2", '"x", "y"', None, False),
        ("8.8.3", '"ABC"', None, False),
        ("8.8.3", "abc", None, False),
        ("8.8.3", '"ab"', None, False),
        ("13.1.3", '"x"', AFTER, False),
        ("13.1.3", "", AFTER, False),
        ("13.1.3", TAG, BEFORE, True),
        ("13.1.3", None, MODIFIED, True),
        ("13.1.3", None, AFTER, True),
        ("13.1.3", None, "Sunday, 06-Nov-94 08:49:37 GMT", True),
        ("13.1.3", None, BEFORE, False),
        ("13.1.3", None, "yesterday", False),
        ("13.1.3", None, f"{MODIFIED}, {MODIFIED}", False),
    ],
)
def test_not_modified(clause: str, if_none_match: str | None, if_modified_since: str | None, *, expected: bool) -> None:
    conditions = Conditions(if_none_match=if_none_match, if_modified_since=if_modified_since)
    assert conditions.is_not_modified(CURRENT, now_s=NOW_S) is expected, f"RFC 9110 {clause}"


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        (Validators(entity_tag=TAG, date=MODIFIED), True),
        (Validators(entity_tag=TAG, date=AFTER), False),
        (Validators(entity_tag=TAG), False),
        (Validators(entity_tag=TAG, last_modified="long ago", date=BEFORE), False),
    ],
)
def test_without_last_modified_the_date_is_compared(current: Validators, *, expected: bool) -> None:
    """RFC 9111 4.3.2."""
    assert Conditions(if_modified_since=MODIFIED).is_not_modified(current, now_s=NOW_S) is expected


def test_an_absent_entity_tag_never_matches() -> None:
    assert not Conditions(if_none_match='"", "abc"').is_not_modified(Validators(entity_tag=""), now_s=NOW_S)


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
def test_every_input_of_the_picture_changes_the_tag(other: Rendered) -> None:
    assert entity_tag(other) != entity_tag(RENDERED)
