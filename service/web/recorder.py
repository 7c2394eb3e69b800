"""Write the totals of each second to the history, in the one process that leads."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from prometheus_client import Metric

from service.metrics.telemetry import MULTIPROCESS_VARIABLE, Telemetry
from service.records.census import Census, StoreCensus
from service.shadow.keeper import Keeper
from service.shadow.sampler import Sampler
from service.web.history import History
from service.web.moments import WIDTH, points, read_moment

Send = Callable[[Iterable[Metric]], None]
SEND_S = 15.0  # assumed: as often as Prometheus is usually told to scrape
WINDOW_S = 10.0
"""The seconds whose requests a time to answer is made of, as the page shows them second by second (assumed)."""
CENSUS_S = 10.0
"""How long a measurement of the store's memory is reused, in seconds. Each measurement (census) reads 64 records."""


class Recorder:
    """Records the figures of an edge once a second, and returns those of the last hour."""

    def __init__(
        self,
        telemetry: Telemetry,
        history: History,
        keeper: Keeper,
        *,
        send: Send | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`send` gets the metrics now and then; None if no collector wants them."""
        self._telemetry = telemetry
        self._history = history
        self._keeper = keeper
        self._send = send
        self._sent_s = -math.inf
        self._sending: asyncio.Task[None] | None = None
        self._clock = clock
        self._ending = asyncio.Event()

    async def run(self, census: Census) -> None:
        """Record at the beginning of every second, until `end` is called."""
        taken, taken_s = StoreCensus(answers=False), -math.inf
        while not await self._ends_before_next_second():
            if not self._history.leads():
                continue
            if self._clock() >= taken_s + CENSUS_S:
                taken, taken_s = await census.take(), self._clock()
            # On a thread: with many workers, reading their files takes some milliseconds.
            await asyncio.to_thread(self.record, taken)
            self._send_if_due()
        if self._sending is not None:
            await self._sending

    def end(self) -> None:
        """Let `run` return, at once or after the record that it is writing."""
        self._ending.set()

    def record(self, census: StoreCensus) -> None:
        """Replay the shadow baseline, and write the totals of this second."""
        now_s = self._clock()
        try:
            self._keeper.replay(census, now_s=now_s)
            self._history.write(int(now_s), read_moment(self._telemetry.collect()))
        except OSError as error:  # a file of a worker that has just ended; the next second is recorded again
            logging.getLogger(__name__).debug("a second was not recorded: %s", error)

    def read(self, *, after_s: float) -> dict[str, Any]:
        """Return the points of the last five minutes and of the last hour that are later than this moment."""
        now_s = self._clock()
        return {
            "now_s": now_s,
            "seconds": points(self._history.seconds(now_s), after_s=after_s, window_s=WINDOW_S),
            "minutes": points(self._history.minutes(now_s), after_s=after_s),
        }

    def _send_if_due(self) -> None:
        """Send the metrics on a thread of its own: the collector may be slow."""
        waits = self._sending is not None and not self._sending.done()
        if self._send is not None and not waits and self._clock() >= self._sent_s + SEND_S:
            self._sent_s = self._clock()
            self._sending = asyncio.create_task(asyncio.to_thread(self._send, self._telemetry.collect()))

    async def _ends_before_next_second(self) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(1 - self._clock() % 1):
                await self._ending.wait()
        return self._ending.is_set()


@asynccontextmanager
async def recording(
    telemetry: Telemetry, census: Census, *, sampler: Sampler | None = None, otlp_url: str = ""
) -> AsyncIterator[Recorder]:
    """Record during the block, in a file if the workers share a folder. `sampler` is that of a worker.

    `otlp_url` is the address of a collector that gets the metrics, if there is one.
    """
    folder = shared_folder()
    history = History(WIDTH, folder)
    keeper = Keeper(telemetry.shadow, folder=folder, sampler=sampler)
    recorder = Recorder(telemetry, history, keeper, send=_sender(otlp_url))
    task = asyncio.create_task(recorder.run(census))
    try:
        yield recorder
    finally:
        recorder.end()
        await task
        history.close()


def _sender(otlp_url: str) -> Send | None:
    if not otlp_url:
        return None
    from service.web.otlp_metrics import OtlpMetrics  # its packages are an extra

    return OtlpMetrics(otlp_url).send


def shared_folder() -> Path | None:
    """Return the folder that the processes of this edge share, or None if there is only one process."""
    folder = os.environ.get(MULTIPROCESS_VARIABLE)
    return Path(folder) if folder else None
