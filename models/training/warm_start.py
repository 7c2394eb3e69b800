"""Going on from released weights instead of the closed-form start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors.torch import load_file

from models.autoencoder import HighAutoencoder, MediumAutoencoder
from models.scale_path import ScaleIndexes, ScaleWeights

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

_INDEXES = "hyperprior.indexes."


def warm_start(networks: nn.Module, weights: Path) -> None:
    """Fill an autoencoder or the light heads from a weights file that `models.checkpoint` has accepted."""
    tensors = load_file(weights)
    prefix = _prefix(networks)
    state = networks.state_dict()
    for name in state:
        if name.startswith(_INDEXES):
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
