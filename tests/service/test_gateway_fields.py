"""Header fields that a cache owes to those before and behind it."""

import pytest

from service.rules.response_age import read_age
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/stats", "/metrics", "/", "/none", "/docs", "/image", "/purge"])
def test_what_holds_for_the_moment_is_not_stored(edge: RunningEdge, path: str) -> None:
    """RFC 9110 15.1: downstream caches may store some of these statuses unless the answer forbids it."""
    answer = edge.get(path)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["date"]


def test_a_method_that_a_route_does_not_have_is_not_stored(edge: RunningEdge) -> None:
    answer = edge.client.post("/image/cat")
    assert (answer.status_code, answer.headers["cache-control"]) == (405, "no-store")


def test_the_origin_is_told_of_the_gateway(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    """RFC 9110 7.6.3 says must. Where a client came from is nobody's business."""
    origin.script("/cat", Reply(photo, headers={"Cache-Control": "max-age=600"}))
    edge.get("/image/cat?res=medium", headers={"Via": "1.1 office-7.example"})
    assert origin.requests[-1].headers["Via"] == "1.1 latentedge"


def test_a_via_that_is_to_be_passed_on_is_added_to(
    origin: ScriptedOrigin, valkey: EmbeddedValkey, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers={"Cache-Control": "max-age=600"}))
    with running_edge(read_settings(origin=origin.url, redis_url=valkey.url, forward="via")) as edge:
        edge.get("/image/cat?res=medium", headers={"Via": "1.1 office-7.example"})
    said = [value for name, value in origin.requests[-1].lines if name.lower() == "via"]
    assert said == ["1.1 office-7.example", "1.1 latentedge"]


@pytest.mark.parametrize(("said", "told"), [("-5", None), ("soon", None), ("1.5", None), ("7, 900", "7"), ("7", "7")])
@pytest.mark.parametrize("status", [200, 404])
def test_only_an_age_that_is_one_is_passed_on(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, said: str, told: str | None, status: int
) -> None:
    """RFC 9111 5.1, for answers that are not stored: the others have the age that the edge computes."""
    headers = {"Cache-Control": "no-store", "Age": said}
    origin.script("/cat", Reply(photo, status=status, headers=headers))
    answer = edge.get("/image/cat?res=medium")
    assert (answer.status_code, answer.headers.get("age")) == (status, told)


@pytest.mark.parametrize(
    ("field", "seconds"),
    [("", ""), ("0", "0"), ("007", "7"), (" 5 ", "5"), ("-1", ""), ("+1", ""), ("5 6", ""), (",5", "")],
)
def test_ages(field: str, seconds: str) -> None:
    assert read_age(field) == seconds
