"""Read the head of an origin's response: its fields, and whether it promises a file that is wanted."""

from __future__ import annotations

from http import HTTPStatus

import httpx

from service.errors import OriginBroken
from service.rules.cache_tags import read_tags
from service.rules.error_fields import ErrorFields
from service.rules.origin_refused import OriginRefused
from service.rules.redirects import tag_of_target
from service.rules.response_age import read_age
from service.rules.response_fields import PassedOn, ResponseFields
from service.upstream.fetched import FileTooLarge

FIRST_SUCCESS, FIRST_REFUSAL, LAST_REFUSAL = 200, 300, 599
# RFC 9110 15.3.6, 15.3.7 and 15.4.5: a 205 answers a form, a 206 a range request and a 304 a conditional request. A
# plain GET is none of these.
_UNEXPECTED_STATUSES = {205, 206, 304}
_REDIRECT_STATUSES = {301, 302, 303, 307, 308}


def read_fields(response: httpx.Response, *, asked_s: float, answered_s: float, target: str) -> ResponseFields:
    """Return the fields of a response. `target` is the target of the redirect that led to it; empty without one."""

    def lines(name: str) -> str:
        return ", ".join(response.headers.get_list(name))  # RFC 9110 5.3: several lines of a list field are one list

    def first(name: str) -> str:
        return next(iter(response.headers.get_list(name)), "")  # RFC 9111 4.2.1: the first of several lines counts

    return ResponseFields(
        asked_s=asked_s,
        answered_s=answered_s,
        status=response.status_code,
        passed=PassedOn(
            cache_control=lines("cache-control"),
            cdn_cache_control=lines("cdn-cache-control"),
            expires=first("expires"),
            date=first("date"),
            last_modified=first("last-modified"),
            vary=lines("vary"),
        ),
        age=read_age(lines("age")),  # Age is parsed here, because it is also sent to clients and must be valid
        etag=tag_of_target(first("etag"), target),
        tags=read_tags(
            cache_tag=lines("cache-tag"), surrogate_key=" ".join(response.headers.get_list("surrogate-key"))
        ),
        error_fields=ErrorFields(
            retry_after=first("retry-after"),
            www_authenticate=lines("www-authenticate"),
            allow=lines("allow") if "allow" in response.headers else None,
        ),
        cache_status=lines("cache-status"),
    )


def is_redirect(response: httpx.Response) -> bool:
    """Return whether the response is a redirect that can be followed."""
    # RFC 9110 15.4: a redirect without Location cannot be followed, so it counts as the final response.
    return response.status_code in _REDIRECT_STATUSES and "location" in response.headers


def require_file(response: httpx.Response, fields: ResponseFields, *, cap_bytes: int) -> None:
    """Raise OriginBroken, OriginRefused or FileTooLarge if the response has no file of at most `cap_bytes`."""
    status = response.status_code
    if status in _UNEXPECTED_STATUSES or not FIRST_SUCCESS <= status <= LAST_REFUSAL:
        raise OriginBroken(f"the origin answered {status} to a plain GET")
    if status >= FIRST_REFUSAL or status == HTTPStatus.NO_CONTENT:
        raise OriginRefused(status, fields)
    length = response.headers.get("content-length", "")
    if length.isdigit() and int(length) > cap_bytes:
        raise FileTooLarge(f"the file has {length} bytes; the limit is {cap_bytes}", fields)


def media_type_of(response: httpx.Response) -> str:
    """Return the Content-Type of a response, in lower case and without parameters."""
    media_type: str = response.headers.get("content-type", "")
    return media_type.partition(";")[0].strip().lower()
