"""One step of training: loss, gradients, clipping, update. On a GPU a step is recorded once and then replayed.

A step is some two thousand small kernels, and launching each from Python would take longer than computing it. A CUDA
graph launches them all at once (torch.cuda.graphs). A recorded step draws its pictures on the device and never waits
for the CPU; it reads the learning rates from tensors.
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
"""Steps before a recording, in which the libraries choose their kernels."""


class Task(Protocol):
    """One stage, as its steps see it."""

    model: nn.Module

    def loss(self, generator: torch.Generator | None, *, phase: Phase) -> Tensor:
        """Return the loss of a new batch; without a generator the device draws the batch."""


class Steps(Protocol):
    """The steps of one task, eager or recorded."""

    read_every: int
    """Steps between two reads of the loss, which wait for the device."""

    def prepare(self, phases: Iterable[Phase]) -> None:
        """Compile and record the steps of these phases without training."""

    def step(self, phase: Phase) -> Tensor:
        """Train on one batch, and return its loss."""


class EagerSteps:
    """Steps computed by torch as usual."""

    read_every = 1

    def __init__(self, task: Task, optimizers: Optimizers, *, clip: float, generator: torch.Generator | None) -> None:
        """Take the task; without a generator the device draws the pictures."""
        self._task, self._optimizers, self._clip, self._generator = task, optimizers, clip, generator

    def prepare(self, phases: Iterable[Phase]) -> None:
        """Do nothing: there is nothing to record."""

    def step(self, phase: Phase) -> Tensor:
        self._optimizers.zero_grad()
        loss = self._task.loss(self._generator, phase=phase)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
        torch.nn.utils.clip_grad_norm_(self._task.model.parameters(), self._clip, foreach=True)
        self._optimizers.step()
        return loss.detach()


class RecordedSteps:
    """The same steps, each phase recorded as one CUDA graph."""

    read_every = 20

    def __init__(self, task: Task, optimizers: Optimizers, *, clip: float) -> None:
        """Take the task; `prepare` makes the recordings."""
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
    """Return recorded steps on a GPU, and eager ones elsewhere."""
    if device.startswith("cuda"):
        torch.cuda.manual_seed(seed)
        return RecordedSteps(task, optimizers, clip=clip)
    return EagerSteps(task, optimizers, clip=clip, generator=torch.Generator().manual_seed(seed))
