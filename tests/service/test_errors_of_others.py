"""A collapsed request gets no error that the fields of another client's request may have caused."""

import asyncio
from dataclasses import replace
from threading import Event

import httpx
import pytest

from service.errors import OriginTooSlow
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.purging import HIT, LIMIT_S
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.tiers import own_store, told
from tests.service.varying import gated, opened

EVIL = {"X-Evil": "1"}
FRESH = {"Cache-Control": "max-age=600"}
WAITERS = 4
NOT_TO_BE_SHARED = [
    Reply(status=400),
    Reply(status=401, headers=FRESH | {"Vary": "*"}),
    Reply(status=403, headers={"Cache-Control": "private"}),
    Reply(status=404, headers={"Cache-Control": "no-store"}),
    Reply(status=404, headers={"Cache-Control": "private, max-age=600"}),
    Reply(status=404, headers={"Cache-Control": "no-cache"}),
    Reply(status=404, headers=FRESH | {"Age": "600"}),
    Reply(status=429, headers=FRESH),
    Reply(status=431, headers=FRESH),
    Reply(status=500),
    Reply(status=302, headers={"Location": "http://elsewhere.test/"}),
    Reply(status=205),
    Reply(b"<html>a page for this client</html>"),
    Reply(b"<html>a page for this client</html>", headers={"Cache-Control": "private, max-age=600"}),
    Reply(b"x" * 100, missing_bytes=50),
]


def asked_together(edge: RunningEdge, first: Reply) -> tuple[httpx.Response, list[httpx.Response]]:
    """Let one client send a request and others join it, then let the origin answer the first."""

    async def crowd() -> tuple[httpx.Response, list[httpx.Response]]:
        async with httpx.AsyncClient(base_url=edge.url, timeout=120, trust_env=False) as client:
            evil = asyncio.create_task(client.get("/image/cat?res=medium", headers=EVIL))
            assert await asyncio.to_thread(first.arrived.wait, LIMIT_S)
            edge.arrivals.reset()
            waiting = [asyncio.create_task(client.get("/image/cat?res=medium")) for _ in range(WAITERS)]
            await asyncio.to_thread(edge.arrivals.wait_for, WAITERS)
            # They have arrived, and these answers prove that they have had some turns of the loop since.
            for _ in range(3):
                await client.get("/livez")
            opened(first)
            return await evil, list(await asyncio.gather(*waiting))

    return asyncio.run(crowd())


@pytest.mark.parametrize("error", NOT_TO_BE_SHARED, ids=lambda reply: f"{reply.status} {reply.headers}"[:60])
def test_an_error_that_may_not_be_reused_is_not_shared(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, error: Reply
) -> None:
    """RFC 9111 4."""
    first = replace(error, gate=Event(), arrived=Event())
    origin.script("/cat", first, Reply(photo, headers=FRESH))
    evil, waiting = asked_together(edge, first)
    assert evil.status_code >= 400
    assert "collapsed" not in told(evil)
    assert {answer.status_code for answer in waiting} == {200}


def test_an_error_of_a_validation_is_not_shared(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    first = gated(Reply(status=400))
    stale = {"Cache-Control": "max-age=600", "Age": "600", "ETag": '"x"'}
    origin.script("/cat", Reply(photo, headers=stale), first, Reply(status=304, headers=FRESH))
    edge.get("/image/cat?res=medium")
    evil, waiting = asked_together(edge, first)
    assert evil.status_code == 400
    assert {answer.status_code for answer in waiting} == {200}


def test_an_error_without_a_store_is_not_shared(origin: ScriptedOrigin, photo: bytes) -> None:
    first = gated(Reply(status=400))
    origin.script("/cat", first, *[Reply(photo, headers=FRESH)] * WAITERS)
    with running_edge(read_settings(origin=origin.url, redis_url="unix:///none.sock")) as storeless:
        evil, waiting = asked_together(storeless, first)
    assert evil.status_code == 400
    assert {answer.status_code for answer in waiting} == {200}


@pytest.mark.parametrize("said", [{}, FRESH])
def test_an_error_that_may_be_reused_is_shared_and_marked_collapsed(
    edge: RunningEdge, origin: ScriptedOrigin, said: dict[str, str]
) -> None:
    """A 404 without a lifetime is stored as a negative cache entry for EDGE_NEGATIVE_TTL_S."""
    first = gated(Reply(status=404, headers=said))
    origin.script("/cat", first)
    evil, waiting = asked_together(edge, first)
    assert told(evil) == "latentedge; fwd=uri-miss; fwd-status=404"
    # One that looks late finds the error in the store.
    assert {told(answer) for answer in waiting} <= {"latentedge; fwd=uri-miss; collapsed; fwd-status=404", HIT}


def test_the_error_of_an_unusable_file_is_shared_while_it_is_fresh(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    first = gated(Reply(b"<html>no picture</html>", headers=FRESH))
    origin.script("/cat", first)
    evil, waiting = asked_together(edge, first)
    assert (evil.status_code, told(evil)) == (415, "latentedge; fwd=uri-miss")
    assert {answer.status_code for answer in waiting} == {415}
    assert {told(answer) for answer in waiting} <= {"latentedge; fwd=uri-miss; collapsed", HIT}


def test_the_timeout_of_an_origin_is_shared(origin: ScriptedOrigin, session_valkey: EmbeddedValkey) -> None:
    """The collapsed requests have waited for the timeout, and would each wait for it again, one after another."""
    first = gated(Reply())
    origin.script("/cat", first)
    url = own_store(session_valkey, 9)
    settings = read_settings(origin=origin.url, redis_url=url, origin_timeout_s=2)
    with running_edge(settings) as impatient:

        async def crowd() -> list[httpx.Response]:
            async with httpx.AsyncClient(base_url=impatient.url, timeout=120, trust_env=False) as client:
                return await asyncio.gather(*[client.get("/image/cat") for _ in range(WAITERS)])

        answers = asyncio.run(crowd())
    opened(first)
    assert {answer.status_code for answer in answers} == {OriginTooSlow.status}
    assert sorted(told(answer) for answer in answers) == [
        "latentedge; fwd=uri-miss",
        *["latentedge; fwd=uri-miss; collapsed"] * (WAITERS - 1),
    ]
