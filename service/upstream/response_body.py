"""Read the body of an origin's response, piece by piece, up to a cap, and undo its content coding."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx

from service.records.latent_facts import FIELD as FACTS
from service.rules import content_coding
from service.rules.response_fields import ResponseFields
from service.upstream.fetched import Fetched, FileTooLarge
from service.upstream.response_head import media_type_of
from service.upstream.slots import Slot

SMALL_BYTES = 2**18
"""A file of at most this size gives its slot back if it comes slowly. Assumed: 512 of them are 128 MiB."""


@dataclass(frozen=True, slots=True)
class HeldSlot:
    """The slot of one fetch, and the time until which the fetch must end."""

    slot: Slot
    deadline: asyncio.Timeout

    async def resume(self) -> None:
        """Hold the slot again. Waiting for it is not the server's fault, so it does not count as time of the fetch."""
        until_s, loop = self.deadline.when(), asyncio.get_running_loop()
        if self.slot.is_slow and until_s is not None:
            left_s = until_s - loop.time()
            self.deadline.reschedule(None)
            await self.slot.resume()
            self.deadline.reschedule(loop.time() + left_s)


async def read_file(response: httpx.Response, fields: ResponseFields, held: HeldSlot, *, cap_bytes: int) -> Fetched:
    """Return the file of a response. A small file gives its slot back if it comes slowly. Raises FileTooLarge."""
    layers = content_coding.gzip_layers(response.headers.get("content-encoding", ""))
    received = await _read_body(response, fields, held, cap_bytes=cap_bytes)
    body = await _decompress(received, layers, fields, cap_bytes=cap_bytes) if layers else received
    facts = response.headers.get(FACTS, "")
    return Fetched(body, fields, media_type_of(response), facts, received_bytes=len(received))


async def _read_body(response: httpx.Response, fields: ResponseFields, held: HeldSlot, *, cap_bytes: int) -> bytes:
    if not _is_small(response):
        return await _read(response, fields, cap_bytes=cap_bytes)
    async with held.slot.waiting():
        body = await _read(response, fields, cap_bytes=cap_bytes)
    await held.resume()
    return body


async def _read(response: httpx.Response, fields: ResponseFields, *, cap_bytes: int) -> bytes:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > cap_bytes:
            raise FileTooLarge(f"the file has more than {cap_bytes} bytes, the limit", fields)
    return bytes(body)


async def _decompress(received: bytes, layers: int, fields: ResponseFields, *, cap_bytes: int) -> bytes:
    body = await asyncio.to_thread(content_coding.decompress, received, layers, cap_bytes=cap_bytes)
    if len(body) > cap_bytes:
        raise FileTooLarge(f"the decompressed file has more than {cap_bytes} bytes, the limit", fields)
    return body


def _is_small(response: httpx.Response) -> bool:
    length = response.headers.get("content-length", "")
    return length.isdigit() and int(length) <= SMALL_BYTES
