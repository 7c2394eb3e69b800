"""A process that is there and does not answer: the worst kind of outage."""

import contextlib
import os
import signal
from collections.abc import Iterator

import redis

from service.store.embedded import EmbeddedValkey


@contextlib.contextmanager
def paused(server: EmbeddedValkey) -> Iterator[None]:
    """Stop the server's process for a while."""
    with redis.Redis.from_url(server.url) as direct:
        process = direct.info("server")["process_id"]
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)
