"""What the store holds of pictures, leases and purges left aside."""

import redis

from service.records.record import GENERATIONS_PREFIX, KEY_PREFIX
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import RunningEdge


def stored_keys(store: redis.Redis) -> list[bytes]:
    """The keys of pictures, and of errors in place of pictures."""
    keys = store.keys(KEY_PREFIX + b"*")
    assert isinstance(keys, list)
    return [key for key in keys if isinstance(key, bytes)]


def emptied(store: redis.Redis) -> None:
    """Take all away but what was purged: edges that outlive a test remember that, and would put it back."""
    numbers = [0, *(int(name.removeprefix("db")) for name in store.info("keyspace"))]
    with store.client() as one:  # type: ignore[no-untyped-call]
        for number in reversed(numbers):  # and back to where the connection was
            one.execute_command("SELECT", number)
            emptied_database(one)


def emptied_database(store: redis.Redis) -> None:
    """The same of the one that the connection has selected."""
    for key in store.scan_iter():
        if not key.startswith(GENERATIONS_PREFIX):
            store.delete(key)


def afresh(edge: RunningEdge, server: EmbeddedValkey) -> RunningEdge:
    """An edge that outlives tests, as the next one wants it: nothing in its store, nobody counted."""
    with redis.Redis.from_url(server.url) as direct:
        emptied(direct)
    edge.arrivals.reset()
    return edge
