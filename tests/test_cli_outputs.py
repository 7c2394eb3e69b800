"""Output folders that cannot be used are reported before the work, and unusual names and sizes of files in one line."""

import os
from pathlib import Path

import pytest
from PIL import Image

from tests.command_line import Shell, assert_one_line_each, photograph


@pytest.fixture
def latentedge(capfd: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capfd)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one picture of 344 px."""
    folder = tmp_path / "in"
    folder.mkdir()
    photograph().resize((344, 344)).save(folder / "china.png")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ("encode", "--output", "{output}", "{folder}/china.png"),
        ("evaluate", "--quick", "--output", "{output}", "{folder}"),
        ("train", "--data", "{folder}", "--minutes", "0.1", "--output", "{output}"),
        ("train", "--data", "{folder}", "--minutes", "0.1", "--resume", "/proc/self"),
        ("pack", "--data", "{folder}", "--output", "{output}/pack.zip"),
        ("demo", "--once", "--sheet", "{output}/sheet.png"),
        ("demo-photos", "--output", "{output}"),
    ],
)
@pytest.mark.parametrize("output", ["in/china.png/out", "/proc/self"])
def test_an_output_folder_that_cannot_be_used_is_reported_before_the_work(
    latentedge: Shell, tmp_path: Path, folder: Path, command: tuple[str, ...], output: str
) -> None:
    outcome = latentedge(*[word.format(output=tmp_path / output, folder=folder) for word in command])
    (line,) = outcome.err.splitlines()
    assert outcome.code == 2
    assert line.startswith(("latentedge: cannot create the folder", "latentedge: cannot write into the folder"))
    assert outcome.out == ""


def test_a_file_larger_than_any_picture_is_reported_in_one_line(
    latentedge: Shell, folder: Path, tmp_path: Path
) -> None:
    huge = folder / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(20 * 2**30)  # sparse: it takes no space
    outcome = latentedge("encode", "--output", tmp_path / "out", huge, folder / "china.png")
    assert outcome.code == 2
    assert_one_line_each(outcome, [huge])
    assert "too large" in outcome.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["china.le"]


def test_a_name_as_long_as_the_file_system_allows_is_written(latentedge: Shell, tmp_path: Path, folder: Path) -> None:
    stem = "n" * 251
    source = tmp_path / f"{stem}.png"
    Image.open(folder / "china.png").save(source)
    assert latentedge("encode", "--output", tmp_path / "out", source).code == 0
    assert latentedge("decode", "--output", tmp_path / "out", tmp_path / "out" / f"{stem}.le").code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{stem}.le", f"{stem}.png"}


def test_a_name_that_becomes_too_long_is_reported_in_one_line(latentedge: Shell, tmp_path: Path, folder: Path) -> None:
    source = folder / ("n" * 255)
    os.link(folder / "china.png", source)
    outcome = latentedge("encode", "--output", tmp_path / "out", source)
    assert outcome.code == 2
    assert_one_line_each(outcome, [source])
    assert not list((tmp_path / "out").iterdir())
