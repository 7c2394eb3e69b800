"""The scores against the packages and formulas they stand for, and the references they are taken against."""

from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image
from ssimulacra2 import compute_ssimulacra2

from models.evaluation.anchors import anchor
from models.evaluation.references import ReferencePictureError, pictures_in, reference
from models.picture_array import Pixels
from models.scores import IDENTICAL_PSNR_DB, ScoreError, Ssimulacra2, psnr_db


def square(size_px: int) -> Pixels:
    return reference(Path(skimage.__file__).parent / "data" / "astronaut.png", size_px)


def by_way_of(picture: Pixels, name: str, quality: int) -> Pixels:
    return anchor(name).decode(anchor(name).encode(picture, quality))


@pytest.mark.parametrize("name", ["JPEG", "WebP", "AVIF"])
@pytest.mark.parametrize("quality", [10, 60, 95])
def test_ssimulacra2_is_the_package_s_own_score(tmp_path: Path, name: str, quality: int) -> None:
    picture = square(344)
    decoded = by_way_of(picture, name, quality)
    paths = tmp_path / "reference.png", tmp_path / "decoded.png"
    for path, pixels in zip(paths, (picture, decoded), strict=True):
        Image.fromarray(pixels).save(path)
    assert Ssimulacra2(picture).score(decoded) == pytest.approx(compute_ssimulacra2(*paths), abs=0.05)


def test_ssimulacra2_of_a_small_picture_is_on_the_same_scale() -> None:
    """The package's own weights are off by a scale below 225 px: JPEG quality 97 would score about 60."""
    scores = {
        size_px: Ssimulacra2(square(size_px)).score(by_way_of(square(size_px), "JPEG", 97)) for size_px in (344, 172)
    }
    assert scores[172] == pytest.approx(scores[344], abs=6)


def test_identical_pictures_have_the_highest_scores() -> None:
    picture = square(172)
    assert psnr_db(picture, picture) == IDENTICAL_PSNR_DB
    assert Ssimulacra2(picture).score(picture) == 100


def test_psnr_of_a_known_error() -> None:
    grey = np.full((16, 16, 3), 100, dtype=np.uint8)
    off_by_one_in_one_channel = grey.copy()
    off_by_one_in_one_channel[..., 1] += 1
    assert psnr_db(grey, off_by_one_in_one_channel) == pytest.approx(10 * np.log10(255**2 * 3))


def test_pictures_of_unlike_size_are_not_compared() -> None:
    with pytest.raises(ScoreError):
        psnr_db(square(172), square(344))
    with pytest.raises(ScoreError):
        Ssimulacra2(square(172)).score(square(344))


def test_a_reference_is_the_centre_square_resized_once() -> None:
    wide = Path(skimage.__file__).parent / "data" / "chelsea.png"
    with Image.open(wide) as image:
        assert image.size == (451, 300)
        expected = np.asarray(image.crop((75, 0, 375, 300)).resize((172, 172), Image.Resampling.LANCZOS))
    assert np.array_equal(reference(wide, 172), expected)


def test_a_picture_of_the_wanted_size_is_its_own_reference(tmp_path: Path) -> None:
    Image.fromarray(square(344)).save(tmp_path / "ready.png")
    assert np.array_equal(reference(tmp_path / "ready.png", 344), square(344))


def test_a_reference_is_upright_opaque_and_in_colour(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side: turn clockwise
    upright = Image.fromarray(square(172))
    upright.rotate(90).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(reference(tmp_path / "turned.png", 172), square(172))
    Image.new("LA", (172, 172), (0, 0)).save(tmp_path / "clear.png")
    assert np.array_equal(reference(tmp_path / "clear.png", 172), np.full((172, 172, 3), 255))


def test_pictures_are_found_by_suffix_in_order_of_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.webp", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in pictures_in(tmp_path)] == ["a.webp", "b.PNG"]


def test_a_folder_without_pictures_and_a_file_that_is_none_are_typed_errors(tmp_path: Path) -> None:
    with pytest.raises(ReferencePictureError, match="no pictures"):
        pictures_in(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(ReferencePictureError, match=r"broken\.png"):
        reference(tmp_path / "broken.png", 344)
