"""Report the failures of a command: one line on stderr for each fault that the user can correct, and exit code 2."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.progress import Progress, TaskID

from service.commands.progress import progress_bar
from service.commands.terminal_text import printable

Result = TypeVar("Result")

USER_ERROR = 2


class CommandFailure(Exception):  # noqa: N818  (the word of this file)
    """The command cannot continue. The message is the line that is printed on stderr."""


class FileFailure(Exception):  # noqa: N818  (named after the event)
    """One of the command's files failed; the command continues with the next file. The message says what is wrong."""


def complain(line: str) -> None:
    """Print a failure as one line on stderr, even if the message or the file name contains line breaks."""
    print(printable(" ".join(line.split())), file=sys.stderr)  # noqa: T201  (stderr is the point)


class FileRun:
    """The run of a command over several files, in which a bad file is reported and skipped."""

    def __init__(self, bar: Progress, *, files: TaskID, steps: TaskID | None) -> None:
        """Create a run with the bars of files and of steps. Call `file_run` instead, which also shows the bars."""
        self._bar = bar
        self._files = files
        self._steps = steps
        self.failures = 0

    def attempt(self, path: Path, work: Callable[[], Result]) -> Result | None:
        """Return the result of `work`. If it raises FileFailure, report the failure and return None."""
        try:
            return work()
        except FileFailure as failure:
            self.failures += 1
            complain(f"{path}: {failure}")
        return None

    def advance(self, files: int) -> None:
        """Advance the progress bar of files by `files`."""
        self._bar.advance(self._files, files)

    def begin_steps(self) -> None:
        """Set the progress bar of a search's steps back to 0."""
        if self._steps is not None:
            self._bar.reset(self._steps)

    def step(self) -> None:
        """Advance the progress bar of a search's steps by one."""
        if self._steps is not None:
            self._bar.advance(self._steps)


@contextmanager
def file_run(files: Sequence[Path], *, title: str, steps: int = 0) -> Iterator[FileRun]:
    """Yield a run over `files`, with bars for files and search steps. Exit with code 2 at its end if a file failed."""
    with progress_bar(wanted=len(files) > 1 or steps > 0) as bar:
        of_files = bar.add_task(title, total=len(files))
        run = FileRun(bar, files=of_files, steps=bar.add_task("searching", total=steps) if steps else None)
        yield run
    if run.failures:
        raise SystemExit(USER_ERROR)


def for_each_file(files: Sequence[Path], work: Callable[[Path], None], *, title: str) -> None:
    """Call `work` for every file, even after failures. Exit with code 2 at the end if a file failed."""
    with file_run(files, title=title) as run:
        for path in files:
            run.attempt(path, partial(work, path))
            run.advance(1)


def reason(error: OSError) -> str:
    """Return the message of an operating system error, in lower case and without its number and path."""
    return (error.strerror or str(error)).lower()
