"""Requests that select the same variant, and the rule in the store that says by which fields a picture varies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from service.errors import DamagedRecord, RecordError, RecordOfOthers
from service.records.lookup import Lookup
from service.records.store_keys import KEY_PREFIX, record_key
from service.records.vary_rule import NONCE_BYTES, VaryRule, is_rule, pack_rule, unpack_rule
from service.rules.vary import Fields, selecting_names, selection, selects_alike
from tests.service.releases import newer

NONCE = bytes(range(NONCE_BYTES))
KEY = record_key("cat", origin="http://o")
LANGUAGE = "Accept-Language"


def language(value: str) -> Fields:
    return ((b"accept-language", value.encode()),)


EN, DE = language("en"), language("de")


@pytest.mark.parametrize(
    ("clause", "vary", "names"),
    [
        ("9110 12.5.5", "", ()),
        ("9110 12.5.5", "Accept-Language", ("accept-language",)),
        ("9110 12.5.5", "*", ("*",)),
        ("9110 12.5.5", ", *", ("*",)),
        ("9110 5.6.1", "Foo,, Bar ,\tfoo,", ("bar", "foo")),
        ("9110 5.1", "FOO, foo", ("foo",)),
        ("9111 4.1", "Accept, accept-ENCODING", ()),
        ("9111 4.1", "Accept-Encoding, DPR", ("dpr",)),
    ],
)
def test_names(clause: str, vary: str, names: tuple[str, ...]) -> None:
    assert selecting_names(vary) == names, clause


@pytest.mark.parametrize(
    ("clause", "vary", "one", "other", "alike"),
    [
        ("9111 4.1: nominated fields match", "Foo", ((b"foo", b"1"),), ((b"foo", b"1"),), True),
        ("9111 4.1: or do not", "Foo", ((b"foo", b"1"),), ((b"foo", b"2"),), False),
        ("9111 4.1: others do not count", "Foo", ((b"foo", b"1"), (b"b", b"1")), ((b"foo", b"1"), (b"b", b"2")), True),
        ("9111 4.1: all nominated", "Foo, B", ((b"foo", b"1"), (b"b", b"1")), ((b"foo", b"1"), (b"b", b"2")), False),
        ("9111 4.1: absent from both", "Foo", (), (), True),
        ("9111 4.1: absent from one", "Foo", ((b"foo", b"1"),), (), False),
        ("9110 5.5: empty is not absent", "Foo", ((b"foo", b""),), (), False),
        ("9111 4.1: whitespace", "Foo", ((b"foo", b"1,2"),), ((b"foo", b" 1, \t2 "),), True),
        ("9111 4.1: lines are combined", "Foo", ((b"foo", b"1, 2"),), ((b"foo", b"1"), (b"foo", b"2")), True),
        ("9110 5.3: in their order", "Foo", ((b"foo", b"2"), (b"foo", b"1")), ((b"foo", b"1"), (b"foo", b"2")), False),
        ("9111 4.1: order as the field has it", "Foo", ((b"foo", b"en, de"),), ((b"foo", b"de, en"),), False),
        ("9110 12.5.4: languages have none", LANGUAGE, language("en, de;q=0.5"), language("DE;q=0.5,en"), True),
        ("9110 12.5.4: but weights", LANGUAGE, language("en, de;q=0.5"), language("de, en;q=0.5"), False),
        ("9111 4.1: case as the field has it", "Foo", ((b"foo", b"En"),), ((b"foo", b"en"),), False),
        ("9110 5.6.4: space within quotes", "Foo", ((b"foo", b'"a, b"'),), ((b"foo", b'"a,b"'),), False),
        ("9111 4.1: `*` never matches", "*", (), (), False),
        ("9111 4.1: nor beside others", "Foo, *", ((b"foo", b"1"),), ((b"foo", b"1"),), False),
        ("9110 12.5.5: the edge's own words", "Accept", ((b"accept", b"1"),), ((b"accept", b"2"),), True),
    ],
)
def test_selection(clause: str, vary: str, one: Fields, other: Fields, *, alike: bool) -> None:
    assert selects_alike(vary, one, other) is alike, clause


VALUES = st.binary(max_size=8)
LINES = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"ab"]), VALUES), max_size=5).map(tuple)


@given(LINES)
def test_space_and_line_breaks_do_not_make_variants(fields: Fields) -> None:
    plain = tuple((name, value.replace(b'"', b"")) for name, value in fields)
    spaced = tuple((name, b" " + value.replace(b",", b" ,\t") + b" ") for name, value in plain)
    assert selects_alike("a, b, ab", plain, spaced)


@given(st.dictionaries(st.sampled_from(["a", "b", "ab"]), st.binary(max_size=8).map(lambda text: text.hex())))
def test_an_absent_field_differs_from_every_value(said: dict[str, str]) -> None:
    names = ("a", "ab", "b")
    fields = tuple((name.encode(), value.encode()) for name, value in said.items())
    for name in names:
        without = tuple(line for line in fields if line[0] != name.encode())
        assert (selection(names, fields) == selection(names, without)) is (name not in said)


@given(st.tuples(VALUES, VALUES), st.tuples(VALUES, VALUES))
def test_different_lists_of_values_never_encode_alike(one: tuple[bytes, bytes], other: tuple[bytes, bytes]) -> None:
    quoted = [
        tuple(zip((b"a", b"b"), (b'"' + value.hex().encode() for value in pair), strict=True)) for pair in (one, other)
    ]
    assert selects_alike("a, b", *quoted) is (one == other)


RULES = st.builds(
    VaryRule,
    names=st.lists(st.sampled_from(["accept-language", "dpr", "foo"]), min_size=1, unique=True).map(sorted).map(tuple),
    nonce=st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES),
    stale_before=st.integers(0, 2**64 - 1),
)


@given(RULES)
def test_a_rule_survives_the_store(rule: VaryRule) -> None:
    assert is_rule(pack_rule(rule, KEY))
    assert unpack_rule(pack_rule(rule, KEY), KEY) == rule


@given(RULES, st.data())
def test_a_damaged_rule_raises_an_error(rule: VaryRule, data: st.DataObject) -> None:
    whole = pack_rule(rule, KEY)
    position = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RecordError):
        unpack_rule(bytes(damaged), KEY)
    with pytest.raises(DamagedRecord):
        unpack_rule(whole[:position], KEY)


GOLDEN = bytes.fromhex(
    "4c45760289859a5a3eab8aea2b1612770000000102030405060708090a0b0c0d0e0f000001a1ee565e7b0013616363657074"
    "2d6c616e67756167652c647072"
)
GOLDEN_OF_VERSION_1 = bytes.fromhex(
    "4c457601c4a9d892000102030405060708090a0b0c0d0e0f000001a1ee565e7b00136163636570742d6c616e67756167652c647072"
)


def test_the_bytes_of_a_rule_are_those_of_version_2_and_version_1_is_read() -> None:
    rule = VaryRule(("accept-language", "dpr"), bytes(range(16)), stale_before=1_795_000_000_123)
    assert pack_rule(rule, KEY) == GOLDEN
    assert unpack_rule(GOLDEN, KEY) == unpack_rule(GOLDEN_OF_VERSION_1, KEY) == rule


def test_a_rule_is_bound_to_its_key_and_a_newer_one_is_foreign() -> None:
    with pytest.raises(DamagedRecord, match="another key"):
        unpack_rule(GOLDEN, b"p:{another}")
    with pytest.raises(RecordOfOthers):
        unpack_rule(newer(GOLDEN), KEY)


class TestPlaces:
    HOME = record_key("cat", origin="http://origin")

    def test_a_picture_that_does_not_vary_has_its_own(self) -> None:
        assert Lookup("cat", self.HOME, EN).key == Lookup("cat", self.HOME, DE).key == self.HOME

    def test_variants_have_different_keys_and_leases(self) -> None:
        rule = VaryRule(("accept-language",), NONCE)
        lookups = [Lookup("cat", self.HOME, fields).under(rule) for fields in (EN, DE, ())]
        assert len({lookup.key for lookup in lookups}) == len({lookup.lease for lookup in lookups}) == 3

    def test_another_nonce_makes_another_key(self) -> None:
        rules = [VaryRule(("accept-language",), nonce) for nonce in (NONCE, NONCE[::-1])]
        one, other = (Lookup("cat", self.HOME, EN).under(rule) for rule in rules)
        assert one.key != other.key

    def test_all_keys_of_a_picture_have_one_hash_slot(self) -> None:
        lookup = Lookup("cat", self.HOME, EN).under(VaryRule(("accept-language",), NONCE))
        assert len({key_slot(key) for key in (lookup.home, lookup.key, lookup.lease)}) == 1
        assert lookup.key.startswith(KEY_PREFIX)
