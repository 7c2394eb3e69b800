"""The command `sign`: sign the URL of a picture as an edge with EDGE_KEY and EDGE_SALT expects it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from service.commands.failure import CommandFailure
from service.errors import RequestError
from service.rules.negotiation import Query, negotiate
from service.rules.url_signature import ARGUMENTS, EXPIRY, SIGNATURE, UrlKey, can_be_signed, read_url_keys

PICTURES = "/image/"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOrder:
    """The options of the command. An empty `res` or `fmt` is left out of the URL; 0 seconds is no expiry."""

    image_id: str
    res: str
    fmt: str
    query: str
    """The arguments that the origin needs (EDGE_ORIGINS)."""
    expires_in_s: int
    edge: str
    key: str
    salt: str


def sign(order: SignOrder) -> str:
    """Return the signed URL. Raises CommandFailure if a key, the id or an argument is not valid."""
    arguments = _arguments(order)
    path = PICTURES + order.image_id
    signature = newest_key(order.key, order.salt).sign(path, arguments.items())
    query = urlencode({**arguments, SIGNATURE: signature})
    return f"{order.edge.rstrip('/')}{quote(path)}?{query}"


def _arguments(order: SignOrder) -> dict[str, str]:
    given = {"res": order.res, "fmt": order.fmt}
    said = {name: value for name, value in given.items() if value}
    try:
        negotiate(image_id=order.image_id, query=Query(**said), accept="")
    except RequestError as error:
        raise CommandFailure(f"latentedge sign: {error.public}") from error
    said |= _arguments_of_the_origin(order.query)
    return said | ({EXPIRY: str(int(time.time()) + order.expires_in_s)} if order.expires_in_s else {})


def _arguments_of_the_origin(query: str) -> dict[str, str]:
    """Return the arguments of `--query`. Raises CommandFailure for those with which no edge would accept the URL."""
    pairs = parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    if len(given) != len(pairs) or given.keys() & (ARGUMENTS | {SIGNATURE}):
        raise CommandFailure("latentedge sign: --query must name each argument once, and none of exp, fmt, res and sig")
    if not query.isprintable() or not can_be_signed("", given.values()):
        raise CommandFailure("latentedge sign: --query must not hold control characters or line feeds, and be UTF-8")
    return given


def newest_key(keys: str, salts: str) -> UrlKey:
    """Return the first of the keys, which signs. Raises CommandFailure if they or the salts are not valid."""
    try:
        pairs = read_url_keys(keys, salts)
    except ValueError as error:
        raise CommandFailure(
            "latentedge: EDGE_KEY and EDGE_SALT must be hexadecimal digits, and as many salts as keys"
        ) from error
    if not pairs:
        raise CommandFailure("latentedge: set EDGE_KEY and EDGE_SALT as for the edge")
    return pairs[0]
