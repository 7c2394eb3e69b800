"""latentedge as a library: what `import latentedge` offers, and the example of docs/codec.md."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import latentedge
from models.config import HIGH_PX, MEDIUM_PX
from tests.command_line import photograph
from tests.markdown_page import ROOT, Page


def test_the_import_brings_no_torch() -> None:
    code = "import latentedge, sys; latentedge.__version__; latentedge.BitstreamError; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_every_public_name_can_be_had_and_is_documented() -> None:
    told = set(Page(ROOT / "docs" / "codec.md").code_spans)
    for name in latentedge.__all__:
        assert getattr(latentedge, name) is not None
        assert name in told
    assert dir(latentedge) == sorted(latentedge.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Decodec'"):
        latentedge.Decodec  # noqa: B018  (reading it is the test)


def test_its_errors_are_the_codec_s() -> None:
    from models.bitstream import BitstreamError, parse

    assert latentedge.BitstreamError is BitstreamError
    with pytest.raises(latentedge.ForeignBitstream):
        parse(b"")


def test_the_example_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photograph().save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "codec.md").read_text(encoding="utf-8")
    example = page.partition("```python\n")[2].partition("```")[0]
    exec(example, {})
    for size_px in (HIGH_PX, MEDIUM_PX):
        with Image.open(f"photo-{size_px}.png") as picture:
            assert picture.size == (size_px, size_px)


@pytest.mark.parametrize("package", ["latentedge", "models", "service"])
def test_every_package_says_that_it_has_types(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
