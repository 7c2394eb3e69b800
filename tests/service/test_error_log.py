"""Errors of requests in the log: each of a few, and a few of many."""

import logging

import pytest

from service.errors import BadFormat, OriginTooSlow, OriginUnreachable
from service.web.error_log import BURST, REFILL_S, ErrorLog


def test_many_errors_of_a_kind_are_a_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 1000.0
    log = ErrorLog(clock=lambda: now_s)
    with caplog.at_level(logging.WARNING):
        for number in range(800):
            log.report(OriginUnreachable("refused"), f"r{number}")
        log.report(OriginTooSlow("10 s"), "slow")
        log.report(BadFormat("gif"), "a client's fault")
        now_s += REFILL_S
        log.report(OriginUnreachable("refused"), "later")
    lines = caplog.messages
    assert lines[:BURST] == [f"OriginUnreachable: refused (request r{number})" for number in range(BURST)]
    assert lines[BURST:] == [
        "OriginTooSlow: 10 s (request slow)",
        f"OriginUnreachable: refused (request later; {800 - BURST} more were not logged)",
    ]
