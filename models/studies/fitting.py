"""Train parameters for a fixed processor time, so that trainings on a busy machine remain comparable."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from models.training.stopwatch import Stopwatch

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from torch import Tensor, nn

    from models.training.stopwatch import Clock

_RATE = 2e-3
_WIDE_INPUTS = 1024
"""Layers with more inputs get a lower learning rate, in proportion. Adam moves all weights of a sum together, so one
step of the first layer, with 88,752 inputs, would otherwise change its outputs by hundreds (derived)."""
_CLIP = 1.0
_WARM_UP_STEPS = 50
"""The learning rate, the norm to which gradients are clipped, and the steps of the warm-up, for every training
(assumed)."""


class ProcessorClock:
    """The processor time of this process."""

    def now(self) -> float:
        return time.process_time()

    def wait(self, done: threading.Event, timeout_s: float) -> bool:
        return done.wait(timeout_s)


@dataclass(frozen=True)
class Budget:
    """The seconds of processor time for one training, and the number of measurements during it."""

    seconds: float
    measurements: int = 1


@dataclass(frozen=True)
class Moment:
    """The state of a training: its steps, its seconds, and the elapsed share of its time."""

    step: int
    seconds: float
    share: float


def fit(
    parameters: Iterable[nn.Parameter],
    loss: Callable[[Moment], Tensor],
    budget: Budget,
    *,
    measure: Callable[[Moment], None] | None = None,
    clock: Clock | None = None,
) -> Moment:
    """Minimise `loss` until the time is spent, with a learning rate that falls to zero along a cosine.

    `measure` is called before the first step, at equal intervals and at the end. Its time does not count. The training
    has at least one step.
    """
    trained = list(parameters)
    groups = [{"params": [one], "slowness": _slowness(one)} for one in trained]
    optimizer = torch.optim.AdamW(groups, lr=_RATE, weight_decay=0.0, fused=True)
    watch = Stopwatch(clock or ProcessorClock())
    moment, due = Moment(0, 0.0, 0.0), 0
    while moment.share < 1 or moment.step == 0:
        if measure and moment.share * budget.measurements >= due:
            with watch.pause():
                measure(moment)
            due = int(moment.share * budget.measurements) + 1
        for group in optimizer.param_groups:
            group["lr"] = _rate(moment) / group["slowness"]
        _step(optimizer, trained, loss(moment))
        moment = Moment(moment.step + 1, watch.spent_s, min(1.0, watch.spent_s / budget.seconds))
    if measure:
        measure(moment)
    return moment


def _slowness(parameter: nn.Parameter) -> float:
    inputs = parameter.shape[1] if parameter.ndim == 2 else 1  # noqa: PLR2004  a matrix
    return max(1.0, inputs / _WIDE_INPUTS)


def _rate(moment: Moment) -> float:
    warm = min(1.0, (moment.step + 1) / _WARM_UP_STEPS)
    return _RATE * warm * 0.5 * (1 + math.cos(math.pi * moment.share))


def _step(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
    torch.nn.utils.clip_grad_norm_(parameters, _CLIP)
    optimizer.step()
