"""A server that cannot start ends within seconds, with one line on stderr and an exit code."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.serving.open_files import LEAST_FILES
from tests.service.other_folders import without_temporary_folder

LIMIT_S = 60


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which something else listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def latentedge(
    folder: Path, *arguments: str, most_files: int = 0, before: tuple[str, ...] = (), **settings: str
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(folder), "EDGE_ORIGIN": "http://127.0.0.1:1", **settings}
    limited = ["prlimit", f"--nofile={most_files}"] if most_files else []
    return subprocess.run(
        [*limited, *before, sys.executable, "-m", "service", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_in_use(short_path: Path, taken: int, workers: str) -> None:
    ended = latentedge(short_path, "serve", "--port", str(taken), "--workers", workers)
    assert ended.returncode == 2
    assert (
        ended.stderr
        == f"latentedge: the edge cannot start: cannot listen on 127.0.0.1:{taken}: Address already in use\n"
    )
    assert not list(short_path.iterdir()), "nothing was started, so nothing is left behind"


def test_an_admin_port_that_is_in_use(short_path: Path, taken: int, valkey_program: None) -> None:
    _ = valkey_program
    ended = latentedge(short_path, "serve", "--port", "0", EDGE_ADMIN_PORT=str(taken))
    assert ended.returncode == 2
    assert ended.stderr.endswith(
        f"latentedge: the edge cannot start: cannot listen on 127.0.0.1:{taken}: Address already in use\n"
    )
    assert not list(short_path.iterdir())


def test_the_port_of_an_origin_that_is_in_use(short_path: Path, taken: int) -> None:
    ended = latentedge(short_path, "origin", "--dir", str(short_path), "--port", str(taken))
    assert ended.returncode == 2
    assert (
        ended.stderr
        == f"latentedge: the origin cannot start: cannot listen on 127.0.0.1:{taken}: Address already in use\n"
    )


def test_a_device_that_is_not_there(short_path: Path) -> None:
    ended = latentedge(short_path, "serve", "--port", "0", EDGE_DEVICE="cuda", CUDA_VISIBLE_DEVICES="")
    assert ended.returncode == 2
    assert ended.stderr == "latentedge: EDGE_DEVICE is cuda, but torch finds no GPU that it can use\n"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_hard_limit_of_open_files_below_what_a_worker_needs(short_path: Path, workers: str) -> None:
    ended = latentedge(short_path, "serve", "--port", "0", "--workers", workers, most_files=LEAST_FILES - 1)
    assert ended.returncode == 2
    assert ended.stderr == (
        f"latentedge: the edge cannot start: a worker needs {LEAST_FILES} open files, and the limit is "
        f"{LEAST_FILES - 1} (`ulimit -Hn`, systemd: LimitNOFILE)\n"
    )
    assert not list(short_path.iterdir())


def test_no_folder_for_the_store(short_path: Path) -> None:
    ended = latentedge(short_path, "serve", "--port", "0", before=without_temporary_folder())
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr == (
        "latentedge: the edge cannot start: set TMPDIR to a folder that can be written to:"
        " no folder for the embedded store\n"
    )


def test_no_folder_for_the_processes_of_an_edge(short_path: Path) -> None:
    ended = latentedge(
        short_path,
        *("serve", "--port", "0"),
        before=without_temporary_folder(),
        EDGE_REDIS_URL="redis://127.0.0.1:1",
        EDGE_ADMIN_PORT="1",
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr == (
        "latentedge: the edge cannot start: set TMPDIR to a folder that can be written to:"
        " no folder for the processes of this edge\n"
    )
