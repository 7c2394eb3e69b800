"""Whatever lies in the store, even under a right checksum: what can be written again as it was, or a typed error."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import RecordError
from service.records.negative_entry import NegativeEntry, pack_negative_entry, unpack_negative_entry
from service.records.record import pack, unpack
from service.records.store_keys import record_key
from service.records.vary_rule import VaryRule, pack_rule, unpack_rule
from service.rules.error_fields import ErrorFields
from service.rules.response_fields import PassedOn
from tests.fuzz import past_faults as past
from tests.service.releases import reframed
from tests.service.test_record import GOLDEN, GOLDEN_OF_VERSION_5

KEY = record_key("cat", origin="http://o")
ERROR = NegativeEntry(
    status=404,
    born_ms=-1,
    lifetime_s=60,
    generation=7,
    passed=PassedOn(cache_control="max-age=60", vary="Accept-Language"),
    error_fields=ErrorFields(retry_after="1", www_authenticate="Basic", allow=""),
)
RULE = VaryRule(("accept-language", "dpr"), bytes(range(8)), stale_before=9)
KINDS: dict[str, tuple[Callable[..., Any], Callable[..., bytes], list[bytes]]] = {
    "record": (unpack, pack, [GOLDEN, GOLDEN_OF_VERSION_5]),
    "error": (unpack_negative_entry, pack_negative_entry, [pack_negative_entry(ERROR, KEY)]),
    "rule": (unpack_rule, pack_rule, [pack_rule(RULE, KEY)]),
}
CHANGES = st.lists(
    st.tuples(st.integers(0, 2**16), st.sampled_from(["flip", "cut", "add"]), st.binary(max_size=6)), max_size=6
)


@given(st.sampled_from([*KINDS]), st.integers(0, 1), CHANGES, st.booleans())
def test_a_changed_value_is_read_whole_or_not_at_all(
    kind: str,
    which: int,
    changes: list[tuple[int, str, bytes]],
    sealed: bool,  # noqa: FBT001  (drawn)
) -> None:
    read, write, samples = KINDS[kind]
    value = _changed(samples[which % len(samples)], changes)
    if sealed and len(value) > 8:
        value = reframed(value, version=value[3])
    check(value, read, write)


@pytest.mark.parametrize("tag", past.STORED_TAGS)
def test_past_tags(tag: bytes) -> None:
    check(reframed(GOLDEN.replace(b"cats", tag, 1), version=6), unpack, pack)


def check(value: bytes, read: Callable[..., Any], write: Callable[..., bytes]) -> None:
    with suppress(RecordError):
        whole = read(value, KEY)
        assert read(write(whole, KEY), KEY) == whole, "what was read cannot be written"


def _changed(value: bytes, changes: list[tuple[int, str, bytes]]) -> bytes:
    changed = bytearray(value)
    for at, how, new in changes:
        at = at % (len(changed) + 1)  # noqa: PLW2901  (any number is a place)
        if how == "flip":
            changed[at : at + len(new)] = new
        elif how == "cut":
            del changed[at : at + len(new)]
        else:
            changed[at:at] = new
    return bytes(changed)
