"""First requests for many pictures at once: the store is not blamed for a queue, and nothing is fetched in vain."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import redis

from service.errors import StoreUnavailable
from service.records import heartbeat
from service.records.heartbeat import Heartbeat
from service.records.turns import TOGETHER
from service.settings.edge_settings import read_settings
from service.store.connection import Connection, Timeouts
from service.store.embedded import EmbeddedValkey
from service.store.latent_store import LatentStore, Token
from service.store.servers import CONNECTIONS
from tests.service.held_encodes import held_encodes
from tests.service.paused import paused
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.shelf import Shelf
from tests.service.stored import stored_keys
from tests.service.test_lease import FRESH, LIMIT_S, asked_of, lease_of, often
from tests.service.test_revalidation import told
from tests.service.test_store import Alarms


def test_the_wait_for_a_connection_is_not_counted_as_the_stores(valkey: EmbeddedValkey) -> None:
    """Each command keeps its connection for 0.1 s, and the last one waits for 20 others: twice the time-out."""

    async def story() -> int:
        alarms = Alarms()
        connection = Connection(valkey.url, timeouts=Timeouts(timeout_s=1, retry_s=1), observer=alarms)

        async def ask() -> None:
            async with connection.client(None) as client:
                await client.blpop(["never"], timeout=0.1)

        await asyncio.gather(*[ask() for _ in range(20 * CONNECTIONS)])
        await connection.close()
        return alarms.count

    assert asyncio.run(story()) == 0


def test_commands_that_wait_for_a_connection_fail_at_once_when_the_store_stands_still(valkey: EmbeddedValkey) -> None:
    async def story() -> list[str]:
        connection = Connection(valkey.url, timeouts=Timeouts(timeout_s=0.5, retry_s=60), observer=Alarms())
        store = LatentStore(connection)

        async def ask() -> str:
            try:
                await store.end(b"l:1")
            except StoreUnavailable as error:
                return str(error)
            return ""

        with paused(valkey):
            answers = await asyncio.gather(*[ask() for _ in range(5 * CONNECTIONS)])
        await connection.close()
        return answers

    answers = asyncio.run(story())
    assert sum("no answer" in answer for answer in answers) == CONNECTIONS
    assert sum("back-off" in answer for answer in answers) == 4 * CONNECTIONS


def test_leases_are_renewed_while_all_connections_are_in_use(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    often(monkeypatch)

    async def story() -> None:
        connection = Connection(valkey.url, timeouts=Timeouts(timeout_s=60, retry_s=0), observer=Alarms())
        store = LatentStore(connection)
        tokens = [Token(b"l:%d" % number, b"mine") for number in range(2 * heartbeat.TOGETHER)]
        for token in tokens:
            await store.take(token, ttl_ms=60_000)

        async def occupy() -> None:
            async with connection.client(None) as client:
                await client.blpop(["never"], timeout=0)

        occupying = [asyncio.create_task(occupy()) for _ in range(CONNECTIONS)]
        beating = Heartbeat(store)
        try:
            with redis.Redis.from_url(valkey.url) as direct, direct.monitor() as monitor, ExitStack() as held:
                for token in tokens:
                    held.enter_context(beating.renewing(token))
                await asyncio.to_thread(renewals, monitor, 3 * len(tokens))
        finally:
            await cancelled(occupying)
            await connection.close()

    asyncio.run(story())


async def cancelled(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel the tasks until they have ended: redis-py loses a cancellation that arrives while it connects."""
    while any(not task.done() for task in tasks):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=0.1)


def renewals(monitor: redis.client.Monitor, count: int) -> None:
    while count:
        count -= "PEXPIRE" in monitor.next_command()["command"]  # type: ignore[no-untyped-call]


