"""Runs an edge: the embedded store, uvicorn, its processes. Makes everything that exists once, in the parent."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette

from service.bus.end_signal import end_by_edge_only, end_this_process
from service.errors import SettingsError
from service.metrics.telemetry import MULTIPROCESS_VARIABLE, forget_worker
from service.render.accelerator import has_accelerator
from service.serving.admin_app import create_admin_app
from service.serving.client_limits import ClientLimits
from service.serving.decoder_app import create_decoder_app
from service.serving.edge_app import create_app
from service.serving.http_server import HttpServer
from service.serving.listening import announce, bind
from service.serving.log_lines import log_to
from service.serving.readiness import ReadyMark
from service.serving.workers import STARTUP_FAILURE, Listening, Workers
from service.settings.edge_settings import Settings, read_settings
from service.store.embedded import EmbeddedValkey

HUNG_S = 30  # assumed: longer than a machine that swaps or compiles keeps a process from answering


def run(settings: Settings, *, host: str, port: int, workers: int = 1) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way are finished. Raises CannotListen or StoreUnavailable."""
    signal.signal(signal.SIGTERM, _leave)  # uvicorn raises it again once it is done; what is open here must be closed
    with ExitStack() as closing:
        pictures = closing.enter_context(bind(host, port))
        if not settings.redis_url:
            embedded = closing.enter_context(EmbeddedValkey(limit_bytes=settings.store_bytes))
            settings = settings.model_copy(update={"redis_url": embedded.url})
        settings = settings.model_copy(update={"decoder": _where_the_codec_runs(settings)})
        if workers == 1 and not settings.admin_port and settings.decoder == "thread":
            log_to(sys.stderr, level=settings.log_level)
            config = _config(create_app(settings), settings, host=host, port=port)
            server = HttpServer(config, ClientLimits.of(settings), announces=True)
            with suppress(KeyboardInterrupt):  # Ctrl-C, after everything has ended in order
                server.run(sockets=[pictures])
        else:
            # prometheus_client decides on import whether there are several processes, so only the environment can
            # tell the workers, and the parent itself must not count.
            metrics = closing.enter_context(tempfile.TemporaryDirectory(prefix="latentedge-metrics-"))
            os.environ.update({MULTIPROCESS_VARIABLE: metrics, **settings.environment()})
            _workers(settings, pictures, host=host, workers=workers).run()


def _workers(settings: Settings, pictures: socket.socket, *, host: str, workers: int) -> Workers:
    port = pictures.getsockname()[1]
    config = _config("service.serving.launch:worker_app", settings, host=host, port=port, workers=workers)
    announce(pictures)
    return Workers(
        Listening(config, [pictures]),
        beside=_beside(settings, host=host),
        limits=ClientLimits.of(settings),
        on_death=forget_worker,
    )


def _beside(settings: Settings, *, host: str) -> list[Listening]:
    beside = []
    if settings.decoder == "process":
        beside.append(Listening(_config("service.serving.launch:decoder_app", settings, host=host, port=0), []))
    if settings.admin_port:
        admin = _config("service.serving.launch:admin_app", settings, host=host, port=settings.admin_port)
        listening = bind(host, settings.admin_port)
        announce(listening)
        beside.append(Listening(admin, [listening]))
    return beside


def _where_the_codec_runs(settings: Settings) -> str:
    """Return `thread` or `process`: a GPU has one process, so that it can batch the decodes of all workers."""
    on_gpu = settings.device == "cuda" or (settings.device == "auto" and has_accelerator())
    chosen = settings.decoder
    if chosen == "auto":
        chosen = "process" if on_gpu else "thread"
    if chosen == "process" and settings.previous_weights is not None:
        raise SettingsError(["EDGE_PREVIOUS_WEIGHTS: the decoder process reads one stream; set EDGE_DECODER=thread"])
    return chosen


def worker_app() -> FastAPI:
    """Create one of several workers. It gets the parent's settings through the environment."""
    # SIGINT drains the worker like SIGTERM, but without EDGE_DRAIN_DELAY_S, which is for a planned stop.
    _end_with_parent(lambda: os.kill(os.getpid(), signal.SIGINT))
    settings = _settings_of_parent()
    return create_app(
        settings,
        mark=ReadyMark(_shared()) if settings.admin_port else None,
        decoder=_bus() if settings.decoder == "process" else None,
    )


def decoder_app() -> Starlette:
    """Create the process that decodes for the workers."""
    end_by_edge_only()
    _end_with_parent(end_this_process)
    return create_decoder_app(_settings_of_parent(), address=_bus())


def admin_app() -> FastAPI:
    """Create the process that answers operators for all workers."""
    end_by_edge_only()
    _end_with_parent(end_this_process)
    return create_admin_app(_settings_of_parent(), workers=_shared())


def _settings_of_parent() -> Settings:
    """Read the settings and start the log. The check is repeated, because a file such as the weights may be gone."""
    log_to(sys.stderr)
    try:
        settings = read_settings()
    except SettingsError as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400  (a traceback tells an operator nothing here)
        sys.exit(STARTUP_FAILURE)
    log_to(sys.stderr, level=settings.log_level)
    return settings


def _shared() -> Path:
    return Path(os.environ[MULTIPROCESS_VARIABLE])


def _bus() -> str:
    return f"ipc://{_shared() / 'bus'}"


def _config(app: FastAPI | str, settings: Settings, *, host: str, port: int, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        workers=workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        factory=isinstance(app, str),
        access_log=False,
        server_header=False,
        date_header=False,  # the edge writes it: that of a picture is the origin's
        timeout_graceful_shutdown=settings.drain_s,
        timeout_worker_healthcheck=HUNG_S,
    )


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _end_with_parent(end: Callable[[], None]) -> None:
    """Let this process end when its parent was killed: it would keep the port, with nobody left to stop it."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is started by uvicorn"

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        end()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
