"""`latentedge refine` while edges serve from the same store: their changes win, and clients get the better latents."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus

import pytest

from models.codec import Codec
from service.records.record import pack
from service.records.store_keys import generations_key
from service.settings.edge_settings import read_settings
from tests.command_line import Outcome, Shell
from tests.service.filled_cache import STEPS, TTL_S, FilledCache, counted, refined, summary
from tests.service.releases import record_of_the_last_release
from tests.service.running_edge import running_edge
from tests.service.scripted_origin import Reply

FRESH = {"Cache-Control": "public, max-age=600"}
LIMIT_S = 120


def meanwhile(latentedge: Shell, cache: FilledCache, happens: Callable[[], object]) -> Outcome:
    """Sweep the cache, and call `meanwhile` between the look at a record and the end of its search."""
    gate = threading.Event()
    reply = Reply(cache.source, gate=gate)
    cache.origin.script("/cat", reply)

    def interfere() -> None:
        try:
            assert reply.arrived.wait(LIMIT_S)
            happens()
        finally:
            gate.set()

    interfering = threading.Thread(target=interfere)
    interfering.start()
    outcome = latentedge(*cache.arguments())
    interfering.join()
    return outcome


def test_a_purge_during_the_search_wins(latentedge: Shell, cache: FilledCache) -> None:
    cache.put("cat")
    outcome = meanwhile(latentedge, cache, lambda: cache.direct.delete(cache.key("cat")))
    assert summary(outcome) == {"keys": 1, "superseded": 1}
    assert cache.direct.get(cache.key("cat")) is None


def test_a_purge_by_tag_during_the_search_wins(latentedge: Shell, cache: FilledCache) -> None:
    record = cache.put("cat", tags=("cats",), generation=5)

    def purge() -> None:
        cache.direct.hset(generations_key(cache.origin.url), mapping={"latest": 6, "hard:cats": 6})

    outcome = meanwhile(latentedge, cache, purge)
    assert summary(outcome) == {"keys": 1, "superseded": 1}
    assert cache.stored("cat") == record


def test_a_fill_of_another_file_during_the_search_wins(latentedge: Shell, cache: FilledCache) -> None:
    cache.put("cat")
    newer = cache.record("cat", source_digest=bytes(16))
    outcome = meanwhile(latentedge, cache, lambda: cache.put("cat", source_digest=bytes(16)))
    assert summary(outcome) == {"keys": 1, "superseded": 1}
    assert cache.stored("cat") == newer


def test_dates_that_an_edge_renews_during_the_search_stay_renewed(latentedge: Shell, cache: FilledCache) -> None:
    cache.put("cat")
    outcome = meanwhile(latentedge, cache, lambda: cache.put("cat", born_ms=9_000))
    assert summary(outcome) == {"keys": 1, "stored": 1}
    assert cache.stored("cat") == cache.record(
        "cat", born_ms=9_000, bitstream=cache.stored("cat").bitstream, refinement=STEPS
    )


def test_an_interrupted_run_prints_its_result_and_can_be_started_again(latentedge: Shell, cache: FilledCache) -> None:
    names = sorted(("cat", "dog", "owl"), key=cache.key)  # keys of equal heat come in their own order
    gate = threading.Event()
    held = [Reply(cache.source, gate=gate) for _ in names[1:]]
    for name, replies in zip(names, ([], *([one] for one in held)), strict=True):
        cache.put(name)
        cache.origin.script(f"/{name}", *replies, Reply(cache.source))
    command = [sys.executable, "-m", "service", *map(str, cache.arguments("--origin-requests", 2))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert all(one.arrived.wait(LIMIT_S) for one in held)  # two at a time: the first picture is done
        run.send_signal(signal.SIGINT)
        printed, _ = run.communicate(timeout=LIMIT_S)
    gate.set()
    assert run.returncode == 128 + signal.SIGINT
    assert counted(printed) == {"keys": 1, "stored": 1}
    assert refined(latentedge, cache) == {"keys": 3, "searched": 1, "stored": 2}


def test_failures_in_a_row_end_the_run(
    latentedge: Shell, cache: FilledCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("no device")

    monkeypatch.setattr(Codec, "refinement", fail)
    for number in range(9):
        cache.put(f"cat{number}")
        cache.origin.script(f"/cat{number}", *[Reply(cache.source)])
    outcome = latentedge(*cache.arguments())
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1] == (
        "latentedge refine: stopped after several failed searches in a row: no device"
    )
    assert counted(outcome.out) == {"keys": 2, "failed": 2}
    assert 3 <= len(cache.asked()) <= 5  # the searched ones, and up to two that were fetched meanwhile
    assert "no device" in caplog.text
    for number in range(9):
        cache.origin._replies[f"/cat{number}"].clear()


def test_clients_of_an_edge_get_the_better_latent_under_a_new_entity_tag(latentedge: Shell, cache: FilledCache) -> None:
    cache.origin.script("/cat", Reply(cache.source, headers=FRESH), Reply(cache.source))
    settings = read_settings(origin=cache.origin.url, redis_url=cache.store.url)
    with running_edge(settings) as edge:
        first = edge.get("/image/cat").headers["etag"]
        assert cache.stored("cat").image_id == "cat"
        assert refined(latentedge, cache)["keys"] == 1
        again = edge.get("/image/cat", headers={"If-None-Match": first})
        assert again.status_code == HTTPStatus.OK
        assert again.headers["cache-status"].startswith("latentedge; hit")
        assert again.headers["etag"] != first


def test_variants_and_negative_entries_are_skipped_and_counted(latentedge: Shell, cache: FilledCache) -> None:
    varying = FRESH | {"Vary": "Accept-Language"}
    cache.origin.script("/cat", *[Reply(cache.source, headers=varying)] * 2)
    cache.origin.script("/none", Reply(status=404))
    with running_edge(read_settings(origin=cache.origin.url, redis_url=cache.store.url)) as edge:
        for language in ("de", "en"):
            edge.get("/image/cat", headers={"Accept-Language": language})
        edge.get("/image/none")
    assert refined(latentedge, cache) == {"keys": 4, "vary_rule": 1, "variant": 2, "refusal": 1}


def test_records_of_the_last_version_are_served_and_left_out_until_they_are_confirmed(
    latentedge: Shell, cache: FilledCache
) -> None:
    """An upgrade must not empty the cache."""
    cache.direct.hset(generations_key(cache.origin.url), mapping={"latest": 1, "hard": 1})
    now_ms = round(time.time() * 1000)
    for name, born_ms in (("fresh", now_ms), ("stale", 0)):
        old = cache.record(name, image_id="", origin_etag='"v1"', born_ms=born_ms, generation=1)
        cache.direct.set(cache.key(name), record_of_the_last_release(pack(old, cache.key(name))), ex=TTL_S)
        assert cache.stored(name) == old
    assert refined(latentedge, cache) == {"keys": 2, "without_id": 2}
    cache.origin.script("/stale", Reply(status=304, headers=FRESH | {"ETag": '"v1"'}), Reply(cache.source))
    with running_edge(read_settings(origin=cache.origin.url, redis_url=cache.store.url)) as edge:
        assert edge.get("/image/fresh").headers["cache-status"].startswith("latentedge; hit")
        assert "fwd-status=304" in edge.get("/image/stale").headers["cache-status"]
    assert cache.stored("stale").bitstream == cache.bitstream
    assert refined(latentedge, cache) == {"keys": 2, "without_id": 1, "stored": 1}