def test_a_lost_lease_is_not_renewed_any_more_and_the_others_are(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    often(monkeypatch)

    async def story() -> bytes | None:
        connection = Connection(valkey.url, timeouts=Timeouts(timeout_s=60, retry_s=0), observer=Alarms())
        store = LatentStore(connection)
        mine, lost = Token(b"l:mine", b"mine"), Token(b"l:lost", b"mine")
        await store.take(mine, ttl_ms=60_000)
        await store.take(Token(lost.lease, b"yours"), ttl_ms=60_000)
        beating = Heartbeat(store)
        with (
            redis.Redis.from_url(valkey.url) as direct,
            direct.monitor() as monitor,
            beating.renewing(mine),
            beating.renewing(lost),
        ):
            await asyncio.to_thread(renewals, monitor, 3)
        holder = await store.get(lost.lease)
        await connection.close()
        return holder

    assert asyncio.run(story()) == b"yours"


@pytest.fixture(scope="module")
def _small(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    """An edge that refuses each fill that would have to wait, once it knows how long a turn takes."""
    # A fetch keeps its turn, however long the origin takes.
    held = {"origin_slow_fetches": 0, "origin_timeout_s": 60}
    options = {"fetch_wait_s": 1e-6, "hold_off_s": 0, **held}
    with running_edge(read_settings(origin=_session_origin.url, redis_url=session_valkey.url, **options)) as edge:
        yield edge


@pytest.fixture
def small(_small: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis) -> RunningEdge:
    store.flushall()
    origin.script("/first", Reply(photo, headers=FRESH))
    _small.get("/image/first")
    _small.arrivals.reset()
    return _small


@contextmanager
def all_turns_taken(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> Iterator[None]:
    """As many fills as may be under way wait for the origin during the block. They are answered at its end.

    Their pictures may not be stored, so that the codec has nothing to do with them: it may be slow.
    """
    gate = threading.Event()
    replies = [Reply(photo, headers={"Cache-Control": "no-store"}, gate=gate) for _ in range(TOGETHER)]
    for number, reply in enumerate(replies):
        origin.script(f"/held-{number}", reply)

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=edge.url, timeout=120, trust_env=False) as client:
            return await asyncio.gather(*[client.get(f"/image/held-{number}?res=medium") for number in range(TOGETHER)])

    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.extend(asyncio.run(ask())))
    asking.start()
    try:
        for reply in replies:
            assert reply.arrived.wait(LIMIT_S)
        yield
    finally:
        gate.set()
        asking.join()
    assert {answer.status_code for answer in answers} == {200}


def test_a_miss_that_would_wait_for_too_long_is_refused_before_anything_is_spent_on_it(
    small: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    with all_turns_taken(small, origin, photo):
        refused = small.get("/image/too-many")  # the origin has no script for it
        assert not store.exists(lease_of(origin, "too-many"))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    origin.script("/too-many", Reply(photo, headers=FRESH))
    assert told(small.get("/image/too-many")) == "latentedge; fwd=uri-miss; stored"
    assert small.metric("edge_store_errors_total") == 0


def test_a_stale_picture_is_shown_if_its_validation_is_refused(
    small: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    origin.script("/old", Reply(photo, headers=FRESH))
    small.get("/image/old")
    Shelf(store, origin, "old").age(601)
    with all_turns_taken(small, origin, photo):
        shown = small.get("/image/old")
    assert shown.status_code == 200
    assert shown.headers["cache-status"].startswith("latentedge; hit; ttl=-")
    assert shown.headers["cache-status"].endswith("; detail=stale-if-error")


def test_a_crowd_holds_no_more_leases_than_it_fetches_pictures(
    session_valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    """The others wait without a command to the store, and each picture is fetched once.

    All pictures but a few may not be stored, so that the codec, which may be slow, is done soon.
    """
    store.flushall()
    crowd, storable, gate = 2 * TOGETHER, 3, threading.Event()
    fields = [FRESH] * storable + [{"Cache-Control": "no-store"}] * (crowd - storable)
    replies = [Reply(photo, headers=field, gate=gate) for field in fields]
    for number, reply in enumerate(replies):
        origin.script(f"/{number}", reply)
    held = {"origin_slow_fetches": 0, "origin_timeout_s": 60}
    settings = read_settings(origin=origin.url, redis_url=session_valkey.url, **held)
    with running_edge(settings) as edge:

        async def ask() -> tuple[int, list[httpx.Response]]:
            limits = httpx.Limits(max_connections=crowd + 1)
            async with httpx.AsyncClient(base_url=edge.url, timeout=120, limits=limits, trust_env=False) as client:
                asking = [asyncio.create_task(client.get(f"/image/{n}?res=medium")) for n in range(crowd)]
                await asyncio.to_thread(edge.arrivals.wait_for, crowd)
                while sum(reply.arrived.is_set() for reply in replies) < TOGETHER:
                    await client.get("/livez")
                leases = len(list(store.scan_iter("l:*")))
                gate.set()
                return leases, await asyncio.gather(*asking)

        leases, answers = asyncio.run(ask())
        assert (leases, edge.metric("edge_store_errors_total")) == (TOGETHER, 0)
        assert {answer.status_code for answer in answers} == {200}
        assert edge.metric("edge_store_errors_total") == 0
    stored = sum("stored" in answer.headers["cache-status"] for answer in answers)
    assert stored == len(stored_keys(store)) == storable


def test_an_edge_waits_for_another_one_as_long_as_that_one_works(
    session_valkey: EmbeddedValkey,
    edge: RunningEdge,
    origin: ScriptedOrigin,
    photo: bytes,
    store: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The encode takes longer than the time-out of a whole fetch."""
    monkeypatch.setattr(heartbeat, "LEASE_MS", 2000)  # and the time between two checks
    monkeypatch.setattr(heartbeat, "RENEWALS", 20)
    origin.script("/cat", Reply(photo, headers=FRESH))
    settings = read_settings(origin=origin.url, redis_url=session_valkey.url, origin_timeout_s=0.3, stale_wait_s=0.1)
    with running_edge(settings) as other, held_encodes() as held, asked_of(edge, "/image/cat") as first:
        assert held.begun.wait(LIMIT_S)
        with asked_of(other, "/image/cat") as second, store.monitor() as monitor:  # type: ignore[no-untyped-call]
            try:
                checks = 0
                while checks < 2:  # it has waited for longer than its own fetch could take
                    checks += monitor.next_command()["command"] == f"PTTL {lease_of(origin, 'cat').decode()}"
                assert not second
            finally:
                held.may_go_on.set()
    assert told(first[0]) == "latentedge; fwd=uri-miss; stored"
    assert told(second[0]) == "latentedge; fwd=uri-miss; collapsed"
    assert second[0].content == first[0].content
