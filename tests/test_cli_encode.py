"""`latentedge encode` to a target and with a search, and `decode` with either head. The results are measured."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.bitstream import parse
from models.codec import Codec
from models.config import HIGH_PX
from models.scores import Ssimulacra2
from tests.command_line import Shell, assert_one_line_each, photograph

TARGET_BYTES = 6_000
TARGET_SSIMULACRA2 = 55.0
STEPS = 40
"""As many as are recommended on a CPU."""


@pytest.fixture
def latentedge(capfd: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capfd)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load()


@pytest.fixture
def china(tmp_path: Path) -> Path:
    path = tmp_path / "china.png"
    photograph().crop((100, 60, 100 + HIGH_PX, 60 + HIGH_PX)).save(path)
    return path


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Return noise, which no codec encodes well."""
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (HIGH_PX, HIGH_PX, 3), dtype=np.uint8)).save(path)
    return path


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def score(codec: Codec, picture: NDArray[np.uint8], blob: bytes) -> float:
    (decoded,) = codec.synthesize([codec.read(blob)], size_px=HIGH_PX)
    return Ssimulacra2(picture).score(decoded)


def test_target_bytes_gives_the_best_quality_that_fits(
    latentedge: Shell, codec: Codec, china: Path, tmp_path: Path
) -> None:
    assert latentedge("encode", "--target-bytes", TARGET_BYTES, "--output", tmp_path, china).code == 0
    blob = (tmp_path / "china.le").read_bytes()
    assert len(blob) <= TARGET_BYTES
    assert len(codec.encode(pixels(china), quality=parse(blob).quality + 1)) > TARGET_BYTES


def test_target_ssimulacra2_gives_the_least_quality_that_reaches_it(
    latentedge: Shell, codec: Codec, china: Path, tmp_path: Path
) -> None:
    assert latentedge("encode", "--target-ssimulacra2", TARGET_SSIMULACRA2, "--output", tmp_path, china).code == 0
    blob, picture = (tmp_path / "china.le").read_bytes(), pixels(china)
    assert score(codec, picture, blob) >= TARGET_SSIMULACRA2
    below = codec.encode(picture, quality=parse(blob).quality - 1)
    assert score(codec, picture, below) < TARGET_SSIMULACRA2


@pytest.mark.parametrize("target", [("--target-bytes", 1_000), ("--target-ssimulacra2", TARGET_SSIMULACRA2)])
def test_a_target_that_one_picture_cannot_meet_fails_only_that_picture(
    latentedge: Shell, noise: Path, tmp_path: Path, target: tuple[str, object]
) -> None:
    flat = tmp_path / "flat.png"
    Image.new("RGB", (HIGH_PX, HIGH_PX), (90, 120, 150)).save(flat)
    outcome = latentedge("encode", *target, "--output", tmp_path / "out", noise, flat)
    assert outcome.code == 2
    assert_one_line_each(outcome, [noise])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["flat.le"]


