"""An outage of the store is a few lines of the log, not one for each request."""

import logging

import pytest

from service.store.outage import AGAIN_S, QUIET_S, Outage


def test_an_outage_is_logged_when_it_begins_each_minute_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 1000.0
    outage = Outage("the store", clock=lambda: now_s)
    with caplog.at_level(logging.WARNING):
        outage.note_success()
        for _ in range(1000):
            outage.note_failure("refused")
            outage.note_success()  # a read, while writes fail
        now_s += AGAIN_S
        outage.note_failure("refused")
        now_s += QUIET_S
        outage.note_success()
        outage.note_success()
        outage.note_failure("refused")
    assert [record.getMessage() for record in caplog.records] == [
        "the store fails: refused",
        "the store fails, 1001 times in 60 s: refused",
        "the store works again: 1001 failures in 60 s",
        "the store fails: refused",
    ]
