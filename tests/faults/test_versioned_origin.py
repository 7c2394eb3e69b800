"""The origin of `make faults` shows the present version, and leaves chosen pictures without an answer for a while."""

from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.faults.marked_picture import Seen, recognise
from tests.faults.versioned_origin import VersionedOrigin

LIMIT_S = 60


def seen_at(origin: VersionedOrigin, number: int) -> Seen:
    answer = httpx.get(f"{origin.url}/{number}", timeout=LIMIT_S, trust_env=False)
    return recognise(answer.content)


def test_a_picture_shows_its_present_version() -> None:
    with VersionedOrigin() as origin:
        assert seen_at(origin, 7) == Seen(344, 7, 0)
        origin.versions[7] += 1
        assert seen_at(origin, 7) == Seen(344, 7, 1)
        assert origin.fetches == {7: 2}


def test_a_picture_that_hangs_is_answered_later_and_keeps_no_other_waiting() -> None:
    with VersionedOrigin() as origin, ThreadPoolExecutor(1) as asking:
        origin.hang([7])
        waiting = asking.submit(seen_at, origin, 7)
        origin.wait_for_fetches(1, limit_s=LIMIT_S)
        assert seen_at(origin, 8) == Seen(344, 8, 0)
        assert not waiting.done()
        origin.answer()
        assert waiting.result(LIMIT_S) == Seen(344, 7, 0)
