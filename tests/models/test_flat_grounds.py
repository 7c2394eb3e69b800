"""Flat white stays 255 and flat black 0 in every decoded picture of a latent; near-white grounds stay as they are."""

from functools import cache

import numpy as np
import pytest
import torch

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX
from models.cpu import flat_loops
from models.demoted_codec import DemotedCodec
from models.flat_grounds import FlatGrounds, FlatLimits
from models.machine_code import compile_loop
from models.picture_array import Pixels
from tests.models.pictures import flat, photograph

QUALITY = 31
LIMITS = FlatLimits.of_high()


def settled(pixels: Pixels, quality: int = QUALITY) -> Pixels:
    """The rule by the loop of the processor's decoder, on a copy."""
    found = pixels.copy()
    reach, total = int(LIMITS.reach[quality]), int(LIMITS.total[quality])
    compile_loop(flat_loops.settle)(found.reshape(len(found), -1), reach, total)
    return found


def settled_by_torch(pixels: Pixels, quality: int = QUALITY) -> Pixels:
    """The rule by the operations of an accelerator's decoder."""
    levels = torch.from_numpy(pixels.astype(np.float32))[None]
    found: Pixels = FlatGrounds(LIMITS, "cpu").settle(levels, torch.tensor([quality]))[0].numpy().astype(np.uint8)
    return found


def noisy(level: float, seed: int, *, size_px: int = HIGH_PX, spread: float = 0.6) -> Pixels:
    """A ground as a latent keeps it: its level and noise."""
    draw = np.random.default_rng(seed)
    return (level + draw.normal(0, spread, (size_px, size_px, 3))).round().clip(0, 255).astype(np.uint8)


@cache
def codec(head: str) -> Codec:
    return Codec.load(kernels="float32", head=head)


@cache
def demoted() -> DemotedCodec:
    return DemotedCodec.load(codec("cpu"))


@pytest.mark.parametrize("size_px", [HIGH_PX, MEDIUM_PX])
@pytest.mark.parametrize("quality", [0, 31, 63])
def test_both_machines_make_the_same_pixels(size_px: int, quality: int) -> None:
    for seed, level in enumerate((255, 254.3, 253.4, 0.3, 1, 128)):
        pixels = noisy(level, seed, size_px=size_px)
        pixels[20:90, 30:111] = photograph(size_px=size_px)[20:90, 30:111]
        pixels[120:131, :50] = 255
        pixels[100:, 140:] ^= 255  # white and black in one picture
        assert np.array_equal(settled(pixels, quality), settled_by_torch(pixels, quality)), f"others at {level}"


def test_a_batch_follows_the_quality_of_each_picture() -> None:
    pictures = np.stack([noisy(253.9, 1, spread=1.0)] * 2)
    levels, quality = torch.from_numpy(pictures.astype(np.float32)), torch.tensor([5, 63])
    found = FlatGrounds(LIMITS, "cpu").settle(levels, quality).numpy().astype(np.uint8)
    for picture, one, shown in zip(pictures, (5, 63), found, strict=True):
        assert np.array_equal(shown, settled(picture, one)), f"other pixels at quality {one}"
    assert not np.array_equal(found[0], found[1]), "the quality changed nothing"


@pytest.mark.parametrize("level", [255, 0])
@pytest.mark.parametrize("head", ["cpu", "gpu"])
def test_every_head_shows_flat_white_and_black_exactly(head: str, level: int) -> None:
    reader = codec(head)
    symbols = [reader.read(codec("cpu").encode(flat(level), quality=QUALITY))]
    for size_px in (HIGH_PX, MEDIUM_PX):
        (shown,) = reader.synthesize(symbols, size_px=size_px)
        assert np.mean(shown == level) > 0.99
        (plain,) = reader.synthesize_plainly(symbols, size_px=size_px)
        assert np.mean(plain == level) > 0.99


@pytest.mark.parametrize("level", [255, 0])
def test_a_demoted_picture_shows_flat_white_and_black_exactly(level: int) -> None:
    high = codec("cpu").encode(flat(level), quality=QUALITY)
    symbols = [demoted().read(demoted().demote(high, quality=QUALITY))]
    for size_px in (HIGH_PX, MEDIUM_PX):
        (shown,) = demoted().synthesize(symbols, size_px=size_px)
        assert np.mean(shown == level) > 0.99


@pytest.mark.parametrize("head", ["cpu", "gpu"])
def test_a_product_stands_on_exact_white(head: str) -> None:
    pixels = flat(255)
    pixels[120:230, 120:230] = photograph()[120:230, 120:230]
    symbols = [codec(head).read(codec("cpu").encode(pixels, quality=QUALITY))]
    (shown,) = codec(head).synthesize(symbols, size_px=HIGH_PX)
    edge = np.concatenate([shown[:64].ravel(), shown[-64:].ravel(), shown[:, :64].ravel(), shown[:, -64:].ravel()])
    assert np.mean(edge == 255) > 0.99


@pytest.mark.parametrize("level", [252, 253, 2, 3])
def test_a_ground_near_white_or_black_keeps_its_level(level: int) -> None:
    symbols = [codec("cpu").read(codec("cpu").encode(flat(level), quality=QUALITY))]
    for size_px in (HIGH_PX, MEDIUM_PX):
        (shown,) = codec("cpu").synthesize(symbols, size_px=size_px)
        assert abs(float(shown.mean()) - level) < 0.3
        assert np.mean((shown == 0) | (shown == 255)) < 0.02


@pytest.mark.parametrize("quality", [0, 16, 31, 63])
def test_a_gradient_into_white_gets_no_contour(quality: int) -> None:
    """The rule moves the mean of no column by a whole level, so no line of another level appears."""
    ramp = np.linspace(246, 255, HIGH_PX)[None, :, None]
    draw = np.random.default_rng(quality)
    rows = ramp + draw.normal(0, 0.6, (HIGH_PX, HIGH_PX, 3))
    pixels = rows.round().clip(0, 255).astype(np.uint8)
    shift = (settled(pixels, quality).astype(int) - pixels).mean(axis=(0, 2))
    assert float(np.abs(shift).max()) < 1
    assert float(np.abs(np.diff(shift)).max()) < 1  # from one column to the next
    assert np.array_equal(settled(255 - pixels, quality), 255 - settled(pixels, quality)), "black is not white's mirror"


def test_a_picture_without_flat_white_or_black_is_untouched() -> None:
    for name in ("astronaut", "coffee", "chelsea"):
        pixels = photograph(name).clip(16, 239)
        assert np.array_equal(settled(pixels), pixels), f"{name} has changed"


def test_what_is_drawn_faintly_on_white_stays() -> None:
    pixels = flat(255)
    pixels[100:116, 100:116] = 250  # a patch
    pixels[200] = 248  # a line
    tinted = np.full((HIGH_PX, HIGH_PX, 3), (255, 255, 252), np.uint8)
    assert np.array_equal(settled(pixels), pixels), "a patch or a line has gone"
    assert np.array_equal(settled(tinted), tinted), "the tint has gone"
