"""Edges with old and new weights on one store: every hit stays a hit, and no edge overwrites another's records."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from skimage import data

from models.bitstream import stream_id_of
from models.codec import Codec
from service.cache.reencoder import MARK_PREFIX
from service.metrics.outcomes import ReencodeOutcome
from service.records.record import Record, pack, unpack
from service.records.store_keys import KEY_PREFIX, record_key
from service.render import image_file
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.command_line import Shell
from tests.service.other_weights import write_other_weights
from tests.service.purging import LIMIT_S, TOKEN, purge
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import afresh
from tests.service.test_newer_records import held, told
from tests.service.test_refinement_stories import writes_to
from tests.service.test_source_first import wait_until
from tests.service.tiers import passed_over
from tests.service.varying import DE, EN, Variants, ask, in_language

CATS = {"Cache-Control": "max-age=600", "ETag": '"v1"', "Cache-Tag": "cats"}
MISS, HIT = "latentedge; fwd=uri-miss; stored", "latentedge; hit"
LEFT = "latentedge; fwd=bypass; detail=other-weights"
AT_ONCE = 1e6
"""Latents a minute: as many as are offered."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The new weights."""
    path = tmp_path_factory.mktemp("weights") / "new.safetensors"
    write_other_weights(path)
    return path


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released weights, as a file for a setting."""
    from models.checkpoint import RELEASED

    path = tmp_path_factory.mktemp("weights") / "old.safetensors"
    path.symlink_to(RELEASED)
    return path


@pytest.fixture(scope="module")
def new_stream(weights: Path) -> bytes:
    return Codec.load(weights).stream_id


def edge_with(store: EmbeddedValkey, origin: ScriptedOrigin, **given: object) -> AbstractContextManager[RunningEdge]:
    settings = {"admin_token": TOKEN, "hold_off_s": 0, "forward": "all", "latent_token": LATENT_TOKEN, **given}
    return running_edge(read_settings(origin=origin.url, redis_url=store.url, **settings))


@pytest.fixture(scope="module")
def _old(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    with edge_with(session_valkey, _session_origin) as edge:
        yield edge


@pytest.fixture(scope="module")
def _new(
    session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin, weights: Path, released: Path
) -> Iterator[RunningEdge]:
    given = {"weights": weights, "previous_weights": released, "reencode_per_minute": AT_ONCE}
    with edge_with(session_valkey, _session_origin, **given) as edge:
        yield edge


@pytest.fixture
def old(_old: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    """An edge with the old weights, and an empty store."""
    return afresh(_old, session_valkey)


@pytest.fixture
def new(_new: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    """An edge with the new weights on the same store, which also reads latents of the old weights."""
    return afresh(_new, session_valkey)


def stored(store: redis.Redis, key: bytes) -> Record:
    return unpack(held(store, key), key)


def reencodes(edge: RunningEdge, outcome: ReencodeOutcome) -> float:
    return edge.metric(f'edge_reencodes_total{{outcome="{outcome.value}"}}')


def test_hits_before_during_and_after(
    old: RunningEdge, new: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, new_stream: bytes
) -> None:
    """Three fetches: the fill, the re-encode, and one of the old edge, which cannot read the new latent."""
    key = record_key("rolled", origin=origin.url)
    origin.script("/rolled", *[Reply(photo, headers=CATS)] * 3)
    with writes_to(store, key) as written:
        first = old.get("/image/rolled")
        written()
        before = stored(store, key)
        hit = new.get("/image/rolled")
        assert (told(first), told(hit)) == (MISS, HIT)
        assert (hit.content, hit.headers["etag"]) == (first.content, first.headers["etag"])
        written()
    after = stored(store, key)
    assert after.stream_id == new_stream
    unlike = ("bitstream", "stream_id", "quality", "filled_ms")
    assert replace(after, **{name: getattr(before, name) for name in unlike}) == before
    assert after.filled_ms > before.filled_ms
    values = {held(store, key)}
    for number in range(5):
        renewed, left = new.get("/image/rolled"), old.get("/image/rolled")
        assert told(renewed) == HIT
        assert told(left) == (HIT if number else LEFT)
        assert renewed.headers["etag"] != first.headers["etag"] == left.headers["etag"]
        assert left.content == first.content
        values.add(held(store, key))
    assert len(values) == 1


@pytest.mark.parametrize("side", ["old", "new"])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("what", [{"id": "purged"}, {"tag": "cats"}, {"all": True}])
def test_purges_hold_on_both_sides(  # noqa: PLR0913, PLR0917  (fixtures)
    old: RunningEdge,
    new: RunningEdge,
    origin: ScriptedOrigin,
    photo: bytes,
    what: dict[str, object],
    soft: bool,  # noqa: FBT001
    side: str,
) -> None:
    again = Reply(status=304, headers=CATS | {"Cache-Control": "max-age=700"}) if soft else Reply(photo, headers=CATS)
    whole = Reply(photo, headers=CATS)
    origin.script("/purged", whole, whole, again, whole)
    assert [told(new.get("/image/purged")), told(old.get("/image/purged"))] == [MISS, LEFT]
    purge(old if side == "old" else new, **what, soft=soft)
    answers = [told(one) for edge in (new, old) for one in (edge.get("/image/purged"), edge.get("/image/purged"))]
    assert [one == HIT for one in answers] == [False, True, False, True]


def test_each_variant_is_reencoded_from_its_own_source(
    old: RunningEdge, new: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, new_stream: bytes
) -> None:
    variants = Variants(store, origin, "varied")
    origin.script("/varied", *[in_language(one) for one in ("en", "de", "en", "de")])
    first = [ask(old, asked, "/image/varied") for asked in (EN, DE)]
    for asked, before in zip((EN, DE), first, strict=True):
        with writes_to(store, variants.key(asked)) as written:
            hit = ask(new, asked, "/image/varied")
            assert (told(hit), hit.content) == (HIT, before.content)
            written()
    assert [variants.record(asked).stream_id for asked in (EN, DE)] == [new_stream] * 2
    assert [request.headers["accept-language"] for request in origin.requests] == ["en", "de", "en", "de"]
    assert [told(ask(new, asked, "/image/varied")) for asked in (EN, DE)] == [HIT] * 2


@pytest.mark.parametrize("what", [{"id": "raced"}, {"id": "raced", "soft": True}, {"tag": "cats"}])
def test_a_purge_during_the_encode_wins(
    valkey: EmbeddedValkey,
    origin: ScriptedOrigin,
    photo: bytes,
    weights: Path,
    released: Path,
    what: dict[str, object],
) -> None:
    gate = threading.Event()
    late = Reply(photo, headers=CATS, gate=gate)
    origin.script("/raced", Reply(photo, headers=CATS), late, Reply(photo, headers=CATS))
    with edge_with(valkey, origin) as filling:
        filling.get("/image/raced")
    given = {"weights": weights, "previous_weights": released, "reencode_per_minute": AT_ONCE}
    with edge_with(valkey, origin, **given) as edge:
        assert told(edge.get("/image/raced")) == HIT
        assert late.arrived.wait(LIMIT_S)
        purge(edge, **what)
        gate.set()
        wait_until(lambda: edge.metric("edge_reencodes_total") == 1)
        assert told(edge.get("/image/raced")) != HIT
        assert told(edge.get("/image/raced")) == HIT


def test_a_validation_keeps_a_latent_that_was_reencoded_meanwhile(
    old: RunningEdge, new: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, weights: Path
) -> None:
    """The record gets new dates, and keeps the new latent."""
    key, gate = record_key("confirmed", origin=origin.url), threading.Event()
    late = Reply(status=304, headers=CATS, gate=gate)
    origin.script("/confirmed", Reply(photo, headers=CATS), late)
    old.get("/image/confirmed")
    stale = replace(stored(store, key), born_ms=0)
    store.set(key, pack(stale, key), ex=600)
    bitstream = Codec.load(weights).encode(image_file.square(data.astronaut(), 344), quality=20)  # type: ignore[no-untyped-call]
    better = replace(stale, bitstream=bitstream, stream_id=stream_id_of(bitstream), quality=20, filled_ms=7)
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(new.get, "/image/confirmed")
        assert late.arrived.wait(LIMIT_S)
        store.set(key, pack(better, key), ex=600)
        gate.set()
        assert "fwd-status=304" in told(asked.result())
    after = stored(store, key)
    assert (after.bitstream, after.stream_id, after.quality, after.filled_ms) == (bitstream, bitstream[3:7], 20, 7)
    assert after.born_ms > 0
    assert told(new.get("/image/confirmed")) == HIT


def test_a_file_that_has_changed_is_left_to_its_validation(
    old: RunningEdge, new: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    key, changed = record_key("changed", origin=origin.url), Reply(in_language("de").body, headers=CATS)
    origin.script("/changed", Reply(photo, headers=CATS), changed)
    old.get("/image/changed")
    before = reencodes(new, ReencodeOutcome.CHANGED)
    value = held(store, key)
    assert told(new.get("/image/changed")) == HIT
    assert changed.arrived.wait(LIMIT_S)
    wait_until(lambda: reencodes(new, ReencodeOutcome.CHANGED) > before)
    assert [told(new.get("/image/changed")) for _ in range(5)] == [HIT] * 5
    assert held(store, key) == value


def test_reencodes_are_limited_per_minute(
    valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, weights: Path, released: Path, new_stream: bytes
) -> None:
    names = [f"paced{number}" for number in range(4)]
    keys = {name: record_key(name, origin=origin.url) for name in names}
    with edge_with(valkey, origin) as filling:
        for name in names:
            origin.script(f"/{name}", Reply(photo, headers=CATS))
            filling.get(f"/image/{name}")
    origin.script(f"/{names[0]}", Reply(photo, headers=CATS))
    given = {"weights": weights, "previous_weights": released, "reencode_per_minute": 0.01}
    with (
        redis.Redis.from_url(valkey.url) as store,
        writes_to(store, keys[names[0]]) as written,
        edge_with(valkey, origin, **given) as edge,
    ):
        assert [told(edge.get(f"/image/{name}")) for name in names] == [HIT] * 4
        written()
        assert [told(edge.get(f"/image/{name}")) for name in names] == [HIT] * 4
        assert [stored(store, keys[name]).stream_id == new_stream for name in names] == [True, False, False, False]
        wait_until(lambda: reencodes(edge, ReencodeOutcome.STORED) == 1)


def test_two_processes_do_not_reencode_the_same_picture(
    old: RunningEdge, new: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    key = record_key("taken", origin=origin.url)
    origin.script("/taken", Reply(photo, headers=CATS))
    old.get("/image/taken")
    value, before = held(store, key), reencodes(new, ReencodeOutcome.ELSEWHERE)
    store.set(key.replace(KEY_PREFIX, MARK_PREFIX), b"another's", ex=60)
    assert told(new.get("/image/taken")) == HIT
    wait_until(lambda: reencodes(new, ReencodeOutcome.ELSEWHERE) == before + 1)
    assert held(store, key) == value


def test_edges_with_both_weights_never_fetch_twice(
    new: RunningEdge,
    session_valkey: EmbeddedValkey,
    origin: ScriptedOrigin,
    store: redis.Redis,
    photo: bytes,
    weights: Path,
) -> None:
    """The roll-out in two passes: first every edge reads both weights, then edge by edge writes the new ones."""
    key = record_key("both", origin=origin.url)
    origin.script("/both", *[Reply(photo, headers=CATS)] * 2)
    with (
        edge_with(session_valkey, origin, previous_weights=weights, reencode_per_minute=0) as ready,
        writes_to(store, key) as written,
    ):
        first = ready.get("/image/both")
        written()
        assert told(new.get("/image/both")) == HIT
        written()
        value = held(store, key)
        answers = [edge.get("/image/both") for _ in range(3) for edge in (ready, new)]
        assert [told(one) for one in answers] == [HIT] * 6
        assert len({one.headers["etag"] for one in answers}) == len({one.content for one in answers}) == 1
        assert answers[0].headers["etag"] != first.headers["etag"]
        assert held(store, key) == value


def test_edges_with_different_weights_do_not_overwrite_each_others_latents(
    valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, weights: Path
) -> None:
    """Without EDGE_PREVIOUS_WEIGHTS, each edge fetches once, and one of them stores its record."""
    origin.script("/strange", *[Reply(photo, headers=CATS)] * 2)
    key = record_key("strange", origin=origin.url)
    with (
        redis.Redis.from_url(valkey.url) as store,
        edge_with(valkey, origin) as one,
        edge_with(valkey, origin, weights=weights) as other,
    ):
        rounds = []
        values = set()
        for _ in range(5):
            rounds.append((told(one.get("/image/strange")), told(other.get("/image/strange"))))
            values.add(held(store, key))
        assert rounds == [(MISS, LEFT), *[(HIT, HIT)] * 4]
        assert len(values) == 1
        long_ago = replace(stored(store, key), filled_ms=0)
        origin.script("/strange", Reply(photo, headers=CATS))
        store.set(key, pack(long_ago, key), ex=600)
        assert told(other.get("/image/strange")) == f"{MISS}; detail=foreign-record"


def test_a_child_takes_the_latents_of_a_parent_with_the_previous_weights(
    old: RunningEdge, valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, weights: Path, released: Path
) -> None:
    origin.script("/handed", Reply(photo, headers=CATS))
    right = old.get("/image/handed")
    given = {"weights": weights, "previous_weights": released, "reencode_per_minute": 0}
    given |= {"parent": old.url, "parent_token": LATENT_TOKEN}
    with edge_with(valkey, origin, **given) as child:
        answer = child.get("/image/handed")
        assert (answer.content, answer.headers["etag"]) == (right.content, right.headers["etag"])
        assert passed_over(child, "foreign") == 0
        assert told(child.get("/image/handed")) == HIT


def test_the_decoder_process_reads_one_stream(
    latentedge: Shell, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    for name, value in {
        "ORIGIN": "http://origin.example",
        "REDIS_URL": "redis://127.0.0.1:1",
        "DECODER": "process",
        "PREVIOUS_WEIGHTS": str(weights),
    }.items():
        monkeypatch.setenv(f"EDGE_{name}", value)
    outcome = latentedge("serve")
    assert outcome.code == 2
    assert "EDGE_PREVIOUS_WEIGHTS: the decoder process loads only the current weights" in outcome.err


def test_previous_weights_of_the_same_stream_are_refused(
    latentedge: Shell, monkeypatch: pytest.MonkeyPatch, released: Path
) -> None:
    monkeypatch.setenv("EDGE_ORIGIN", "http://127.0.0.1:1")
    monkeypatch.setenv("EDGE_PREVIOUS_WEIGHTS", str(released))
    outcome = latentedge("serve", "--port", "0")
    assert outcome.code == 2
    assert outcome.err == (
        "latentedge: EDGE_PREVIOUS_WEIGHTS: this file has the same stream id as the weights in use; unset it\n"
    )
