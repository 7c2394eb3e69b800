"""Command lines run in this process, and a picture for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

from service.cli import run


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


class Shell:
    """Runs command lines in this process, so that torch is imported once, and keeps what they print."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *arguments: object) -> Outcome:
        self._capfd.readouterr()
        try:
            code = run([str(argument) for argument in arguments])
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else 1
        printed = self._capfd.readouterr()
        return Outcome(code, out=printed.out, err=printed.err)


def photograph() -> Image.Image:
    with (resources.files("sklearn.datasets.images") / "china.jpg").open("rb") as file, Image.open(file) as picture:
        return picture.convert("RGB")


def assert_one_line_each(outcome: Outcome, bad: Sequence[Path]) -> None:
    lines = outcome.err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(path) for path in bad]
    assert all(len(line.partition(": ")[2]) > 3 for line in lines)
    assert "Traceback" not in outcome.err
