"""Two edges on one store ask the origin once, whatever happens to the one that asks."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import redis

from service.records import heartbeat
from service.records import lease as leases
from service.records.lease import Leases, Standing
from service.records.store_keys import lease_key, record_key
from service.records.turns import Turns
from service.settings.edge_settings import read_settings
from service.store.connection import Connection, Timeouts
from service.store.embedded import EmbeddedValkey
from service.store.latent_store import LatentStore
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.shelf import Shelf
from tests.service.stored import stored_keys
from tests.service.test_revalidation import encodes, told
from tests.service.test_store import Alarms

FRESH = {"Cache-Control": "max-age=600", "ETag": '"v1"'}
PRIVATE = {"Cache-Control": "private"}
LIMIT_S = 60
SHORT_S = 30
"""Seconds: less than a lease lasts that was just renewed."""


@pytest.fixture(scope="module")
def _twin(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    with running_edge(read_settings(origin=_session_origin.url, redis_url=session_valkey.url)) as edge:
        yield edge


@pytest.fixture
def twin(edge: RunningEdge, _twin: RunningEdge) -> RunningEdge:
    """A second edge on the store of `edge`."""
    _ = edge  # empties the store
    _twin.arrivals.reset()
    return _twin


def lease_of(origin: ScriptedOrigin, image_id: str) -> bytes:
    return lease_key(record_key(image_id, origin=origin.url))


def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew leases ten times a second, and let them last so long that none ends on a busy machine."""
    monkeypatch.setattr(heartbeat, "LEASE_MS", 60_000)
    monkeypatch.setattr(heartbeat, "RENEWALS", 600)


@contextmanager
def asked_of(edge: RunningEdge, path: str, **options: object) -> Iterator[list[httpx.Response]]:
    """A request that is under way during the block, and answered at its end."""
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(edge.get(path, **options)))
    edge.arrivals.reset()
    asking.start()
    edge.arrivals.wait_for(1)
    try:
        yield answers
    finally:
        asking.join()


