"""How an origin is asked for a picture: the URL, the fields that the edge adds, and the signature. Sends no request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from service.rules.origin_names import split_id
from service.rules.vary import NO_FIELDS, Fields

# Characters allowed in a path (RFC 3986 3.3). All other characters of an image id are percent-encoded, so that no part
# of the id becomes a query.
PATH_CHARACTERS = "/!$&'()*+,;=:@~"

Sign = Callable[[httpx.Request], None]
"""A function that adds the fields of a signature to a request."""


@dataclass(frozen=True, slots=True, repr=False)
class OriginAccess:
    """The access to one origin or parent. Its `repr` has no fields, which may be secret."""

    fields: Fields = NO_FIELDS
    """The fields that each request has, such as a token. They replace a client's fields of the same names."""
    prefix: str = ""
    """What image ids begin with and paths at the origin do not: the origin's name and a slash."""
    path_characters: str = PATH_CHARACTERS
    """The characters that stay as they are in a path, besides letters, digits and `-._~`."""
    sign: Sign | None = None
    folder: Path | None = None
    """The folder that is read in place of a server."""

    def url(self, base_url: str, image_id: str) -> httpx.URL:
        """Return the URL of a picture."""
        path, query = split_id(image_id.removeprefix(self.prefix))
        url = f"{base_url}/{quote(path, safe=self.path_characters)}"
        return httpx.URL(f"{url}?{query}" if query else url)

    def lines(self, client: Fields) -> list[tuple[bytes, bytes]]:
        """Return the forwarded fields of a client's request and those of this access."""
        own = {name for name, _ in self.fields}
        return [*(line for line in client if line[0] not in own), *self.fields]


OPEN = OriginAccess()
"""The access to an origin that needs no token."""


def bearer(token: str) -> OriginAccess:
    """Return the access with a bearer token (RFC 6750 2.1)."""
    return OriginAccess(fields=((b"authorization", f"Bearer {token}".encode("ascii")),))
