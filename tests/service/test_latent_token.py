"""Latents are served with the token only: who gets them, which errors others get, and where the token is sent."""

import pytest

from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import AS_A_CHILD, LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.tiers import SAID, child_of, passed_over, told

WRONG = [
    [],
    [("Authorization", "")],
    [("Authorization", "Bearer")],
    [("Authorization", LATENT_TOKEN)],
    [("Authorization", f"Basic {LATENT_TOKEN}")],
    [("Authorization", f"Bearer {LATENT_TOKEN}x")],
    [("Authorization", f"Bearer {LATENT_TOKEN[:-1]}")],
    [("Authorization", f"Bearer {LATENT_TOKEN.upper()}")],
    [("Authorization", f"Bearer {LATENT_TOKEN}, Bearer {LATENT_TOKEN}")],
    [("Authorization", f"Bearer {LATENT_TOKEN}"), ("Authorization", f"Bearer {LATENT_TOKEN}")],
    [("Authorization", "Bearer \xff\xfe".encode("latin-1"))],
    [("X-Authorization", f"Bearer {LATENT_TOKEN}")],
    [("Cookie", f"Authorization=Bearer {LATENT_TOKEN}")],
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("lines", WRONG)
def test_a_request_without_the_token_gets_no_latent(
    edge: RunningEdge, origin: ScriptedOrigin, method: str, lines: list[tuple[str, str]]
) -> None:
    answer = edge.client.request(method, "/latent/cat", headers=lines)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert "cache-status" not in answer.headers, "a child would take it for the origin's word"
    assert not origin.requests


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_bearer_is_case_insensitive(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, scheme: str
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    answer = edge.get("/latent/cat", headers={"Authorization": f"{scheme} {LATENT_TOKEN}"})
    assert answer.status_code == 200


def test_an_edge_without_a_token_serves_no_latents(origin: ScriptedOrigin, valkey: EmbeddedValkey) -> None:
    with running_edge(read_settings(origin=origin.url, redis_url=valkey.url)) as edge:
        for headers in ({}, AS_A_CHILD, {"Authorization": "Bearer"}):
            answer = edge.get("/latent/cat", headers=headers)
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"
            assert "EDGE_LATENT_TOKEN" in answer.json()["detail"]
            assert "cache-status" not in answer.headers
        assert edge.metric('edge_cache_requests_total{res="latent",status="error"}') == 3


def test_the_token_is_sent_to_the_parent_only(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, session_valkey: EmbeddedValkey
) -> None:
    origin.script("/cat", Reply(photo, headers={**SAID, "Vary": "Accept-Language"}))
    edge.latent("cat", {"Accept-Language": "en"})
    with child_of(edge.url, session_valkey, origin=origin.url, forward="all") as child:
        mine = {"Accept-Language": "en", "Authorization": "Bearer of-a-client"}
        assert told(child.get("/image/cat", headers=mine)) == "latentedge; fwd=uri-miss; stored"
        shown = [child.get(path).text for path in ("/stats", "/metrics", "/openapi.json")]
    assert all("authorization" not in {name.lower() for name in request.headers} for request in origin.requests)
    assert LATENT_TOKEN not in str([request.headers for request in origin.requests])
    assert LATENT_TOKEN not in "".join(shown)


def test_a_wrong_token_is_logged_once_and_the_origin_is_asked(
    edge: RunningEdge,
    origin: ScriptedOrigin,
    photo: bytes,
    session_valkey: EmbeddedValkey,
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = "another-secret"
    with child_of(edge.url, session_valkey, origin=origin.url, parent_token=wrong) as child:
        for image_id in ("one", "two"):
            origin.script(f"/{image_id}", Reply(photo, headers=SAID))
            assert told(child.get(f"/image/{image_id}")) == "latentedge; fwd=uri-miss; stored"
        assert passed_over(child, "wrong_token") == 2
    assert caplog.text.count("EDGE_PARENT_TOKEN is not the EDGE_LATENT_TOKEN of the parent") == 1
    assert wrong not in caplog.text


def test_a_parent_without_latents_is_logged_too(
    origin: ScriptedOrigin, photo: bytes, session_valkey: EmbeddedValkey, caplog: pytest.LogCaptureFixture
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    closed = read_settings(origin=origin.url, redis_url="unix:///none.sock")
    with running_edge(closed) as parent, child_of(parent.url, session_valkey, origin=origin.url) as child:
        assert told(child.get("/image/cat")) == "latentedge; fwd=uri-miss; stored"
        assert passed_over(child, "no_latents") == 1
    assert "the parent answers 404: it has no EDGE_LATENT_TOKEN" in caplog.text
