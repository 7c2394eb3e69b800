"""Runs an edge: the embedded store, uvicorn, its workers. What must exist once, in the parent, is made here."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import tempfile
import threading
from contextlib import ExitStack
from types import FrameType
from typing import NoReturn

import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.log_lines import log_to
from service.settings import Settings, read_settings
from service.store.embedded import EmbeddedValkey
from service.telemetry import MULTIPROCESS_VARIABLE

GRACE_S = 30  # assumed: longer than any request may take


def run(settings: Settings, *, host: str, port: int, workers: int = 1) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way are finished."""
    signal.signal(signal.SIGTERM, _leave)  # uvicorn raises it again once it is done; what is open here must be closed
    with ExitStack() as closing:
        if not settings.redis_url:
            embedded = closing.enter_context(EmbeddedValkey(limit_bytes=settings.store_bytes))
            settings = settings.model_copy(update={"redis_url": embedded.url})
        if workers == 1:
            log_to(sys.stderr)
            _uvicorn(create_app(settings), host=host, port=port)
        else:
            # prometheus_client decides on import whether there are several processes, so only the environment can
            # tell the workers, and the parent itself must not count.
            metrics = closing.enter_context(tempfile.TemporaryDirectory(prefix="latentedge-metrics-"))
            os.environ.update({MULTIPROCESS_VARIABLE: metrics, **settings.environment()})
            _uvicorn("service.serving:worker_app", host=host, port=port, workers=workers, factory=True)


def worker_app() -> FastAPI:
    """One of several workers. Its settings are the parent's, by way of the environment."""
    _end_with_parent()
    log_to(sys.stderr)
    return create_app(read_settings())


def _uvicorn(app: FastAPI | str, *, host: str, port: int, workers: int = 1, factory: bool = False) -> None:
    uvicorn.run(
        app,
        host=host,
        port=port,
        workers=workers,
        factory=factory,
        access_log=False,
        server_header=False,
        date_header=False,  # the edge writes it: that of a picture is the origin's
        timeout_graceful_shutdown=GRACE_S,
    )


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _end_with_parent() -> None:
    """A worker whose parent was killed would keep the port, with nobody left to stop it."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is started by uvicorn"

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
