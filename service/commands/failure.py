"""How a command fails: one line on stderr for each thing that the user can mend, and exit code 2. No I/O but that."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.progress import Progress, TaskID

from service.commands.progress import progress_bar

Result = TypeVar("Result")

USER_ERROR = 2


class CommandFailure(Exception):  # noqa: N818  (the word of this file)
    """The command cannot go on; the message is the line that the user sees."""


class FileFailure(Exception):  # noqa: N818  (likewise)
    """This file cannot be done; others can. The message says what is wrong with it."""


def complain(line: str) -> None:
    """One failure, one line, whatever the message or the file name holds."""
    flat = " ".join(line.split())
    print(flat.encode(errors="replace").decode(), file=sys.stderr)  # noqa: T201  (stderr is the point)


class FileRun:
    """A run over files: a bad one is complained of and passed over."""

    def __init__(self, bar: Progress, *, files: TaskID, steps: TaskID | None) -> None:
        """Use `file_run`."""
        self._bar = bar
        self._files = files
        self._steps = steps
        self.failures = 0

    def attempt(self, path: Path, work: Callable[[], Result]) -> Result | None:
        """Do something with a file; None where that fails."""
        try:
            return work()
        except FileFailure as failure:
            self.failures += 1
            complain(f"{path}: {failure}")
        return None

    def advance(self, files: int) -> None:
        """So many more files are done, well or badly."""
        self._bar.advance(self._files, files)

    def begin_steps(self) -> None:
        """The steps of some files begin."""
        if self._steps is not None:
            self._bar.reset(self._steps)

    def step(self) -> None:
        """One of them is made."""
        if self._steps is not None:
            self._bar.advance(self._steps)


@contextmanager
def file_run(files: Sequence[Path], *, title: str, steps: int = 0) -> Iterator[FileRun]:
    """Show how far a run is, in files and in the steps of each; fail at its end if any file has failed."""
    with progress_bar(wanted=len(files) > 1 or steps > 0) as bar:
        of_files = bar.add_task(title, total=len(files))
        run = FileRun(bar, files=of_files, steps=bar.add_task("searching", total=steps) if steps else None)
        yield run
    if run.failures:
        raise SystemExit(USER_ERROR)


def for_each_file(files: Sequence[Path], work: Callable[[Path], None], *, title: str) -> None:
    """Do every file that can be done; then fail if any could not."""
    with file_run(files, title=title) as run:
        for path in files:
            run.attempt(path, partial(work, path))
            run.advance(1)


def reason(error: OSError) -> str:
    """What the system says, without the errno and the path that the line names anyway."""
    return (error.strerror or str(error)).lower()