def test_a_transparent_picture_is_laid_on_the_background(
    latentedge: Shell, codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the same one as in an edge with this setting, unless the option names another."""
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (HIGH_PX, HIGH_PX), (0, 0, 0, 0)).save(clear)
    monkeypatch.setenv("EDGE_BACKGROUND", "1020f0")
    for options, wanted in (((), (16, 32, 240)), (("--background", "#f02010"), (240, 32, 16))):
        assert latentedge("encode", *options, "--output", tmp_path, clear).code == 0
        (decoded,) = codec.synthesize([codec.read((tmp_path / "clear.le").read_bytes())], size_px=HIGH_PX)
        found = np.median(decoded.reshape(-1, 3), 0)
        assert np.abs(found - wanted).max() < 30, f"{found} is not {wanted}"
    outcome = latentedge("encode", "--background", "white", "--output", tmp_path, clear)
    assert outcome.code == 2
    assert "--background" in outcome.err


def test_a_search_finds_another_latent_of_the_same_quality(
    latentedge: Shell, codec: Codec, china: Path, tmp_path: Path
) -> None:
    for steps in (0, STEPS):
        arguments = ("encode", "--quality", 20, "--refine", steps, "--output", tmp_path / str(steps), china)
        assert latentedge(*arguments).code == 0
    first, refined = ((tmp_path / str(steps) / "china.le").read_bytes() for steps in (0, STEPS))
    assert first != refined
    assert parse(first).quality == parse(refined).quality == 20
    assert codec.read(refined).quality == 20


@pytest.mark.parametrize("target", [("--target-bytes", TARGET_BYTES), ("--target-ssimulacra2", TARGET_SSIMULACRA2)])
def test_a_search_keeps_the_target(
    latentedge: Shell, codec: Codec, china: Path, tmp_path: Path, target: tuple[str, object]
) -> None:
    assert latentedge("encode", *target, "--refine", 4, "--output", tmp_path, china).code == 0
    blob = (tmp_path / "china.le").read_bytes()
    if target[0] == "--target-bytes":
        assert len(blob) <= TARGET_BYTES
    else:
        assert score(codec, pixels(china), blob) >= TARGET_SSIMULACRA2


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_files_are_searched_in_batches_and_a_bad_one_stops_none(
    latentedge: Shell, codec: Codec, china: Path, tmp_path: Path, batch: int
) -> None:
    bad, other = tmp_path / "bad.png", tmp_path / "other.png"
    bad.write_bytes(b"no picture")
    Image.fromarray(pixels(china)[::-1, ::-1]).save(other)
    arguments = ("--refine", 2, "--refine-batch", batch, "--output", tmp_path / "out")
    outcome = latentedge("encode", "--quality", 30, *arguments, china, bad, other)
    assert outcome.code == 2
    assert_one_line_each(outcome, [bad])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["china.le", "other.le"]
    for path in (china, other):
        blob = (tmp_path / "out" / f"{path.stem}.le").read_bytes()
        assert parse(blob).quality == 30
        assert score(codec, pixels(path), blob) > TARGET_SSIMULACRA2


def test_one_picture_of_a_batch_that_misses_its_target_fails_alone(
    latentedge: Shell, codec: Codec, china: Path, noise: Path, tmp_path: Path
) -> None:
    arguments = ("--target-ssimulacra2", TARGET_SSIMULACRA2, "--refine", 2, "--refine-batch", 2)
    outcome = latentedge("encode", *arguments, "--output", tmp_path / "out", noise, china)
    assert outcome.code == 2
    assert_one_line_each(outcome, [noise])
    assert score(codec, pixels(china), (tmp_path / "out" / "china.le").read_bytes()) >= TARGET_SSIMULACRA2


def test_a_search_improves_the_named_heads(latentedge: Shell, codec: Codec, china: Path, tmp_path: Path) -> None:
    for heads in ("high-cpu=1", "high-cpu=0.1,medium=1"):
        arguments = ("--quality", 20, "--refine", STEPS, "--refine-for", heads)
        assert latentedge("encode", *arguments, "--output", tmp_path / heads, china).code == 0
    for_high, for_medium = (
        (tmp_path / heads / "china.le").read_bytes() for heads in ("high-cpu=1", "high-cpu=0.1,medium=1")
    )
    assert for_high != for_medium
    assert parse(for_high).quality == parse(for_medium).quality == codec.read(for_high).quality


def test_either_head_of_each_size_decodes_a_latent(latentedge: Shell, china: Path, tmp_path: Path) -> None:
    assert latentedge("encode", "--quality", 30, "--output", tmp_path, china).code == 0
    decoded = {}
    for res in ("high", "medium"):
        for head in ("cpu", "gpu"):
            folder = tmp_path / res / head
            assert (
                latentedge("decode", "--head", head, "--res", res, "--output", folder, tmp_path / "china.le").code == 0
            )
            decoded[res, head] = pixels(folder / "china.png")
    for res in ("high", "medium"):
        assert (decoded[res, "cpu"] != decoded[res, "gpu"]).any()
