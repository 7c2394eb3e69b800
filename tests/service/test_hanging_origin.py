"""An origin that hangs for some pictures keeps no other picture waiting, and a stale picture is served meanwhile."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
import redis

from service.errors import OriginUnreachable
from service.records.store_keys import record_key
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from service.upstream.origin_client import OriginClient
from tests.service.held_encodes import held_encodes
from tests.service.purging import TOKEN, purge
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin, wire
from tests.service.shelf import Shelf
from tests.service.stored import afresh
from tests.service.test_kept_connections import tell
from tests.service.test_lease import asked_of
from tests.service.test_refinement_stories import writes_to
from tests.service.test_revalidation import BRIEF, told
from tests.service.test_source_first import wait_until
from tests.service.varying import picture

LIMIT_S = 60
WAIT_S = 0.05
HANGING = 70
"""More pictures than there are slots."""
SHOWN = "latentedge; fwd=stale"
NOT_STORED = {"Cache-Control": "no-store"}
"""So that 70 pictures cost no encode each."""


def hanging(photo: bytes = b"", **said: str) -> Reply:
    return Reply(photo, headers={**BRIEF, **said}, gate=threading.Event())


def released(*replies: Reply) -> None:
    for reply in replies:
        assert reply.gate is not None
        reply.gate.set()


@contextmanager
def edge_of(origin: ScriptedOrigin, server: EmbeddedValkey, **given: object) -> Iterator[RunningEdge]:
    settings = {"hold_off_s": 0, "admin_token": TOKEN, "latent_token": LATENT_TOKEN, **given}
    with running_edge(read_settings(origin=origin.url, redis_url=server.url, **settings)) as edge:
        yield afresh(edge, server)


class TestSlots:
    def test_pictures_that_hang_keep_no_other_waiting(
        self, session_valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
    ) -> None:
        replies = [hanging(photo, **NOT_STORED) for _ in range(HANGING)]
        for number, reply in enumerate(replies):
            origin.script(f"/{number}", reply)
        origin.script("/good", Reply(photo, headers=BRIEF))
        with edge_of(origin, session_valkey, origin_timeout_s=LIMIT_S) as edge, ExitStack() as asking:
            answers = [asking.enter_context(asked_of(edge, f"/image/{number}")) for number in range(HANGING)]
            try:
                assert all(reply.arrived.wait(LIMIT_S) for reply in replies), "some were not even asked for"
                assert told(edge.get("/image/good")) == "latentedge; fwd=uri-miss; stored"
                assert not any(answers)
            finally:
                released(*replies)
        assert [answer.status_code for (answer,) in answers] == [200] * HANGING

    def test_pictures_that_come_in_drips_keep_no_other_waiting(
        self, session_valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
    ) -> None:
        begun = wire(photo, cache_control=NOT_STORED["Cache-Control"])
        drips = [Reply(raw=begun[:-1], later=(begun[-1:],)) for _ in range(HANGING)]
        for number, drip in enumerate(drips):
            origin.script(f"/{number}", drip)
        origin.script("/good", Reply(photo, headers=BRIEF))
        with edge_of(origin, session_valkey, origin_timeout_s=LIMIT_S) as edge, ExitStack() as asking:
            answers = [asking.enter_context(asked_of(edge, f"/image/{number}")) for number in range(HANGING)]
            try:
                assert all(drip.arrived.wait(LIMIT_S) for drip in drips), "some were not even asked for"
                assert told(edge.get("/image/good")) == "latentedge; fwd=uri-miss; stored"
                assert not any(answers)
            finally:
                for drip in drips:
                    drip.permits.release()
        assert [answer.status_code for (answer,) in answers] == [200] * HANGING

    def test_one_picture_that_hangs_too_many_is_refused_if_another_waits(
        self, session_valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
    ) -> None:
        slow, refused = hanging(photo), hanging(photo)
        origin.script("/slow", slow)
        origin.script("/refused", refused)
        origin.script("/good", Reply(photo, headers=BRIEF))
        with edge_of(origin, session_valkey, origin_fetches=1, origin_slow_fetches=1) as edge:
            with asked_of(edge, "/image/slow") as first, asked_of(edge, "/image/refused") as second:
                assert slow.arrived.wait(LIMIT_S)
                assert refused.arrived.wait(LIMIT_S)
                assert edge.get("/image/good").status_code == 200
                released(slow, refused)
            assert edge.metric('edge_origin_requests_total{outcome="busy"}') >= 1
        statuses = {answer[0].status_code: answer[0] for answer in (first, second)}
        assert statuses.keys() == {200, 503}
        assert statuses[503].headers["retry-after"] == "1"

    def test_a_fetch_beyond_the_queue_is_refused_at_once_and_a_stale_picture_served(
        self, session_valkey: EmbeddedValkey, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
    ) -> None:
        blocking = hanging(photo)
        origin.script("/cat", Reply(photo, headers=BRIEF))
        origin.script("/blocking", blocking)
        limits = {"origin_fetches": 1, "origin_slow_fetches": 0, "origin_queue_items": 0}
        with edge_of(origin, session_valkey, **limits) as edge:
            first = edge.get("/image/cat")
            Shelf(store, origin).age(601)
            with asked_of(edge, "/image/blocking"):
                assert blocking.arrived.wait(LIMIT_S)
                new, known = edge.get("/image/new"), edge.get("/image/cat")
                released(blocking)
        assert (new.status_code, new.headers["retry-after"]) == (503, "1")
        assert new.headers["cache-control"] == "no-store"
        assert known.status_code == 200
        assert known.content == first.content, "another picture"
        assert told(known) == SHOWN

    def test_connecting_has_a_timeout_of_its_own(self) -> None:
        with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as server, ExitStack() as full:
            port = server.getsockname()[1]
            for _ in range(3):  # the kernel drops further connections while the backlog is full
                client = full.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", port))

            async def story(client: OriginClient) -> None:
                with pytest.raises(OriginUnreachable, match="ConnectTimeout"):
                    await client.fetch("cat")

            tell(f"http://127.0.0.1:{port}", story, connect_timeout_s=WAIT_S)


@pytest.fixture(scope="module")
def _impatient(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    with edge_of(_session_origin, session_valkey, stale_wait_s=WAIT_S, origin_timeout_s=LIMIT_S) as edge:
        yield edge


@pytest.fixture
def edge(_impatient: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    """An edge whose requests wait for a validation for WAIT_S, and whose fetches have much time."""
    return afresh(_impatient, session_valkey)


class TestStaleWait:
    def test_a_stale_picture_is_served_before_its_validation_ends(
        self, edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, shelf: Shelf
    ) -> None:
        validation = Reply(status=304, headers=BRIEF, gate=threading.Event())
        origin.script("/cat", Reply(photo, headers=BRIEF), validation)
        first = edge.get("/image/cat")
        shelf.age(700)
        with writes_to(store, record_key("cat", origin=origin.url)) as written:
            shown, again = edge.get("/image/cat"), edge.get("/image/cat?res=medium")
            assert shown.content == first.content, "another picture"
            assert int(shown.headers["age"]) >= 700
            assert told(shown) == SHOWN
            assert shown.headers["cache-status"].endswith("; detail=stale-if-error")
            assert told(again) == f"{SHOWN}; collapsed"
            released(validation)
            written()
        assert told(edge.get("/image/cat")) == "latentedge; hit"

    @pytest.mark.parametrize("control", ["must-revalidate", "stale-if-error=0", "proxy-revalidate"])
    def test_what_may_not_be_served_stale_waits_for_its_validation(
        self, edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, control: str
    ) -> None:
        """RFC 9111 4.2.4."""
        said = {**BRIEF, "Cache-Control": f"max-age=600, {control}"}
        validation = Reply(status=304, headers=said, gate=threading.Event())
        another = hanging(photo)
        origin.script("/cat", Reply(photo, headers=said), validation)
        origin.script("/dog", Reply(photo, headers=BRIEF), another)
        for image_id in ("cat", "dog"):
            edge.get(f"/image/{image_id}")
            Shelf(store, origin, image_id).age(601)
        with asked_of(edge, "/image/cat") as answer:
            assert validation.arrived.wait(LIMIT_S)
            assert told(edge.get("/image/dog")) == SHOWN  # so the time is over for the cat, which was asked for before
            assert not answer
            released(validation, another)
        assert told(answer[0]) == "latentedge; fwd=stale; fwd-status=304; stored"

    def test_requests_that_wait_for_another_edge_get_the_stale_picture_too(
        self, edge: RunningEdge, session_valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
    ) -> None:
        validation = Reply(status=304, headers=BRIEF, gate=threading.Event())
        origin.script("/cat", Reply(photo, headers=BRIEF), validation)
        twin = running_edge(
            read_settings(
                origin=origin.url, redis_url=session_valkey.url, stale_wait_s=WAIT_S, origin_timeout_s=LIMIT_S
            )
        )
        with twin as other:
            edge.get("/image/cat")
            shelf.age(601)
            assert told(edge.get("/image/cat")) == SHOWN
            assert told(other.get("/image/cat")) == SHOWN
            released(validation)
            wait_until(lambda: told(other.get("/image/cat")) == "latentedge; hit")

    def test_a_picture_that_is_gone_is_not_shown_after_the_answer(
        self, edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, shelf: Shelf
    ) -> None:
        gone = Reply(status=404, gate=threading.Event())
        origin.script("/cat", Reply(photo, headers=BRIEF), gone)
        edge.get("/image/cat")
        shelf.age(601)
        with writes_to(store, record_key("cat", origin=origin.url)) as written:
            assert told(edge.get("/image/cat")) == SHOWN
            released(gone)
            written()
        assert edge.get("/image/cat").status_code == 404

    def test_an_answer_that_comes_in_time_is_waited_for(
        self, session_valkey: EmbeddedValkey, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
    ) -> None:
        origin.script("/cat", Reply(photo, headers=BRIEF), Reply(status=304, headers=BRIEF))
        with edge_of(origin, session_valkey, stale_wait_s=LIMIT_S) as edge:
            edge.get("/image/cat")
            Shelf(store, origin).age(601)
            assert told(edge.get("/image/cat")) == "latentedge; fwd=stale; fwd-status=304; stored"

    def test_a_purged_picture_is_not_shown(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
    ) -> None:
        validation = Reply(status=304, headers=BRIEF, gate=threading.Event())
        new = {**BRIEF, "Last-Modified": "Mon, 07 Nov 1994 08:49:37 GMT"}
        origin.script("/cat", Reply(photo, headers=BRIEF), validation, Reply(photo, headers=new))
        edge.get("/image/cat")
        shelf.age(601)
        assert told(edge.get("/image/cat")) == SHOWN
        purge(edge, id="cat")
        assert told(edge.get("/image/cat")) == "latentedge; fwd=uri-miss; stored"
        released(validation)
        assert edge.get("/image/cat").headers["last-modified"] == new["Last-Modified"]

    def test_a_softly_purged_picture_is_asked_for_again(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
    ) -> None:
        first, second = (Reply(status=304, headers=BRIEF, gate=threading.Event()) for _ in range(2))
        origin.script("/cat", Reply(photo, headers=BRIEF), first, second)
        edge.get("/image/cat")
        shelf.age(601)
        assert told(edge.get("/image/cat")) == SHOWN
        purge(edge, id="cat", soft=True)
        assert told(edge.get("/image/cat")) == SHOWN
        assert second.arrived.wait(LIMIT_S)
        released(first, second)

    def test_a_parent_says_that_its_latent_is_stale(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
    ) -> None:
        validation = Reply(status=304, headers=BRIEF, gate=threading.Event())
        origin.script("/cat", Reply(photo, headers=BRIEF), validation)
        edge.get("/image/cat")
        shelf.age(601)
        answer = edge.latent("cat")
        assert told(answer) == SHOWN
        assert "stale" in answer.headers["latentedge-source"]
        released(validation)

    def test_a_new_picture_is_shown_as_soon_as_it_has_come(
        self, session_valkey: EmbeddedValkey, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
    ) -> None:
        """With EDGE_MISS=source, and although the flight has shown the stale one before."""
        another = hanging(picture("de"), ETag='"v2"')
        origin.script("/cat", Reply(photo, headers=BRIEF), another)
        key = record_key("cat", origin=origin.url)
        with edge_of(origin, session_valkey, stale_wait_s=WAIT_S, miss="source", origin_timeout_s=LIMIT_S) as edge:
            with writes_to(store, key) as written:
                edge.get("/image/cat")
                written()
            Shelf(store, origin).age(601)
            with held_encodes() as held:
                assert told(edge.get("/image/cat")) == SHOWN
                released(another)
                assert held.begun.wait(LIMIT_S)
                answer = edge.get("/image/cat")
                assert answer.headers["cache-status"].endswith("detail=source")
                held.may_go_on.set()
