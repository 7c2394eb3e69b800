"""The weights of a training on disk: a later training continues from them, and a release is made of them.

    flat.safetensors        the latest weights of the flat part; final once that part has ended
    averaged.safetensors    their running average: what is released, best at the end of the decay

Matrices are in half precision and linear paths in full, as in a release (checkpoint.py). The state of the optimizers is
not kept. Each write replaces a file as a whole, so that the file is complete whenever the process dies.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.checkpoint import to_stored
from models.training.parts import join

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

FLAT, AVERAGED = "flat.safetensors", "averaged.safetensors"
DONE = "done"
"""The phase that averaged weights carry when their decay has ended."""
_FORMAT = "latentedge-training-1"


class KeptWeightsError(Exception):
    """A folder has no such weights, or they are damaged or belong to other networks."""


class NotFiniteError(KeptWeightsError):
    """The training has diverged: its loss or its weights are not finite."""


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training has come: totals over all of its runs, and the phase of the present one."""

    run: int = 1
    step: int = 0
    minutes: float = 0.0
    phase: str = "flat"


@dataclass(frozen=True)
class Kept:
    """Weights by name, and how far they have been trained."""

    tensors: dict[str, Tensor]
    progress: TrainingProgress

    def fill(self, model: nn.Module) -> None:
        """Copy the weights into networks of the same shapes. Raises `KeptWeightsError`."""
        try:
            model.load_state_dict({name: tensor.float() for name, tensor in self.tensors.items()})
        except RuntimeError as error:
            raise KeptWeightsError(f"the weights belong to other networks: {error}") from error


@torch.no_grad()
def keep(path: Path, model: nn.Module, progress: TrainingProgress) -> None:
    """Write the weights of `model`.

    Raises `NotFiniteError`, and leaves the file unchanged, where they are not finite.
    """
    tensors = {name: to_stored(name, tensor).cpu() for name, tensor in model.state_dict().items()}
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise NotFiniteError(f"the weights are not finite at step {progress.step}")
    fresh = path.with_suffix(".new")
    save_file(tensors, fresh, metadata={"format": _FORMAT} | {name: str(one) for name, one in asdict(progress).items()})
    fresh.replace(path)


def load_kept(folder: Path, name: str) -> Kept:
    """Read FLAT or AVERAGED of a stage's folder, joining its parts first (parts.py). Raises `KeptWeightsError`."""
    path = folder / name
    try:
        join(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {of: file.get_tensor(of) for of in file.keys()}  # noqa: SIM118  a safetensors file, not a dict
    except (OSError, SafetensorError) as error:
        raise KeptWeightsError(f"no {name} in {folder}: {error}") from error
    return Kept(tensors, _progress(path, metadata))


def has_averaged(folder: Path) -> bool:
    """Return whether a stage's folder has averaged weights, whole or in parts."""
    return any(folder.glob(f"{AVERAGED}*"))


def _progress(path: Path, metadata: dict[str, str]) -> TrainingProgress:
    if metadata.get("format") != _FORMAT:
        raise KeptWeightsError(f"{path} is not a {_FORMAT} file")
    try:
        return TrainingProgress(
            run=int(metadata["run"]),
            step=int(metadata["step"]),
            minutes=float(metadata["minutes"]),
            phase=metadata["phase"],
        )
    except (KeyError, ValueError) as error:
        raise KeptWeightsError(f"{path} does not say how far it was trained: {error}") from error
