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
from typing import Self
from urllib.parse import parse_qsl, quote, urlencode

import httpx
import typer

from service.commands.failure import CommandFailure, complain, reason
from service.commands.progress import progress_bar
from service.commands.signed_url import SignOrder, newest_key, sign
from service.errors import BadImageId
from service.refine.pace import Pace
from service.rules.negotiation import check_image_id
from service.rules.url_signature import ARGUMENTS, SIGNATURE

STDIN = Path("-")
TIMEOUT_S = 120.0
"""The longest wait for one picture (assumed): longer than an origin and a queue together may take."""
TRIES = 5
LONGEST_WAIT_S = 60.0
"""The longest wait after a 503, whatever its Retry-After says (assumed)."""
BYTE_ORDER_MARK = "\ufeff"
OWN_ARGUMENTS = ARGUMENTS | {SIGNATURE}
"""What a line may hold without effect, as URLs of a log do: the size is our own, and so is the signature."""
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


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the list: an image id, and the arguments that its origin needs as a query, which may be empty."""

    image_id: str
    query: str

    @classmethod
    def read(cls, line: str) -> Self:
        """Read `id` or `id?name=value&...`: arguments follow the last question mark, percent-encoded as in a URL."""
        image_id, mark, query = line.rpartition("?")
        if not mark:
            return cls(line, "")
        needed = sorted(one for one in parse_qsl(query, keep_blank_values=True) if one[0] not in OWN_ARGUMENTS)
        return cls(image_id, urlencode(needed, quote_via=quote, safe="", errors="surrogateescape"))

    def __str__(self) -> str:
        return f"{self.image_id}?{self.query}" if self.query else self.image_id


def warm(order: WarmOrder) -> bool:
    """Request all pictures, print the failed ids and one line of JSON, and return whether no picture failed.

    Raises CommandFailure if the list cannot be read, the edge cannot be reached, or a key is not valid.
    """
    if order.key:
        newest_key(order.key, order.salt)
    return asyncio.run(_run(order, _read_list(order.ids)))


def _read_list(path: Path) -> list[Listed]:
    """Return the lines of a list, each picture once and in their order."""
    try:
        text = sys.stdin.read() if path == STDIN else path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandFailure(f"latentedge warm: {path}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise CommandFailure(f"latentedge warm: {path}: the list is not UTF-8") from error
    lines = text.removeprefix(BYTE_ORDER_MARK).splitlines()
    return list(dict.fromkeys(Listed.read(line.strip()) for line in lines if line.strip()))


async def _run(order: WarmOrder, listed: Sequence[Listed]) -> bool:
    started_s = time.monotonic()
    async with _client(order.edge) as client:
        run = _Run(client, order)
        with progress_bar() as bar:
            task = bar.add_task("warming", total=len(listed))
            await run.request_all(listed, done=lambda: bar.advance(task))
    for one in listed:
        if one in run.failures:
            complain(f"{one}: {run.failures[one]}")
    counts = {outcome: run.outcomes[outcome] for outcome in ("stored", "hit", "not_stored", "failed")}
    typer.echo(json.dumps({"pictures": len(listed), **counts, "seconds": round(time.monotonic() - started_s, 1)}))
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
        self.failures: dict[Listed, str] = {}

    async def request_all(self, listed: Sequence[Listed], *, done: Callable[[], object]) -> None:
        waiting = iter(listed)

        async def work() -> None:
            for one in waiting:  # shared: each picture is taken by one task
                self.outcomes[await self._request(one)] += 1
                done()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._order.at_once):
                tasks.create_task(work())

    async def _request(self, one: Listed) -> str:
        """Request one picture, again after each 503, and return its outcome."""
        try:
            check_image_id(one.image_id)  # else httpx would resolve `..`, and ask for another route of the edge
            answer = await self._answer(_path(self._order, one))
        except BadImageId as error:
            self.failures[one] = error.public
            return "failed"
        except CommandFailure as error:  # the arguments cannot be signed
            self.failures[one] = str(error).removeprefix("latentedge sign: ")
            return "failed"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self.failures[one] = f"no answer: {type(error).__name__}"
            return "failed"
        if not answer.is_success:
            self.failures[one] = f"{answer.status_code} {answer.reason_phrase}"
            return "failed"
        told = answer.headers.get("cache-status", "")
        return "hit" if "; hit" in told else "stored" if "; stored" in told else "not_stored"

    async def _answer(self, path: str) -> httpx.Response:
        for _ in range(TRIES - 1):
            await self._pace.turn()
            answer = await self._client.get(path)
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                return answer
            await asyncio.sleep(min(_seconds(answer.headers.get("retry-after", "")), LONGEST_WAIT_S))
        await self._pace.turn()
        return await self._client.get(path)


def _path(order: WarmOrder, one: Listed) -> str:
    """Return the URL of a picture below the edge's. Raises CommandFailure if it cannot be signed."""
    if not order.key:
        return f"/image/{quote(one.image_id)}?res={RES}{'&' if one.query else ''}{one.query}"
    return sign(
        SignOrder(
            image_id=one.image_id,
            res=RES,
            fmt="",
            query=one.query,
            expires_in_s=0,
            edge="",
            key=order.key,
            salt=order.salt,
        )
    )


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdecimal() else 1.0
