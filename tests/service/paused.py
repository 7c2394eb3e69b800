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
    with redis.Redis.from_url(server.url) as direct:
        process = direct.info("server")["process_id"]
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)
