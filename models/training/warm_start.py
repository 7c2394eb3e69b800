"""Where networks come from: a stage of this run, or released weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file

from models.autoencoder import HighAutoencoder, MediumAutoencoder
from models.scale_path import ScaleIndexes, ScaleWeights

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

_INDEXES = "hyperprior.indexes."


class StageMissingError(Exception):
    """A stage that this one builds on was not trained in this run, and no weights were named to take it from."""


def fill(networks: nn.Module, stage: Path, *, start: Path | None) -> None:
    """The averaged weights of a stage's folder, or else those of the weights file that the run starts from."""
    state = stage / "state.pt"
    if state.exists():
        networks.load_state_dict(torch.load(state, weights_only=True)["averaged"])
    elif start is not None:
        warm_start(networks, start)
    else:
        raise StageMissingError(f"stage {stage.name} is not in {stage.parent}; --from names weights to take it from")


def warm_start(networks: nn.Module, weights: Path, *, linear: bool = True) -> None:
    """Fill an autoencoder or the light heads from a weights file that `models.checkpoint` has accepted.

    Without the linear paths those that `networks` has stay.
    """
    tensors = load_file(weights)
    prefix = _prefix(networks)
    state = networks.state_dict()
    for name in state:
        if name.startswith(_INDEXES) or ("linear" in name and not linear):
            continue
        if prefix + name in tensors:
            state[name].copy_(tensors[prefix + name])
        elif ".narrow." in name:
            state[name].zero_()  # a block that the file does not have starts as the identity
    if isinstance(networks, HighAutoencoder | MediumAutoencoder):
        integers = [tensors[prefix + _INDEXES + part].float() for part in ("first", "second", "bias")]
        indexes = networks.hyperprior.indexes
        assert isinstance(indexes, ScaleIndexes), "networks in training are not frozen"
        indexes.thaw(ScaleWeights(*integers))


def _prefix(networks: nn.Module) -> str:
    if isinstance(networks, HighAutoencoder):
        return "high."
    return "medium." if isinstance(networks, MediumAutoencoder) else "light."
