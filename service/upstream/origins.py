"""The origins of an edge: the one of EDGE_ORIGIN, or those of EDGE_ORIGINS by the name that an image id begins with.

Each origin has a client of its own with its own limits, so an origin that hangs does not slow down the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from service.errors import OriginUnreachable
from service.rules.origin_names import OriginNames
from service.settings.addresses import FOLDER
from service.settings.edge_settings import Settings
from service.settings.named_origins import NamedOrigin, names_of, read_origins
from service.upstream.origin_access import OPEN, OriginAccess
from service.upstream.origin_client import Limits, Observer, OriginClient
from service.upstream.s3_signature import S3_PATH_CHARACTERS, s3_signer


class Origins:
    """The clients of all origins, by name; one client under the empty name if the edge has one origin only."""

    def __init__(self, clients: Mapping[str, OriginClient]) -> None:
        self._clients = clients

    @classmethod
    def of(
        cls, settings: Settings, *, limits: Limits, observer: Observer, now: Callable[[], float] = time.time
    ) -> Origins:
        """Return the origins that the settings name. `limits` apply to each origin without limits of its own."""

        def client(url: str, access: OriginAccess, own: Limits) -> OriginClient:
            return OriginClient(url, limits=own, observer=observer, access=access, pass_on=settings.pass_on, now=now)

        if settings.origin:
            return cls({"": client(settings.origin, _open_access(settings.origin), limits)})
        named = read_origins(settings.origins.get_secret_value().strip())
        return cls({name: client(one.url, _access(name, one), _own(limits, one)) for name, one in named.items()})

    def find(self, image_id: str) -> OriginClient:
        """Return the client of the origin of a picture. Raises OriginUnreachable if the id names none."""
        client = self._clients.get("") or self._clients.get(image_id.partition("/")[0])
        if client is None:
            raise OriginUnreachable("the image id names no origin of this edge")
        return client

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()


def _own(limits: Limits, origin: NamedOrigin) -> Limits:
    return limits if origin.fetches is None else replace(limits, slots=origin.fetches)


def _open_access(url: str) -> OriginAccess:
    return replace(OPEN, folder=Path(unquote(urlsplit(url).path))) if url.startswith(FOLDER) else OPEN


def _access(name: str, origin: NamedOrigin) -> OriginAccess:
    fields = tuple(
        (field.lower().encode("ascii"), value.get_secret_value().encode("ascii"))
        for field, value in origin.headers.items()
    )
    access = replace(_open_access(origin.url), fields=fields, prefix=f"{name}/")
    if origin.s3 is None:
        return access
    return replace(access, sign=s3_signer(origin.s3), path_characters=S3_PATH_CHARACTERS)


def fetches_of(settings: Settings) -> list[int]:
    """Return the maximum number of simultaneous fetches of each origin."""
    named_origins = read_origins(settings.origins.get_secret_value().strip()).values()
    return [one.fetches or settings.origin_fetches for one in named_origins] or [settings.origin_fetches]


def named(settings: Settings) -> OriginNames:
    """Return the rules by which image ids name the origins of the settings."""
    return names_of(read_origins(settings.origins.get_secret_value().strip()))
