"""Fetch pictures from the one origin. Every failure is raised as an EdgeError.

The head of a response is checked before its body is read, and the size of the body is checked after each piece, so a
file that is too large is never held in memory as a whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Protocol

import httpx

from service.errors import OriginBroken, OriginBusy, OriginError, OriginTooSlow, OriginUnreachable
from service.records.latent_facts import FIELD as FACTS
from service.rules.negotiation import LATENT_MEDIA_TYPE
from service.rules.pass_on import USUAL, PassOn
from service.rules.redirects import tag_for_target
from service.rules.response_fields import ResponseFields
from service.rules.traceparent import traceparent_lines
from service.rules.vary import NO_FIELDS, Fields
from service.upstream.fetched import Fetched, FileTooLarge
from service.upstream.folder_transport import FOLDER_URL, FolderTransport
from service.upstream.origin_access import OPEN, OriginAccess
from service.upstream.redirect_target import resolve_redirect
from service.upstream.response_body import HeldSlot, read_file
from service.upstream.response_head import is_redirect, read_fields, require_file
from service.upstream.slots import FetchSlots, OnSlow, Slot, SlotLimits, ignore
from service.upstream.transport import Transport

REDIRECTS = 3  # the maximum number of redirects that one fetch follows (assumed)
SENTENCE_CAP_CHARACTERS = 200
"""The longest quote of a network error in the log. Assumed: enough to see the cause."""
LOOP = "CDN-Loop"
# RFC 9110 7.6.3: a gateway must send Via. The pseudonym `latentedge` hides the name of the host.
VIA = {"Via": "1.1 latentedge"}


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one fetch."""

    source_bytes: int
    """The largest file that is accepted, in bytes."""
    timeout_s: float
    """The timeout of the whole fetch in seconds, redirects included."""
    connect_timeout_s: float = 3.0
    slots: int = 64
    """How many fetches send a request, or have a file in memory, at a time."""
    slow: int = 0
    """How many more may wait for a response that does not begin soon; 0: none, so that a fetch always has a slot."""
    queued: int = 1024
    """How many may wait for a slot."""


@dataclass(frozen=True, slots=True)
class _Request:
    """The request fields of one fetch: `lines` for every redirect target, and the validators of the stored picture."""

    lines: list[tuple[bytes, bytes]]
    etag: str
    last_modified: str

    def conditions(self, target: str) -> list[tuple[bytes, bytes]]:
        # RFC 9111 4.3.1: both validators are sent, but only to the URL that issued them.
        since = "" if target else self.last_modified
        return _lines({"If-None-Match": tag_for_target(self.etag, target), "If-Modified-Since": since})


class Observer(Protocol):
    """Counts fetches and retries for metrics."""

    def count_fetch(self, *, outcome: str, fetched_bytes: int) -> None:
        """Count a fetch that has ended. `outcome` is a label of edge_origin_requests_total."""

    def count_retry(self) -> None:
        """Count a request that was sent again, because the server had closed its keep-alive connection."""


