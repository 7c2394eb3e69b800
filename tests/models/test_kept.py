"""Weights on disk: half precision, whole or in parts, and typed errors for what is missing, damaged or foreign."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.training.kept import (
    AVERAGED,
    FLAT,
    KeptWeightsError,
    NotFiniteError,
    TrainingProgress,
    has_averaged,
    keep,
    load_kept,
)
from models.training.parts import PartsError, join, split

PROGRESS = TrainingProgress(run=2, step=1234, minutes=7.5, phase="decay")


class Network(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.enter = nn.Linear(width, width)


def test_matrices_are_kept_in_half_precision_and_linear_paths_in_full(tmp_path: Path) -> None:
    network, again = Network(), Network()
    keep(tmp_path / FLAT, network, PROGRESS)
    found = load_kept(tmp_path, FLAT)
    found.fill(again)
    assert found.progress == PROGRESS
    assert torch.equal(again.linear.weight, network.linear.weight)
    assert torch.equal(again.enter.weight, network.enter.weight.half().float())
    assert torch.equal(again.enter.bias, network.enter.bias)


@pytest.mark.parametrize("most_bytes", [100, 1000])
def test_a_file_in_parts_is_joined_to_the_same_bytes(tmp_path: Path, most_bytes: int) -> None:
    keep(tmp_path / FLAT, Network(), PROGRESS)
    content = (tmp_path / FLAT).read_bytes()
    parts = split(tmp_path / FLAT, tmp_path / "parts", most_bytes=most_bytes)
    assert len(parts) == -(-len(content) // most_bytes)
    assert max(part.stat().st_size for part in parts) <= most_bytes
    join(tmp_path / "parts" / FLAT)
    assert (tmp_path / "parts" / FLAT).read_bytes() == content


def test_weights_are_read_from_their_parts(tmp_path: Path) -> None:
    keep(tmp_path / AVERAGED, Network(), PROGRESS)
    split(tmp_path / AVERAGED, tmp_path / "parts", most_bytes=300)
    assert has_averaged(tmp_path / "parts")
    assert not has_averaged(tmp_path / "nothing")
    assert load_kept(tmp_path / "parts", AVERAGED).progress == PROGRESS


def test_parts_that_are_missing_damaged_or_of_two_versions_are_refused(tmp_path: Path) -> None:
    keep(tmp_path / FLAT, Network(), PROGRESS)
    first, second, *_ = split(tmp_path / FLAT, tmp_path / "parts", most_bytes=300)
    content = second.read_bytes()
    second.unlink()
    with pytest.raises(PartsError, match=r"parts \[2\] of .* are missing"):
        join(tmp_path / "parts" / FLAT)
    second.write_bytes(bytes(len(content)))
    with pytest.raises(PartsError, match="damaged"):
        join(tmp_path / "parts" / FLAT)
    keep(tmp_path / FLAT, Network(), PROGRESS)
    split(tmp_path / FLAT, tmp_path / "parts", most_bytes=300)
    with pytest.raises(PartsError, match="2 versions"):
        join(tmp_path / "parts" / FLAT)
    with pytest.raises(KeptWeightsError, match="2 versions"):
        load_kept(tmp_path / "parts", FLAT)
    assert first.exists()


def test_missing_damaged_and_foreign_weights_are_typed_errors(tmp_path: Path) -> None:
    with pytest.raises(KeptWeightsError, match=r"cannot read flat\.safetensors"):
        load_kept(tmp_path, FLAT)
    (tmp_path / FLAT).write_bytes(b"not weights")
    with pytest.raises(KeptWeightsError):
        load_kept(tmp_path, FLAT)
    save_file(Network().state_dict(), tmp_path / FLAT)  # weights, but of no training
    with pytest.raises(KeptWeightsError):
        load_kept(tmp_path, FLAT)
    keep(tmp_path / FLAT, Network(width=4), PROGRESS)
    with pytest.raises(KeptWeightsError, match="other networks"):
        load_kept(tmp_path, FLAT).fill(Network())


def test_weights_that_are_no_numbers_leave_the_file_as_it_was(tmp_path: Path) -> None:
    network = Network()
    keep(tmp_path / FLAT, network, PROGRESS)
    before = (tmp_path / FLAT).read_bytes()
    with torch.no_grad():
        network.enter.weight[0, 0] = float("nan")
    with pytest.raises(NotFiniteError):
        keep(tmp_path / FLAT, network, PROGRESS)
    assert (tmp_path / FLAT).read_bytes() == before


def test_a_file_that_is_small_enough_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("{}\n")
    assert split(tmp_path / "log.jsonl", tmp_path / "out") == [tmp_path / "out" / "log.jsonl"]
    assert (tmp_path / "out" / "log.jsonl").read_text() == "{}\n"
