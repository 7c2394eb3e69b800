"""RFC 8586: an edge that finds its own name in CDN-Loop refuses the request."""

import pytest

from service.errors import LoopDetected
from service.rules.cdn_loop import add_node, node_name
from tests.service.running_edge import AS_A_CHILD, RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", "me"),
        ("you", "you, me"),
        ("you, they; v=1", "you, they; v=1, me"),
        ("me2 , notme", "me2, notme, me"),
        (", ,", "me"),
        ("caf\xe9, you", "you, me"),
    ],
)
def test_an_edge_adds_its_name(said: str, expected: str) -> None:
    assert add_node(said, "me") == expected


@pytest.mark.parametrize("said", ["me", "you, me", "me, you", "you,me ; v=1", ", ".join("abcdefgh"), "x" * 2000])
def test_its_own_name_or_too_many_names_are_a_loop(said: str) -> None:
    with pytest.raises(LoopDetected):
        add_node(said, "me")


def test_two_edges_that_are_each_others_parents_have_different_names() -> None:
    parents = ["", "http://a", "http://a:81", "http://a/b", "http://b"]
    names = {node_name(host=host, parent=parent) for host in ("one", "two") for parent in parents}
    assert len(names) == 2 * len(parents)
    assert node_name(host="one", parent="http://me:secret@a") == node_name(host="one", parent="http://a")


def test_the_origin_gets_cdn_loop(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo))
    assert edge.get("/image/cat?res=medium", headers={"CDN-Loop": "other; v=2"}).status_code == 200
    said = origin.requests[-1].headers["CDN-Loop"]
    assert said.startswith("other; v=2, latentedge-")
    for path in ("/image/cat", "/latent/cat"):
        refused = edge.get(path, headers={"CDN-Loop": said, **AS_A_CHILD})
        assert refused.status_code == 508
        assert refused.headers["content-type"] == "application/problem+json"
