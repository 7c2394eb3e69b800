"""The choice of kernels: what a text forces, what is measured, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.cpu.kernels import FORMATS, Kernels, KernelsError, parse_formats


def test_what_a_text_names_is_forced() -> None:
    assert Kernels.choose("float32") == Kernels(exact="float32", heads="float32", analysis="float32")
    assert Kernels.choose("exact=int8, heads=float32,analysis=bfloat16") == Kernels("int8", "float32", "bfloat16")
    assert parse_formats("bfloat16") == {"heads": "bfloat16", "analysis": "bfloat16"}
    assert parse_formats("auto") == {}


def test_what_is_measured_is_a_choice_that_can_be_forced() -> None:
    found = Kernels.measure()
    assert all(name in FORMATS[group] for group, name in vars(found).items())
    assert Kernels.choose(str(found)) == found


def test_a_gpu_computes_in_half_precision_unless_it_is_forced() -> None:
    assert Kernels.measure("cuda").heads == Kernels.measure("cuda").analysis == "bfloat16"
    assert Kernels.choose("heads=float32", device="cuda").heads == "float32"


@pytest.mark.parametrize(
    "text", ["", "int8", "fast", "heads=int8", "head=float32", "heads=", "heads=float32,heads=float32"]
)
def test_what_names_no_choice_is_refused(text: str) -> None:
    with pytest.raises(KernelsError):
        parse_formats(text)


AS_ON_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
HALF_PRECISION = """
import torch

from models.cpu.kernels import Kernels

torch.set_num_threads(1)
found = Kernels.measure()
assert (found.heads, found.analysis) == ("float32", "float32"), found
"""
INTEGERS = """
import torch

from models.cpu.kernels import Kernels

torch.set_num_threads(1)
torch.backends.mkldnn.set_flags(False)  # torch then multiplies integers one by one, as without VNNI
found = Kernels.choose("heads=float32,analysis=float32")
assert found.exact == "float32", found
"""


@pytest.mark.parametrize("story", [HALF_PRECISION, INTEGERS], ids=["half precision", "integers"])
def test_a_format_is_not_chosen_where_no_instruction_multiplies_it(story: str) -> None:
    environment = os.environ | AS_ON_AVX2
    subprocess.run([sys.executable, "-c", story], check=True, cwd=Path(__file__).parents[2], env=environment)
