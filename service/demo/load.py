"""Send requests to an edge, with a Zipf distribution of pictures: few are requested often, and many seldom."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import httpx
import numpy as np

from service.rendition import RENDITIONS

CLIENTS = 4  # clients that send at the same time (assumed): batches form, but requests seldom wait in a queue
_ZIPF_EXPONENT = 0.9  # the exponent of the Zipf distribution (assumed): published values for the Web are 0.7 to 1
_SEED = 7
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Answer:
    """The result of one request to the edge."""

    name: str
    res: str
    ok: bool
    hit: bool
    seconds: float
    body_bytes: int
    from_memory: bool = False
    """Whether the hit came from the edge's in-memory cache, without a decode."""


def picture_url(edge_url: str, name: str, *, res: str, fmt: str = "jpeg") -> str:
    return f"{edge_url}/image/{quote(name)}?res={res}&fmt={fmt}"


async def send(edge_url: str, names: Sequence[str], *, requests: int, on_answer: Callable[[], None]) -> list[Answer]:
    """Send `requests` requests from CLIENTS clients, each of which waits for an answer before its next request.

    `on_answer` is called after each answer.
    """
    wanted = iter(_draw(names, requests))
    answers: list[Answer] = []
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(limits=limits, timeout=_TIMEOUT_S, trust_env=False) as client:

        async def one_client() -> None:
            for name, res in wanted:  # all clients take their requests from this one iterator
                answers.append(await _ask(client, edge_url, name=name, res=res))
                on_answer()

        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(one_client())
    return answers


def is_hit(cache_status: str) -> bool:
    """Return whether the first cache in a Cache-Status field has answered without forwarding (RFC 9211 2.1)."""
    parameters = {part.strip() for part in cache_status.split(",", maxsplit=1)[0].split(";")[1:]}
    return "hit" in parameters or "hit=?1" in parameters


def is_from_memory(cache_status: str) -> bool:
    """Return whether a Cache-Status field says that the edge answered from its in-memory cache, without a decode."""
    return "detail=memory" in cache_status.replace(" ", "").split(";")


def _draw(names: Sequence[str], requests: int) -> list[tuple[str, str]]:
    draw = np.random.default_rng(_SEED)
    weights = 1 / np.arange(1, len(names) + 1) ** _ZIPF_EXPONENT
    popular_first = draw.permutation(len(names))
    ranks = draw.choice(len(names), size=requests, p=weights / weights.sum())
    sizes = draw.integers(len(RENDITIONS), size=requests)
    return [(names[popular_first[rank]], RENDITIONS[size].name) for rank, size in zip(ranks, sizes, strict=True)]


async def _ask(client: httpx.AsyncClient, edge_url: str, *, name: str, res: str) -> Answer:
    started = time.perf_counter()
    try:
        response = await client.get(picture_url(edge_url, name, res=res))
    except httpx.HTTPError:
        return Answer(name, res=res, ok=False, hit=False, seconds=time.perf_counter() - started, body_bytes=0)
    cache_status = response.headers.get("cache-status", "")
    return Answer(
        name,
        res=res,
        ok=response.is_success,
        hit=response.is_success and is_hit(cache_status),
        from_memory=is_from_memory(cache_status),
        seconds=time.perf_counter() - started,
        body_bytes=len(response.content),
    )
