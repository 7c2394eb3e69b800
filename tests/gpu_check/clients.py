"""Clients of an edge in a process of its own, quick enough to be no bottleneck: `load.py` starts several of them.

Each connection has one request under way. A latency counts from the moment at which the request was due.
"""

import asyncio
import json
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from itertools import count
from typing import cast

import numpy as np
import uvloop

from service.demo.children import HOST
from tests.gpu_check.load import ANSWERED, Heard, Load

GONE = "gone"
TIMED_EVERY = 4
"""Server-Timing is read of every fourth answer."""
HEAD_END = b"\r\n\r\n"


class _Connection(asyncio.Protocol):
    def __init__(self, clients: "_Clients") -> None:
        self._clients = clients
        self._buffer = b""
        self._due_s = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def ask(self, path: str, *, due_s: float) -> None:
        assert self._transport is not None
        self._due_s = due_s
        self._transport.write(f"GET {path} HTTP/1.1\r\nHost: edge\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return
        head = self._buffer[:end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(self._buffer) >= end + len(HEAD_END) + length:
            self._buffer = b""
            self._clients.answered(self, head, seconds=time.monotonic() - self._due_s)

    def connection_lost(self, _error: Exception | None) -> None:
        self._clients.lost(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _Clients:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._counted_from_s = load.begin_s + load.ramp_s
        self._end_s = self._counted_from_s + load.seconds
        self._open: set[_Connection] = set()
        self._idle: deque[_Connection] = deque()
        self._numbers = count(load.seed)
        self._under_way = 0
        self._statuses: Counter[str] = Counter()
        self._latencies_ms: list[float] = []
        self._stages_ms: Counter[str] = Counter()
        self._timed = 0
        self._over = False
        self._all_answered = asyncio.Event()

    async def run(self) -> Heard:
        """Come, wait for the last answers, and tell what was heard while it counted."""
        await asyncio.sleep(self._load.begin_s - time.monotonic())
        cpu_s, began_s = time.process_time(), time.monotonic()
        await (self._come() if self._load.per_s else self._follow())
        self._over = True
        self._look()
        busy = (time.process_time() - cpu_s) / max(1e-9, time.monotonic() - began_s)
        await self._wait_for_the_last()
        self._statuses[GONE] += self._under_way
        for connection in list(self._open):
            connection.close()
        stages = {name: total / self._timed for name, total in self._stages_ms.items()}
        return Heard(dict(self._statuses), self._latencies_ms, stages, seconds=self._load.seconds, busy=busy)

    def answered(self, connection: _Connection, head: bytes, *, seconds: float) -> None:
        self._under_way -= 1
        self._count(head, seconds)
        self._look()
        if self._load.per_s or time.monotonic() >= self._end_s:
            self._idle.append(connection)
        else:
            self._ask(connection, due_s=time.monotonic())

    def lost(self, connection: _Connection) -> None:
        """A connection that the edge closes leaves its request without an answer."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._look()

    def _look(self) -> None:
        """Wake `run` when nothing is to come any more."""
        if self._over and not (self._under_way and self._open):
            self._all_answered.set()

    async def _follow(self) -> None:
        """Open all connections one by one; each asks again when it has its answer."""
        for number in range(self._load.connections):
            opened_s = self._load.begin_s + self._load.ramp_s * number / self._load.connections
            await asyncio.sleep(opened_s - time.monotonic())
            self._ask(await self._connected(), due_s=time.monotonic())
        await asyncio.sleep(self._end_s - time.monotonic())

    async def _come(self) -> None:
        """Requests come at moments that were drawn before, whatever became of those before them."""
        draw, due_s = np.random.default_rng(self._load.seed), time.monotonic()
        while (due_s := due_s + float(draw.exponential(1 / self._load.per_s))) < self._end_s:
            await asyncio.sleep(due_s - time.monotonic())
            connection = self._idle.popleft() if self._idle else await self._connected()
            self._ask(connection, due_s=due_s)

    async def _connected(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), HOST, self._load.port)
        self._open.add(connection)
        return connection

    def _ask(self, connection: _Connection, *, due_s: float) -> None:
        self._under_way += 1
        connection.ask(self._load.paths[next(self._numbers) % len(self._load.paths)], due_s=due_s)

    def _count(self, head: bytes, seconds: float) -> None:
        """Count an answer, unless it came before the ramp's end or after the load's."""
        now_s = time.monotonic()
        late = not self._load.per_s and now_s > self._end_s
        if now_s - seconds < self._counted_from_s or late:
            return
        status = int(head[9:12])
        self._statuses[str(status)] += 1
        if status != ANSWERED:
            return
        self._latencies_ms.append(round(1000 * seconds, 3))
        if len(self._latencies_ms) % TIMED_EVERY == 1:
            self._add_stages(head)

    def _add_stages(self, head: bytes) -> None:
        self._timed += 1
        for stage in head.partition(b"server-timing: ")[2].partition(b"\r\n")[0].decode().split(", "):
            name, _, duration = stage.partition(";dur=")
            if duration:
                self._stages_ms[name] += float(duration)  # type: ignore[assignment]

    async def _wait_for_the_last(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._load.patience_s):
                await self._all_answered.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(_Clients(Load(**json.loads(sys.argv[1]))).run())
    print(json.dumps(vars(found)))
