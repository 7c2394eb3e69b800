"""The command `warm`: request each picture of a list from an edge, so that the edge fetches and stores it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import httpx
import typer

from service.commands.failure import CommandFailure, complain, reason
from service.commands.progress import progress_bar
from service.commands.signed_url import SignOrder, newest_key, sign
from service.errors import BadImageId
from service.refine.pace import Pace
from service.rules.negotiation import check_image_id

STDIN = Path("-")
TIMEOUT_S = 120.0
"""The longest wait for one picture (assumed): longer than an origin and a queue together may take."""
TRIES = 5
LONGEST_WAIT_S = 60.0
"""The longest wait after a 503, whatever its Retry-After says (assumed)."""
BYTE_ORDER_MARK = "\ufeff"
RES = "medium"
"""The size that is requested. Each size stores the same latent, and this one is decoded fastest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmOrder:
    """The options of the command. With a `key` and a `salt`, each URL is signed."""

    ids: Path
    edge: str
    per_second: float
    at_once: int
    key: str
    salt: str


def warm(order: WarmOrder) -> bool:
    """Request all pictures, print the failed ids and one line of JSON, and return whether no picture failed.

    Raises CommandFailure if the list cannot be read, the edge cannot be reached, or a key is not valid.
    """
    if order.key:
        newest_key(order.key, order.salt)
    return asyncio.run(_run(order, _read_ids(order.ids)))


def _read_ids(path: Path) -> list[str]:
    """Return the ids of a list, one a line, each once and in their order."""
    try:
        text = sys.stdin.read() if path == STDIN else path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandFailure(f"latentedge warm: {path}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise CommandFailure(f"latentedge warm: {path}: the list is not UTF-8") from error
    lines = text.removeprefix(BYTE_ORDER_MARK).splitlines()
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


async def _run(order: WarmOrder, ids: Sequence[str]) -> bool:
    started_s = time.monotonic()
    async with _client(order.edge) as client:
        run = _Run(client, order)
        with progress_bar() as bar:
            task = bar.add_task("warming", total=len(ids))
            await run.request_all(ids, done=lambda: bar.advance(task))
    for image_id in ids:
        if image_id in run.failures:
            complain(f"{image_id}: {run.failures[image_id]}")
    counts = {outcome: run.outcomes[outcome] for outcome in ("stored", "hit", "not_stored", "failed")}
    typer.echo(json.dumps({"pictures": len(ids), **counts, "seconds": round(time.monotonic() - started_s, 1)}))
    return not run.failures


@asynccontextmanager
async def _client(edge: str) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of an edge that is alive. Raises CommandFailure."""
    async with AsyncExitStack() as closing:
        try:
            client = httpx.AsyncClient(base_url=edge, timeout=TIMEOUT_S, trust_env=False)
            await closing.enter_async_context(client)
            (await client.get("/livez")).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CommandFailure(f"latentedge warm: the edge {edge} cannot be reached: {error}") from error
        yield client


class _Run:
    """The requests of one list, their outcomes, and a sentence for each id that failed."""

    def __init__(self, client: httpx.AsyncClient, order: WarmOrder) -> None:
        self._client = client
        self._order = order
        self._pace = Pace(60 * order.per_second, clock=time.monotonic, sleep=asyncio.sleep)
        self.outcomes: Counter[str] = Counter()
        self.failures: dict[str, str] = {}

    async def request_all(self, ids: Sequence[str], *, done: Callable[[], object]) -> None:
        waiting = iter(ids)

        async def work() -> None:
            for image_id in waiting:  # shared: each id is taken by one task
                self.outcomes[await self._request(image_id)] += 1
                done()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._order.at_once):
                tasks.create_task(work())

    async def _request(self, image_id: str) -> str:
        """Request one picture, again after each 503, and return its outcome."""
        try:
            check_image_id(image_id)  # else httpx would resolve `..`, and ask for another route of the edge
            answer = await self._answer(image_id)
        except BadImageId as error:
            self.failures[image_id] = error.public
            return "failed"
        except httpx.HTTPError as error:
            self.failures[image_id] = f"no answer: {type(error).__name__}"
            return "failed"
        if not answer.is_success:
            self.failures[image_id] = f"{answer.status_code} {answer.reason_phrase}"
            return "failed"
        told = answer.headers.get("cache-status", "")
        return "hit" if "; hit" in told else "stored" if "; stored" in told else "not_stored"

    async def _answer(self, image_id: str) -> httpx.Response:
        for _ in range(TRIES - 1):
            await self._pace.turn()
            answer = await self._client.get(self._path(image_id))
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                return answer
            await asyncio.sleep(min(_seconds(answer.headers.get("retry-after", "")), LONGEST_WAIT_S))
        await self._pace.turn()
        return await self._client.get(self._path(image_id))

    def _path(self, image_id: str) -> str:
        if not self._order.key:
            return f"/image/{quote(image_id)}?res={RES}"
        order = SignOrder(
            image_id=image_id,
            res=RES,
            fmt="",
            query="",
            expires_in_s=0,
            edge="",
            key=self._order.key,
            salt=self._order.salt,
        )
        return sign(order)


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdecimal() else 1.0
