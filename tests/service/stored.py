"""The keys of pictures in a store, without leases and purges."""

import redis

from service.records.store_keys import GENERATIONS_PREFIX, KEY_PREFIX
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import RunningEdge


def stored_keys(store: redis.Redis) -> list[bytes]:
    """Return the keys of records, vary rules and negative cache entries."""
    keys = store.keys(KEY_PREFIX + b"*")
    assert isinstance(keys, list)
    return [key for key in keys if isinstance(key, bytes)]


def emptied(store: redis.Redis) -> None:
    """Delete all keys but the purges, which edges that outlive a test would write back."""
    numbers = [0, *(int(name.removeprefix("db")) for name in store.info("keyspace"))]
    with store.client() as one:  # type: ignore[no-untyped-call]
        for number in reversed(numbers):  # and back to where the connection was
            one.execute_command("SELECT", number)
            emptied_database(one)


def emptied_database(store: redis.Redis) -> None:
    """Empty the database that the connection has selected, like `emptied`."""
    for key in store.scan_iter():
        if not key.startswith(GENERATIONS_PREFIX):
            store.delete(key)


def afresh(edge: RunningEdge, server: EmbeddedValkey) -> RunningEdge:
    """Prepare an edge that outlives tests for the next one: empty its store, and reset its counters."""
    with redis.Redis.from_url(server.url) as direct:
        emptied(direct)
    edge.arrivals.reset()
    return edge
