"""Fetches pictures from the one origin. Every failure leaves as an error of ours.

An answer is judged before its body is read, and its body is read in pieces that are counted: what is too large is never
held in memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Protocol
from urllib.parse import quote, urljoin, urlsplit

import httpx

from service.errors import OriginBroken, OriginError, OriginTooSlow, OriginUnreachable, PictureTooLarge
from service.records.latent_facts import FIELD as FACTS
from service.rules.cache_tags import read_tags
from service.rules.error_fields import ErrorFields
from service.rules.freshness import read_age
from service.rules.negotiation import LATENT_MEDIA_TYPE
from service.rules.origin_refused import OriginRefused
from service.rules.redirects import tag_for_target, tag_of_target
from service.rules.response_fields import PassedOn, ResponseFields
from service.rules.vary import NO_FIELDS, Fields
from service.upstream.transport import Transport

CONNECTIONS = 64  # assumed; fills are bounded by their own flights
REDIRECTS = 3  # assumed
SENTENCE_CAP_CHARACTERS = 200  # assumed: enough to know what went wrong
# What may stand as it is in a path (RFC 3986 3.3); everything else of an id is escaped, so it can never become a query.
PATH_CHARACTERS = "/!$&'()*+,;=:@~"
FIRST_SUCCESS, FIRST_REFUSAL, LAST_REFUSAL = 200, 300, 599
LOOP = "CDN-Loop"
# RFC 9110 7.6.3: a gateway must send it. The name is a pseudonym, as the host's is nobody's business.
VIA = {"Via": "1.1 latentedge"}
# RFC 9110 15.3.6, 15.3.7 and 15.4.5: of a form, of a part, and of a condition; none of that was asked for.
_OUT_OF_PLACE = {205, 206, 304}
_REDIRECT_STATUSES = {301, 302, 303, 307, 308}


@dataclass(frozen=True, slots=True)
class Limits:
    """What the origin may cost."""

    source_bytes: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file from the origin."""

    body: bytes | None
    """None for a file that has not changed (304)."""
    fields: ResponseFields
    media_type: str = ""
    """As the origin says, without parameters."""
    latent_facts: str = ""
    """What another edge says of the picture that its latent was made from."""


