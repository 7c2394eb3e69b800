"""Requests that come when they come, whatever became of those before: a load from outside, in a process of its own.

Each is due at a moment that was drawn before. Its time counts from then on, also where this process or the server was
late, so a server that stands still is charged for everyone who would have come meanwhile.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

import numpy as np

from service.demo.children import HOST

GONE = 0
"""The status of a request whose client has left."""
_SEED = 11


@dataclass(frozen=True)
class Plan:
    port: int
    paths: Sequence[str]
    per_s: float
    seconds: float
    patience_s: float
    """A client leaves when it has no answer by then."""


@dataclass(frozen=True)
class Reply:
    status: int
    seconds: float
    """Since it was due."""


class _Clients:
    """Connections are kept, and opened as needed: who comes finds one that is idle, or opens another."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.replies: list[Reply] = []

    async def ask(self, path: str, *, due_s: float) -> None:
        loop, status = asyncio.get_running_loop(), GONE
        with suppress(TimeoutError, OSError, asyncio.IncompleteReadError):
            async with asyncio.timeout_at(due_s + self._plan.patience_s):
                status = await self._answered(path)
        self.replies.append(Reply(status, loop.time() - due_s))

    async def _answered(self, path: str) -> int:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(HOST, self._plan.port)
        whole = False
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: edge\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
            whole = True
        finally:
            if whole:
                self._idle.append((reader, writer))
            else:
                writer.transport.abort()
        return int(head.split(maxsplit=2)[1])

    def close(self) -> None:
        for _, writer in self._idle:
            writer.transport.abort()


async def _come(plan: Plan) -> list[Reply]:
    draw = np.random.default_rng(_SEED)
    count = max(1, round(plan.per_s * plan.seconds))
    gaps_s = draw.exponential(1 / plan.per_s, count)
    clients, loop = _Clients(plan), asyncio.get_running_loop()
    due_s = loop.time() + 0.1
    async with asyncio.TaskGroup() as group:
        for number, gap_s in enumerate(gaps_s):
            due_s += float(gap_s)
            await asyncio.sleep(due_s - loop.time())
            group.create_task(clients.ask(plan.paths[number % len(plan.paths)], due_s=due_s))
    clients.close()
    return clients.replies


def come(plan: Plan) -> list[Reply]:
    """All of a plan's requests, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.arrivals"],
        input=json.dumps(asdict(plan)),
        capture_output=True,
        text=True,
        check=True,
    )
    return [Reply(*one) for one in json.loads(done.stdout)]


if __name__ == "__main__":
    replies = asyncio.run(_come(Plan(**json.loads(sys.stdin.read()))))
    print(json.dumps([(one.status, one.seconds) for one in replies]))
