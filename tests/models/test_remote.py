"""Starting a training that outlives its starter, and bringing its files away: `models.training.remote`."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from torch import nn

from models.training.kept import AVERAGED, FLAT, TrainingProgress, keep, load_kept
from models.training.remote import bring, main

REMOTE = (sys.executable, "-m", "models.training.remote")


@pytest.fixture
def ended(tmp_path: Path) -> Path:
    """A run whose process has ended in the decay."""
    run = tmp_path / "run"
    (run / "high").mkdir(parents=True)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    (run / "process").write_text(str(process.pid))
    keep(run / "high" / FLAT, nn.Linear(3, 3), TrainingProgress(step=7))
    keep(run / "high" / AVERAGED, nn.Linear(3, 3), TrainingProgress(step=9, phase="decay"))
    (run / "high" / "log.jsonl").write_text("{}\n")
    (run / "output.log").write_text("step 9\n")
    return run


def test_what_there_is_comes_at_once_when_the_training_has_ended(ended: Path, tmp_path: Path) -> None:
    files = bring(ended, tmp_path / "out", until="done", wait_s=3600)
    assert [file.name for file in files] == [AVERAGED, "log.jsonl", "output.log"]
    assert load_kept(tmp_path / "out", AVERAGED).progress == TrainingProgress(step=9, phase="decay")


def test_flat_weights_come_as_soon_as_the_decay_has_begun(ended: Path, tmp_path: Path) -> None:
    (ended / "process").write_text(str(os.getpid()))  # it goes on
    (ended / "caches" / "triton").mkdir(parents=True)
    (ended / "caches" / "triton" / "kernel.cubin").write_bytes(b"code")
    files = bring(ended, tmp_path / "out", until="flat", wait_s=3600)
    assert [file.name for file in files] == [FLAT, "log.jsonl", "output.log", "caches.tar.xz"]
    with tarfile.open(tmp_path / "out" / "caches.tar.xz") as archive:
        assert archive.getmember("caches/triton/kernel.cubin").size == 4


def test_caches_that_would_exceed_the_limit_stay_behind(ended: Path, tmp_path: Path) -> None:
    (ended / "caches").mkdir()
    (ended / "caches" / "kernel.cubin").write_bytes(os.urandom(10_000))
    files = bring(ended, tmp_path / "out", until="flat", wait_s=0, most_bytes=10_000)
    assert [file.name for file in files] == [FLAT, "log.jsonl", "output.log"]


def test_nobody_waits_longer_than_he_wants(ended: Path, tmp_path: Path) -> None:
    (ended / "process").write_text(str(os.getpid()))
    keep(ended / "high" / AVERAGED, nn.Linear(3, 3), TrainingProgress(step=5))  # still flat
    assert bring(ended, tmp_path / "out", until="flat", wait_s=0)
    assert bring(ended, tmp_path / "out", until="done", wait_s=0)


def test_nothing_is_brought_from_where_nothing_was_started(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no training was started there"):
        main(["bring", str(tmp_path / "run"), str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_training_outlives_its_starter_and_tells_what_went_wrong(tmp_path: Path) -> None:
    caches = tmp_path / "caches.tar.xz"
    (tmp_path / "caches").mkdir()
    with tarfile.open(caches, "w:xz") as archive:
        archive.add(tmp_path / "caches", "caches")
    options = ["--data", str(tmp_path / "nothing"), "--minutes", "1"]
    start = [*REMOTE, "start", str(tmp_path / "run"), "--caches", str(tmp_path), "--", *options]
    subprocess.run(start, check=True)
    assert (tmp_path / "run" / "caches").is_dir()
    files = bring(tmp_path / "run", tmp_path / "out", until="done", wait_s=300)
    assert [file.name for file in files] == ["output.log"]
    assert f"there is no such folder or pack file: {tmp_path / 'nothing'}" in files[0].read_text()


def test_torch_takes_the_folder_of_the_caches_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    assert Path(cache_dir()) == tmp_path / "inductor"
