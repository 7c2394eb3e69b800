"""The loop: flat line and decay, what is on the disk whatever ends a run, and what a later run goes on from.

The task is a small regression: it is trained for real, in milliseconds.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from models.training.kept import AVERAGED, DONE, FLAT, KeptWeightsError, load_kept
from models.training.options import Recipe, TrainOptions
from models.training.schedule import Phase
from models.training.stage_loop import run_stage
from models.training.stopwatch import PATIENCE_S, Deadline, Stopwatch
from models.training.training_log import LOG, lines_of
from tests.models.counted_clock import CountedClock

RECIPE = Recipe(batch=4, fixed_batches=2, warm_up_steps=3, warm_up_again_steps=2)
OPTIONS = TrainOptions(data=[], minutes=1, recipe=RECIPE)
BUDGET_S = 60.0


class Regression:
    """Learns a rotation of the plane; `watch` sees the phase of each step before it is done."""

    validate_every_s = 1e9

    def __init__(self, watch: Callable[[Phase, int], None] = lambda _phase, _step: None) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Linear(2, 2)
        self.phases: list[str] = []
        self._watch = watch

    def loss(self, generator: torch.Generator | None, *, phase: Phase) -> torch.Tensor:
        if torch.is_grad_enabled():  # without gradients the fixed crops are measured
            self._watch(phase, len(self.phases))
            self.phases.append(phase.name)
        x = torch.randn(4, 2, generator=generator)
        error: torch.Tensor = (self.model(x) - x @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]])).square().mean()
        return error

    def score(self, averaged: nn.Module) -> dict[str, float]:
        del averaged
        return {}


def run(folder: Path, task: Regression, options: TrainOptions = OPTIONS) -> Regression:
    run_stage(task, folder, budget_s=BUDGET_S, options=options, watch=Stopwatch(CountedClock(look_s=0.1)))
    return task


def test_a_run_goes_through_all_phases_in_order_and_gets_better(tmp_path: Path) -> None:
    task = run(tmp_path, Regression())
    assert list(dict.fromkeys(task.phases)) == ["flat", "decay", "whole pictures"]
    lines = lines_of(tmp_path / LOG)
    assert lines[-1]["fixed_loss"] < lines[0]["fixed_loss"]
    assert lines[-1]["phase"] == DONE
    assert load_kept(tmp_path, AVERAGED).progress.phase == DONE
    assert not (tmp_path / "state.pt").exists()
    assert (tmp_path / "curve.png").exists()


def test_the_flat_weights_are_those_that_the_decay_began_with(tmp_path: Path) -> None:
    seen: dict[int, torch.Tensor] = {}
    task = Regression(lambda _phase, step: seen.update({step: weight_of(task)}))
    run(tmp_path, task)
    flat = load_kept(tmp_path, FLAT)
    assert flat.progress.phase == "flat"
    assert flat.progress.step == task.phases.index("decay")
    assert torch.equal(flat.tensors["weight"].float(), seen[flat.progress.step].half().float())


def weight_of(task: Regression) -> torch.Tensor:
    return task.model.get_parameter("weight").detach().clone()


def test_a_later_run_goes_on_from_the_flat_weights_and_counts_on(tmp_path: Path) -> None:
    run(tmp_path / "first", Regression())
    flat = load_kept(tmp_path / "first", FLAT)
    started: list[torch.Tensor] = []
    second = Regression(lambda _phase, step: started.append(weight_of(second)) if not step else None)
    run(tmp_path / "second", second, replace(OPTIONS, flat=tmp_path / "first"))
    assert torch.equal(started[0], flat.tensors["weight"].float())
    of_first, of_second = lines_of(tmp_path / "first" / LOG), lines_of(tmp_path / "second" / LOG)
    assert of_second[: len(of_first)] == of_first
    new = of_second[len(of_first) :]
    assert {line["run"] for line in new} == {2}
    assert new[0]["step"] > flat.progress.step
    assert new[0]["minutes"] > flat.progress.minutes
    # and a third one, in the same folder, goes on from the second's
    run(tmp_path / "second", Regression(), replace(OPTIONS, flat=tmp_path / "second"))
    assert lines_of(tmp_path / "second" / LOG)[-1]["run"] == 3


def test_a_folder_without_flat_weights_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(KeptWeightsError):
        run(tmp_path / "run", Regression(), replace(OPTIONS, flat=tmp_path))


class StoppedError(Exception):
    """What ends a run in these tests."""


def stop_in(phase: str, *, after: int) -> Callable[[Phase, int], None]:
    """Raise at the n-th step of a phase."""
    seen: list[int] = []

    def look(found: Phase, step: int) -> None:
        if found.name == phase:
            seen.append(step)
        if len(seen) > after:
            raise StoppedError

    return look


@pytest.mark.parametrize("error", [StoppedError, SystemExit, KeyboardInterrupt])
def test_a_run_that_is_stopped_writes_its_weights_on_the_way_out(tmp_path: Path, error: type[BaseException]) -> None:
    def stop(phase: Phase, _step: int) -> None:
        if phase.name == "decay":
            raise error

    task = Regression(stop)
    with pytest.raises(error):
        run(tmp_path, task)
    # the phases hold no entry for the step that was stopped
    assert load_kept(tmp_path, FLAT).progress.step == load_kept(tmp_path, AVERAGED).progress.step == len(task.phases)


def test_what_is_on_the_disk_in_the_decay_is_never_old(tmp_path: Path) -> None:
    ages: list[float] = []

    def look(phase: Phase, step: int) -> None:
        if phase.name != "flat":
            found = load_kept(tmp_path, AVERAGED).progress
            ages.append(step - found.step)

    task = run(tmp_path, Regression(look))
    assert len(ages) > 5
    # a write is due every fortieth of the time
    assert max(ages) <= 2 + len(task.phases) / 40


def test_a_loss_that_is_no_number_sends_the_run_back_to_what_was_written(tmp_path: Path) -> None:
    lost: list[int] = []

    def lose(_phase: Phase, step: int) -> None:
        if step == 5:
            lost.append(step)
            with torch.no_grad():
                task.model.get_parameter("weight").fill_(float("nan"))

    task = Regression(lose)
    run(tmp_path, task)
    assert lost == [5]
    assert load_kept(tmp_path, AVERAGED).progress.phase == DONE
    assert lines_of(tmp_path / LOG)[-1]["fixed_loss"] < lines_of(tmp_path / LOG)[0]["fixed_loss"]


def test_weights_that_are_lost_in_the_last_step_leave_the_ones_before(tmp_path: Path) -> None:
    def lose(_phase: Phase, step: int) -> None:
        if step == total - 1:
            with torch.no_grad():
                task.model.get_parameter("weight").fill_(float("nan"))

    total = len(run(tmp_path / "whole", Regression()).phases)
    task = Regression(lose)
    run(tmp_path / "lost", task)
    last = load_kept(tmp_path / "lost", AVERAGED)
    assert last.progress.phase == DONE
    assert last.progress.step < total
    assert all(bool(tensor.isfinite().all()) for tensor in last.tensors.values())


def test_the_better_optimizer_of_a_contest_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = run(tmp_path, Regression(), replace(OPTIONS, contest_s=10.0))
    printed = capsys.readouterr().out
    losses = {name: float(printed.split(f"{name}: loss ")[1].split()[0]) for name in ("muon", "adamw")}
    assert f"training continues with {min(losses, key=losses.__getitem__)}" in printed
    # both contenders trained in this process, and one of them is counted on
    first = lines_of(tmp_path / LOG)[0]
    assert 0 < first["step"] < task.phases.index("decay")
    assert first["fixed_loss"] == pytest.approx(min(losses.values()), abs=1e-4)


@pytest.mark.parametrize("stopped_in", ["flat", "decay"])
def test_a_run_that_was_stopped_goes_on_where_its_state_was_saved(tmp_path: Path, stopped_in: str) -> None:
    def run_for_minutes(task: Regression) -> None:
        options = replace(OPTIONS, recipe=replace(RECIPE, optimizer="adamw"))
        run_stage(task, tmp_path, budget_s=1200, options=options, watch=Stopwatch(CountedClock(look_s=2)))

    stopped = Regression(stop_in(stopped_in, after=65 if stopped_in == "flat" else 20))
    with pytest.raises(StoppedError):
        run_for_minutes(stopped)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    flat = load_kept(tmp_path, FLAT).progress
    second = Regression()
    run_for_minutes(second)
    assert second.phases[0] == stopped_in
    last = load_kept(tmp_path, AVERAGED).progress
    assert (last.run, last.phase, last.step) == (1, DONE, state["step"] + len(second.phases))
    if stopped_in == "decay":
        assert load_kept(tmp_path, FLAT).progress == flat, "the decay must not be taken for the flat part"


class HandClock:
    """Shows what it is told; a wait ends when it is told that the time has come."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._changed = threading.Condition()

    def now(self) -> float:
        return self._now_s

    def show(self, now_s: float) -> None:
        with self._changed:
            self._now_s = now_s
            self._changed.notify_all()

    def wait(self, done: threading.Event, timeout_s: float) -> bool:
        until_s = self._now_s + timeout_s
        with self._changed:
            self._changed.wait_for(lambda: self._now_s >= until_s or done.is_set(), timeout=60)
        return done.is_set()


