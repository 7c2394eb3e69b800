"""One step of training: loss, gradients, clipping, update. On a GPU it is recorded once and then played back.

A step is some two thousand small kernels; starting each from Python would take longer than computing them, so a CUDA
graph starts them all at once (torch.cuda.graphs). What is recorded draws its pictures on the device and never waits for
the processor; learning rates are read from tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from models.training.loop import Task

_CLIP = 1.0
_REHEARSALS = 3
"""Steps before a recording: libraries choose their kernels in them."""


class Steps(Protocol):
    """Steps of one task, eager or recorded."""

    read_every: int
    """Steps between two looks at the loss, which wait for the device."""

    def set_rates(self, rates: Sequence[float]) -> None:
        """Learning rates of the parameter groups, from now on."""

    def step(self, *, whole_pictures: bool) -> Tensor:
        """Train on one batch; gives its loss."""


def optimizer_of(groups: list[dict[str, object]], *, device: str) -> torch.optim.Optimizer:
    """AdamW; on a GPU such that a recording can hold it."""
    on_gpu = device.startswith("cuda")
    if on_gpu:
        groups = [{**group, "lr": torch.tensor(group["lr"], device=device)} for group in groups]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0, fused=on_gpu, capturable=on_gpu)


def stepper(task: Task, optimizer: torch.optim.Optimizer, *, seed: int, device: str) -> Steps:
    """Whatever the device is best served with."""
    if device.startswith("cuda"):
        torch.cuda.manual_seed(seed)
        return RecordedSteps(task, optimizer)
    return EagerSteps(task, optimizer, torch.Generator().manual_seed(seed))


class EagerSteps:
    """Step by step."""

    read_every = 1

    def __init__(self, task: Task, optimizer: torch.optim.Optimizer, generator: torch.Generator | None) -> None:
        """Without a generator pictures are drawn on the device."""
        self._task, self._optimizer, self._generator = task, optimizer, generator

    def set_rates(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self._optimizer.param_groups, rates, strict=True):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def step(self, *, whole_pictures: bool) -> Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._task.loss(self._generator, whole_pictures=whole_pictures)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
        torch.nn.utils.clip_grad_norm_(self._task.model.parameters(), _CLIP, foreach=True)
        self._optimizer.step()
        return loss.detach()


class RecordedSteps:
    """The same, recorded as a CUDA graph for crops and another for whole pictures."""

    read_every = 20

    def __init__(self, task: Task, optimizer: torch.optim.Optimizer) -> None:
        """Records at the first step of each kind."""
        self._eager = EagerSteps(task, optimizer, None)
        self._recordings: dict[bool, tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    def set_rates(self, rates: Sequence[float]) -> None:
        self._eager.set_rates(rates)

    def step(self, *, whole_pictures: bool) -> Tensor:
        if whole_pictures not in self._recordings:
            self._recordings[whole_pictures] = self._recorded(whole_pictures=whole_pictures)
        graph, loss = self._recordings[whole_pictures]
        graph.replay()
        return loss

    def _recorded(self, *, whole_pictures: bool) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_REHEARSALS):
                self._eager.step(whole_pictures=whole_pictures)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self._eager.step(whole_pictures=whole_pictures)
        return graph, loss
