"""`encode --screen`, `decode` and `info` with a logo and a photograph in one call."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.bitstream import kind_of, parse
from models.pixels import lanczos_half
from tests.command_line import Shell, photograph
from tests.models.screen_pictures import as_stored


@pytest.fixture
def latentedge(capfd: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capfd)


@pytest.fixture
def logo(tmp_path: Path) -> Path:
    path = tmp_path / "logo.png"
    Image.fromarray(as_stored("logo")).save(path)
    return path


def test_a_logo_becomes_a_screen_stream_and_a_photograph_a_latent(
    latentedge: Shell, logo: Path, tmp_path: Path
) -> None:
    china = tmp_path / "china.png"
    photograph().save(china)
    assert latentedge("encode", "--screen", "--refine", 1, "--output", tmp_path, logo, china).code == 0
    assert [kind_of((tmp_path / f"{name}.le").read_bytes()) for name in ("logo", "china")] == ["screen", "high"]

    told = latentedge("info", tmp_path / "logo.le")
    assert (told.code, told.err) == (0, "")
    assert "kind screen largest error 0" in " ".join(told.out.split())

    for res, wanted in (("high", as_stored("logo")), ("medium", lanczos_half(as_stored("logo")))):
        assert latentedge("decode", "--res", res, "--output", tmp_path / res, tmp_path / "logo.le").code == 0
        with Image.open(tmp_path / res / "logo.png") as picture:
            assert np.array_equal(np.asarray(picture), wanted), f"another {res} picture"


def test_a_screen_stream_keeps_within_the_target(latentedge: Shell, logo: Path, tmp_path: Path) -> None:
    assert latentedge("encode", "--screen", "--target-bytes", 1400, "--output", tmp_path, logo).code == 0
    stream = (tmp_path / "logo.le").read_bytes()
    assert len(stream) <= 1400
    assert kind_of(stream) == "screen"
    assert parse(stream).quality > 0  # the exact one takes 1,500 bytes


def test_a_damaged_screen_stream_is_one_line(latentedge: Shell, logo: Path, tmp_path: Path) -> None:
    assert latentedge("encode", "--screen", "--output", tmp_path, logo).code == 0
    damaged = tmp_path / "damaged.le"
    stream = (tmp_path / "logo.le").read_bytes()
    damaged.write_bytes(stream[:600] + b"\xff" + stream[601:])
    for command in (("info",), ("decode", "--output", tmp_path)):
        outcome = latentedge(*command, damaged)
        assert outcome.code == 2
        assert outcome.err.startswith(f"{damaged}: not a latent that these weights can decode: the ")
