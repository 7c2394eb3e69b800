"""EDGE_MISS=source: the first requests get the source's pixels, while the latent is encoded in the background."""

import asyncio
import io
import time
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from PIL import Image
from skimage import data

from models.config import HIGH_PX
from service.render import image_file
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.held_encodes import LIMIT_S, HeldEncodes, held_encodes
from tests.service.purging import TOKEN, purge
from tests.service.running_edge import AS_A_CHILD, LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.tiers import LATENT, SAID, a_latent, aged, own_store, record_of, told


@pytest.fixture(scope="module")
def _hasty(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    url = own_store(session_valkey, 5)
    hasty = {"miss": "source", "miss_items": 2, "admin_token": TOKEN, "latent_token": LATENT_TOKEN}
    settings = read_settings(origin=_session_origin.url, redis_url=url, **hasty)
    with running_edge(settings) as edge:
        yield edge


@pytest.fixture
def hasty(_hasty: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    own_store(session_valkey, 5)
    _hasty.arrivals.reset()
    return _hasty


@pytest.fixture
def held() -> Iterator[HeldEncodes]:
    with held_encodes() as held:
        yield held


def stored(edge: RunningEdge, image_id: str) -> httpx.Response:
    """Wait for the end of the fill, so that no encode continues in the next test."""
    return edge.latent(image_id)


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for a metric that is counted in the background, after a response."""
    deadline_s = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline_s, "it never came to pass"


def skipped(edge: RunningEdge, reason: str) -> float:
    return edge.metric(f'edge_encodes_skipped_total{{reason="{reason}"}}')


def test_requests_do_not_wait_for_the_encode(
    hasty: RunningEdge, origin: ScriptedOrigin, photo: bytes, held: HeldEncodes
) -> None:
    origin.script("/first", Reply(photo, headers={**SAID, "Age": "7"}))
    first = hasty.get("/image/first?fmt=png")
    assert held.begun.wait(60)
    second, small = hasty.get("/image/first?fmt=png"), hasty.get("/image/first?res=medium")
    assert not held.may_go_on.is_set()
    assert first.headers["cache-status"] == "latentedge; fwd=uri-miss; detail=source"
    assert second.headers["cache-status"] == f"latentedge; hit; ttl={600 - int(second.headers['age'])}; detail=source"
    assert first.content == second.content
    assert first.headers["age"] == "7"
    assert first.headers["cache-control"] == "max-age=600"
    assert first.headers["etag"].startswith('W/"s-')
    assert first.headers["etag"] == second.headers["etag"] != small.headers["etag"]
    source = image_file.read(photo, limits=image_file.ImageLimits(source_pixels=10**7))
    with Image.open(io.BytesIO(first.content)) as picture:
        assert np.array_equal(np.asarray(picture), image_file.square(source.pixels, HIGH_PX))
    held.may_go_on.set()
    stored(hasty, "first")


def test_a_preview_answers_conditional_requests(
    hasty: RunningEdge, origin: ScriptedOrigin, photo: bytes, held: HeldEncodes
) -> None:
    origin.script("/conditional", Reply(photo, headers=SAID))
    first = hasty.get("/image/conditional")
    assert held.begun.wait(60)
    again = hasty.get("/image/conditional", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert hasty.client.head("/image/conditional").headers["etag"] == first.headers["etag"]
    held.may_go_on.set()
    stored(hasty, "conditional")


def test_after_the_encode_all_requests_get_the_latent(
    hasty: RunningEdge, origin: ScriptedOrigin, photo: bytes, held: HeldEncodes
) -> None:
    origin.script("/then", Reply(photo, headers=SAID))
    encodes = hasty.metric('edge_stage_seconds_count{stage="encode"}')
    first = hasty.get("/image/then")
    held.may_go_on.set()
    assert stored(hasty, "then").status_code == 200
    hit = hasty.get("/image/then")
    assert told(hit) == "latentedge; hit"
    assert hit.content != first.content, "the preview"
    assert not hit.headers["etag"].startswith('W/"s-')
    assert hasty.metric('edge_stage_seconds_count{stage="encode"}') == encodes + 1


def test_a_request_for_the_latent_waits_for_the_encode(
    hasty: RunningEdge, origin: ScriptedOrigin, photo: bytes, held: HeldEncodes
) -> None:
    origin.script("/whole", Reply(photo, headers=SAID))
    hasty.get("/image/whole")

    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(base_url=hasty.url, timeout=60, trust_env=False) as client:
            asking = asyncio.create_task(client.get("/latent/whole", headers=AS_A_CHILD))
            await asyncio.to_thread(hasty.arrivals.wait_for, 2)
            held.may_go_on.set()
            return await asking

    answer = asyncio.run(asked())
    assert answer.headers["content-type"] == "application/vnd.latentedge"
    assert answer.content == record_of(hasty, "whole").bitstream


def test_with_too_many_encodes_a_picture_is_served_and_not_stored(
    hasty: RunningEdge, origin: ScriptedOrigin, photo: bytes, held: HeldEncodes
) -> None:
    for image_id in ("one", "two"):
        origin.script(f"/{image_id}", Reply(photo, headers=SAID))
    origin.script("/other", *[Reply(photo, headers=SAID)] * 2)
    before = skipped(hasty, "queue_full")
    for image_id in ("one", "two"):
        hasty.get(f"/image/{image_id}")
    for times in (1, 2):
        assert told(hasty.get("/image/other")) == "latentedge; fwd=uri-miss; detail=source"
        wait_until(lambda times=times: skipped(hasty, "queue_full") == before + times)  # type: ignore[misc]
    held.may_go_on.set()
    for image_id in ("one", "two"):
        assert stored(hasty, image_id).status_code == 200


def test_a_changed_picture_is_served_at_once(
    hasty: RunningEdge, origin: ScriptedOrigin, photo: bytes, held: HeldEncodes
) -> None:
    other = io.BytesIO()
    Image.fromarray(data.chelsea()).save(other, "PNG")  # type: ignore[no-untyped-call]
    origin.script("/changed", Reply(photo, headers=SAID), Reply(other.getvalue(), headers=SAID))
    held.may_go_on.set()
    hasty.get("/image/changed")
    stored(hasty, "changed")
    held.may_go_on.clear()
    aged(hasty, "changed", 601)
    changed = hasty.get("/image/changed")
    assert changed.headers["cache-status"] == "latentedge; fwd=stale; fwd-status=200; detail=source"
    held.may_go_on.set()
    stored(hasty, "changed")
    assert record_of(hasty, "changed").source_bytes == len(other.getvalue())


@pytest.mark.parametrize("order", [{"id": "purged"}, {"tag": "cats"}, {"all": True}])
def test_a_preview_from_before_a_purge_is_not_served_after_it(
    hasty: RunningEdge, origin: ScriptedOrigin, photo: bytes, held: HeldEncodes, order: dict[str, object]
) -> None:
    """The old picture is still being encoded."""
    other = io.BytesIO()
    Image.fromarray(data.chelsea()).save(other, "PNG")  # type: ignore[no-untyped-call]
    tagged = {**SAID, "Cache-Tag": "cats"}
    origin.script("/purged", Reply(photo, headers=tagged), Reply(other.getvalue(), headers=tagged))
    before = hasty.get("/image/purged")
    assert held.begun.wait(60)
    purge(hasty, **order)

    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(base_url=hasty.url, timeout=60, trust_env=False) as client:
            asking = asyncio.create_task(client.get("/image/purged"))
            await asyncio.to_thread(hasty.arrivals.wait_for, 2)
            held.may_go_on.set()
            return await asking

    after = asyncio.run(asked())
    assert after.headers["etag"] != before.headers["etag"]
    stored(hasty, "purged")
    assert record_of(hasty, "purged").source_bytes == len(other.getvalue())


@pytest.mark.parametrize("control", ["private", "no-store"])
def test_an_unstorable_preview_is_served_to_one_client(
    hasty: RunningEdge, origin: ScriptedOrigin, photo: bytes, control: str
) -> None:
    origin.script("/mine", *[Reply(photo, headers={"Cache-Control": control})] * 2)
    for _ in range(2):
        assert hasty.get("/image/mine").headers["cache-status"] == f"latentedge; fwd=uri-miss; detail={control}"


def test_an_origin_error_is_served_as_with_latents(hasty: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/gone", Reply(status=404))
    for _ in range(2):
        assert hasty.get("/image/gone").status_code == 404


def test_a_latent_from_upstream_is_decoded_at_once(hasty: RunningEdge, origin: ScriptedOrigin) -> None:
    """A latent from a parent or a static origin needs no encode."""
    origin.script("/latent", Reply(a_latent(), headers={**LATENT, "ETag": '"v1"'}))
    answer = hasty.get("/image/latent")
    assert told(answer) == "latentedge; fwd=uri-miss; stored"
    assert answer.headers["etag"] == hasty.get("/image/latent").headers["etag"]
