"""What a process keeps beside another release's record is found by that record alone, and memory has a limit."""

from service.records.lookup import Lookup
from service.records.own_records import OBJECTS_BYTES, OwnRecords
from service.records.store_keys import record_key
from service.records.vary_rule import VaryRule, pack_rule
from tests.service.releases import newer

PLACE = Lookup("cat", record_key("cat", origin="http://o"))
EN, DE = (Lookup("cat", PLACE.home, ((b"accept-language", language),)) for language in (b"en", b"de"))


def test_a_string_is_found_beside_the_same_record_of_the_same_key() -> None:
    own = OwnRecords()
    own.put(PLACE, b"newer", b"mine")
    assert own.get(PLACE, b"newer") == b"mine"
    assert own.get(PLACE, b"newest") is None
    assert own.get(Lookup("dog", record_key("dog", origin="http://o")), b"newer") is None
    own.put(PLACE, b"newer", b"mine, renewed")
    assert own.get(PLACE, b"newer") == b"mine, renewed"


def test_the_fields_of_a_request_count_only_behind_a_rule() -> None:
    own = OwnRecords()
    own.put(EN, b"a record", b"for all")
    assert own.get(DE, b"a record") == b"for all"
    rule = newer(pack_rule(VaryRule(("accept-language",), bytes(16)), PLACE.home))
    own.put(EN, rule, b"in English")
    assert own.get(EN, rule) == b"in English"
    assert own.get(DE, rule) is None
    assert own.get(PLACE, rule) is None


def test_the_strings_that_were_used_last_stay_within_the_limit() -> None:
    own = OwnRecords(3 * (OBJECTS_BYTES + 10))
    for number in range(10):
        own.put(PLACE, b"%d" % number, bytes(10))
        assert own.get(PLACE, b"0") is not None
    kept = [number for number in range(10) if own.get(PLACE, b"%d" % number) is not None]
    assert kept == [0, 8, 9]
    own.put(PLACE, b"large", bytes(2 * OBJECTS_BYTES + 31))
    assert own.get(PLACE, b"large") is None
    own.put(PLACE, b"small", bytes(2 * OBJECTS_BYTES + 30))
    assert own.get(PLACE, b"small") is not None
