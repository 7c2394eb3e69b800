"""Select the request fields that the edge forwards to the origin, which may use them to choose a variant. No I/O.

A stored picture is served to all clients. So by default the edge forwards no field that identifies a client (RFC 9111
3.5), and no field that could make the origin answer with another resource than the URL names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from service.errors import FieldsTooLarge
from service.rules.vary import ANY, NO_FIELDS, Fields, selecting_names

ALL, NONE = "all", "none"
# Limits of the forwarded fields. Assumed: their number is Varnish's default limit on the fields of a request, their
# size nginx's default limit on one header line.
FIELDS_CAP = 64
FIELDS_CAP_BYTES = 8192

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # a field name in lower case (a token, RFC 9110 5.6.2)
_NO_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # characters that a field value must not contain (RFC 9110 5.5)
_CONNECTION = b"connection"

# The fields from here to _NEVER_PREFIXES are never forwarded, even if EDGE_FORWARD names them.
_SECRET = {"authorization", "cookie", "cookie2"}
_OF_THE_CONNECTION = {  # hop-by-hop fields (RFC 9110 7.6.1)
    *("connection", "host", "http2-settings", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
    *("expect", "max-forwards"),
}
_SET_BY_THE_EDGE = {"accept", "accept-encoding", "cdn-loop"}
_FOR_CACHES = {"cache-control", "pragma"}
_RANGES = {"a-im", "range"}  # partial and delta requests (RFC 9110 14.2, RFC 3229): the edge stores whole pictures
_NEVER = frozenset(_SECRET | _OF_THE_CONNECTION | _SET_BY_THE_EDGE | _FOR_CACHES | _RANGES)
# `content-*` is not forwarded, because the edge's GET has no content (RFC 9110 8), nor `if-*`, because the edge sends
# its own conditions (RFC 9110 13).
_NEVER_PREFIXES = ("content-", "if-", "proxy-", "sec-websocket-")

# The fields from here to _UNLESS_NAMED_PREFIXES are forwarded only if EDGE_FORWARD names them.
_CLIENT_IDENTITY = {
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
# An origin that trusts one of the fields in _REWRITES may answer with another resource than the URL names, and the edge
# would serve that answer to all clients.
_REWRITES = {
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
_UNLESS_NAMED = frozenset(_CLIENT_IDENTITY | _CREDENTIALS | _TRACES | _REWRITES)
_UNLESS_NAMED_PREFIXES = (
    *("akamai-", "cf-", "fastly-", "x-accel-", "x-amz-", "x-arr-", "x-auth-", "x-azure-", "x-b3-", "x-backend"),
    *("x-client-", "x-datadog-", "x-envoy-", "x-forward", "x-goog-", "x-http-", "x-middleware-", "x-ms-", "x-origin"),
    *("x-proxy-", "x-remote-", "x-rewrite-", "x-ssl-", "x-url-"),
)

_WITHHELD = frozenset(name.encode() for name in _NEVER | _UNLESS_NAMED)
_WITHHELD_PREFIXES = tuple(name.encode() for name in _NEVER_PREFIXES + _UNLESS_NAMED_PREFIXES)


@dataclass(frozen=True, slots=True)
class Forward:
    """The request fields that are forwarded to the origin, as set by EDGE_FORWARD."""

    names: frozenset[bytes] | None = None
    """The names to forward, in lower case; None forwards all fields except the withheld ones."""

    def passes(self, name: str) -> bool:
        """Return whether the edge forwards a field of this name."""
        return _TOKEN.fullmatch(name) is not None and bool(self._filter([(name.encode(), b"")]))

    def covers(self, vary: str) -> bool:
        """Return whether the edge forwards every field that `vary` names.

        If not, or for `*`, the response must not be stored (RFC 9111 4.1).
        """
        return all(self.passes(name) and name != ANY for name in selecting_names(vary))

    def select(self, headers: Sequence[tuple[bytes, bytes]]) -> Fields:
        """Return the header lines of a request that are forwarded. Names must be in lower case.

        Raises FieldsTooLarge for more than FIELDS_CAP lines or FIELDS_CAP_BYTES bytes.
        """
        fields = self._filter(headers)
        if not fields:
            return NO_FIELDS
        own = [value.lower() for name, value in headers if name == _CONNECTION]
        if own and own != [b"keep-alive"]:
            # RFC 9110 7.6.1: fields that Connection names are hop-by-hop.
            of_this_connection = {name.strip() for value in own for name in value.split(b",")}
            fields = [line for line in fields if line[0] not in of_this_connection]
        said = b"".join([part for line in fields for part in line])
        if _NO_VALUE.search(said):
            fields = [line for line in fields if not _NO_VALUE.search(line[1])]
        if len(fields) > FIELDS_CAP or len(said) > FIELDS_CAP_BYTES:
            raise FieldsTooLarge(
                f"{len(fields)} fields of {len(said)} bytes are to be forwarded;"
                f" the limits are {FIELDS_CAP} fields and {FIELDS_CAP_BYTES} bytes"
            )
        # RFC 9110 5.5: space around a value is not part of it. httptools may keep such space, which h11 does not send.
        return tuple([(name, value.strip(b" \t")) for name, value in fields])

    def _filter(self, headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        if self.names is not None:
            return [line for line in headers if line[0] in self.names] if self.names else []
        return [line for line in headers if _is_harmless(line[0])]

    def __str__(self) -> str:
        if self.names is None:
            return ALL
        return ",".join(sorted(name.decode() for name in self.names)) or NONE


def _is_harmless(name: bytes) -> bool:
    # CGI, WSGI and PHP treat X_Forwarded_Host like X-Forwarded-Host (RFC 3875 4.1.18). So a field name with characters
    # other than letters, digits and hyphens is forwarded only if EDGE_FORWARD names it.
    return name not in _WITHHELD and not name.startswith(_WITHHELD_PREFIXES) and name.replace(b"-", b"").isalnum()


def read_forward(value: object) -> Forward:
    """Parse the value of EDGE_FORWARD: `all`, `none`, or field names separated by commas.

    Raises ValueError with a message for the operator.
    """
    if isinstance(value, Forward):
        return value
    text = str(value).strip().lower()
    if text in {ALL, NONE}:
        return Forward(None if text == ALL else frozenset())
    names = [name.strip() for name in text.split(",")]
    if not all(_TOKEN.fullmatch(name) for name in names):
        raise ValueError("the value must be all, none, or names of fields such as accept-language,dpr")
    never = [name for name in names if _is_never(name) or _is_never(name.replace("_", "-"))]
    if never:
        raise ValueError(
            f"the value must not name {', '.join(never)}, because a stored picture is served to all clients"
        )
    return Forward(frozenset(name.encode() for name in names))


def _is_never(name: str) -> bool:
    return name in _NEVER or name.startswith(_NEVER_PREFIXES)
