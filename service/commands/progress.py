"""How a command shows on stderr how far it is; only a person at a terminal sees it."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def progress_bar(*, wanted: bool = True) -> Progress:
    """Return a bar for each task. It redirects stderr while it is drawn, so that a failure is printed above it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not (wanted and console.is_terminal))
