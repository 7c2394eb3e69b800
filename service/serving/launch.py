"""Run an edge: the embedded store, and the server in one or more processes.

The parent process creates everything that the processes share: the sockets, the store and the folder of the metrics.
Each process imports only the application that it runs.
"""

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
from typing import TYPE_CHECKING, NoReturn

import uvicorn

from service.bus.end_signal import end_by_edge_only, end_this_process
from service.errors import NoTemporaryFolder, SettingsError
from service.metrics.telemetry import MULTIPROCESS_VARIABLE, forget_worker
from service.render.accelerator import has_accelerator
from service.serving.listening import announce, bind
from service.serving.log_lines import log_to
from service.serving.open_files import raise_limit
from service.serving.supervision import Listening, Supervision
from service.serving.workers import STARTUP_FAILURE, Workers
from service.settings.edge_settings import Settings, read_settings
from service.store.embedded import EmbeddedValkey, find_temporary_folder

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.applications import Starlette


def run(settings: Settings, *, host: str, port: int, workers: int = 1) -> None:
    """Run an edge on this address until SIGTERM or Ctrl-C, then shut it down.

    Raises CannotListen, NoTemporaryFolder, TooFewFiles, SettingsError or StoreUnavailable if it cannot start.
    """
    log_to(sys.stderr, level=settings.log_level)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # sent by a terminal or a log rotation; `Workers` handles it instead
    signal.signal(signal.SIGTERM, _leave)  # uvicorn raises SIGTERM again at its end, but the ExitStack must be closed
    with ExitStack() as closing:
        pictures = closing.enter_context(bind(host, port))
        raise_limit()
        if not settings.redis_url:
            embedded = closing.enter_context(EmbeddedValkey(limit_bytes=settings.store_bytes))
            settings = settings.model_copy(update={"redis_url": embedded.url})
        settings = settings.model_copy(update={"decoder": _choose_decoder(settings)})
        if workers == 1 and not settings.admin_port and settings.decoder == "thread":
            _run_alone(settings, pictures, host=host, port=port)
        else:
            os.environ.update(settings.environment())
            folder = _create_shared_folder(settings, closing)
            if folder:
                # prometheus_client reads this variable when it is imported, to choose its multiprocess mode. The
                # workers inherit the variable. The parent has imported the library before, and counts nothing.
                os.environ[MULTIPROCESS_VARIABLE] = folder
            on_death = forget_worker if folder else lambda _pid: None
            _create_workers(settings, pictures, host=host, workers=workers, on_death=on_death).run()


def _run_alone(settings: Settings, pictures: socket.socket, *, host: str, port: int) -> None:
    from service.serving.client_limits import ClientLimits
    from service.serving.edge_app import create_app
    from service.serving.http_server import HttpServer

    config = _config(create_app(settings), settings, host=host, port=port)
    server = HttpServer(config, ClientLimits.of(settings), alone=True)
    with suppress(KeyboardInterrupt):  # uvicorn raises it after the graceful shutdown that Ctrl-C started
        server.run(sockets=[pictures])


def _create_shared_folder(settings: Settings, closing: ExitStack) -> str:
    """Return a new folder for the processes of this edge; empty if there is none and they can do without it."""
    try:
        folder = find_temporary_folder("the processes of this edge")
    except NoTemporaryFolder as error:
        if settings.admin_port or settings.decoder == "process":
            raise
        logging.getLogger(__name__).warning("the workers do not share their figures: %s", error)
        return ""
    return closing.enter_context(tempfile.TemporaryDirectory(prefix="latentedge-metrics-", dir=folder))


def _create_workers(
    settings: Settings, pictures: socket.socket, *, host: str, workers: int, on_death: Callable[[int], object]
) -> Workers:
    port = pictures.getsockname()[1]
    config = _config("service.serving.launch:worker_app", settings, host=host, port=port, workers=workers)
    announce(pictures)
    return Workers(
        Listening(config, [pictures]),
        beside=_bind_beside(settings, host=host),
        rules=Supervision.of(settings),
        on_death=on_death,
    )


def _bind_beside(settings: Settings, *, host: str) -> list[Listening]:
    beside = []
    if settings.decoder == "process":
        beside.append(Listening(_config("service.serving.launch:decoder_app", settings, host=host, port=0), []))
    if settings.admin_port:
        admin = _config("service.serving.launch:admin_app", settings, host=host, port=settings.admin_port)
        listening = bind(host, settings.admin_port)
        announce(listening)
        beside.append(Listening(admin, [listening]))
    return beside


def _choose_decoder(settings: Settings) -> str:
    """Return where the codec runs: `thread` or `process`. On a GPU, one process batches the decodes of all workers.

    Raises SettingsError if the decoder process would also need the previous weights.
    """
    on_gpu = settings.device == "cuda" or (settings.device == "auto" and has_accelerator())
    chosen = settings.decoder
    if chosen == "auto":
        chosen = "process" if on_gpu else "thread"
    if chosen == "process" and settings.previous_weights is not None:
        raise SettingsError(
            ["EDGE_PREVIOUS_WEIGHTS: the decoder process loads only the current weights; set EDGE_DECODER=thread"]
        )
    return chosen


def worker_app() -> FastAPI:
    """Create the application of one of several workers, with the parent's settings from the environment."""
    from service.serving.edge_app import create_app
    from service.serving.readiness import ReadyMark

    _end_with_parent(end_this_process)
    settings = _settings_of_parent()
    return create_app(
        settings,
        mark=ReadyMark(_shared_folder()) if settings.admin_port else None,
        decoder=_bus_address() if settings.decoder == "process" else None,
    )


def decoder_app() -> Starlette:
    """Create the application of the decoder process."""
    from service.serving.decoder_app import create_decoder_app

    end_by_edge_only()
    _end_with_parent(end_this_process)
    return create_decoder_app(_settings_of_parent(), address=_bus_address())


def admin_app() -> FastAPI:
    """Create the application of the admin process."""
    from service.serving.admin_app import create_admin_app

    end_by_edge_only()
    _end_with_parent(end_this_process)
    return create_admin_app(_settings_of_parent(), workers=_shared_folder())


def _settings_of_parent() -> Settings:
    """Read the parent's settings from the environment, and configure the log.

    Exits with STARTUP_FAILURE if a setting has become invalid, such as the path of a weights file that was deleted.
    """
    log_to(sys.stderr)
    try:
        settings = read_settings()
    except SettingsError as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400  (a traceback tells an operator nothing here)
        sys.exit(STARTUP_FAILURE)
    log_to(sys.stderr, level=settings.log_level)
    return settings


def _shared_folder() -> Path:
    return Path(os.environ[MULTIPROCESS_VARIABLE])


def _bus_address() -> str:
    return f"ipc://{_shared_folder() / 'bus'}"


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
        date_header=False,  # the edge writes Date itself: a picture keeps the origin's Date
        timeout_graceful_shutdown=settings.drain_s,
    )


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _end_with_parent(end: Callable[[], None]) -> None:
    """Call `end` when the parent process dies. Otherwise this process would keep the port and never be stopped."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is started by uvicorn"

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        end()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
