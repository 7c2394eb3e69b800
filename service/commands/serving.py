"""serve and origin: the two servers of the command line, started from settings and a folder."""

from pathlib import Path

from service.commands.failure import CommandFailure


def serve(*, host: str, port: int, workers: int) -> None:
    from service.errors import SettingsError
    from service.serving import run
    from service.settings import read_settings

    try:
        settings = read_settings()
    except SettingsError as error:
        raise CommandFailure(f"latentedge: {error}") from error
    run(settings, host=host, port=port, workers=workers)


def origin(directory: Path, *, host: str, port: int) -> None:
    from service import origin_server

    if not directory.is_dir():
        raise CommandFailure(f"{directory}: not a folder")
    origin_server.run(directory, host=host, port=port)
