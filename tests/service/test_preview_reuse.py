"""EDGE_MISS=source, while the encode waits: a preview is reused like a stored response (RFC 9111)."""

import asyncio
import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest
from PIL import Image
from skimage import data

from service.cache.answer import Asked
from service.cache.coalescing import Landed
from service.cache.fill_result import Failed, FillFacts, FillResult, Preview
from service.cache.previews import Previews
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.grant import Grant
from service.rules.conditional import Conditions
from service.rules.negotiation import Wanted
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from service.upstream.source import Terms
from tests.service.held_encodes import LIMIT_S, HeldEncodes, held_encodes
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.test_source_first import wait_until
from tests.service.test_sources import sources_of
from tests.service.tiers import MODIFIED, own_store, told
from tests.service.varying import gated, opened

PATH = "/image/cat?res=medium"
ENCODES = 'edge_stage_seconds_count{stage="encode"}'
LATER = "Mon, 07 Nov 1994 08:49:37 GMT"
SOURCE, CONFIRMED = "latentedge; fwd=uri-miss; detail=source", "latentedge; fwd=stale; fwd-status=304; detail=source"
STALE = {  # at once, each in its own way
    "no-cache": {"Cache-Control": "no-cache"},
    "max-age=0": {"Cache-Control": "max-age=0"},
    "must-revalidate": {"Cache-Control": "max-age=0, must-revalidate"},
    "its age": {"Cache-Control": "max-age=600", "Age": "600"},
    "Expires": {"Expires": "0"},
    "for CDNs": {"Cache-Control": "max-age=600", "CDN-Cache-Control": "no-cache"},
}


