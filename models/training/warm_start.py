"""Fill networks from a stage of this run, or from a weights file."""

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
    """The weights to start from belong to another architecture."""


class StageMissingError(Exception):
    """An earlier stage was not trained in this run, and no weights file was named to take its networks from."""


def fill(networks: nn.Module, run: Path, *, start: Path | None) -> None:
    """Fill networks with the averaged weights of the run's stage that trains them, or from the file `start`."""
    for stage, prefix in _homes(networks):
        if has_averaged(run / stage):
            averaged = load_kept(run / stage, AVERAGED).tensors
            own = {name.removeprefix(prefix): part for name, part in averaged.items() if name.startswith(prefix)}
            networks.load_state_dict(own)
            return
    if start is None:
        stage = _homes(networks)[0][0]
        raise StageMissingError(f"stage {stage} is not in {run}; name a weights file by --from")
    warm_start(networks, start)


def warm_start(networks: nn.Module, weights: Path) -> None:
    """Fill networks from a weights file that `models.checkpoint` accepts. Raises `UnfitStartError`.

    Blocks that the file lacks start as the identity; anything else that it lacks stays unchanged.
    """
    tensors, prefix = load_file(weights), _prefix(networks)
    state = networks.state_dict()
    for name in state:
        if _INDEXES in name:
            continue
        if prefix + name in tensors:
            _copy(state[name], tensors[prefix + name], prefix + name)
        elif ".narrow." in name:
            state[name].zero_()  # a missing block starts as the identity
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
    """Return the stages that train these networks, latest first, each with the prefix of their names there."""
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
