"""The upscaler: LANCZOS until it is trained, its cost, and its file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models import upscaler
from models.checkpoint import RELEASED
from models.config import HIGH_PX, MEDIUM_PX, UPSCALER
from models.evaluation.cost import flop_counter
from models.pixels import to_pixels, to_tensor
from models.scores import psnr_db
from models.upscaler import Upscaler, UpscalerNotes
from models.weights_file import CheckpointError
from tests.models.pictures import photograph

QUALITY = torch.tensor([31])
BORDER_PX = 6  # Pillow cuts the filter off at a border, and the upscaler continues the picture instead


def test_untrained_it_returns_what_pillow_makes_by_lanczos() -> None:
    medium = photograph(size_px=MEDIUM_PX) // 2 + 64  # Pillow clips between its two passes, so keep off black and white
    (found,) = to_pixels(Upscaler(UPSCALER)(to_tensor(medium), quality=QUALITY).detach(), HIGH_PX)
    pillow = np.asarray(Image.fromarray(medium).resize((HIGH_PX, HIGH_PX), Image.Resampling.LANCZOS))
    inside = slice(BORDER_PX, -BORDER_PX)
    worst = int(np.abs(found[inside, inside].astype(int) - pillow[inside, inside]).max())
    assert worst <= 1, f"a pixel differs by {worst} levels"


@pytest.mark.parametrize("side", [64, 70, MEDIUM_PX])
def test_it_doubles_any_side(side: int) -> None:
    assert Upscaler(UPSCALER)(torch.rand(2, 3, side, side), quality=torch.tensor([0, 63])).shape == (
        2,
        3,
        2 * side,
        2 * side,
    )


def test_a_picture_takes_at_most_half_a_thousand_million_multiplications() -> None:
    network = Upscaler(UPSCALER)
    with torch.no_grad(), flop_counter() as flops:
        network(torch.rand(1, 3, MEDIUM_PX, MEDIUM_PX), quality=QUALITY)
    assert 0.3e9 < flops.get_total_flops() / 2 <= 0.5e9


def test_a_file_gives_the_network_back(tmp_path: Path) -> None:
    network = Upscaler(UPSCALER)
    torch.nn.init.normal_(network.leave.weight, std=0.01)
    notes = UpscalerNotes(stream_id="01020304", trained="for a test")
    upscaler.save(tmp_path / "one", network, notes)
    found = upscaler.load(tmp_path / "one")
    assert found.notes == notes
    x = to_tensor(photograph(size_px=MEDIUM_PX))
    ours, theirs = (to_pixels(one(x, quality=QUALITY).detach(), HIGH_PX)[0] for one in (network, found.network))
    assert psnr_db(ours, theirs) > 55, "half precision may change a pixel by a level"


def test_the_weights_id_changes_with_the_weights(tmp_path: Path) -> None:
    network, notes = Upscaler(UPSCALER), UpscalerNotes(stream_id="01020304", trained="for a test")
    upscaler.save(tmp_path / "one", network, notes)
    torch.nn.init.ones_(network.leave.bias)
    upscaler.save(tmp_path / "other", network, notes)
    assert upscaler.load(tmp_path / "one").weights_id != upscaler.load(tmp_path / "other").weights_id


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no weights")
    for path in (tmp_path / "text", tmp_path / "missing", RELEASED):
        with pytest.raises(CheckpointError):
            upscaler.load(path)


def test_a_file_of_other_widths_is_refused(tmp_path: Path) -> None:
    network = Upscaler(UPSCALER)
    network.config = replace(UPSCALER, width=8)
    upscaler.save(tmp_path / "one", network, UpscalerNotes(stream_id="01020304", trained="for a test"))
    with pytest.raises(CheckpointError, match="do not fit"):
        upscaler.load(tmp_path / "one")
