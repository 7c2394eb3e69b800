"""Write and read the weights of a training stage: a later run continues from them, and a release is made from them.

    flat.safetensors        the latest weights of the flat part, where a later run continues
    averaged.safetensors    the moving average of the weights, which is released at the end of the decay

Number formats are those of a weights file (`to_stored` in checkpoint.py). The optimizers' state is not included. A
write replaces the file atomically, so that it is complete even if the process is killed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.training.parts import join
from models.weights_file import to_stored

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

FLAT, AVERAGED = "flat.safetensors", "averaged.safetensors"
DONE = "done"
"""The phase in the metadata of averaged weights whose decay has ended."""
_FORMAT = "latentedge-training-1"


class KeptWeightsError(Exception):
    """A folder lacks the weights to read, or they are damaged or belong to networks of other shapes."""


class NotFiniteError(KeptWeightsError):
    """The training has diverged: its weights are not finite."""


@dataclass(frozen=True)
class TrainingProgress:
    """How far weights have been trained: runs, steps and minutes in total, and the phase of the last run."""

    run: int = 1
    step: int = 0
    minutes: float = 0.0
    phase: str = "flat"


@dataclass(frozen=True)
class Kept:
    """Weights read from a training's file: tensors by parameter name, and how far they have been trained."""

    tensors: dict[str, Tensor]
    progress: TrainingProgress

    def fill(self, model: nn.Module) -> None:
        """Copy the weights into `model`. Raises `KeptWeightsError` where names or shapes differ."""
        try:
            model.load_state_dict({name: tensor.float() for name, tensor in self.tensors.items()})
        except RuntimeError as error:
            raise KeptWeightsError(f"the weights to continue from belong to other networks: {error}") from error


@torch.no_grad()
def keep(path: Path, model: nn.Module, progress: TrainingProgress) -> None:
    """Write the weights of `model` with `progress` in the metadata.

    Raises `NotFiniteError` where they are not finite, and leaves the file unchanged.
    """
    tensors = {name: to_stored(name, tensor).cpu() for name, tensor in model.state_dict().items()}
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise NotFiniteError(f"the weights are not finite at step {progress.step}, so they are not written")
    fresh = path.with_suffix(".new")
    save_file(tensors, fresh, metadata={"format": _FORMAT} | {name: str(one) for name, one in asdict(progress).items()})
    fresh.replace(path)


def load_kept(folder: Path, name: str) -> Kept:
    """Read the file `name` (`FLAT` or `AVERAGED`) in a stage's folder, joining it from its parts first if split.

    Raises `KeptWeightsError` where it is missing or damaged.
    """
    path = folder / name
    try:
        join(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {of: file.get_tensor(of) for of in file.keys()}  # noqa: SIM118  a safetensors file, not a dict
    except (OSError, SafetensorError) as error:
        raise KeptWeightsError(f"cannot read {name} in {folder}: {error}") from error
    return Kept(tensors, _progress(path, metadata))


def has_averaged(folder: Path) -> bool:
    """Return whether a stage's folder has averaged weights, as a whole file or in parts."""
    return any(folder.glob(f"{AVERAGED}*"))


def _progress(path: Path, metadata: dict[str, str]) -> TrainingProgress:
    if metadata.get("format") != _FORMAT:
        raise KeptWeightsError(f"the format of {path} is {metadata.get('format')!r}, not {_FORMAT!r}")
    try:
        return TrainingProgress(
            run=int(metadata["run"]),
            step=int(metadata["step"]),
            minutes=float(metadata["minutes"]),
            phase=metadata["phase"],
        )
    except (KeyError, ValueError) as error:
        raise KeptWeightsError(f"the metadata of {path} lack run, step, minutes or phase: {error}") from error
