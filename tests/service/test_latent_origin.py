"""A static origin that holds latents (.le files, `application/vnd.latentedge`) instead of pictures."""

from pathlib import Path

import httpx
import pytest
import redis

from service.demo.children import origin_server
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.command_line import Shell
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import stored_keys
from tests.service.test_stories import size_of
from tests.service.tiers import LATENT, a_latent, aged, encodes, flipped, record_of, told

SAID = {**LATENT, "ETag": '"v1"'}


def test_a_latent_is_stored_unchanged(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/cat.le", Reply(a_latent(), headers=SAID))
    encoded = encodes(edge)
    first, second = edge.get("/image/cat.le"), edge.get("/image/cat.le?res=medium")
    assert told(first) == "latentedge; fwd=uri-miss; stored"
    assert told(second) == "latentedge; hit"
    assert "age" not in first.headers, "the origin named none"
    assert (size_of(first), size_of(second)) == ((344, 344), (172, 172))
    assert first.headers["content-type"] == "image/jpeg"
    assert encodes(edge) == encoded
    record = record_of(edge, "cat.le")
    assert (record.bitstream, record.quality, record.origin_etag) == (a_latent(), 20, '"v1"')


@pytest.mark.parametrize("answer", [Reply(status=304), Reply(a_latent(), headers={**SAID, "ETag": '"v2"'})])
def test_a_latent_is_validated_with_its_own_validators(
    edge: RunningEdge, origin: ScriptedOrigin, answer: Reply
) -> None:
    origin.script("/cat.le", Reply(a_latent(), headers=SAID), answer)
    first = edge.get("/image/cat.le")
    before = edge.metric('edge_cache_requests_total{res="high",status="revalidated"}')
    aged(edge, "cat.le", 601)
    second = edge.get("/image/cat.le")
    assert told(second) == f"latentedge; fwd=stale; fwd-status={answer.status}; stored"
    assert origin.requests[-1].headers["If-None-Match"] == '"v1"'
    assert second.headers["etag"] == first.headers["etag"]
    assert edge.metric('edge_cache_requests_total{res="high",status="revalidated"}') == before + 1


def test_a_picture_may_replace_a_latent(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(a_latent(), headers=SAID), Reply(photo, headers={"Cache-Control": "max-age=60"}))
    first = edge.get("/image/cat")
    aged(edge, "cat", 601)
    second = edge.get("/image/cat")
    assert told(second) == "latentedge; fwd=stale; fwd-status=200; stored"
    assert second.headers["etag"] != first.headers["etag"]
    assert record_of(edge, "cat").source_bytes == len(photo)


@pytest.mark.parametrize("control", ["no-store", "private"])
def test_a_latent_that_may_not_be_stored_is_decoded_for_each_client(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, control: str
) -> None:
    said = {**LATENT, "Cache-Control": control}
    origin.script("/cat", *[Reply(a_latent(), headers=said)] * 3)
    for path in ("/image/cat?res=medium", "/image/cat?res=high"):
        answer = edge.get(path)
        assert answer.status_code == 200
        assert told(answer) == f"latentedge; fwd=uri-miss; detail={control}"
    assert edge.latent("cat").content == a_latent()
    assert not stored_keys(store)


@pytest.mark.parametrize(
    "body",
    [
        flipped(a_latent(), -5),
        flipped(a_latent(), 4),
        flipped(a_latent(), 7),
        a_latent()[:-1],
        a_latent()[:8],
        a_latent() + bytes(4),
        a_latent() + bytes(2**21),
        b"",
        b"\xff\xd8\xff a photograph",
    ],
)
def test_an_unusable_latent_is_an_error_and_nothing_is_stored(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, body: bytes
) -> None:
    origin.script("/cat", Reply(body, headers=SAID))
    answer: httpx.Response = edge.get("/image/cat")
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/problem+json"
    assert "latent" in answer.json()["detail"]
    assert answer.headers["cache-control"] == "no-store"
    assert not stored_keys(store)


def test_an_unusable_latent_never_replaces_a_stored_one(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/cat", Reply(a_latent(), headers=SAID), Reply(flipped(a_latent(), -5), headers=SAID))
    first = edge.get("/image/cat?res=medium")
    aged(edge, "cat", 601)
    second = edge.get("/image/cat?res=medium")
    assert second.content == first.content
    assert second.headers["cache-status"].endswith("detail=stale-if-error")
    assert record_of(edge, "cat").bitstream == a_latent()


def test_a_latent_with_another_media_type_is_not_read_as_a_latent(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/cat", Reply(a_latent(), headers={"Content-Type": "application/octet-stream"}))
    assert edge.get("/image/cat").status_code == 415


def test_files_of_the_encode_command_are_served_from_the_small_origin(
    valkey: EmbeddedValkey, photo: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cat.jpg").write_bytes(photo)
    assert Shell(capfd)("encode", "--output", tmp_path / "latents", tmp_path / "cat.jpg").code == 0
    with (
        origin_server(tmp_path / "latents", log=tmp_path / "log") as origin,
        running_edge(read_settings(origin=origin.url, redis_url=valkey.url, latent_token=LATENT_TOKEN)) as edge,
    ):
        assert told(edge.get("/image/cat.le")) == "latentedge; fwd=uri-miss; stored"
        assert edge.latent("cat.le").content == (tmp_path / "latents" / "cat.le").read_bytes()
