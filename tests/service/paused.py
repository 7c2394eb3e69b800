"""A process that is alive and does not answer."""

import contextlib
import os
import signal
from collections.abc import Iterator

import redis

from service.store.embedded import EmbeddedValkey


@contextlib.contextmanager
def paused(server: EmbeddedValkey) -> Iterator[None]:
    """Stop the server's process with SIGSTOP during the block."""
    with redis.Redis.from_url(server.url) as direct, standing_still(direct):
        yield


@contextlib.contextmanager
def standing_still(direct: redis.Redis) -> Iterator[None]:
    """Stop the process of the server at the other end of these connections."""
    process = direct.info("server")["process_id"]
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)