def test_a_step_that_stalls_is_ended_when_everything_is_on_the_disk(tmp_path: Path) -> None:
    clock, ended = HandClock(), threading.Event()
    on_disk: list[str] = []

    def stall(phase: Phase, _step: int) -> None:
        clock.show(clock.now() + 1)
        if phase.name == "whole pictures":
            clock.show(clock.now() + 10 * PATIENCE_S)  # whatever took long before, this takes longer
            assert ended.wait(timeout=60), "nobody ended the stalled step"
            on_disk.extend((load_kept(tmp_path, FLAT).progress.phase, load_kept(tmp_path, AVERAGED).progress.phase))
            raise StoppedError

    watch = Stopwatch(clock)
    with pytest.raises(StoppedError):
        run_stage(Regression(stall), tmp_path, budget_s=BUDGET_S, options=OPTIONS, watch=watch, end=ended.set)
    assert on_disk == ["flat", "whole pictures"]


def test_a_run_that_is_late_but_alive_is_not_ended() -> None:
    clock, ended = HandClock(), threading.Event()
    watch = Stopwatch(clock)
    with Deadline(watch, at_s=10, end=ended.set) as deadline:
        for now_s in range(4, 100, 4):
            clock.show(now_s)
            deadline.show_life()
        clock.show(96 + PATIENCE_S - 1)
        assert not ended.is_set()
        clock.show(96 + PATIENCE_S + 1)
        assert ended.wait(timeout=60)


def test_what_often_takes_long_is_given_longer() -> None:
    clock, ended = HandClock(), threading.Event()
    with Deadline(Stopwatch(clock), at_s=10, end=ended.set) as deadline:
        clock.show(20)
        deadline.show_life()
        clock.show(20 + 10 * 20 - 1)
        assert not ended.is_set()
        clock.show(20 + 10 * 20 + 1)
        assert ended.wait(timeout=60)


def test_the_stopwatch_stands_still_while_it_is_paused() -> None:
    clock = HandClock()
    watch = Stopwatch(clock)
    clock.show(5)
    with watch.pause():
        clock.show(50)
        assert watch.spent_s == 5
    clock.show(51)
    assert watch.spent_s == 6