class FileTooLarge(PictureTooLarge):
    """The file has too many bytes. It has not been read, so this bears the fields of its answer."""

    def __init__(self, message: str, fields: ResponseFields) -> None:
        super().__init__(message)
        self.fields = fields


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every request of one fetch says, and what only the target does that is known."""

    lines: list[tuple[bytes, bytes]]
    etag: str
    last_modified: str

    def conditions(self, target: str) -> list[tuple[bytes, bytes]]:
        # RFC 9111 4.3.1: the origin's own validators, both of them; to the target alone that has said them.
        since = "" if target else self.last_modified
        return _lines({"If-None-Match": tag_for_target(self.etag, target), "If-Modified-Since": since})


class Observer(Protocol):
    """Who counts what the origin does."""

    def count_fetch(self, *, outcome: str, fetched_bytes: int) -> None:
        """One fetch has ended."""

    def count_retry(self) -> None:
        """A request was sent again, as the connection that was kept for it had been closed."""


class OriginClient:
    """One origin, or one parent, whose address is fixed when the edge starts."""

    def __init__(
        self,
        base_url: str,
        *,
        limits: Limits,
        observer: Observer,
        token: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        """Create a client. With a token it identifies itself by it (RFC 6750 2.1)."""
        self._base_url = base_url.rstrip("/")
        self._limits = limits
        self._observer = observer
        self._now = now
        self._http = httpx.AsyncClient(
            timeout=None,  # noqa: S113  (the whole fetch is timed in `fetch`)
            transport=Transport(connections=CONNECTIONS, retried=observer.count_retry),
            follow_redirects=False,
            cookies=CookieJar(
                DefaultCookiePolicy(allowed_domains=[])
            ),  # no client's cookie may reach another's request
            trust_env=False,  # a proxy or a .netrc of the machine is no part of the configuration
            headers={
                "User-Agent": "latentedge",
                "Accept": f"image/*, {LATENT_MEDIA_TYPE}",
                # A compressed body could unpack to any size; pictures are compressed already.
                "Accept-Encoding": "identity",
                **({"Authorization": f"Bearer {token}"} if token else {}),
            },
        )

    async def fetch(
        self,
        image_id: str,
        *,
        etag: str = "",
        last_modified: str = "",
        passed_by: str = "",
        client: Fields = NO_FIELDS,
    ) -> Fetched:
        """The file under an id, or that it has not changed. Raises an OriginError, or FileTooLarge.

        `client` are fields of the client's request: they come in place of the edge's own.
        """
        asked = _Asked([*client, *_lines({**VIA, LOOP: passed_by})], etag, last_modified)
        try:
            with _translated():
                async with asyncio.timeout(self._limits.timeout_s):
                    url = f"{self._base_url}/{quote(image_id, safe=PATH_CHARACTERS)}"
                    fetched = await self._fetched(url, asked)
        except (OriginError, FileTooLarge) as error:
            self._observer.count_fetch(outcome=error.label, fetched_bytes=0)
            raise
        outcome = "not_modified" if fetched.body is None else "ok"
        self._observer.count_fetch(outcome=outcome, fetched_bytes=len(fetched.body or b""))
        return fetched

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def _fetched(self, url: str, asked: _Asked) -> Fetched:
        redirects: list[ResponseFields] = []
        for _ in range(REDIRECTS + 1):
            target = urlsplit(url)._replace(scheme="", netloc="").geturl() if redirects else ""
            conditions = asked.conditions(target)
            asked_s = self._now()
            async with self._http.stream("GET", url, headers=[*asked.lines, *conditions]) as answer:
                fields = _fields(answer, asked_s=asked_s, answered_s=self._now(), target=target)
                # RFC 9110 15.4: without a Location it leads nowhere, and is the answer itself.
                if answer.status_code in _REDIRECT_STATUSES and "location" in answer.headers:
                    url = self._next_url(url, answer)
                    redirects.append(fields)
                    continue
                fields = replace(fields, redirects=tuple(redirects))
                facts = answer.headers.get(FACTS, "")
                if conditions and answer.status_code == HTTPStatus.NOT_MODIFIED:
                    return Fetched(None, fields, latent_facts=facts)
                self._judge(answer, fields)
                return Fetched(await self._body(answer, fields), fields, _media_type(answer), facts)
        raise OriginBroken("too many redirects")

    def _next_url(self, url: str, answer: httpx.Response) -> str:
        try:
            target: str = urljoin(url, answer.headers.get("location", ""))
            here, there = urlsplit(self._base_url), urlsplit(target)
        except ValueError as error:  # an address that is none, such as http://[
            raise OriginBroken("the origin redirects to no address") from error
        if (there.scheme, there.netloc) != (here.scheme, here.netloc):
            raise OriginBroken("the origin redirects to another host")
        return target

    def _judge(self, answer: httpx.Response, fields: ResponseFields) -> None:
        status = answer.status_code
        if status in _OUT_OF_PLACE or not FIRST_SUCCESS <= status <= LAST_REFUSAL:
            raise OriginBroken(f"the origin answered {status} to a plain GET")
        if status >= FIRST_REFUSAL or status == HTTPStatus.NO_CONTENT:
            raise OriginRefused(status, fields)
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise OriginBroken("the origin compresses a picture although it was asked not to")
        length = answer.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._limits.source_bytes:
            raise FileTooLarge(f"{length} bytes announced", fields)

    async def _body(self, answer: httpx.Response, fields: ResponseFields) -> bytes:
        body = bytearray()
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) > self._limits.source_bytes:
                raise FileTooLarge(f"more than {self._limits.source_bytes} bytes", fields)
        return bytes(body)


def _lines(fields: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("ascii")) for name, value in fields.items() if value]


def _fields(answer: httpx.Response, *, asked_s: float, answered_s: float, target: str) -> ResponseFields:
    def lines(name: str) -> str:
        return ", ".join(answer.headers.get_list(name))  # RFC 9110 5.3: several lines are one list

    def first(name: str) -> str:
        return next(iter(answer.headers.get_list(name)), "")  # RFC 9111 4.2.1: of several dates, the first

    return ResponseFields(
        asked_s=asked_s,
        answered_s=answered_s,
        status=answer.status_code,
        passed=PassedOn(
            cache_control=lines("cache-control"),
            cdn_cache_control=lines("cdn-cache-control"),
            expires=first("expires"),
            date=first("date"),
            last_modified=first("last-modified"),
            vary=lines("vary"),
        ),
        age=read_age(lines("age")),  # clients are told it too, so not as something that is no age
        etag=tag_of_target(first("etag"), target),
        tags=read_tags(cache_tag=lines("cache-tag"), surrogate_key=" ".join(answer.headers.get_list("surrogate-key"))),
        error_fields=ErrorFields(
            retry_after=first("retry-after"),
            www_authenticate=lines("www-authenticate"),
            allow=lines("allow") if "allow" in answer.headers else None,
        ),
        cache_status=lines("cache-status"),
    )


def _media_type(answer: httpx.Response) -> str:
    media_type: str = answer.headers.get("content-type", "")
    return media_type.partition(";")[0].strip().lower()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise OriginTooSlow(type(error).__name__) from error
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.InvalidURL) as error:
        raise OriginBroken(_sentence(error)) from error
    except httpx.HTTPError as error:
        raise OriginUnreachable(_sentence(error)) from error


def _sentence(error: Exception) -> str:
    # The message may quote what the origin sent, up to 64 KiB of it, and each such answer becomes a line of the log.
    return f"{type(error).__name__}: {error}"[:SENTENCE_CAP_CHARACTERS]
