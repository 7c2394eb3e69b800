"""An edge that carries out purges, the order of a purge, and the values of Cache-Status before and after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from service.settings.edge_settings import read_settings
from tests.service.running_edge import RunningEdge, running_edge

TOKEN = "a token of the tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
CATS = {"Cache-Control": "max-age=600", "ETag": '"v1"', "Cache-Tag": "cats, photo:7"}
LIMIT_S = 60
WAYS: list[dict[str, object]] = [{"id": "cat"}, {"tag": "cats"}, {"tag": "photo:7"}, {"all": True}]
"""Purges that reach the picture "cat" if its origin sent the fields CATS."""
MISS, HIT = "latentedge; fwd=uri-miss; stored", "latentedge; hit"
VALIDATED = "latentedge; fwd=stale; fwd-status=304; stored"


@contextmanager
def purging_edge(origin: str, store: str, **given: object) -> Iterator[RunningEdge]:
    # Without hold-off: what one story's origin fails with is no matter of the next one.
    settings = {"admin_token": TOKEN, "hold_off_s": 0, **given}
    with running_edge(read_settings(origin=origin, redis_url=store, **settings)) as edge:
        yield edge


def purge(edge: RunningEdge, **order: object) -> dict[str, Any]:
    answer = edge.client.post("/purge", json=order, headers=BEARER)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told
