"""Load weights into networks before training: from an earlier stage of the same run, or from a weights file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors.torch import load_file

from models.autoencoder import HighAutoencoder, LightNetworks, MediumAutoencoder, SharedLatent
from models.scale_path import INTEGER_PARTS, ScaleIndexes, ScaleWeights
from models.training.kept import AVERAGED, has_averaged, load_kept

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

_INDEXES = "hyperprior.indexes."


class UnfitStartError(Exception):
    """The weights file to start from has tensors of other shapes than the networks."""


class StageMissingError(Exception):
    """The run lacks an earlier stage whose networks are needed, and no weights file was named to replace it."""


def fill(networks: nn.Module, run: Path, *, start: Path | None) -> None:
    """Load the averaged weights of the latest stage in `run` that trains these networks, else the file `start`.

    Raises `StageMissingError` where there is neither, and `UnfitStartError` as `warm_start` does.
    """
    for stage, prefix in _homes(networks):
        if has_averaged(run / stage):
            averaged = load_kept(run / stage, AVERAGED).tensors
            own = {name.removeprefix(prefix): part for name, part in averaged.items() if name.startswith(prefix)}
            networks.load_state_dict(own)
            return
    if start is None:
        stage = _homes(networks)[0][0]
        raise StageMissingError(
            f"stage {stage} has not been trained in {run}: train it first, or name weights by --from"
        )
    warm_start(networks, start)


def warm_start(networks: nn.Module, weights: Path) -> None:
    """Load a weights file into networks that may have additional parts. Raises `UnfitStartError`.

    A residual block that is missing in the file becomes the identity; other missing parameters keep their values.
    """
    tensors, prefix = load_file(weights), _prefix(networks)
    state = networks.state_dict()
    for name in state:
        if _INDEXES in name:
            continue
        if prefix + name in tensors:
            _copy(state[name], tensors[prefix + name], prefix + name)
        elif ".narrow." in name:
            state[name].zero_()  # with a zero last layer, a residual block is the identity
    for name, part in networks.named_modules():
        if isinstance(part, ScaleIndexes):
            integers = [tensors[f"{prefix}{name}.{one}"].float() for one in INTEGER_PARTS]
            part.thaw(ScaleWeights(*integers))


def _copy(own: Tensor, stored: Tensor, name: str) -> None:
    if own.shape != stored.shape:
        raise UnfitStartError(
            f"the weights to start from belong to another architecture: {name} is {tuple(stored.shape)}, "
            f"expected {tuple(own.shape)}"
        )
    own.copy_(stored)


def _homes(networks: nn.Module) -> tuple[tuple[str, str], ...]:
    """Return (stage, prefix) for each stage that trains these networks, latest first.

    `prefix` begins the names of their parameters in that stage's weights.
    """
    if isinstance(networks, MediumAutoencoder):
        return (("medium", ""),)
    if isinstance(networks, LightNetworks):
        return (("heads", ""), ("high", "light."))
    return (("high", "high."),)


def _prefix(networks: nn.Module) -> str:
    if isinstance(networks, SharedLatent):
        return ""
    if isinstance(networks, HighAutoencoder):
        return "high."
    return "medium." if isinstance(networks, MediumAutoencoder) else "light."