def test_first_requests_at_two_edges_make_one_fetch(
    edge: RunningEdge, twin: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    reply = Reply(photo, headers=FRESH, gate=threading.Event())
    origin.script("/cat", reply)
    with asked_of(edge, "/image/cat") as first:
        assert reply.arrived.wait(LIMIT_S)
        with asked_of(twin, "/image/cat") as second, reads_of(store, lease_of(origin, "cat")) as read:
            read(3)  # it waits
            assert not second
            assert reply.gate is not None
            reply.gate.set()
    assert told(first[0]) == "latentedge; fwd=uri-miss; stored"
    assert told(second[0]) == "latentedge; fwd=uri-miss; collapsed"
    assert second[0].content == first[0].content
    assert second[0].headers["etag"] == first[0].headers["etag"]
    assert twin.metric('edge_cache_requests_total{res="high",status="collapsed"}') == 1
    assert told(twin.get("/image/cat")) == "latentedge; hit"
    assert not store.exists(lease_of(origin, "cat"))


@contextmanager
def reads_of(store: redis.Redis, key: bytes) -> Iterator["Reads"]:
    """The store's own account of who asks for a key: a barrier for those who wait for one."""
    with store.monitor() as monitor:  # type: ignore[no-untyped-call]
        yield Reads(monitor, key)


class Reads:
    def __init__(self, monitor: redis.client.Monitor, key: bytes) -> None:
        self._monitor = monitor
        self._line = f"GET {key.decode()}"

    def __call__(self, count: int) -> None:
        """Until there were so many."""
        while count:
            count -= self._monitor.next_command()["command"] == self._line  # type: ignore[no-untyped-call]


def test_herds_at_two_edges_that_find_a_picture_expired_make_one_request(
    edge: RunningEdge, twin: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    validation = Reply(status=304, headers=FRESH, gate=threading.Event())
    origin.script("/cat", Reply(photo, headers=FRESH), validation)
    edge.get("/image/cat")
    shelf = Shelf(store, origin)
    shelf.age(601)
    encoded = encodes(edge) + encodes(twin)
    for one in (edge, twin):
        one.arrivals.reset()

    async def herd() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=120, trust_env=False) as client:
            tasks = [
                asyncio.create_task(client.get(f"{one.url}/image/cat?res=medium"))
                for one in (edge, twin)
                for _ in range(20)
            ]
            for one in (edge, twin):
                await asyncio.to_thread(one.arrivals.wait_for, 20)
            assert validation.gate is not None
            validation.gate.set()
            return await asyncio.gather(*tasks)

    answers = asyncio.run(herd())
    assert {answer.status_code for answer in answers} == {200}
    assert sum("fwd-status=304; stored" in answer.headers["cache-status"] for answer in answers) == 1
    assert encodes(edge) + encodes(twin) == encoded


def test_a_picture_that_may_be_shown_stale_is_shown_while_another_edge_validates(
    edge: RunningEdge, twin: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    said = {**FRESH, "Cache-Control": "max-age=600, stale-while-revalidate=60"}
    validation = Reply(status=304, headers=said, gate=threading.Event())
    origin.script("/cat", Reply(photo, headers=said), validation)
    edge.get("/image/cat")
    Shelf(store, origin).age(601)
    assert "detail=stale-while-revalidate" in edge.get("/image/cat").headers["cache-status"]
    assert validation.arrived.wait(LIMIT_S)
    with store.monitor() as monitor:  # type: ignore[no-untyped-call]
        for _ in range(3):
            assert "detail=stale-while-revalidate" in twin.get("/image/cat").headers["cache-status"]
        store.get("the end")
        poll, command = f"GET {lease_of(origin, 'cat').decode()}", monitor.next_command()
        while command["command"] != "GET the end":
            assert command["command"] != poll or command["client_type"] == "lua", "somebody waits for the lease"
            command = monitor.next_command()
    assert validation.gate is not None
    validation.gate.set()


EDGE = """
import sys
from service.records import heartbeat
heartbeat.LEASE_MS = 2000
from service.serving.launch import run
from service.settings.edge_settings import read_settings
run(read_settings(), host="127.0.0.1", port=int(sys.argv[1]))
"""


def test_a_leader_that_is_killed_leaves_the_picture_to_another(
    twin: RunningEdge,
    origin: ScriptedOrigin,
    photo: bytes,
    session_valkey: EmbeddedValkey,
    store: redis.Redis,
) -> None:
    """Its lease ends by itself: nobody is left to give it back."""
    given_up, filled = Reply(photo, headers=FRESH, gate=threading.Event()), Reply(photo, headers=FRESH)
    origin.script("/cat", given_up, filled)
    environment = {**os.environ, "EDGE_ORIGIN": origin.url, "EDGE_REDIS_URL": session_valkey.url}
    with subprocess.Popen([sys.executable, "-c", EDGE, "0"], env=environment, stderr=subprocess.PIPE) as leader:
        with asked_in_vain(address_of(leader)):
            assert given_up.arrived.wait(LIMIT_S)
            with asked_of(twin, "/image/cat") as answers, reads_of(store, lease_of(origin, "cat")) as read:
                read(2)
                leader.send_signal(signal.SIGKILL)
        assert leader.wait(LIMIT_S) == -signal.SIGKILL
    assert given_up.gate is not None
    given_up.gate.set()
    assert told(answers[0]) == "latentedge; fwd=uri-miss; stored"
    assert told(twin.get("/image/cat")) == "latentedge; hit"


def address_of(server: subprocess.Popen[bytes]) -> str:
    assert server.stderr is not None
    for line in server.stderr:
        if b"running on" in line:
            address = line.decode().partition("http://")[2].split()[0]
            return f"http://{address}"
    pytest.fail("the edge did not start")


def asked_and_left(edge: RunningEdge, path: str, reply: Reply) -> None:
    """A client that hangs up while the origin is being asked, and what the edge makes of it."""
    edge.arrivals.reset()
    url = httpx.URL(edge.url)
    with socket.create_connection((url.host, url.port or 80)) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: edge\r\n\r\n".encode())
        assert reply.arrived.wait(LIMIT_S)
    edge.arrivals.wait_for_ends(1)
    assert reply.gate is not None
    reply.gate.set()


@contextmanager
def asked_in_vain(url: str) -> Iterator[None]:
    """A request whose server is killed in the block."""

    def ask() -> None:
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{url}/image/cat", timeout=LIMIT_S, trust_env=False)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        asking.join()


def test_a_leader_that_was_held_up_for_too_long_stores_nothing(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    """Somebody else may have filled, and somebody else's purge may have emptied: what is late is late."""
    late = Reply(photo, headers=FRESH, gate=threading.Event())
    origin.script("/cat", late)
    with asked_of(edge, "/image/cat") as answers:
        assert late.arrived.wait(LIMIT_S)
        store.set(lease_of(origin, "cat"), b"another's token", px=60_000)
        assert late.gate is not None
        late.gate.set()
    assert (answers[0].status_code, told(answers[0])) == (200, "latentedge; fwd=uri-miss")
    assert not stored_keys(store)
    assert store.get(lease_of(origin, "cat")) == b"another's token"


def test_a_lease_lasts_as_long_as_its_fill(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    often(monkeypatch)
    slow = Reply(photo, headers=FRESH, gate=threading.Event())
    origin.script("/cat", slow)
    key = lease_of(origin, "cat")
    with asked_of(edge, "/image/cat") as answers:
        assert slow.arrived.wait(LIMIT_S)
        held = store.get(key)
        with store.monitor() as monitor:  # type: ignore[no-untyped-call]
            store.expire(key, SHORT_S)
            while "PEXPIRE" not in monitor.next_command()["command"]:
                pass
        assert store.get(key) == held
        assert store.ttl(key) > SHORT_S
        assert slow.gate is not None
        slow.gate.set()
    assert told(answers[0]) == "latentedge; fwd=uri-miss; stored"


def test_who_has_waited_long_enough_asks_the_origin_and_stores_nothing(
    session_valkey: EmbeddedValkey, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    """As nginx's proxy_cache_lock_timeout."""
    _ = edge
    origin.script("/cat", Reply(photo, headers=FRESH))
    store.set(lease_of(origin, "cat"), b"another's token", px=60_000)
    settings = read_settings(origin=origin.url, redis_url=session_valkey.url, origin_timeout_s=1.0)
    with running_edge(settings) as impatient:
        answer = impatient.get("/image/cat")
    assert (answer.status_code, told(answer)) == (200, "latentedge; fwd=uri-miss; detail=no-lease")
    assert not stored_keys(store)


def test_no_more_may_wait_than_the_setting_says(
    session_valkey: EmbeddedValkey, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    _ = edge
    reply = Reply(photo, headers=FRESH, gate=threading.Event())
    origin.script("/cat", reply)
    with running_edge(read_settings(origin=origin.url, redis_url=session_valkey.url, waiters=2)) as small:

        async def crowd() -> list[httpx.Response]:
            async with httpx.AsyncClient(base_url=small.url, timeout=120, trust_env=False) as client:
                tasks = [asyncio.create_task(client.get("/image/cat")) for _ in range(5)]
                refused, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                assert {task.result().status_code for task in refused} == {503}
                assert reply.gate is not None
                await asyncio.to_thread(small.arrivals.wait_for, 5)
                reply.gate.set()
                return await asyncio.gather(*tasks)

        answers = asyncio.run(crowd())
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 503, 503]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert "hit" in small.get("/image/cat").headers["cache-status"]


class TestWhatMayNotBeStored:
    """Varnish's hit-for-miss: nobody waits for an answer that is not for him."""

    def test_nobody_waits_for_anybody_once_it_is_known(
        self, edge: RunningEdge, twin: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
    ) -> None:
        slow = [Reply(photo, headers=PRIVATE, gate=threading.Event()) for _ in range(3)]
        origin.script("/mine", Reply(photo, headers=PRIVATE), *slow)
        edge.get("/image/mine")
        assert 0 < store.pttl(lease_of(origin, "mine")) <= leases.HIT_FOR_MISS_MS
        with asked_of(edge, "/image/mine"), asked_of(edge, "/image/mine"), asked_of(twin, "/image/mine"):
            for reply in slow:  # all three are at the origin at the same time
                assert reply.arrived.wait(LIMIT_S)
            for reply in slow:
                assert reply.gate is not None
                reply.gate.set()
        assert not stored_keys(store)

    def test_a_client_that_leaves_does_not_make_others_wait_again(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
    ) -> None:
        left, *slow = [Reply(photo, headers=PRIVATE, gate=threading.Event()) for _ in range(3)]
        origin.script("/mine", Reply(photo, headers=PRIVATE), left, *slow)
        edge.get("/image/mine")
        asked_and_left(edge, "/image/mine", left)
        with asked_of(edge, "/image/mine"), asked_of(edge, "/image/mine"):
            for reply in slow:  # both are at the origin at the same time
                assert reply.arrived.wait(LIMIT_S)
            assert store.get(lease_of(origin, "mine")) == leases.HIT_FOR_MISS
            for reply in slow:
                assert reply.gate is not None
                reply.gate.set()

    def test_what_may_be_stored_again_is_stored_again(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
    ) -> None:
        origin.script("/ours", Reply(photo, headers=PRIVATE), *[Reply(photo, headers=FRESH)] * 2)
        outcomes = [told(edge.get("/image/ours")) for _ in range(4)]
        assert outcomes == [
            "latentedge; fwd=uri-miss; detail=private",
            "latentedge; fwd=uri-miss",
            "latentedge; fwd=uri-miss; stored",
            "latentedge; hit",
        ]

    def test_an_error_ends_it_too(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
    ) -> None:
        origin.script("/gone", Reply(photo, headers=PRIVATE), *[Reply(status=404)] * 2)
        for _ in range(4):
            answer = edge.get("/image/gone")
        assert answer.status_code == 404
        assert len(stored_keys(store)) == 1


def test_a_store_that_does_not_answer_gives_no_lease_and_no_wait() -> None:
    async def story() -> Standing:
        connection = Connection("unix:///none", timeouts=Timeouts(timeout_s=1, retry_s=1), observer=Alarms())
        turns = Turns(1, wait_s=0)
        async with Leases(LatentStore(connection), turns, patience_s=60).line(b"l:1").lease() as lease:
            assert lease.may_fill
            assert lease.writes is None
            return lease.standing

    assert asyncio.run(story()) is Standing.UNKNOWN
