"""The route /latent/: the latent of a picture, with the facts of its file."""

import time

import pytest

from service.records.latent_facts import FIELD, read_facts
from service.rules.http_date import http_date
from tests.service.running_edge import AS_A_CHILD, RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.tiers import MODIFIED, SAID, record_of, told


def test_a_latent_comes_with_the_facts_of_its_picture(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/a/cat", Reply(photo, headers={**SAID, "Age": "50", "Date": http_date(time.time() - 10)}))
    first, second = edge.latent("a/cat"), edge.latent("a/cat")
    record = record_of(edge, "a/cat")
    assert first.content == second.content == record.bitstream
    assert told(first) == "latentedge; fwd=uri-miss; stored"
    assert told(second) == "latentedge; hit"
    assert second.headers["content-type"] == "application/vnd.latentedge"
    assert second.headers["cache-control"] == "max-age=600"
    assert second.headers["last-modified"] == MODIFIED
    assert second.headers["date"] == record.passed.date
    assert 50 <= int(second.headers["age"]) < 90
    assert "vary" not in second.headers
    facts = read_facts(second.headers[FIELD])
    assert facts is not None
    assert (facts.source_digest, facts.source_bytes) == (record.source_digest, len(photo))
    assert facts.origin_etag == '"v1"'
    assert edge.metric('edge_cache_requests_total{res="latent",status="hit"}') >= 1


def test_a_latent_shares_the_fill_of_its_picture(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    picture, latent = edge.get("/image/cat"), edge.latent("cat")
    assert told(latent) == "latentedge; hit"
    assert latent.headers["etag"] != picture.headers["etag"]


def test_a_latent_request_can_be_conditional_and_decodes_nothing(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    full = edge.latent("cat")
    head = edge.client.head("/latent/cat", headers=AS_A_CHILD)
    fresh = edge.latent("cat", {"If-None-Match": full.headers["etag"]})
    other = edge.get("/image/cat", headers={"If-None-Match": full.headers["etag"]})
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", full.headers["etag"])
    assert head.headers["content-length"] == str(len(full.content))
    assert (fresh.status_code, fresh.content) == (304, b"")
    assert fresh.headers[FIELD] == full.headers[FIELD]
    assert other.status_code == 200
    stages = fresh.headers["server-timing"]
    assert "entropy" not in stages


@pytest.mark.parametrize("image_id", ["", "../cat", "%00", "http:x"])
def test_invalid_ids_are_refused(edge: RunningEdge, image_id: str) -> None:
    answer = edge.latent(image_id)
    assert answer.status_code in {400, 404}
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_latent_has_the_errors_of_its_picture(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/gone", Reply(status=410))
    for _ in range(2):
        answer = edge.latent("gone")
        assert answer.status_code == 410
        assert "cache-status" in answer.headers
        assert "vary" not in answer.headers
