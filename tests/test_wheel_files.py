"""`make package` finds out what a wheel lacks, and what it holds too much."""

import zipfile
from pathlib import Path

from tests.install.wheel_files import faults_of


def tree(root: Path) -> list[str]:
    names = [
        "models/codec.py",
        "models/py.typed",
        "models/weights/latentedge.safetensors",
        "service/web/page/charts.js",
    ]
    for name in (*names, "models/weights/pictures.png", "tests/test_cli.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return names


def wheel(folder: Path, names: list[str]) -> Path:
    path = folder / "latentedge-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (*names, "latentedge-0.1.0.dist-info/METADATA"):
            archive.writestr(name, b"")
    return path


def test_a_whole_wheel_has_no_faults(tmp_path: Path) -> None:
    assert faults_of(wheel(tmp_path, tree(tmp_path)), tmp_path) == []


def test_lacking_weights_and_a_photograph_are_told(tmp_path: Path) -> None:
    names = tree(tmp_path)
    names.remove("models/weights/latentedge.safetensors")
    told = faults_of(wheel(tmp_path, [*names, "models/weights/pictures.png", "tests/test_cli.py"]), tmp_path)
    assert [fault.partition("whl ")[2] for fault in told] == [
        "lacks models/weights/latentedge.safetensors",
        "holds models/weights/pictures.png",
        "holds tests/test_cli.py",
    ]
