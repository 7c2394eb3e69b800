"""Clients that ask edges for pictures, and judge each picture by its number, its version and its size."""

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

import httpx

from service.demo.load import picture_url
from service.rendition import RENDITIONS
from tests.faults.answers import OK, OLD, REFUSED, RESET, TIMED_OUT, WRONG, Answer
from tests.faults.marked_picture import UnreadableMarkError, recognise

PAUSE_S = 0.01  # between two requests of a client (assumed): six clients leave the edge some of two cores
CLIENTS = 6
TIMEOUT_S = 60.0
SIDES_PX = {rendition.name: rendition.size_px for rendition in RENDITIONS}


class Load:
    """The answers that clients have got so far, and the versions that purges have promised."""

    def __init__(self, urls: Sequence[str], *, published: Counter[int]) -> None:
        self.urls = urls
        self.answers: list[Answer] = []
        self.promised: Counter[int] = Counter()
        """By number: the version that a purge has promised. Requests from then on may get no older one."""
        self.is_over = False
        self._published = published
        self._verdicts: dict[tuple[bytes, str, int], tuple[bool, int]] = {}

    async def ask(self, client: httpx.AsyncClient, url: str, number: int, *, res: str = "high") -> Answer:
        """Send one request, and keep and return its answer."""
        promised, began_s, status, cut, verdict = self.promised[number], time.monotonic(), 0, "", ""
        try:
            response = await client.get(picture_url(url, str(number), res=res))
        except httpx.TimeoutException:
            cut = TIMED_OUT
        except httpx.ConnectError:
            cut = REFUSED
        except httpx.TransportError:
            cut = RESET
        else:
            status = response.status_code
            verdict = self._judge(response.content, (res, number), promised) if status == OK else ""
        now_s = time.monotonic()
        answer = Answer(now_s, now_s - began_s, status, cut, verdict)
        self.answers.append(answer)
        return answer

    def _judge(self, body: bytes, asked: tuple[str, int], promised: int) -> str:
        res, number = asked
        key = (hashlib.sha256(body).digest(), res, number)
        if key not in self._verdicts:
            self._verdicts[key] = self._recognise(body, res=res, number=number)
        is_right, version = self._verdicts[key]
        if not is_right or version > self._published[number]:
            return WRONG
        return OLD if version < promised else ""

    @staticmethod
    def _recognise(body: bytes, *, res: str, number: int) -> tuple[bool, int]:
        try:
            seen = recognise(body)
        except UnreadableMarkError:
            return False, 0
        return (seen.number, seen.side_px) == (number, SIDES_PX[res]), seen.version

    async def fill(self, numbers: Iterable[int]) -> None:
        """Ask every edge for every picture in both sizes, and forget the answers."""
        async with new_client() as client:
            for url in self.urls:
                for number in numbers:
                    for res in SIDES_PX:
                        await self.ask(client, url, number, res=res)
        self.answers.clear()

    async def crowd(self, numbers: Sequence[int]) -> None:
        """Ask every edge for every picture, all at once, each on a connection of its own."""
        async with new_client(connections=len(numbers) * len(self.urls)) as client:
            await asyncio.gather(*[self.ask(client, url, number) for number in numbers for url in self.urls])

    @asynccontextmanager
    async def running(self, draw: Callable[[], int], *, clients: int = CLIENTS) -> AsyncIterator[None]:
        """Let clients ask during the block. Every second one opens a connection for each request."""
        async with asyncio.TaskGroup() as group:
            for index in range(clients):
                group.create_task(self._ask_on(draw, keeps_connection=index % 2 == 0))
            try:
                yield
            finally:
                self.is_over = True

    async def _ask_on(self, draw: Callable[[], int], *, keeps_connection: bool) -> None:
        headers = {} if keeps_connection else {"Connection": "close"}
        async with new_client(headers=headers) as client:
            while not self.is_over:
                await self.ask(client, random.choice(self.urls), draw(), res=random.choice(list(SIDES_PX)))
                await asyncio.sleep(PAUSE_S)


def new_client(*, headers: dict[str, str] | None = None, connections: int = 4) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=connections)
    return httpx.AsyncClient(headers=headers, limits=limits, timeout=TIMEOUT_S, trust_env=False, verify=False)
