"""Which fields of a client's request reach the origin, so that it can choose a picture by them. No I/O.

What is stored is for everybody, so nothing may reach the origin that says who asks (RFC 9111 3.5), nor what would make
it answer another question than the one that the key stands for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from service.errors import FieldsTooLarge
from service.rules.vary import ANY, NO_FIELDS, Fields, selecting_names

ALL, NONE = "all", "none"
# Assumed: as many as Varnish takes of a request by default, and as much as nginx takes of one line.
FIELDS_CAP = 64
FIELDS_CAP_BYTES = 8192

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110 5.6.2, in lower case
_NO_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 5.5
_CONNECTION = b"connection"

# Never, whoever names them:
_SECRET = {"authorization", "cookie", "cookie2"}
_OF_THE_CONNECTION = {  # RFC 9110 7.6.1
    *("connection", "host", "http2-settings", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
    *("expect", "max-forwards"),
}
_SAID_BY_THE_EDGE = {"accept", "accept-encoding", "cdn-loop"}  # in its own words
_TO_CACHES = {"cache-control", "pragma"}
_FOR_A_PART = {"a-im", "range"}  # RFC 9110 14.2, RFC 3229: the edge stores whole pictures
_NEVER = frozenset(_SECRET | _OF_THE_CONNECTION | _SAID_BY_THE_EDGE | _TO_CACHES | _FOR_A_PART)
# `content-`: RFC 9110 8, a GET of ours has no content. `if-`: RFC 9110 13, the edge has conditions of its own.
_NEVER_BEGINNINGS = ("content-", "if-", "proxy-", "sec-websocket-")

# Only if they are named:
_WHO_ASKS = {
    *("client-ip", "forwarded", "from", "referer", "remote-addr", "remote-user", "true-client-ip", "via"),
    *("x-cluster-client-ip", "x-forward-for", "x-real-ip"),
}
_CREDENTIALS = {
    *("api-key", "apikey", "ocp-apim-subscription-key", "x-access-token", "x-amz-security-token", "x-api-key"),
    *("private-token", "token", "x-csrf-token", "x-jwt-assertion", "x-session-id", "x-token", "x-xsrf-token"),
}
_TRACES = {
    *("b3", "baggage", "sentry-trace", "traceparent", "tracestate", "uber-trace-id", "x-amzn-trace-id"),
    *("x-cloud-trace-context", "x-correlation-id", "x-request-id"),
}
# An origin that believes these answers to something else than the path, and all clients would be shown it.
_ANOTHER_QUESTION = {
    *(
        "debug",
        "destination",
        "early-data",
        "front-end-https",
        "proxy",
        "surrogate-capability",
        "upgrade-insecure-requests",
    ),
    *("x-cache-key", "x-debug", "x-host", "x-method-override", "x-protocol", "x-scheme", "x-sendfile", "x-timer-url"),
    *("x-varnish", "x-wap-profile"),
}
_UNLESS_NAMED = frozenset(_WHO_ASKS | _CREDENTIALS | _TRACES | _ANOTHER_QUESTION)
_UNLESS_NAMED_BEGINNINGS = (
    *("akamai-", "cf-", "fastly-", "x-accel-", "x-amz-", "x-arr-", "x-auth-", "x-azure-", "x-b3-", "x-backend"),
    *("x-client-", "x-datadog-", "x-envoy-", "x-forward", "x-goog-", "x-http-", "x-middleware-", "x-ms-", "x-origin"),
    *("x-proxy-", "x-remote-", "x-rewrite-", "x-ssl-", "x-url-"),
)

_WITHHELD = frozenset(name.encode() for name in _NEVER | _UNLESS_NAMED)
_WITHHELD_BEGINNINGS = tuple(name.encode() for name in _NEVER_BEGINNINGS + _UNLESS_NAMED_BEGINNINGS)


@dataclass(frozen=True, slots=True)
class Forward:
    """The fields that are passed on: those named, or all but those that are withheld."""

    names: frozenset[bytes] | None = None

    def passes(self, name: str) -> bool:
        """Whether a field of this name would reach the origin."""
        return _TOKEN.fullmatch(name) is not None and bool(self._named([(name.encode(), b"")]))

    def covers(self, vary: str) -> bool:
        """Whether an answer that varies so can be stored: the edge asks as its clients do (RFC 9111 4.1)."""
        return all(self.passes(name) and name != ANY for name in selecting_names(vary))

    def taken(self, headers: Sequence[tuple[bytes, bytes]]) -> Fields:
        """Those of a request, whose names are in lower case. Raises FieldsTooLarge."""
        fields = self._named(headers)
        if not fields:
            return NO_FIELDS
        own = [value.lower() for name, value in headers if name == _CONNECTION]
        if own and own != [b"keep-alive"]:
            of_this_connection = {name.strip() for value in own for name in value.split(b",")}  # RFC 9110 7.6.1
            fields = [line for line in fields if line[0] not in of_this_connection]
        said = b"".join([part for line in fields for part in line])
        if _NO_VALUE.search(said):
            fields = [line for line in fields if not _NO_VALUE.search(line[1])]
        if len(fields) > FIELDS_CAP or len(said) > FIELDS_CAP_BYTES:
            raise FieldsTooLarge(f"{len(fields)} fields of {len(said)} bytes")
        # RFC 9110 5.5: space around a value is none of it, but httptools leaves some, and h11 would refuse to send it.
        return tuple([(name, value.strip(b" \t")) for name, value in fields])

    def _named(self, headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        if self.names is not None:
            return [line for line in headers if line[0] in self.names] if self.names else []
        return [line for line in headers if _is_harmless(line[0])]

    def __str__(self) -> str:
        if self.names is None:
            return ALL
        return ",".join(sorted(name.decode() for name in self.names)) or NONE


def _is_harmless(name: bytes) -> bool:
    # CGI and its heirs read X_Forwarded_Host as X-Forwarded-Host (RFC 3875 4.1.18): a name that could be folded into
    # another one passes only if it is named. Letters, digits and hyphens stay what they are.
    return name not in _WITHHELD and not name.startswith(_WITHHELD_BEGINNINGS) and name.replace(b"-", b"").isalnum()


def read_forward(value: object) -> Forward:
    """`all`, `none`, or names with commas. Raises ValueError for what says nothing of the kind."""
    if isinstance(value, Forward):
        return value
    text = str(value).strip().lower()
    if text in {ALL, NONE}:
        return Forward(None if text == ALL else frozenset())
    names = [name.strip() for name in text.split(",")]
    if not all(_TOKEN.fullmatch(name) for name in names):
        raise ValueError("must be all, none, or names of fields such as accept-language,dpr")
    never = [name for name in names if _is_never(name) or _is_never(name.replace("_", "-"))]
    if never:
        raise ValueError(f"must not name {', '.join(never)}: what is stored is for everybody")
    return Forward(frozenset(name.encode() for name in names))


def _is_never(name: str) -> bool:
    return name in _NEVER or name.startswith(_NEVER_BEGINNINGS)
