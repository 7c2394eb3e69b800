"""Shared figures on a full disk: the worker lives, and counts for itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.metrics.figure_files import FIRST_BYTES, FigureFiles
from tests.service.other_folders import with_folders
from tests.service.running_edge import START_LIMIT_S

COUNT = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
from service.metrics.telemetry import Telemetry
telemetry = Telemetry()
for number in range(int(sys.argv[1])):
    telemetry.parent.count_fallback(f"reason {number}")
print("counted", telemetry.exposition().count(b"edge_parent_fallbacks_total{"))
"""


def count(folder: Path, reasons: int, *before: str) -> subprocess.CompletedProcess[str]:
    """Count in a process whose figures are shared in this folder."""
    return subprocess.run(
        [*before, sys.executable, "-c", COUNT, str(reasons)],
        env={"PATH": "/usr/bin:/bin", "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
        check=False,
    )


def test_figures_are_shared_in_files_without_holes(tmp_path: Path) -> None:
    ended = count(tmp_path, 2000)
    assert ended.stdout == "counted 2000\n", ended.stderr
    files = list(tmp_path.iterdir())
    assert any(file.stat().st_size > FIRST_BYTES for file in files)
    assert all(512 * file.stat().st_blocks >= file.stat().st_size for file in files), "a file has holes"


@pytest.mark.parametrize("size", ["4k", "300k"])
def test_a_full_disk_ends_no_worker(tmp_path: Path, size: str) -> None:
    """Either no file has room, or one cannot grow. Without reserved blocks the kernel ends the process with SIGBUS."""
    ended = count(tmp_path, 5000, *with_folders({tmp_path: f"size={size}"}))
    assert ended.returncode == 0, ended.stderr
    *logged, counted = ended.stdout.splitlines()
    assert len(logged) == 1, logged
    assert "the figures of this worker are not shared" in logged[0]
    assert int(counted.removeprefix("counted ")) < 5000


def test_a_file_may_not_grow(tmp_path: Path) -> None:
    """The limit of a file's size refuses blocks like a full disk."""
    ended = count(tmp_path, 5000, "prlimit", f"--fsize={FIRST_BYTES}")
    assert ended.returncode == 0, ended.stderr
    assert "the figures of this worker are not shared" in ended.stdout


def test_what_was_counted_without_room_is_shared_when_there_is_room(tmp_path: Path) -> None:
    now_s = 0.0
    folder = tmp_path / "later"
    files = FigureFiles(clock=lambda: now_s)
    counter = files.open(str(folder / "counter_1.db"))
    counter.write_value("a", 1.0, 0.0)
    assert counter.read_value("a") == (0.0, 0.0)
    folder.mkdir()
    counter.write_value("a", 2.0, 0.0)
    assert not list(folder.iterdir()), "it was tried again at once"
    now_s = 60.0
    counter.write_value("a", 3.0, 0.0)
    assert counter.read_value("a") == (3.0, 0.0)
    counter.close()
