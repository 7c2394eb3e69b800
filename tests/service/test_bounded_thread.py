"""The queue of a thread of the screen mode is bounded by number and by expected wait."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from service.errors import QueueFull
from service.render.bounded_thread import BoundedThread
from tests.service.watched_codec import LIMIT_S, OPTIONS

LIMITS = OPTIONS.queue


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Keeps a call under way until it is set."""
    event = threading.Event()
    yield event
    event.set()


def held(gate: threading.Event) -> int:
    assert gate.wait(LIMIT_S), "held for ever"
    return 1


def test_a_call_beyond_the_limit_is_refused_at_once(gate: threading.Event) -> None:
    async def story() -> None:
        thread = BoundedThread("screen", replace(LIMITS, queue_items=1))
        first = asyncio.ensure_future(thread.run(lambda: held(gate)))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="1 pictures wait"):
            await thread.run(lambda: 2, patient=True)
        gate.set()
        assert await first == 1
        assert await thread.run(lambda: 3) == 3  # there is room again
        thread.close()

    asyncio.run(story())


def test_only_a_patient_call_waits_longer_than_the_limit(gate: threading.Event) -> None:
    async def story() -> None:
        thread = BoundedThread("screen", replace(LIMITS, wait_s=1e-9))
        await thread.run(lambda: sum(range(1000)))  # now it is known how long one takes
        first = asyncio.ensure_future(thread.run(lambda: held(gate)))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="expected wait"):
            await thread.run(lambda: 2)
        patient = asyncio.ensure_future(thread.run(lambda: 3, patient=True))
        await asyncio.sleep(0)
        gate.set()
        assert [await first, await patient] == [1, 3]
        thread.close()

    asyncio.run(story())
