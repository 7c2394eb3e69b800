"""The command line with the real codec and the released weights: the output for scripts, and the errors."""

import inspect
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.bitstream import parse
from models.config import HIGH_PX, MEDIUM_PX
from models.training.options import STAGES, Recipe, TrainOptions
from service.cli import run
from service.commands.codec_commands import train
from service.settings.edge_settings import table
from tests.command_line import Outcome, Shell, assert_one_line_each, photograph

COMMANDS = (
    "encode",
    "decode",
    "info",
    "evaluate",
    "train",
    "pack",
    "serve",
    "refine",
    "purge",
    "sign",
    "origin",
    "demo",
)


@pytest.fixture
def latentedge(capfd: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capfd)


@pytest.fixture(scope="session")
def square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 344x344 picture."""
    path = tmp_path_factory.mktemp("square") / "china.png"
    photograph().crop((100, 60, 100 + HIGH_PX, 60 + HIGH_PX)).save(path)
    return path


@pytest.fixture(scope="session")
def latent(square: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latent")
    assert run(["encode", "--quality", "40", "--output", str(folder), str(square)]) == 0
    return folder / "china.le"


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        assert picture.mode == "RGB"
        return np.asarray(picture)


def psnr_db(reference: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((reference.astype(np.float64) - decoded) ** 2)))


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_help_names_every_command_and_imports_no_torch() -> None:
    code = """
