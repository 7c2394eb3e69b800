"""The tests that are marked gpu, by pytest in a process of its own."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

from tests.gpu_check.task import Task

MARK = "mark.gpu"
NOTHING_COLLECTED = 5
"""pytest's exit status."""


def run(task: Task) -> None:
    """Run them within the time of the stage; without a GPU all of them are left out, and the row says so."""
    if importlib.util.find_spec("pytest") is None:
        task.journal.row("left out", why="no pytest here")
        return
    files = [str(file) for file in sorted(Path("tests").rglob("test_*.py")) if MARK in file.read_text()]
    with TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "gpu",
            "-p",
            "no:cacheprovider",
            f"--junitxml={report}",
            *files,
        ]
        done = _run(task, command)
        row = _counts(report) if report.exists() else {}
    nothing = done == NOTHING_COLLECTED and task.device == "cpu"
    task.journal.row("pytest", files=len(files), status=done, ok=done == 0 or nothing, **row)


def _run(task: Task, command: list[str]) -> int | None:
    """Give the exit status, or None if the time was over."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=task.clock.left_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        task.journal.failed("pytest", "not done in its time", details=str(error.output))
        return None
    task.journal.log(done.stdout)
    return done.returncode


def _counts(report: Path) -> dict[str, int]:
    suite = ET.parse(report).getroot()[0]  # our own pytest wrote it
    return {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
