"""Assign parameters to optimizers and learning rates, and combine a training's optimizers in one object."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from models.training.muon import Muon

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn
    from torch.optim.optimizer import Optimizer

    from models.training.options import Recipe


class Optimizers:
    """All optimizers of one training. The learning rate of a group is its `initial_lr` times the schedule's factor."""

    def __init__(self, *parts: Optimizer) -> None:
        """Combine optimizers, each of whose parameter groups has an `initial_lr`."""
        self.parts = parts

    def zero_grad(self) -> None:
        """Set all gradients to None."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Make one step of every optimizer."""
        for part in self.parts:
            part.step()

    def set_rate(self, factor: float) -> None:
        """Set the learning rate of every group to `factor` times its `initial_lr`."""
        for group in self._groups():
            rate = factor * group["initial_lr"]
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def state(self) -> list[dict[str, Any]]:
        """Return the state of every optimizer, for `restore`."""
        return [part.state_dict() for part in self.parts]

    def restore(self, states: list[dict[str, Any]]) -> None:
        """Load the states that `state` has returned for the same optimizers."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)

    @contextmanager
    def preserve(self) -> Iterator[None]:
        """Keep the parameters unchanged (learning rate 0) in this block, and restore the optimizers' state after it.

        The caller sets the learning rate again by `set_rate`.
        """
        before = {id(one): one.clone() for one in self._state_tensors()}
        self.set_rate(0)
        yield
        for one in self._state_tensors():
            if (value := before.get(id(one))) is None:
                one.zero_()
            else:
                one.copy_(value)

    def _groups(self) -> Iterator[dict[str, Any]]:
        return (group for part in self.parts for group in part.param_groups)

    def _state_tensors(self) -> Iterator[Tensor]:
        states = (state for part in self.parts for state in part.state.values())
        return (value for state in states for value in state.values() if isinstance(value, Tensor))


def optimizers_of(model: nn.Module, recipe: Recipe, *, device: str) -> Optimizers:
    """Return the optimizers for the parameters of `model`, as `recipe.optimizer` says.

    "muon" is Muon for the matrices of 1x1 layers and AdamW for the other parameters, "adamw" is AdamW for all. On a GPU
    learning rates are tensors, so that a captured CUDA graph reads them.
    """
    named = dict(model.named_parameters())
    matrices = [one for name, one in named.items() if recipe.optimizer == "muon" and _is_matrix(name, one)]
    linear = [one for name, one in named.items() if "linear" in name]
    rest = [one for name, one in named.items() if "linear" not in name and not any(one is other for other in matrices)]
    adamw = [_group(rest, recipe.rate, device), _group(linear, recipe.linear_rate * recipe.rate, device)]
    on_gpu = device.startswith("cuda")
    parts: list[Optimizer] = [
        torch.optim.AdamW(adamw, betas=recipe.betas, weight_decay=0.0, fused=on_gpu, capturable=on_gpu)
    ]
    if matrices:
        parts.append(Muon([_group(matrices, recipe.rate, device)], lr=recipe.rate, momentum=recipe.momentum))
    return Optimizers(*parts)


def _is_matrix(name: str, parameter: Tensor) -> bool:
    """Return whether a parameter is the matrix of a 1x1 layer, outside linear paths, tables and the scale path."""
    return parameter.ndim == 2 and name.endswith(".weight") and "linear" not in name  # noqa: PLR2004


def _group(parameters: Sequence[Tensor], rate: float, device: str) -> dict[str, Any]:
    on_gpu = device.startswith("cuda")
    return {"params": list(parameters), "lr": torch.tensor(rate, device=device) if on_gpu else rate, "initial_lr": rate}
