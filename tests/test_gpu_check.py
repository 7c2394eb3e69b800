"""The rules of the check of a GPU: who gets how much time, what is a percentile, what the last line says."""

import json
from pathlib import Path

import pytest

from tests.gpu_check.budget import Clock, allotted_s
from tests.gpu_check.journal import Journal, Row, read_rows
from tests.gpu_check.load import Heard, together
from tests.gpu_check.summary import summary

EDGE = {"EDGE_HEAD": "cpu", "workers": 8}


def _heard(latencies_ms: list[float], **of_this: float) -> Heard:
    return Heard({"200": len(latencies_ms)}, latencies_ms, dict(of_this), seconds=2.0, busy=0.5)


def test_stages_share_the_time_by_weight() -> None:
    assert allotted_s(100, 20, later=(30, 50)) == pytest.approx(20)
    assert allotted_s(80, 30, later=(50,)) == pytest.approx(30)
    assert allotted_s(50, 50, later=()) == pytest.approx(50)


def test_a_late_stage_takes_time_from_all_later_ones_and_a_quick_one_leaves_it() -> None:
    assert allotted_s(40, 30, later=(50,)) == pytest.approx(15)
    assert allotted_s(95, 30, later=(50,)) > 30
    assert allotted_s(-3, 30, later=(50,)) == 0


def test_a_figure_takes_its_part_and_never_more_than_it_needs() -> None:
    assert Clock.of(1000).slice_s(parts=4, most_s=0.8) == pytest.approx(0.8)
    assert 0.9 < Clock.of(10).slice_s(parts=10, most_s=5) <= 1
    assert Clock.of(-1).slice_s(parts=0, most_s=5) == 0


def test_percentiles_are_latencies_that_occurred() -> None:
    heard = _heard([float(one) for one in range(100, 0, -1)])
    assert heard.percentile_ms(50) == 50
    assert heard.percentile_ms(99) == 99
    assert heard.per_s == 50
    assert _heard([]).percentile_ms(99) is None


def test_client_processes_are_put_together_by_their_pictures() -> None:
    whole = together([_heard([1.0, 2.0, 3.0], synthesis=4.0), _heard([9.0], synthesis=8.0)])
    assert whole.statuses == {"200": 4}
    assert whole.stages_ms == {"synthesis": pytest.approx(5.0)}
    assert sorted(whole.latencies_ms) == [1.0, 2.0, 3.0, 9.0]


def test_the_last_line_tells_best_figures_and_every_failure() -> None:
    rows: list[Row] = [
        {"stage": "golden", "what": "shown", "ok": False, "worst_db": 0.3, "levels": 9},
        {"stage": "golden", "what": "done", "seconds": 3.21},
        {"stage": "from_symbols", "what": "pictures", "head": "high-cpu", "size_px": 172, "per_s": 10.0},
        {"stage": "from_symbols", "what": "pictures", "head": "high-cpu", "size_px": 172, "per_s": 30.0},
        {"stage": "serving", "what": "saturated 344", **EDGE, "per_s": 5.0, "p50_ms": 1.0, "p99_ms": None},
        {"stage": "serving", "what": "8 workers", "failure": "OSError: gone"},
    ]
    found = summary(rows)
    assert not found["ok"]
    assert found["failures"] == ["serving: 8 workers: OSError: gone", "golden: shown is not ok"]
    assert found["stages_s"] == {"golden": 3.2}
    assert found["golden_worst_db"] == 0.3
    assert found["from_symbols_per_s"] == {"high-cpu 172": 30.0}
    assert found["responses_per_s"]["344 px, head cpu, 8 processes"] == {"per_s": 5.0, "p50_ms": 1.0, "p99_ms": None}
    assert json.loads(json.dumps(found)) == found


def test_a_failed_part_is_written_down_and_the_next_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "golden")
    with journal.tried("first"):
        int("none")
    journal.row("second", per_s=2.0)
    first, second = read_rows(tmp_path)
    assert first["failure"].startswith("ValueError: invalid literal")
    assert second["per_s"] == 2.0
    assert "Traceback" in (tmp_path / "gpu_check.log").read_text()
