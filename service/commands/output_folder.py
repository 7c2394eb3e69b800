"""Prepare the folder of a command's output, before the command begins its work."""

from pathlib import Path
from tempfile import TemporaryFile

from service.commands.failure import CommandFailure, reason


def prepare_folder(folder: Path) -> None:
    """Create a folder if it is missing, and check that files can be written into it. Raises CommandFailure."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailure(f"latentedge: cannot create the folder {folder}: {reason(error)}") from error
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CommandFailure(f"latentedge: cannot write into the folder {folder}: {reason(error)}") from error