class OriginClient:
    """A client for one origin or one parent, whose address is fixed when the edge starts."""

    def __init__(
        self,
        base_url: str,
        *,
        limits: Limits,
        observer: Observer,
        access: OriginAccess = OPEN,
        pass_on: PassOn = USUAL,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Create a client. `access` holds the token or the signer of the requests, if they need one.

        `pass_on` names the fields of a picture's response that clients get besides those for caching.
        """
        self._base_url = base_url.rstrip("/") if access.folder is None else FOLDER_URL
        self._access = access
        self._limits = limits
        self._observer = observer
        self._pass_on = pass_on
        self._now = now
        self._slots = FetchSlots(
            SlotLimits(slots=limits.slots, slow=limits.slow, queued=limits.queued, wait_s=limits.timeout_s)
        )
        self._http = httpx.AsyncClient(
            timeout=None,  # noqa: S113  (the whole fetch is timed in `fetch`)
            transport=_transport(limits, access, observer),
            follow_redirects=False,
            # A cookie that the origin sets must not be sent with the requests of other clients.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=False,  # proxy variables and .netrc of the machine must not take effect
            headers={
                "User-Agent": "latentedge",
                "Accept": f"image/*, {LATENT_MEDIA_TYPE}",
                # A picture is compressed already, so that a content coding would only cost CPU time.
                "Accept-Encoding": "identity",
            },
        )

    @asynccontextmanager
    async def slot(self, on_slow: OnSlow = ignore) -> AsyncIterator[Slot]:
        """Wait for a slot, and hold it while a file is fetched and prepared. Raises OriginBusy."""
        try:
            slot = await self._slots.take(on_slow)
        except OriginBusy as error:
            self._observer.count_fetch(outcome=error.label, fetched_bytes=0)
            raise
        try:
            yield slot
        finally:
            slot.end()

    async def fetch(
        self,
        image_id: str,
        *,
        etag: str = "",
        last_modified: str = "",
        passed_by: str = "",
        client: Fields = NO_FIELDS,
        slot: Slot | None = None,
    ) -> Fetched:
        """Fetch the file under an image id, or validate the stored picture if `etag` or `last_modified` is given.

        `client` holds the forwarded fields of the client's request, which override the edge's own fields. Without a
        `slot`, it holds one during the fetch. Raises an OriginError or FileTooLarge.
        """
        request = _Request([*self._access.lines(client), *_lines({**VIA, LOOP: passed_by})], etag, last_modified)
        url = self._access.url(self._base_url, image_id)
        async with self.slot() if slot is None else nullcontext(slot) as held:
            try:
                with _translate_errors():
                    async with asyncio.timeout(self._limits.timeout_s) as deadline:
                        fetched = await self._follow(url, request, HeldSlot(held, deadline))
            except (OriginError, FileTooLarge) as error:
                self._observer.count_fetch(outcome=error.label, fetched_bytes=0)
                raise
        outcome = "not_modified" if fetched.body is None else "ok"
        self._observer.count_fetch(outcome=outcome, fetched_bytes=fetched.received_bytes)
        return fetched

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _follow(self, url: httpx.URL, request: _Request, held: HeldSlot) -> Fetched:
        redirects: list[ResponseFields] = []
        for _ in range(REDIRECTS + 1):
            target = url.raw_path.decode("ascii") if redirects else ""
            conditions = request.conditions(target)
            asked_s = self._now()
            response = await self._send(url, [*request.lines, *traceparent_lines(), *conditions], held.slot)
            async with aclosing(response):
                fields = read_fields(response, asked_s=asked_s, answered_s=self._now(), target=target)
                await held.resume()
                if is_redirect(response):
                    url = resolve_redirect(url, response.headers["location"])
                    redirects.append(fields)
                    continue
                fields = replace(fields, redirects=tuple(redirects))
                if conditions and response.status_code == HTTPStatus.NOT_MODIFIED:
                    facts = response.headers.get(FACTS, "")
                    return Fetched(None, self._with_others(fields, response), latent_facts=facts)
                return await self._receive(response, fields, held)
        raise OriginBroken(f"the origin redirects more than {REDIRECTS} times")

    async def _send(self, url: httpx.URL, lines: list[tuple[bytes, bytes]], slot: Slot) -> httpx.Response:
        request = self._http.build_request("GET", url, headers=lines)
        if self._access.sign is not None:
            self._access.sign(request)
        async with slot.waiting():
            return await self._http.send(request, stream=True)

    async def _receive(self, response: httpx.Response, fields: ResponseFields, held: HeldSlot) -> Fetched:
        cap_bytes = self._limits.source_bytes
        require_file(response, fields, cap_bytes=cap_bytes)
        return await read_file(response, self._with_others(fields, response), held, cap_bytes=cap_bytes)

    def _with_others(self, fields: ResponseFields, response: httpx.Response) -> ResponseFields:
        return replace(fields, passed=replace(fields.passed, others=self._pass_on.select(response.headers.raw)))


def _transport(limits: Limits, access: OriginAccess, observer: Observer) -> httpx.AsyncBaseTransport:
    if access.folder is not None:
        return FolderTransport(access.folder)
    return Transport(
        connections=limits.slots + limits.slow,
        connect_timeout_s=limits.connect_timeout_s,
        on_retry=observer.count_retry,
    )


def _lines(fields: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("ascii")) for name, value in fields.items() if value]


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise OriginTooSlow("the origin did not send the whole response within the timeout") from error
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.InvalidURL) as error:
        raise OriginBroken(f"the origin sent no valid response: {_sentence(error)}") from error
    except httpx.HTTPError as error:
        raise OriginUnreachable(f"the origin cannot be reached: {_sentence(error)}") from error


def _sentence(error: Exception) -> str:
    # The message is cut, because it is logged and may quote up to 64 KiB of the response.
    return f"{type(error).__name__}: {error}"[:SENTENCE_CAP_CHARACTERS]
