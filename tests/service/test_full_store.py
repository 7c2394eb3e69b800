"""A store that is full and evicts nothing: pictures are shown, purges work, and the operator is told."""

from collections.abc import Iterator

import pytest
import redis

from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import stored_keys

FRESH = {"Cache-Control": "max-age=600", "Cache-Tag": "cats"}
ADMIN = {"Authorization": "Bearer secret"}


@pytest.fixture
def edge_of_full_store(origin: ScriptedOrigin, valkey: EmbeddedValkey, photo: bytes) -> Iterator[RunningEdge]:
    """An edge with one picture, whose store then has no more memory."""
    origin.script("/cat", Reply(photo, headers=FRESH))
    with running_edge(read_settings(origin=origin.url, redis_url=valkey.url, admin_token="secret")) as edge:
        edge.get("/image/cat")
        with redis.Redis.from_url(valkey.url) as direct:
            direct.config_set("maxmemory-policy", "noeviction")
            direct.config_set("maxmemory", 1)
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                direct.set("any", "thing")
        yield edge


@pytest.fixture
def full_store(edge_of_full_store: RunningEdge) -> Iterator[redis.Redis]:
    """The store of `edge_of_full_store`."""
    with redis.Redis.from_url(edge_of_full_store.settings.redis_url) as direct:
        yield direct


def test_pictures_are_shown_and_the_operator_is_told_once(
    edge_of_full_store: RunningEdge, origin: ScriptedOrigin, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    origin.script("/new", *[Reply(photo, headers=FRESH)] * 2)
    assert "; hit" in edge_of_full_store.get("/image/cat").headers["cache-status"]
    for _ in range(2):
        assert "detail=no-lease" in edge_of_full_store.get("/image/new").headers["cache-status"]
    assert [line for line in caplog.messages if "full" in line] == [
        "writing to the store fails: it is full and evicts nothing; its maxmemory-policy should be volatile-lfu"
    ]
    assert edge_of_full_store.metric('edge_store_errors_total{reason="full"}') >= 2
    assert edge_of_full_store.metric('edge_store_errors_total{reason="error"}') == 0


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("order", [{"id": "cat"}, {"tag": "cats"}, {"all": True}])
def test_purges_work(
    edge_of_full_store: RunningEdge,
    full_store: redis.Redis,
    origin: ScriptedOrigin,
    photo: bytes,
    order: dict[str, object],
    soft: bool,  # noqa: FBT001  (pytest passes it by name)
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    answer = edge_of_full_store.client.post("/purge", headers=ADMIN, json={**order, "soft": soft})
    assert answer.status_code == 200
    assert "; hit" not in edge_of_full_store.get("/image/cat").headers["cache-status"]
    assert len(stored_keys(full_store)) <= 1


def test_a_purge_of_a_picture_that_is_not_there_works(edge_of_full_store: RunningEdge) -> None:
    for soft in (False, True):
        answer = edge_of_full_store.client.post("/purge", headers=ADMIN, json={"id": "dog", "soft": soft})
        assert (answer.status_code, answer.json()["purged"]) == (200, 0)
