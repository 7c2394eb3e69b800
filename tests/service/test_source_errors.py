"""Files of the origin that the edge cannot serve (413, 415, 422): the responses, and their negative cache entries."""

import struct
import zlib
from collections.abc import Callable

import pytest
import redis

from service.errors import RecordOfOthers
from service.records.negative_entry import NegativeEntry, pack_negative_entry, unpack_negative_entry
from service.records.store_keys import record_key
from service.rules.freshness import FreshnessRules, source_error_lifetime_s, storage
from service.rules.negative_ttls import read_negative_ttls
from service.rules.response_fields import PassedOn, ResponseFields
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.releases import newer
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.tiers import own_store

FRESH = {"Cache-Control": "max-age=600"}
PAGE = b"<html>no picture</html>"


def beginning_of_a_png(width_px: int, height_px: int) -> bytes:
    """Return the beginning of a PNG file, which announces its number of pixels."""
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b""))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def announced(_photo: bytes) -> Reply:
    return Reply(
        raw=b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 20000001\r\n\r\n", hangs_up=True
    )


UNUSABLE: dict[str, tuple[int, Callable[[bytes], Reply]]] = {
    "no picture": (415, lambda _: Reply(PAGE, headers=FRESH)),
    "damaged": (422, lambda photo: Reply(photo[:3000], headers=FRESH)),
    "too many pixels": (413, lambda _: Reply(beginning_of_a_png(9_000, 8_000), headers=FRESH)),
    "too many bytes": (413, lambda _: Reply(bytes(20_000_001), headers=FRESH, announced=False)),
    "too many bytes, as announced": (413, announced),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_an_unusable_file_is_fetched_once(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, what: str
) -> None:
    status, reply = UNUSABLE[what]
    origin.script("/cat", reply(photo))
    first, second, third = (edge.get(f"/image/cat?res={res}") for res in ("high", "high", "medium"))
    assert first.headers["cache-status"] == "latentedge; fwd=uri-miss"
    for answer in (second, third):
        assert answer.headers["cache-status"].startswith("latentedge; hit; ttl=")
    for answer in (first, second, third):
        assert answer.status_code == status
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json() == first.json()
    assert 50 <= store.ttl(record_key("cat", origin=origin.url)) <= 60


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"Cache-Control": "no-store, max-age=600"},
        {"Cache-Control": "private, max-age=600"},
        {"Cache-Control": "no-cache, max-age=600", "ETag": '"x"'},
        {"Cache-Control": "max-age=600", "Age": "600", "ETag": '"x"'},
        {"Cache-Control": "max-age=600", "Vary": "*"},
    ],
    ids=str,
)
def test_an_error_that_may_not_be_reused_is_not_remembered(
    edge: RunningEdge, origin: ScriptedOrigin, said: dict[str, str]
) -> None:
    origin.script("/cat", *[Reply(PAGE, headers=said)] * 2)
    for _ in range(2):
        assert edge.get("/image/cat").headers["cache-status"].startswith("latentedge; fwd=uri-miss")


def test_an_error_is_remembered_for_the_requests_of_the_same_variant(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    """RFC 9111 4.1."""
    varying = FRESH | {"Vary": "Accept-Language"}
    origin.script("/cat", Reply(PAGE, headers=varying), Reply(photo, headers=varying))
    answers = [edge.get("/image/cat", headers={"Accept-Language": language}) for language in ("de", "de", "en", "de")]
    assert [answer.status_code for answer in answers] == [415, 415, 200, 415]


def test_a_picture_replaces_an_expired_error(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    origin.script("/cat", Reply(PAGE, headers=FRESH), Reply(photo, headers=FRESH))
    edge.get("/image/cat")
    key = record_key("cat", origin=origin.url)
    assert store.persist(key)
    value = store.get(key)
    assert isinstance(value, bytes)
    entry = unpack_negative_entry(value, key)
    over = NegativeEntry(
        status=415, born_ms=entry.born_ms - 60_000, lifetime_s=60, generation=0, passed=PassedOn(), is_edges_own=True
    )
    store.set(key, pack_negative_entry(over, key))
    assert edge.get("/image/cat").status_code == 200


def test_negative_caching_can_be_turned_off(origin: ScriptedOrigin, session_valkey: EmbeddedValkey) -> None:
    origin.script("/cat", *[Reply(PAGE, headers=FRESH)] * 2)
    settings = read_settings(origin=origin.url, redis_url=own_store(session_valkey, 9), negative_ttl_s="0")
    with running_edge(settings) as edge:
        assert [edge.get("/image/cat").status_code for _ in range(2)] == [415, 415]


@pytest.mark.parametrize(
    ("control", "age", "ttls", "expected_s"),
    [
        ("max-age=5", "", "404=60", 5),
        ("max-age=600", "", "404=60", 60),
        ("max-age=600", "570", "404=60", 30),
        ("max-age=600", "600", "404=60", 0),
        ("s-maxage=0, max-age=600", "", "404=60", 0),
        ("", "", "404=60", 0),
        ("", "", "415=7", 7),
        ("", "", "4xx=7", 7),
        ("max-age=600", "", "415=7", 7),
        ("max-age=600", "", "415=300", 300),
        ("max-age=600", "", "415=0", 0),
        ("max-age=600", "", "0", 0),
        ("private, max-age=600", "", "415=7", 0),
        ("no-transform, max-age=600", "", "415=7", 7),
        ("no-transform, no-store, max-age=600", "", "415=7", 0),
    ],
)
def test_the_lifetime_of_a_negative_cache_entry(control: str, age: str, ttls: str, expected_s: int) -> None:
    rules = FreshnessRules(default_ttl_s=3600, negative_ttls=read_negative_ttls(ttls))
    fields = ResponseFields(asked_s=0, answered_s=0, passed=PassedOn(cache_control=control), age=age)
    assert source_error_lifetime_s(415, storage(fields, rules), fields, rules) == expected_s


KEY = record_key("cat", origin="http://o")
SAMPLE = NegativeEntry(
    status=415,
    born_ms=1_700_000_000_123,
    lifetime_s=60,
    generation=1_795_000_000_123,
    passed=PassedOn(vary="Accept"),
    is_edges_own=True,
)
GOLDEN = bytes.fromhex(
    "4c456e032555757c3eab8aea2b16127700010000018bcfe5687b0000003c019f000001a1ee565e7b00000000000000000000"
    "0006416363657074"
)


def test_an_entry_is_read_back_as_it_was_written() -> None:
    packed = pack_negative_entry(SAMPLE, KEY)
    assert packed == GOLDEN
    assert unpack_negative_entry(packed, KEY) == SAMPLE
    with pytest.raises(RecordOfOthers):
        unpack_negative_entry(newer(packed), KEY)


def test_an_entry_of_another_status_counts_as_damaged(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis
) -> None:
    """Only this edge's own errors have the flag."""
    key = record_key("cat", origin=origin.url)
    odd = NegativeEntry(
        status=404, born_ms=2**50, lifetime_s=60, generation=2**60, passed=PassedOn(), is_edges_own=True
    )
    store.set(key, pack_negative_entry(odd, key))
    origin.script("/cat", Reply(status=403))
    assert edge.get("/image/cat").headers["cache-status"].endswith("detail=damaged-record")
