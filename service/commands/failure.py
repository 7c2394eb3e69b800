"""How a command fails: one line on stderr for each thing that the user can mend, and exit code 2. No I/O but that."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

USER_ERROR = 2


class CommandFailure(Exception):  # noqa: N818  (the word of this file)
    """The command cannot go on; the message is the line that the user sees."""


class FileFailure(Exception):  # noqa: N818  (likewise)
    """This file cannot be done; others can. The message says what is wrong with it."""


def complain(line: str) -> None:
    """One failure, one line, whatever the message or the file name holds."""
    flat = " ".join(line.split())
    print(flat.encode(errors="replace").decode(), file=sys.stderr)  # noqa: T201  (stderr is the point)


def for_each_file(files: Sequence[Path], work: Callable[[Path], None], *, title: str) -> None:
    """Do every file that can be done; then fail if any could not."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    failures = 0
    # The bar redirects stderr while it is drawn, so that a failure is printed above it.
    with Progress(*columns, console=console, disable=not (console.is_terminal and len(files) > 1)) as progress:
        for path in progress.track(files, description=title):
            try:
                work(path)
            except FileFailure as failure:
                failures += 1
                complain(f"{path}: {failure}")
    if failures:
        raise SystemExit(USER_ERROR)


def reason(error: OSError) -> str:
    """What the system says, without the errno and the path that the line names anyway."""
    return (error.strerror or str(error)).lower()
