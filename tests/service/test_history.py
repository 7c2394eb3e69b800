"""The figures of the last hour: their rings, who writes them, and what the page makes of them."""

from itertools import pairwise
from pathlib import Path

import pytest

from service.metrics.outcomes import FileSource, Outcome
from service.metrics.telemetry import Telemetry
from service.records.census import StoreCensus
from service.shadow.keeper import Keeper
from service.web.history import MINUTES, SECONDS, History
from service.web.moments import WIDTH, points, read_moment
from service.web.recorder import Recorder
from tests.service.running_edge import RunningEdge

NOW_S = 1_800_000_000
NO_STORE = StoreCensus(answers=False)


def fill(history: History, *, seconds: int) -> None:
    for second in range(seconds):
        history.write(NOW_S + second, [second, -second])


def test_seconds_and_minutes_are_kept_for_their_time() -> None:
    history = History(2, None)
    fill(history, seconds=2 * 3600)
    now_s = NOW_S + 2 * 3600 - 1
    seconds, minutes = history.seconds(now_s), history.minutes(now_s)
    assert [row.at_s for row in seconds] == list(range(now_s - SECONDS, now_s + 1))
    assert len(minutes) == MINUTES + 1
    assert all(row.at_s % 60 == 0 for row in minutes)
    assert {late.at_s - early.at_s for early, late in pairwise(minutes)} == {60}
    assert list(seconds[-1].values) == [2 * 3600 - 1, 1 - 2 * 3600]
    history.close()


def test_what_is_older_than_the_rings_is_forgotten() -> None:
    history = History(2, None)
    fill(history, seconds=10)
    assert len(history.seconds(NOW_S + 9)) == 10
    assert not history.seconds(NOW_S + 9 + SECONDS + 1)
    assert not history.minutes(NOW_S + 9 + 60 * (MINUTES + 1))
    history.close()


def test_one_process_writes_and_another_follows_it(tmp_path: Path) -> None:
    """A lock belongs to an open file, so two objects of one process are as good as two processes."""
    first, second = History(1, tmp_path), History(1, tmp_path)
    assert first.leads()
    assert not second.leads()
    first.write(NOW_S, [7.0])
    assert [row.values for row in second.seconds(NOW_S)] == [(7.0,)]
    first.close()
    assert second.leads()
    assert [row.values for row in second.seconds(NOW_S)] == [(7.0,)], "what the first one wrote is still there"
    second.close()


def test_a_folder_without_room_costs_only_the_sharing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "history").mkdir()
    history = History(1, tmp_path)
    history.write(NOW_S, [7.0])
    assert len(history.seconds(NOW_S)) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    history.close()


def test_a_point_tells_what_happened_since_the_row_before() -> None:
    telemetry, clock = Telemetry(), iter([NOW_S, NOW_S + 2, NOW_S + 2])
    history = History(WIDTH, None)
    keeper = Keeper(telemetry.shadow, folder=None, sampler=None)
    recorder = Recorder(telemetry, history, keeper, clock=lambda: next(clock))
    telemetry.requests.count(res="high", outcome=Outcome.MISS, seconds=3, sent_bytes=10)
    recorder.record(NO_STORE)
    for source, seconds in ((FileSource.MEMORY, 0.0015), (FileSource.CODEC, 0.018)):
        telemetry.requests.count(res="high", outcome=Outcome.HIT, seconds=seconds, sent_bytes=100)
        telemetry.requests.count_hit(res="high", source=source, seconds=seconds)
    telemetry.requests.count(res="medium", outcome=Outcome.MISS, seconds=0.4, sent_bytes=50)
    telemetry.codec.set_queue_depth(items=4)
    recorder.record(NO_STORE)
    (point,) = recorder.read(after_s=0)["seconds"]
    assert point["span_s"] == 2
    assert point["requests"]["high"]["hit"] == 2
    assert point["requests"]["high"]["miss"] == 0, "it was before the first row"
    assert point["hit_ratio"] == pytest.approx(2 / 3)
    assert point["sent_bytes"] == 250
    assert point["queue"] == 4
    assert point["latency_ms"]["high"]["memory"][0] == pytest.approx(1.5)
    assert 15 <= point["latency_ms"]["high"]["decoded"][0] <= 20
    assert point["latency_ms"]["high"]["miss"] is None
    assert 300 <= point["latency_ms"]["medium"]["miss"][1] <= 500
    history.close()


def test_figures_that_begin_anew_are_no_change() -> None:
    history, full = History(WIDTH, None), Telemetry()
    full.requests.count(res="high", outcome=Outcome.HIT, seconds=1, sent_bytes=1)
    history.write(NOW_S, read_moment(full.collect()))
    history.write(NOW_S + 1, read_moment(Telemetry().collect()))
    (point,) = points(history.seconds(NOW_S + 1), after_s=0)
    assert point["requests"]["high"]["hit"] == 0
    assert point["hit_ratio"] is None
    history.close()


@pytest.mark.parametrize("after", ["nonsense", "nan", "1e999"])
def test_a_moment_that_is_none_is_refused(edge: RunningEdge, after: str) -> None:
    answer = edge.get("/history", params={"after": after})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_only_what_is_new_is_sent(edge: RunningEdge) -> None:
    now_s = edge.get("/history").json()["now_s"]
    answer = edge.get("/history", params={"after": str(now_s + 60)}).json()
    assert answer["seconds"] == answer["minutes"] == []


def test_times_are_those_of_a_window_and_counts_those_of_a_second() -> None:
    telemetry, seconds = Telemetry(), iter(range(NOW_S, NOW_S + 4))
    history = History(WIDTH, None)
    recorder = Recorder(
        telemetry, history, Keeper(telemetry.shadow, folder=None, sampler=None), clock=lambda: next(seconds)
    )
    recorder.record(NO_STORE)
    for slow in (False, True, False):
        if slow:
            telemetry.requests.count(res="high", outcome=Outcome.MISS, seconds=3, sent_bytes=10)
        recorder.record(NO_STORE)
    rows = history.seconds(NOW_S + 3)

    def misses_and_times(window_s: float) -> list[tuple[float, bool]]:
        found = points(rows, after_s=0, window_s=window_s)
        return [(one["requests"]["high"]["miss"], one["latency_ms"]["high"]["miss"] is not None) for one in found]

    assert misses_and_times(0) == [(0, False), (1, True), (0, False)]
    assert misses_and_times(2) == [(0, False), (1, True), (0, True)]
    history.close()
