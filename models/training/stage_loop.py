"""The training loop of one stage: follow the timetable, write the weights regularly, and write the log.

However a run ends (an exception, SIGTERM, kill -9, a step that hangs), its folder holds flat and averaged weights
(kept.py). They are older than the last step by at most the share `write_every` of the training time. A stopped run
continues from state.pt. A completed run deletes state.pt, and a later run continues from its flat weights.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import asdict, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from models.training.contest import winner
from models.training.curves import plot_training
from models.training.kept import AVERAGED, DONE, FLAT, Kept, NotFiniteError, TrainingProgress, keep, load_kept
from models.training.run import Run
from models.training.schedule import FLAT as FLAT_PHASE
from models.training.schedule import Phase, Timetable
from models.training.steps import Task
from models.training.stopwatch import Deadline, end_process
from models.training.training_log import LOG, TrainingLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

    from models.training.options import Recipe, TrainOptions
    from models.training.stopwatch import Stopwatch

_STATE = "state.pt"


class Stage(Task, Protocol):
    """What the training loop needs of a stage: its model and loss (see `Task`), and its validation."""

    validate_every_s: float

    def score(self, averaged: nn.Module) -> dict[str, float]:
        """Return validation figures of the averaged weights by name, or {} where there are no validation pictures."""


def run_stage(
    task: Stage,
    folder: Path,
    *,
    budget_s: float,
    options: TrainOptions,
    watch: Stopwatch,
    end: Callable[[], None] = end_process,
) -> None:
    """Train one stage in `folder` until `watch` shows `budget_s` seconds; an unfinished run there is continued.

    `end` ends the process. It is called if a step still hangs after the time at which all weights should be written.
    """
    loop = _Loop(task, folder, budget_s=budget_s, options=options, watch=watch)
    folder.mkdir(parents=True, exist_ok=True)
    Console().print(str(loop.timetable))
    loop.begin()
    loop.train(end)
    plot_training(folder / LOG, folder / "curve.png")


class _Loop:
    """The training loop of one run, with the state that it keeps between steps."""

    _run: Run

    def __init__(self, task: Stage, folder: Path, *, budget_s: float, options: TrainOptions, watch: Stopwatch) -> None:
        """Load state.pt if the folder has one, else the flat weights in `options.flat` if given.

        Otherwise the task's initial weights stay.
        """
        self._task, self._folder, self._options, self._watch = task, folder, options, watch
        self._log = TrainingLog(folder)
        self._phase = FLAT_PHASE
        self._losses: list[float] = []
        """The losses read since the last line of the log; the next line gets their mean."""
        self._damping = 1.0
        """Factor on the learning rate, halved each time the training diverges and falls back to earlier weights."""
        self._before = TrainingProgress(run=0)
        """The totals of all earlier runs whose weights this run continues from."""
        self._state = self._read_state()
        if self._state:
            self._before = TrainingProgress(**self._state["before"])
        elif flat := self._flat_weights():
            flat.fill(task.model)
            self._before = flat.progress
        self.timetable = Timetable.of(options.recipe, budget_s, again=self._before.run > 0)
        if self._state:
            self._phase = self.timetable.phase(self._state["spent_s"])
            watch.add(self._state["spent_s"])

    def begin(self) -> None:
        """Create the run or restore it, compile the steps of every phase, and write the first weights."""
        recipe = self._options.recipe
        if self._state:
            self._run = self._new_run(replace(recipe, optimizer=self._state["optimizer"]), step=self._before.step)
            self._run.restore(self._state)
        elif self._options.contest_s and not self._before.run:
            self._run = winner(self._task, self._options, timetable=self.timetable, watch=self._watch)
        else:
            self._run = self._new_run(recipe, step=self._before.step)
        self._run.prepare(self.timetable.phases)
        self._state_s = self._logged_s = self._watch.spent_s
        if not self._before.run and not self._state:
            self._record(None)
        self._state = None
        self._write()

    def train(self, end: Callable[[], None]) -> None:
        """Train to the end of the timetable; also after an exception, write the present weights if they are finite."""
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("{task.fields[figures]}")) as bar:
            shown = bar.add_task(self._folder.name, total=self.timetable.decay_until_s, figures="")

            def show(spent_s: float, loss: float) -> None:
                bar.update(shown, completed=spent_s, figures=f"step {self._run.step} loss {loss:.3f}")

            try:
                self._follow(show, end)
            except BaseException:
                with suppress(Exception):  # The write may fail on a lost device; the files written earlier then remain.
                    self._write()
                raise
        self._finish()

    def _follow(self, show: Callable[[float, float], None], end: Callable[[], None]) -> None:
        with Deadline(self._watch, self.timetable.written_by_s, end=end) as deadline:
            while not self.timetable.is_over(spent_s := self._watch.spent_s):
                loss = self._steps(spent_s)
                show(spent_s, loss)
                self._check(loss)
                deadline.show_life()
            self._phase = replace(self._phase, name=DONE)
            self._keep_last()

    def _keep_last(self) -> None:
        """Write the averaged weights as final, or mark those written last as final if these are not finite."""
        try:
            keep(self._folder / AVERAGED, self._run.averaged, self._progress)
        except NotFiniteError as error:
            last = load_kept(self._folder, AVERAGED)
            last.fill(self._run.averaged)
            keep(self._folder / AVERAGED, self._run.averaged, replace(last.progress, phase=DONE))
            Console().print(f"{error}: the weights of step {last.progress.step} are final")

    def _steps(self, spent_s: float) -> float:
        """Train `read_every` steps at one learning rate, and return the loss of the last one."""
        rate = self._damping * self.timetable.rate(spent_s, self._run.own_steps)
        for _ in range(self._run.read_every):
            loss = self._run.advance(self._phase, rate=rate)
        return float(loss)

    def _check(self, loss: float) -> None:
        """Enter the next phase, write or log where due; go back to the last written weights if `loss` is not finite."""
        if not math.isfinite(loss):
            self._go_back()
            return
        phase = self.timetable.phase(self._watch.spent_s)
        try:
            if phase != self._phase:
                self._enter(phase)
            self._do_what_is_due(loss)
        except NotFiniteError:
            self._go_back()

    def _enter(self, phase: Phase) -> None:
        """Write the weights and switch to `phase`.

        When the flat part ends, its weights are written as final, and this write is timed: the decay must end early
        enough for the last write.
        """
        began_s = self._watch.spent_s
        if self._phase == FLAT_PHASE:
            self._write()
            self.timetable = self.timetable.leaving(2 * (self._watch.spent_s - began_s))
            self._record(None)
        self._phase = phase
        self._write()

    def _do_what_is_due(self, loss: float) -> None:
        spent_s, recipe, budget_s = self._watch.spent_s, self._options.recipe, self.timetable.budget_s
        if spent_s - self._written_s > recipe.write_every * budget_s:
            self._write()
        if spent_s - self._state_s > recipe.save_state_every_s:
            self._write_state()
        watched_s = self._task.validate_every_s if self._options.valid else recipe.measure_every * budget_s
        self._losses.append(loss)
        if spent_s - self._logged_s > watched_s:
            self._record(fmean(self._losses))

    @property
    def _progress(self) -> TrainingProgress:
        minutes = round(self._before.minutes + self._watch.spent_s / 60, 3)
        return TrainingProgress(self._before.run + 1, self._run.step, minutes, self._phase.name)

    def _write(self) -> None:
        """Write the averaged weights, and during the flat part also the flat weights."""
        if self._phase == FLAT_PHASE:
            keep(self._folder / FLAT, self._task.model, self._progress)
        keep(self._folder / AVERAGED, self._run.averaged, self._progress)
        self._written_s = self._watch.spent_s

    def _record(self, loss: float | None) -> None:
        """Write one line of the log, with validation figures; the time of the validation does not count as training."""
        progress, figures = self._progress, {"loss": loss, "fixed_loss": self._run.fixed_loss()}
        with self._watch.pause():
            figures |= self._task.score(self._run.averaged)
        self._log.add(progress, figures, optimizer=self._run.recipe.optimizer)
        self._logged_s = self._watch.spent_s
        self._losses.clear()

    def _finish(self) -> None:
        (self._folder / _STATE).unlink(missing_ok=True)
        self._record(None)

    def _read_state(self) -> dict[str, Any] | None:
        path = self._folder / _STATE
        return torch.load(path, weights_only=True) if path.exists() else None

    def _flat_weights(self) -> Kept | None:
        if self._options.flat is None:
            return None
        found = load_kept(self._options.flat, FLAT)  # The weights are read first: damaged ones fail before any write.
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log.begin_with(self._options.flat)
        return found

    def _new_run(self, recipe: Recipe, *, step: int) -> Run:
        options = self._options
        return Run(self._task, recipe, seed=options.seed, device=options.device, step=step)

    def _write_state(self) -> None:
        """Write state.pt, with which a stopped run continues as if it had not been stopped."""
        fresh = self._folder / "state.new"
        own = {"spent_s": self._watch.spent_s, "before": asdict(self._before)}
        torch.save(self._run.state() | own | {"optimizer": self._run.recipe.optimizer}, fresh)
        fresh.replace(self._folder / _STATE)
        self._state_s = self._watch.spent_s

    def _go_back(self) -> None:
        """Load the weights written last, and continue from them at half the learning rate with a new warm-up."""
        lost_at = self._run.step
        last = load_kept(self._folder, FLAT if self._phase == FLAT_PHASE else AVERAGED)
        last.fill(self._task.model)
        self._run = self._new_run(self._run.recipe, step=last.progress.step)
        self._run.prepare(self.timetable.phases)
        self._damping /= 2
        Console().print(
            f"the loss is not finite at step {lost_at}: continuing from step {last.progress.step} at half the rate"
        )
