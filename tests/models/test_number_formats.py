"""Numbers as the loops keep them, in machine code and in Python, against torch's own rounding."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.cpu.number_formats import F32, Kept, narrow, widen
from models.machine_code import compile_loop

Loop = Callable[[Kept, Kept], None]


def copied(source: Kept, target: Kept) -> None:
    for place in range(len(source)):
        target[place] = narrow(widen(source[place]), target)


def values() -> torch.Tensor:
    draw = torch.Generator().manual_seed(3)
    halfway = torch.tensor([1 + 2.0**-8, 1 + 3 * 2.0**-8, 0.0, -0.0, 65280.0])
    return torch.cat([100 * torch.randn(1000, generator=draw), halfway])


@pytest.mark.parametrize("loop", [copied, compile_loop(copied)], ids=["python", "machine code"])
def test_bf16_is_torchs(loop: Loop) -> None:
    numbers = values()
    half: NDArray[np.uint16] = np.zeros(len(numbers), np.uint16)
    loop(numbers.numpy(), half)
    expected = numbers.to(torch.bfloat16)
    assert np.array_equal(half, expected.view(torch.uint16).numpy())
    back: F32 = np.zeros(len(numbers), np.float32)
    loop(half, back)
    assert np.array_equal(back, expected.float().numpy())


@pytest.mark.parametrize("loop", [copied, compile_loop(copied)], ids=["python", "machine code"])
def test_float32_is_kept_as_it_is(loop: Loop) -> None:
    numbers = values().numpy()
    again: F32 = np.zeros_like(numbers)
    loop(numbers, again)
    assert np.array_equal(numbers, again)
