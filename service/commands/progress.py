"""The progress bar of a command, on stderr and only on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def progress_bar(*, wanted: bool = True) -> Progress:
    """Return a progress display. It redirects stderr while it is shown, so that failures are printed above it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not (wanted and console.is_terminal))
