"""`latentedge data check`: what a folder or a DIV2K tree holds, faults and duplicates included."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.command_line import Outcome, Shell


def picture(seed: int, width: int, height: int) -> Image.Image:
    """Soft random blobs, which differ for each seed and look alike after a change of size or format."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def check(capfd: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capfd)


@pytest.fixture(scope="module")
def div2k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of the form of DIV2K, with two training pictures and one validation picture."""
    tree = tmp_path_factory.mktemp("DIV2K")
    for name, numbers in (("train", (1, 2)), ("valid", (801,))):
        for number in numbers:
            high = picture(number, 408, 360)
            save(high, tree / f"DIV2K_{name}_HR" / f"{number:04}.png")
            for kind in ("bicubic", "unknown"):
                for scale in (2, 3, 4):
                    low = high.resize((408 // scale, 360 // scale), Image.Resampling.BICUBIC)
                    save(low, tree / f"DIV2K_{name}_LR_{kind}" / f"X{scale}" / f"{number:04}x{scale}.png")
    return tree


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def line_of(outcome: Outcome, start: str) -> str:
    (found,) = [line for line in outcome.out.splitlines() if line.startswith(start)]
    return found.removeprefix(start).strip()


def test_the_parts_of_div2k_are_named_and_its_high_pictures_alone_are_used(check: Shell, div2k: Path) -> None:
    outcome = check("data", "check", div2k)
    assert outcome.code == 0
    parts = [line for line in outcome.out.splitlines() if line.startswith("DIV2K ")]
    assert parts == [
        f"DIV2K {folder}: {count} pictures ({meaning})"
        for name, count in (("train", 2), ("valid", 1))
        for folder, meaning in (
            (f"DIV2K_{name}_HR", f"{name}, high resolution"),
            *((f"DIV2K_{name}_LR_bicubic/X{one}", f"{name}, low resolution, bicubic, X{one}") for one in (2, 3, 4)),
            *(
                (f"DIV2K_{name}_LR_unknown/X{one}", f"{name}, low resolution, unknown operators, X{one}")
                for one in (2, 3, 4)
            ),
        )
    ]
    assert line_of(outcome, "training would use:").startswith("2 pictures of DIV2K_train_HR alone, 0 of them enlarged")
    assert line_of(outcome, "formats:") == "PNG 2"


def test_a_folder_is_told_by_format_size_fault_and_likeness(check: Shell, tmp_path: Path) -> None:
    save(picture(1, 400, 300), tmp_path / "a.jpg")
    save(picture(1, 800, 600), tmp_path / "large" / "a.webp")  # the same picture in another size and format
    save(picture(2, 90, 120), tmp_path / "b.png")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:300])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("left alone")
    outcome = check("data", "check", tmp_path)
    assert outcome.code == 0
    assert line_of(outcome, "pictures:") == "5, of which 3 can be read"
    assert set(line_of(outcome, "formats:").split(", ")) == {"JPEG 1", "WEBP 1", "PNG 1"}
    sides = {
        line.split(":")[0].removeprefix("shorter side").strip(): line
        for line in outcome.out.splitlines()
        if "shorter" in line
    }
    assert {name for name, line in sides.items() if "#" in line} == {"below 172 px", "172 to 343 px", "512 to 1023 px"}
    assert line_of(outcome, "duplicates:") == "1, in 1 groups of pictures that look alike"
    assert line_of(outcome, "  alike:") == f"{tmp_path / 'a.jpg'}, {tmp_path / 'large' / 'a.webp'}"
    assert line_of(outcome, "training would use:").startswith("3 pictures, 2 of them enlarged")
    faults = outcome.err.splitlines()
    assert [line.split(": ")[:2] for line in faults] == [
        [str(tmp_path / name), "unreadable"] for name in ("cut.jpg", "text.png")
    ]
    assert all(len(line.split(": ", 2)[2]) > 3 for line in faults)


def test_a_pack_is_checked_like_a_folder(check: Shell, tmp_path: Path) -> None:
    save(picture(3, 350, 350), tmp_path / "one.png")
    with zipfile.ZipFile(tmp_path / "pack.zip", "w") as archive:
        archive.write(tmp_path / "one.png", "one.png")
        archive.writestr("two.png", b"no picture")
    outcome = check("data", "check", tmp_path / "pack.zip")
    assert outcome.code == 0
    assert line_of(outcome, "pictures:") == "2, of which 1 can be read"


@pytest.mark.parametrize("content", [{}, {"a.png": b"no picture"}], ids=["empty", "unreadable"])
def test_data_of_which_nothing_is_usable_is_an_error(check: Shell, tmp_path: Path, content: dict[str, bytes]) -> None:
    for name, written in content.items():
        (tmp_path / name).write_bytes(written)
    outcome = check("data", "check", tmp_path)
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("latentedge: ")


def test_a_missing_folder_is_one_line(check: Shell, tmp_path: Path) -> None:
    outcome = check("data", "check", tmp_path / "no")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
