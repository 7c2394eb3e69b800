"""One step of training: loss, gradients, clipping, update. On a GPU a step is a captured CUDA graph.

A step has some two thousand small kernels, and launching each from Python would take longer than computing it. A CUDA
graph launches all of them at once (torch.cuda.graphs). A captured step draws its crops on the device, reads the
learning rates from tensors, and never waits for the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from models.training.optimizers import Optimizers
    from models.training.schedule import Phase

_REHEARSALS = 3
"""Eager steps before a capture, in which cuBLAS and cuDNN choose their kernels (assumed)."""


class Task(Protocol):
    """What the training steps need of a stage: its model and its loss."""

    model: nn.Module

    def loss(self, generator: torch.Generator | None, *, phase: Phase) -> Tensor:
        """Return the loss of a random batch of `phase`; without a generator the batch is drawn on the device."""


class Steps(Protocol):
    """Trains a task step by step, eagerly or by captured CUDA graphs."""

    read_every: int
    """Number of steps after which the loop reads the loss: each read waits for the device."""

    def prepare(self, phases: Iterable[Phase]) -> None:
        """Compile and capture a step of each phase, and leave the weights unchanged."""

    def step(self, phase: Phase) -> Tensor:
        """Train on one random batch, and return its loss as a tensor on the device."""


class EagerSteps:
    """Training steps that torch computes eagerly."""

    read_every = 1

    def __init__(self, task: Task, optimizers: Optimizers, *, clip: float, generator: torch.Generator | None) -> None:
        """Store the task and its optimizers; `clip` is the largest norm of the gradient.

        Without a generator batches are drawn on the device.
        """
        self._task, self._optimizers, self._clip, self._generator = task, optimizers, clip, generator

    def prepare(self, phases: Iterable[Phase]) -> None:
        """Do nothing, because eager steps need no preparation."""

    def step(self, phase: Phase) -> Tensor:
        self._optimizers.zero_grad()
        loss = self._task.loss(self._generator, phase=phase)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
        torch.nn.utils.clip_grad_norm_(self._task.model.parameters(), self._clip, foreach=True)
        self._optimizers.step()
        return loss.detach()


class RecordedSteps:
    """Training steps on a GPU, captured as one CUDA graph for each phase and replayed."""

    read_every = 20

    def __init__(self, task: Task, optimizers: Optimizers, *, clip: float) -> None:
        """Store the task and its optimizers; `prepare` captures the graphs."""
        self._eager = EagerSteps(task, optimizers, clip=clip, generator=None)
        self._optimizers = optimizers
        self._recordings: dict[Phase, tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    def prepare(self, phases: Iterable[Phase]) -> None:
        for phase in phases:
            if phase not in self._recordings:
                with self._optimizers.preserve():
                    self._recordings[phase] = self._record(phase)

    def step(self, phase: Phase) -> Tensor:
        graph, loss = self._recordings[phase]
        graph.replay()
        return loss

    def _record(self, phase: Phase) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_REHEARSALS):
                self._eager.step(phase)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self._eager.step(phase)
        return graph, loss


def steps_of(task: Task, optimizers: Optimizers, *, clip: float, seed: int, device: str) -> Steps:
    """Return captured steps if `device` is a CUDA device, else eager ones; both draw batches by `seed`."""
    if device.startswith("cuda"):
        torch.cuda.manual_seed(seed)
        return RecordedSteps(task, optimizers, clip=clip)
    return EagerSteps(task, optimizers, clip=clip, generator=torch.Generator().manual_seed(seed))
