"""Parse a request below /image/ or /latent/ into the `Asked` that the cache answers. No I/O but the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

from pydantic import SecretStr
from starlette.types import Scope

from models.config import HIGH_PX
from service.cache.answer import Asked
from service.errors import LatentsDenied, LatentsOff
from service.rendition import rendition_of
from service.rules.bearer import bears
from service.rules.cdn_loop import add_node
from service.rules.conditional import Conditions
from service.rules.forwarding import Forward
from service.rules.negotiation import LATENT_MEDIA_TYPE, Wanted, check_image_id, negotiate, read_query
from service.rules.origin_names import ONE_ORIGIN, OriginNames
from service.rules.url_signature import ARGUMENTS, SIGNATURE, UrlKey, check_signature
from service.upstream.source import Terms

PICTURES = "/image/"
LATENTS = "/latent/"
LATENT_RES = "latent"
_UNKNOWN_RES = "none"
_SIGNED = ARGUMENTS | {SIGNATURE}
_FIELDS = (b"accept", b"if-none-match", b"if-modified-since", b"cdn-loop")


@dataclass(slots=True)
class RequestFacts:
    """Facts about a request for the metrics, the log and Vary. Parsing sets them, even if it then raises an error."""

    res: str = _UNKNOWN_RES
    """The name of the rendition, for the metrics."""
    negotiated: bool = True
    """Whether the media type depends on the Accept field, so that the response's Vary must name Accept."""
    expires_s: int | None = None
    """When the signed URL expires, in seconds since 1970; None if it never does."""


@dataclass(frozen=True, slots=True)
class Questions:
    """Parses requests for pictures and latents, with the settings of this edge."""

    node: str
    """The name of this edge in CDN-Loop (RFC 8586)."""
    forward: Forward
    """The request fields that are forwarded to the origin."""
    latent_token: SecretStr
    """The bearer token that a child edge must send to get latents. If it is empty, no latents are served."""
    url_keys: tuple[UrlKey, ...] = ()
    """The keys of signed URLs. Without any, no picture needs a signature."""
    names: OriginNames = ONE_ORIGIN
    """The named origins; none if there is one origin only."""
    now: Callable[[], float] = time.time

    def read(self, scope: Scope, facts: RequestFacts) -> Asked:
        """Return the parsed request, and set `facts`. Raises a RequestError if the request is invalid."""
        accept, if_none_match, if_modified_since, loop = _lines(scope["headers"])
        if scope["path"].startswith(LATENTS):
            facts.res, facts.negotiated = LATENT_RES, False
            self._check_child(scope["headers"])
            wanted = self._named(_latent(scope["path"].removeprefix(LATENTS)), scope)
        else:
            self._check_signature(scope, facts)
            wanted = self._named(_picture(scope, accept or "", facts), scope)
        return Asked(
            wanted=wanted,
            conditions=Conditions(if_none_match, if_modified_since),
            head=scope["method"] == "HEAD",
            terms=Terms(
                passed_by=add_node(loop or "", self.node),
                fields=self.forward.select(scope["headers"]),
            ),
        )

    def _check_signature(self, scope: Scope, facts: RequestFacts) -> None:
        """Raise WrongSignature or SignatureExpired if URLs must be signed, and this one is not."""
        if not self.url_keys:
            return
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        signed = _SIGNED | self.names.arguments(scope["path"].removeprefix(PICTURES))
        given = [argument for argument in query if argument[0] in signed]
        facts.expires_s = check_signature(self.url_keys, scope["path"], given, now_s=self.now())

    def _named(self, wanted: Wanted, scope: Scope) -> Wanted:
        """Return the rendition with the arguments that its origin needs in its id. Raises NoSuchOrigin."""
        if not self.names.rules:
            return wanted
        self.names.check(wanted.image_id)
        whole = self.names.with_arguments(wanted.image_id, scope["query_string"].decode("latin-1"))
        return wanted if whole == wanted.image_id else replace(wanted, image_id=whole)

    def _check_child(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        token = self.latent_token.get_secret_value()
        if not token:
            raise LatentsOff
        if not bears(headers, token):
            raise LatentsDenied


def _picture(scope: Scope, accept: str, facts: RequestFacts) -> Wanted:
    query = read_query(scope["query_string"].decode("latin-1"))
    facts.negotiated = query.fmt is None
    wanted = negotiate(image_id=scope["path"].removeprefix(PICTURES), query=query, accept=accept)
    facts.res = rendition_of(wanted.size_px).name
    return wanted


def _latent(image_id: str) -> Wanted:
    check_image_id(image_id)
    return Wanted(image_id=image_id, size_px=HIGH_PX, media_type=LATENT_MEDIA_TYPE)


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> list[str | None]:
    lines: dict[bytes, list[str]] = {name: [] for name in _FIELDS}
    for name, value in headers:
        if name in lines:
            lines[name].append(value.decode("latin-1"))
    # RFC 9110 5.3: join several lines of a field to one list. If that makes two dates, the field is ignored (13.1.3).
    return [", ".join(values) if values else None for values in lines.values()]
