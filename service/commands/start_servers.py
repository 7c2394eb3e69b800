"""The commands `serve`, which runs an edge, and `origin`, which runs a small origin."""

import os
from pathlib import Path

from service.commands.failure import CommandFailure, complain


def serve(*, host: str, port: int, workers: int) -> None:
    from service.errors import CannotListen, NoTemporaryFolder, SettingsError, StoreUnavailable, TooFewFiles
    from service.serving.launch import run
    from service.settings.edge_settings import misspelt, read_settings
    from service.store.servers import Servers

    for sentence in misspelt(os.environ):
        complain(f"latentedge: {sentence}")
    try:
        settings = read_settings()
        if settings.redis_url:
            Servers.check(settings.redis_url)
    except SettingsError as error:
        raise CommandFailure(f"latentedge: the edge cannot start: {error}") from error
    if settings.admin_port and settings.admin_port == port:
        raise CommandFailure("latentedge: EDGE_ADMIN_PORT must differ from --port, or be 0 for no admin port")
    check_weights(settings.weights, settings.previous_weights)
    if settings.device == "cuda":
        must_have_a_gpu()
    try:
        run(settings, host=host, port=port, workers=workers)
    except (CannotListen, NoTemporaryFolder, SettingsError, StoreUnavailable, TooFewFiles) as error:
        raise CommandFailure(f"latentedge: the edge cannot start: {error}") from error


def check_weights(weights: Path | None, previous: Path | None) -> None:
    """Load the weights files before the workers start, so that a bad file ends the edge with one line on stderr.

    Without paths, nothing is loaded. Raises CommandFailure.
    """
    if weights is None and previous is None:
        return
    stream_id = _read_stream_id("EDGE_WEIGHTS", weights)
    if previous is not None and _read_stream_id("EDGE_PREVIOUS_WEIGHTS", previous) == stream_id:
        raise CommandFailure(
            "latentedge: EDGE_PREVIOUS_WEIGHTS: this file has the same stream id as the weights in use; unset it"
        )


def _read_stream_id(name: str, weights: Path | None) -> bytes:
    from models.checkpoint import load
    from models.weights_file import CheckpointError

    try:
        return load(weights).high.stream_id
    except CheckpointError as error:
        raise CommandFailure(f"latentedge: the weights of {name} cannot be loaded: {error}") from error


def must_have_a_gpu() -> None:
    """Raise CommandFailure if torch finds no GPU that it can use."""
    from service.render.accelerator import has_accelerator

    if not has_accelerator():
        raise CommandFailure("latentedge: EDGE_DEVICE is cuda, but torch finds no GPU that it can use")


def origin(directory: Path, *, host: str, port: int) -> None:
    from service.errors import CannotListen
    from service.serving import origin_server

    if not directory.is_dir():
        raise CommandFailure(f"latentedge: --dir: {directory} is not a folder")
    try:
        origin_server.run(directory, host=host, port=port)
    except CannotListen as error:
        raise CommandFailure(f"latentedge: the origin cannot start: {error}") from error
