"""Packs of photographs: they fit, they are read like a folder, and a damaged one is a typed error."""

import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from models.evaluation.references import ReferencePictureError
from models.training.dataset import PhotographSet
from models.training.options import Recipe
from models.training.photograph_pack import PackError, PackOptions, pack
from models.training.picture_file import training_files
from models.training.schedule import FLAT
from tests.models.pictures import photograph

NAMES = ("astronaut", "coffee")
MOST_BYTES = 40_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for name in NAMES:
        Image.fromarray(photograph(name, 400)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def packed(folder: Path) -> Path:
    target = folder.parent / "photographs.zip"
    pack(PackOptions([folder], target, most_bytes=MOST_BYTES))
    return target


def test_a_pack_uses_the_size_that_it_may_have_and_says_what_was_lost(folder: Path, tmp_path: Path) -> None:
    small, large = (
        pack(PackOptions([folder], tmp_path / f"{most_bytes}.zip", most_bytes=most_bytes))
        for most_bytes in (MOST_BYTES, 3 * MOST_BYTES)
    )
    for figures, most_bytes in ((small, MOST_BYTES), (large, 3 * MOST_BYTES)):
        assert 0.8 * most_bytes < figures.size_bytes <= most_bytes
        assert figures.size_bytes == (tmp_path / f"{most_bytes}.zip").stat().st_size
        assert (figures.photographs, figures.scored) == (2, 2)
    assert small.quality < large.quality
    assert 28 < small.psnr_db < large.psnr_db
    assert small.ssimulacra2 < large.ssimulacra2


def test_a_pack_is_read_like_the_folder_that_it_was_made_of(folder: Path, packed: Path) -> None:
    assert [file.name for file in training_files(packed)] == [f"{name}.avif" for name in NAMES]
    of_pack, of_folder = (
        PhotographSet([source]).batch(Recipe(batch=4), FLAT, torch.Generator().manual_seed(2))
        for source in (packed, folder)
    )
    apart = (of_pack[0].pixels - of_folder[0].pixels).abs().mean()
    assert 0 < float(apart) < 0.03
    assert torch.equal(of_pack[1], of_folder[1])


def test_photographs_that_fit_at_no_quality_are_a_typed_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="do not fit 500 bytes"):
        pack(PackOptions([folder], tmp_path / "photographs.zip", most_bytes=500))
    assert not list(tmp_path.iterdir())


def test_a_pack_that_cannot_be_made_small_enough_leaves_the_old_one(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "photographs.zip"
    target.write_bytes(b"the old pack")
    with pytest.raises(PackError):
        pack(PackOptions([folder], target, most_bytes=100))
    assert target.read_bytes() == b"the old pack"


def test_two_photographs_of_one_name_are_a_typed_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="one name"):
        pack(PackOptions([folder, folder], tmp_path / "photographs.zip"))


@pytest.mark.parametrize("keep_crc", [True, False])
def test_a_damaged_member_is_left_out_and_named(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, keep_crc: bool
) -> None:
    damaged = tmp_path / "damaged.zip"
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(one for one in members if "coffee" in one)
    if keep_crc:  # the zip is sound, the picture in it is not
        members[name] = members[name][:200]
        with zipfile.ZipFile(damaged, "w") as archive:
            for one, content in members.items():
                archive.writestr(one, content)
    else:  # bytes of the picture were changed on the way
        whole = packed.read_bytes()
        place = whole.index(members[name][200:400])
        damaged.write_bytes(whole[:place] + bytes(100) + whole[place + 100 :])
    assert PhotographSet([damaged]).files == len(members) - 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert "coffee" in line


def test_another_file_is_no_pack(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("not a pack")
    with pytest.raises(ReferencePictureError, match="not a readable pack"):
        training_files(tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(ReferencePictureError, match="no pictures"):
        training_files(tmp_path / "empty.zip")
