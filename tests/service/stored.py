"""What the store holds of pictures, leases and purges left aside."""

import redis

from service.cache.record import KEY_PREFIX


def stored_keys(store: redis.Redis) -> list[bytes]:
    """The keys of pictures, and of errors in place of pictures."""
    keys = store.keys(KEY_PREFIX + b"*")
    assert isinstance(keys, list)
    return [key for key in keys if isinstance(key, bytes)]