import sys
from service.cli import run
assert run(["--help"]) == 0
heavy = {"torch", "numpy", "PIL", "fastapi", "redis", "httpx", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    outcome = python(code)
    assert outcome.returncode == 0, outcome.stderr
    assert all(command in outcome.stdout for command in COMMANDS)


def test_version_prints_the_installed_version(latentedge: Shell) -> None:
    outcome = latentedge("--version")
    assert outcome.code == 0
    assert outcome.out == f"latentedge {metadata.version('latentedge')}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(latentedge: Shell, command: str) -> None:
    outcome = latentedge(command, "--help")
    assert outcome.code == 0
    assert command in outcome.out


def test_the_help_of_serve_lists_every_setting(latentedge: Shell) -> None:
    printed = latentedge("serve", "--help").out
    assert [row.name for row in table() if f" {row.name} " not in printed] == []


def test_the_help_of_train_lists_every_stage(latentedge: Shell) -> None:
    printed = " ".join(latentedge("train", "--help").out.replace("\u2502", " ").split())
    assert f"{', '.join(('all', *STAGES[:-1]))} or {STAGES[-1]}." in printed


def test_train_takes_its_defaults_from_the_page_of_options() -> None:
    page = vars(Recipe()) | vars(TrainOptions(data=[], minutes=0))
    shown = {name: one.default for name, one in inspect.signature(train).parameters.items()}
    assert set(shown) <= set(page)
    assert {name: value for name, value in shown.items() if value is not inspect.Parameter.empty} == {
        name: page[name] for name in shown if name not in {"data", "minutes"}
    }


def test_a_picture_is_encoded_and_decoded(latentedge: Shell, square: Path, latent: Path, tmp_path: Path) -> None:
    assert latentedge("decode", "--res", "high", "--output", tmp_path / "high", latent) == Outcome(0, out="", err="")
    assert latentedge("decode", "--res", "medium", "--output", tmp_path / "medium", latent).code == 0
    high, medium = pixels(tmp_path / "high" / "china.png"), pixels(tmp_path / "medium" / "china.png")
    assert high.shape == (HIGH_PX, HIGH_PX, 3)
    assert medium.shape == (MEDIUM_PX, MEDIUM_PX, 3)
    assert psnr_db(pixels(square), high) > 25
    with Image.open(square) as picture:
        half = np.asarray(picture.resize((MEDIUM_PX, MEDIUM_PX), Image.Resampling.LANCZOS))
    assert psnr_db(half, medium) > 20


def test_any_picture_is_cut_to_its_centre_square(latentedge: Shell, tmp_path: Path) -> None:
    wide = photograph()
    wide.save(tmp_path / "wide.png")
    side = min(wide.size)
    left, top = (wide.width - side) // 2, (wide.height - side) // 2
    centre = wide.crop((left, top, left + side, top + side)).resize((HIGH_PX, HIGH_PX), Image.Resampling.LANCZOS)
    centre.save(tmp_path / "centre.png")
    arguments = ("encode", "--quality", 30, "--output", tmp_path, tmp_path / "wide.png", tmp_path / "centre.png")
    assert latentedge(*arguments).code == 0
    assert (tmp_path / "wide.le").read_bytes() == (tmp_path / "centre.le").read_bytes()


def test_more_quality_takes_more_bytes(latentedge: Shell, square: Path, tmp_path: Path) -> None:
    sizes = []
    for quality in (0, 31, 63):
        assert latentedge("encode", "--quality", quality, "--output", tmp_path / str(quality), square).code == 0
        sizes.append((tmp_path / str(quality) / "china.le").stat().st_size)
    assert sizes == sorted(set(sizes))


def test_without_a_quality_the_model_chooses(latentedge: Shell, square: Path, tmp_path: Path) -> None:
    from models.codec import Codec

    assert latentedge("encode", "--output", tmp_path, square).code == 0
    assert parse((tmp_path / "china.le").read_bytes()).quality == Codec.load().default_quality


def test_info_prints_the_header(latentedge: Shell, latent: Path) -> None:
    outcome = latentedge("info", latent)
    assert (outcome.code, outcome.err) == (0, "")
    size_bytes = latent.stat().st_size
    for words in ("quality 40", "picture 344x344 px", f"file {size_bytes} bytes"):
        assert words in " ".join(outcome.out.split())
    assert f"{8 * size_bytes / HIGH_PX**2:.4f}" in outcome.out


def damaged(blob: bytes) -> dict[str, bytes]:
    def flipped(place: int) -> bytes:
        return blob[:place] + bytes([blob[place] ^ 0x10]) + blob[place + 1 :]

    return {
        "empty": b"",
        "one-byte": blob[:1],
        "cut-in-the-header": blob[:10],
        "cut-in-the-words": blob[: len(blob) // 2],
        "one-byte-short": blob[:-1],
        "one-byte-long": blob + b"\0",
        "flipped-in-the-header": flipped(8),
        "flipped-in-the-words": flipped(len(blob) * 2 // 3),
        "flipped-at-the-end": flipped(len(blob) - 1),
        "foreign-magic": b"\x89PNG\r\n\x1a\n" + blob[8:],
        "zeros": bytes(len(blob)),
    }


@pytest.mark.parametrize("command", ["decode", "info"])
def test_every_bad_latent_is_reported_and_the_good_one_is_decoded(
    latentedge: Shell, latent: Path, tmp_path: Path, command: str
) -> None:
    bad = []
    for name, blob in damaged(latent.read_bytes()).items():
        bad.append(tmp_path / f"{name}.le")
        bad[-1].write_bytes(blob)
    bad += [tmp_path / "missing.le", tmp_path]
    output = ("--output", tmp_path / "out") if command == "decode" else ()
    outcome = latentedge(command, *output, *bad[:5], latent, *bad[5:])
    assert outcome.code == 2
    assert_one_line_each(outcome, bad)
    if command == "decode":
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["china.png"]
    else:
        assert outcome.out.startswith(f"{latent}\n")


def test_every_bad_picture_is_reported_and_the_good_one_is_encoded(
    latentedge: Shell, square: Path, tmp_path: Path
) -> None:
    blob = square.read_bytes()
    contents = {"empty": b"", "text": b"not a picture", "truncated": blob[: len(blob) // 2], "zeros": bytes(4096)}
    bad = []
    for name, content in contents.items():
        bad.append(tmp_path / f"{name}.png")
        bad[-1].write_bytes(content)
    bad += [tmp_path / "missing.png", tmp_path]
    outcome = latentedge("encode", "--quality", 20, "--output", tmp_path / "out", bad[0], square, *bad[1:])
    assert outcome.code == 2
    assert_one_line_each(outcome, bad)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["china.le"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", "--quality", "64", "--output", "OUT", "FILE"),
        ("encode", "--quality", "-1", "--output", "OUT", "FILE"),
        ("encode", "--quality", "good", "--output", "OUT", "FILE"),
        ("encode", "--output", "FILE", "FILE"),
        ("encode", "FILE"),
        ("encode", "--output", "OUT"),
        ("encode", "--weights", "FILE", "--output", "OUT", "FILE"),
        ("encode", "--weights", "MISSING", "--output", "OUT", "FILE"),
        ("encode", "--device", "abacus", "--output", "OUT", "FILE"),
        ("encode", "--head", "high-cpu", "--output", "OUT", "FILE"),
        ("encode", "--quality", "30", "--target-bytes", "9000", "--output", "OUT", "FILE"),
        ("encode", "--quality", "30", "--target-ssimulacra2", "70", "--output", "OUT", "FILE"),
        ("encode", "--target-bytes", "9000", "--target-ssimulacra2", "70", "--output", "OUT", "FILE"),
        ("encode", "--target-bytes", "0", "--output", "OUT", "FILE"),
        ("encode", "--target-ssimulacra2", "100.5", "--output", "OUT", "FILE"),
        ("encode", "--target-ssimulacra2", "nan", "--output", "OUT", "FILE"),
        ("encode", "--refine", "-1", "--output", "OUT", "FILE"),
        ("encode", "--refine", "65536", "--output", "OUT", "FILE"),
        ("encode", "--refine", "1", "--refine-batch", "0", "--output", "OUT", "FILE"),
        ("encode", "--refine", "1", "--refine-for", "high-tpu=1", "--output", "OUT", "FILE"),
        ("encode", "--refine", "1", "--refine-for", "", "--output", "OUT", "FILE"),
        ("refine", "--store", "redis://s.example", "--origin", "http://o.example"),
        ("refine", "--store", "redis://s.example", "--steps", "1"),
        ("refine", "--store", "", "--origin", "http://o.example", "--steps", "1"),
        ("refine", "--store", "http://s.example", "--origin", "ftp://o.example", "--steps", "65536"),
        ("refine", "--store", "redis://s.example", "--origin", "http://o.example", "--steps", "0"),
        (
            "refine",
            "--store",
            "redis://s.example",
            "--origin",
            "http://o.example",
            "--steps",
            "1",
            "--per-minute",
            "-1",
        ),
        ("decode", "--head", "gpus", "--output", "OUT", "FILE"),
        ("decode", "--res", "low", "--output", "OUT", "FILE"),
        ("train", "--data", "MISSING", "--minutes", "1"),
        ("train", "--data", "FILE", "--minutes", "1"),
        ("train", "--data", "FILE", "--minutes", "1", "--optimizer", "sgd"),
        ("train", "--data", "FILE", "--minutes", "1", "--from-flat", "OUT"),
        ("train", "--data", "FILE", "--minutes", "1", "--stage", "high", "--from-flat", "MISSING"),
        ("pack", "--data", "MISSING", "--output", "OUT"),
        ("origin", "--dir", "MISSING", "--port", "0"),
        ("origin", "--dir", "OUT", "--port", "65536"),
        ("demo", "--photos", "MISSING", "--port", "0"),
        ("improve",),
    ],
)
def test_a_wrong_command_line_is_reported_in_one_line(
    latentedge: Shell, square: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    places = {"OUT": tmp_path / "out", "FILE": square, "MISSING": tmp_path / "missing"}
    outcome = latentedge(*(places.get(argument, argument) for argument in arguments))
    assert outcome.code == 2
    assert len(outcome.err.splitlines()) == 1, outcome.err
    assert outcome.out == ""


def test_two_sources_are_never_written_to_the_same_file(latentedge: Shell, square: Path, tmp_path: Path) -> None:
    twin = tmp_path / "china.bmp"
    Image.new("RGB", (50, 50)).save(twin)
    outcome = latentedge("encode", "--quality", 20, "--output", tmp_path / "out", square, twin)
    assert outcome.code == 2
    assert outcome.err.startswith(f"{twin}: ")
    assert latentedge("encode", "--quality", 20, "--output", tmp_path / "alone", square).code == 0
    assert (tmp_path / "out" / "china.le").read_bytes() == (tmp_path / "alone" / "china.le").read_bytes()


def test_a_failed_write_leaves_no_file(latentedge: Shell, latent: Path, tmp_path: Path) -> None:
    (tmp_path / "china.png").mkdir()
    outcome = latentedge("decode", "--output", tmp_path, latent)
    assert outcome.code == 2
    assert outcome.err.startswith(f"{latent}: cannot write ")
    assert [path.name for path in tmp_path.iterdir()] == ["china.png"]


def test_serve_reports_its_settings_in_one_line() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_")}
    outcome = subprocess.run(
        [sys.executable, "-m", "service", "serve"],
        env=environment | {"EDGE_QUALITY": "99"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 2
    assert len(outcome.stderr.splitlines()) == 1, outcome.stderr
    assert "EDGE_ORIGIN" in outcome.stderr
    assert "EDGE_QUALITY" in outcome.stderr


@pytest.mark.parametrize(
    "address",
    [
        "redis://:s3cret@s.example/0?db=x",
        "redis://:s3cret@s.example?bogus=1",
        "redis://:s3cret@s.example?ssl=true",
        "redis://:s3cret@s.example?decode_responses=true",
        "redis://:s3cret@s.example/pictures",
        "rediss://:s3cret@s.example?ssl_ca_certs=/nowhere.pem",
        "rediss://:s3cret@s.example?ssl_cert_reqs=maybe",
        "redis+cluster://s3cret@s?x=1",
        "redis+cluster://s3cret@s?ssl=true",
    ],
)
@pytest.mark.parametrize("command", [("serve",), ("refine", "--steps", "1")])
def test_an_unusable_store_address_is_reported_without_its_password(command: tuple[str, ...], address: str) -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "service", *command],
        env=dict(os.environ) | {"EDGE_ORIGIN": "http://origin.example", "EDGE_REDIS_URL": address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 2
    assert len(outcome.stderr.splitlines()) == 1, outcome.stderr
    assert "EDGE_REDIS_URL" in outcome.stderr
    assert "s3cret" not in outcome.stderr


def test_the_two_ports_of_an_edge_must_differ() -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "service", "serve", "--port", "18080"],
        env=dict(os.environ) | {"EDGE_ORIGIN": "http://origin.example", "EDGE_ADMIN_PORT": "18080"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 2
    assert len(outcome.stderr.splitlines()) == 1, outcome.stderr
    assert "EDGE_ADMIN_PORT" in outcome.stderr
