"""A model in training: its weights, their moving average, its optimizers, and the training step. No clock, no files."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from models.training.optimizers import optimizers_of
from models.training.schedule import FLAT, average_decay
from models.training.steps import steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor, nn

    from models.training.options import Recipe
    from models.training.schedule import Phase
    from models.training.steps import Task


class Run:
    """One run of training, which changes the weights of the task's model in place."""

    def __init__(self, task: Task, recipe: Recipe, *, seed: int, device: str, step: int = 0) -> None:
        """Prepare to train from the model's present weights; `step` is the number of steps of all earlier runs."""
        self.task, self.recipe, self.step = task, recipe, step
        self.own_steps = 0
        """Steps of this run alone, by which the warm-up and the moving average go."""
        self.averaged = copy.deepcopy(task.model).requires_grad_(requires_grad=False)
        self.optimizers = optimizers_of(task.model, recipe, device=device)
        self._steps = steps_of(task, self.optimizers, clip=recipe.clip, seed=seed + step, device=device)

    @property
    def read_every(self) -> int:
        """Return the number of steps after which to read the loss, because a read waits for the device."""
        return self._steps.read_every

    def prepare(self, phases: Iterable[Phase]) -> None:
        """Compile and capture the steps of these phases now, so that no step has to do it during the training."""
        self._steps.prepare(phases)

    def advance(self, phase: Phase, *, rate: float) -> Tensor:
        """Train one step with all learning rates times `rate`, update the moving average, and return the loss."""
        self.optimizers.set_rate(rate)
        loss = self._steps.step(phase)
        self._average(average_decay(self.own_steps, self.recipe.longest_average))
        self.step += 1
        self.own_steps += 1
        return loss

    def fixed_loss(self) -> float:
        """Return the flat phase's loss of the averaged weights on fixed crops, the same crops at each call."""
        with torch.no_grad(), self._use_averaged(), torch.random.fork_rng():
            torch.manual_seed(0)  # The seed fixes the noise that stands for rounding in the likelihoods.
            draws = [torch.Generator().manual_seed(seed) for seed in range(self.recipe.fixed_batches)]
            losses = [self.task.loss(draw, phase=FLAT) for draw in draws]
        return float(torch.stack(losses).mean())

    def state(self) -> dict[str, Any]:
        """Return everything that a later process needs to continue the run: weights, average, optimizers, steps."""
        return {
            "model": self.task.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": self.optimizers.state(),
            "step": self.step,
            "own_steps": self.own_steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Load what `state` has returned; call this before `prepare`, whose graphs use the same memory."""
        self.task.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizers.restore(state["optimizers"])
        self.step, self.own_steps = state["step"], state["own_steps"]

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.task.model.parameters()), 1 - decay)

    @contextmanager
    def _use_averaged(self) -> Iterator[None]:
        """Give the model the averaged weights while the block runs, copied in place."""
        own = parameters_of(self.task.model)
        copy_parameters(parameters_of(self.averaged), self.task.model)
        try:
            yield
        finally:
            copy_parameters(own, self.task.model)


def parameters_of(model: nn.Module) -> list[Tensor]:
    """Return detached copies of all parameters of `model`."""
    return [one.detach().clone() for one in model.parameters()]


@torch.no_grad()
def copy_parameters(parameters: list[Tensor], model: nn.Module) -> None:
    """Copy values into a model's parameters in place, because captured CUDA graphs read that memory."""
    torch._foreach_copy_(list(model.parameters()), parameters)
