"""The purge table outlives evictions, restarts and the loss of the store."""

import pytest
import redis

from service.records.store_keys import generations_key, record_key
from service.store.embedded import EmbeddedValkey
from tests.service.purging import BEARER, CATS, HIT, MISS, purge, purging_edge
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.test_revalidation import told


@pytest.fixture
def edge(edge_that_purges: RunningEdge) -> RunningEdge:
    return edge_that_purges


class TestMemoryOfAPurge:
    """The purge table outlives evictions, restarts and the loss of the store."""

    @pytest.mark.parametrize("order", [{"tag": "cats"}, {"all": True}])
    def test_the_purge_table_survives_evictions(
        self, valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
    ) -> None:
        origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
        key = record_key("cat", origin=origin.url)
        with redis.Redis.from_url(valkey.url) as store, purging_edge(origin.url, valkey.url) as edge:
            edge.get("/image/cat")
            kept = store.dump(key)
            purge(edge, **order)
            store.config_set("maxmemory", 4 * 2**20)
            for number in range(400):
                store.set(f"p:{number}", bytes(20_000), ex=1000)
            assert store.info("stats")["evicted_keys"] > 0
            assert store.ttl(generations_key(origin.url)) == -1
            store.restore(key, 600_000, kept, replace=True)  # the old record, had it survived
            assert told(edge.get("/image/cat")) == MISS

    @pytest.mark.parametrize("order", [{"tag": "cats"}, {"all": True}])
    def test_the_purge_table_survives_a_restart_of_the_edges(
        self, valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
    ) -> None:
        origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
        with purging_edge(origin.url, valkey.url) as edge:
            edge.get("/image/cat")
            purge(edge, **order)
        with purging_edge(origin.url, valkey.url) as another:
            assert [told(another.get("/image/cat")) for _ in range(2)] == [MISS, HIT]

    def test_an_edge_restores_a_lost_purge_table(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
    ) -> None:
        origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
        edge.get("/image/cat")
        kept = store.dump(record_key("cat", origin=origin.url)) or b""
        purge(edge, tag="cats")
        table = store.hgetall(generations_key(origin.url))
        store.delete(generations_key(origin.url))
        purge(edge, tag="another")
        assert store.hget(generations_key(origin.url), "hard:cats") == table[b"hard:cats"]
        store.restore(record_key("cat", origin=origin.url), 600_000, kept, replace=True)
        assert told(edge.get("/image/cat")) == MISS

    def test_everything_counts_as_purged_if_no_edge_remembers_the_purge_table(
        self, valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
    ) -> None:
        origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
        with redis.Redis.from_url(valkey.url) as store:
            with purging_edge(origin.url, valkey.url) as edge:
                edge.get("/image/cat")
            store.delete(generations_key(origin.url))
            with purging_edge(origin.url, valkey.url) as another:
                assert [told(another.get("/image/cat")) for _ in range(2)] == [MISS, HIT]

    def test_the_store_counts_as_unavailable_without_a_purge_table(
        self, valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
    ) -> None:
        origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
        with redis.Redis.from_url(valkey.url) as store:
            with purging_edge(origin.url, valkey.url) as edge:
                edge.get("/image/cat")
            store.delete(generations_key(origin.url))
            store.rpush(generations_key(origin.url), "someone else's list")
            with purging_edge(origin.url, valkey.url) as another:
                status = told(another.get("/image/cat"))
                assert status == "latentedge; fwd=bypass; detail=store-unavailable"
                assert another.client.post("/purge", json={"all": True}, headers=BEARER).status_code == 503