@pytest.fixture(scope="module")
def _hasty(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    given = {"miss": "source", "latent_token": LATENT_TOKEN, "redis_url": own_store(session_valkey, 5)}
    with running_edge(read_settings(origin=_session_origin.url, hold_off_s=0, **given)) as edge:
        yield edge


@pytest.fixture
def held() -> Iterator[HeldEncodes]:
    with held_encodes() as held:
        yield held


@pytest.fixture
def edge(
    _hasty: RunningEdge, session_valkey: EmbeddedValkey, origin: ScriptedOrigin, held: HeldEncodes
) -> Iterator[RunningEdge]:
    """An edge whose encodes wait for the test. They end before the origin checks its script."""
    _ = origin
    own_store(session_valkey, 5)
    yield _hasty
    held.may_go_on.set()


@pytest.fixture(scope="session")
def another() -> bytes:
    file = io.BytesIO()
    Image.fromarray(data.chelsea()).save(file, "PNG")  # type: ignore[no-untyped-call]
    return file.getvalue()


def validated(origin: ScriptedOrigin, times: int = 1) -> None:
    """Assert that the last requests to the origin were validations of the preview."""
    for request in origin.requests[-times:]:
        assert request.headers["If-None-Match"] == '"v1"'
        assert request.headers["If-Modified-Since"] == MODIFIED


@pytest.fixture(params=STALE)
def stale(request: pytest.FixtureRequest) -> dict[str, str]:
    return {"ETag": '"v1"', "Last-Modified": MODIFIED, **STALE[request.param]}


def test_a_stale_preview_is_validated_for_each_later_request(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, stale: dict[str, str]
) -> None:
    origin.script("/cat", Reply(photo, headers=stale), *[Reply(status=304, headers=stale)] * 2)
    first, second, third = (edge.get(PATH) for _ in range(3))
    assert told(first) == SOURCE
    assert told(second) == told(third) == CONFIRMED
    validated(origin, times=2)
    assert first.content == second.content == third.content
    assert first.headers["etag"] == third.headers["etag"]
    assert first.headers["etag"].startswith('W/"s-')


def test_a_preview_is_as_fresh_as_its_validation_says(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    said = {"Cache-Control": "max-age=600", "ETag": '"v1"', "Last-Modified": MODIFIED}
    origin.script("/cat", Reply(photo, headers={**said, "Age": "600"}), Reply(status=304, headers=said))
    answers = [edge.get(PATH) for _ in range(4)]
    assert [told(one) for one in answers] == [SOURCE, CONFIRMED, "latentedge; hit", "latentedge; hit"]
    assert all(int(one.headers["age"]) < 60 for one in answers[2:])
    validated(origin)


def test_a_fresh_preview_has_an_age(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers={"Cache-Control": "max-age=600", "Age": "500"}))
    before = edge.metric('edge_cache_requests_total{res="medium",status="hit"}')
    first, second = edge.get(PATH), edge.get(PATH)
    assert first.headers["age"] == "500"
    assert 500 <= int(second.headers["age"]) < 560
    assert second.headers["cache-status"] == f"latentedge; hit; ttl={600 - int(second.headers['age'])}; detail=source"
    assert edge.metric('edge_cache_requests_total{res="medium",status="hit"}') == before + 1


def test_a_changed_picture_replaces_the_preview(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, another: bytes, stale: dict[str, str]
) -> None:
    fresh = {"Cache-Control": "max-age=600", "ETag": '"v2"'}
    origin.script("/cat", Reply(photo, headers=stale), Reply(another, headers=fresh))
    first, second, third = (edge.get(PATH) for _ in range(3))
    assert told(second) == "latentedge; fwd=stale; fwd-status=200; detail=source"
    assert told(third) == "latentedge; hit"
    assert first.headers["etag"] != second.headers["etag"] == third.headers["etag"]
    assert second.content == third.content != first.content


def test_the_encode_of_a_replaced_preview_is_not_stored(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, another: bytes, held: HeldEncodes
) -> None:
    """RFC 9111 4: the most recent response counts."""
    old = {"Cache-Control": "max-age=0, stale-while-revalidate=600", "Last-Modified": MODIFIED}
    fresh = {"Cache-Control": "max-age=600", "Last-Modified": LATER}
    origin.script("/cat", Reply(photo, headers=old), *[Reply(another, headers=fresh)] * 2)
    encoded = edge.metric(ENCODES)
    edge.get(PATH)
    wait_until(lambda: edge.get(PATH).headers["last-modified"] == LATER)
    held.may_go_on.set()
    wait_until(lambda: edge.metric(ENCODES) > encoded)
    for _ in range(3):
        assert edge.get(PATH).headers["last-modified"] == LATER
    wait_until(lambda: edge.metric(ENCODES) > encoded + 1)  # the later picture is stored in this test


@pytest.mark.parametrize("control", ["no-store", "private"])
def test_a_picture_that_became_unstorable_is_served_to_one_client(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, another: bytes, stale: dict[str, str], control: str
) -> None:
    origin.script("/cat", Reply(photo, headers=stale), *[Reply(another, headers={"Cache-Control": control})] * 2)
    _, second, third = (edge.get(PATH) for _ in range(3))
    for answer in (second, third):
        assert answer.headers["cache-status"].endswith(f"detail={control}")
        assert answer.headers["cache-control"] == control


@pytest.mark.parametrize("status", [404, 410, 403])
def test_a_preview_is_not_served_after_a_404(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, stale: dict[str, str], status: int
) -> None:
    origin.script("/cat", Reply(photo, headers=stale), Reply(status=status))
    edge.get(PATH)
    answer = edge.get(PATH)
    assert answer.status_code == status
    assert answer.headers["cache-status"].startswith(f"latentedge; fwd=stale; fwd-status={status}")


def test_a_stale_preview_is_served_instead_of_an_error(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    """RFC 5861 4."""
    said = {"Cache-Control": "max-age=0, stale-if-error=600", "ETag": '"v1"', "Age": "5"}
    origin.script("/cat", Reply(photo, headers=said), Reply(status=503), Reply(status=304))
    first, second, third = (edge.get(PATH) for _ in range(3))
    assert told(second) == "latentedge; fwd=stale; fwd-status=503"
    assert second.headers["cache-status"].endswith("detail=stale-if-error")
    assert int(second.headers["age"]) >= 5
    assert second.content == first.content
    assert told(third) == CONFIRMED


@pytest.mark.parametrize("control", ["no-cache", "max-age=0, must-revalidate, stale-if-error=600"])
def test_a_stale_preview_is_not_served_if_the_origin_forbids_it(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, control: str
) -> None:
    """RFC 9111 4.2.4."""
    origin.script("/cat", Reply(photo, headers={"Cache-Control": control, "ETag": '"v1"'}), Reply(status=503))
    edge.get(PATH)
    assert edge.get(PATH).status_code == 503


def test_a_stale_preview_is_served_while_it_is_revalidated(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    """RFC 5861 3: one validation, in the background."""
    said = {"Cache-Control": "max-age=0, stale-while-revalidate=600", "ETag": '"v1"'}
    later = gated(Reply(status=304, headers={"Cache-Control": "max-age=600"}))
    origin.script("/cat", Reply(photo, headers=said), later)
    first, second, third = (edge.get(PATH) for _ in range(3))
    assert later.arrived.wait(LIMIT_S)
    for answer in (second, third):
        assert answer.headers["cache-status"].startswith("latentedge; hit; ttl=")
        assert answer.headers["cache-status"].endswith("detail=stale-while-revalidate")
        assert answer.content == first.content
    opened(later)


NOBODY = Asked(Wanted("cat", 172, "image/jpeg"), Conditions(), head=False)


def of_client(language: str) -> Asked:
    return replace(NOBODY, terms=Terms(fields=((b"accept-language", language.encode()),)))


async def no_grant(grant: Grant) -> None:
    raise AssertionError(f"{grant} was never given")


async def together(origin: ScriptedOrigin, *clients: Asked) -> list[Landed[FillResult]]:
    """Send requests that find a stale preview at the same time, and return their responses."""
    with ThreadPoolExecutor(1) as threads:
        async with sources_of(origin, threads) as upstream:
            source = await upstream.fetch("cat", clients[0].terms, Timings())
            preview = Preview(FillFacts(Timings(), clients[0].terms.fields, Reason.URI_MISS), source, None)
            previews = Previews(upstream, void=no_grant, now=time.time, waiters=9)
            asking = [previews.reuse("key", preview, client, lambda _: None) for client in clients]
            return await asyncio.gather(*asking)


def test_requests_that_wait_for_one_validation_share_it(
    origin: ScriptedOrigin, photo: bytes, stale: dict[str, str]
) -> None:
    origin.script("/cat", Reply(photo, headers=stale), Reply(status=304, headers=stale))
    one, other = asyncio.run(together(origin, NOBODY, NOBODY))
    assert (one.collapsed, other.collapsed) == (False, True)
    assert one.value is other.value
    assert isinstance(one.value, Preview)
    assert one.value.facts.origin_status == 304


def test_an_error_of_one_client_is_not_shared(origin: ScriptedOrigin, photo: bytes) -> None:
    said = {"Cache-Control": "no-cache", "ETag": '"v1"'}
    origin.script("/cat", Reply(photo, headers=said), Reply(status=403), Reply(status=304))
    one, other = asyncio.run(together(origin, NOBODY, NOBODY))
    assert isinstance(one.value, Failed)
    assert isinstance(other.value, Preview)


def test_another_variant_is_not_shared(origin: ScriptedOrigin, photo: bytes, another: bytes) -> None:
    said = {"Cache-Control": "no-cache", "ETag": '"v1"', "Vary": "Accept-Language"}
    origin.script("/cat", Reply(photo, headers=said), Reply(status=304), Reply(another, headers=said))
    one, other = asyncio.run(together(origin, of_client("en"), of_client("de")))
    assert isinstance(one.value, Preview)
    assert isinstance(other.value, Preview)
    assert one.value.source.prepared.source_digest != other.value.source.prepared.source_digest


def with_tag(edge: RunningEdge, tag: str) -> httpx.Response:
    return edge.get(PATH, headers={"If-None-Match": tag})


def test_conditions_are_evaluated_after_the_validation(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, another: bytes, stale: dict[str, str]
) -> None:
    """RFC 9111 4.3.2: the edge validates the picture first, then evaluates the client's condition."""
    origin.script("/cat", Reply(photo, headers=stale), Reply(status=304, headers=stale), Reply(another, headers=stale))
    tag = edge.get(PATH).headers["etag"]
    confirmed, changed = with_tag(edge, tag), with_tag(edge, tag)
    assert (confirmed.status_code, confirmed.content, confirmed.headers["etag"]) == (304, b"", tag)
    assert told(confirmed) == CONFIRMED
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_the_tag_of_a_preview_is_good_until_the_source_changes(
    edge: RunningEdge, held: HeldEncodes, origin: ScriptedOrigin, photo: bytes
) -> None:
    """RFC 9110 8.8.1: the preview is equivalent to the latent's picture of the same source file."""
    origin.script("/cat", Reply(photo, headers={"Cache-Control": "max-age=600"}))
    preview_tag = edge.get(PATH).headers["etag"]
    held.may_go_on.set()
    assert edge.latent("cat").status_code == 200
    hit = edge.get(PATH)
    assert told(hit) == "latentedge; hit"
    assert not hit.headers["etag"].startswith('W/"s-')
    kept = with_tag(edge, f'"x", {preview_tag}')
    assert (kept.status_code, kept.headers["etag"]) == (304, preview_tag)
    both = with_tag(edge, f"{preview_tag}, {hit.headers['etag']}")
    assert (both.status_code, both.headers["etag"]) == (304, hit.headers["etag"])
    assert with_tag(edge, "*").headers["etag"] == hit.headers["etag"]
    other_size = edge.get("/image/cat?res=high", headers={"If-None-Match": preview_tag})
    other_type = edge.get(f"{PATH}&fmt=png", headers={"If-None-Match": preview_tag})
    assert (other_size.status_code, other_type.status_code) == (200, 200)
