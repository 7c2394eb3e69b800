"""Find the origin that an image id names, and the query arguments that it needs. No I/O.

With several origins an id begins with a name: `shop/cats/tom.jpg`. Arguments that the origin needs follow the id behind
a line feed, which no id of a client holds, sorted and percent-encoded: `shop/cats/tom.jpg\\nv=2`. So name and arguments
are part of the key in the store, and of the purge of a picture.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from urllib.parse import parse_qsl, quote, unquote, urlencode

from service.errors import BadImageId, NoSuchOrigin
from service.rules.negotiation import ID_CAP_CHARACTERS

NAMESPACE = "EDGE_ORIGINS"
"""What stands for the origin in the keys of an edge with named origins."""
SEPARATOR = "\n"
_HAS_READINGS = re.compile(r"[%;]|//|^/|/$")


@dataclass(frozen=True, slots=True)
class OriginRule:
    """The ids that may be asked of one origin, as patterns such as `public/*`, and the arguments that it needs."""

    allow: tuple[str, ...] = ()
    """Without any, every id is allowed."""
    deny: tuple[str, ...] = ()
    arguments: frozenset[str] = frozenset()

    def permits(self, path: str) -> bool:
        """Return whether the origin may be asked for this path, which is the id without the name.

        What counts is each way in which an origin may read the path. `deny` ignores case, as some origins do.
        """
        readings = _readings(path)
        allowed = not self.allow or all(any(fnmatchcase(one, pattern) for pattern in self.allow) for one in readings)
        return allowed and not any(fnmatchcase(_fold(one), _fold(deny)) for one in readings for deny in self.deny)


def _readings(path: str) -> set[str]:
    """Return a path as it is, and as origins read it that decode it again, merge slashes or cut what follows a `;`."""
    if not _HAS_READINGS.search(path):
        return {path}
    decoded = unquote(path)
    whole = decoded.replace("\\", "/").split("/")
    cut = [segment.partition(";")[0] for segment in whole]
    return {path, decoded, *("/".join(part for part in parts if part) for parts in (whole, cut))}


def _fold(text: str) -> str:
    return text.casefold() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


@dataclass(frozen=True, slots=True)
class OriginNames:
    """The named origins of an edge; none if it has one origin only."""

    rules: Mapping[str, OriginRule] = field(default_factory=lambda: MappingProxyType({}))

    def check(self, image_id: str) -> None:
        """Raise NoSuchOrigin if the id names no origin, or a picture that may not be asked of it."""
        name, slash, path = image_id.partition("/")
        if self.rules and not (slash and path and name in self.rules and self.rules[name].permits(path)):
            raise NoSuchOrigin("the id names no origin, or its patterns do not permit the rest of the id")

    def arguments(self, image_id: str) -> frozenset[str]:
        """Return the names of the query arguments that the origin of this id needs."""
        rule = self.rules.get(image_id.partition("/")[0])
        return frozenset() if rule is None else rule.arguments

    def with_arguments(self, image_id: str, query: str) -> str:
        """Return the id with those arguments of the query that its origin needs. Raises BadImageId if it is too long.

        The order of the arguments in the query makes no difference.
        """
        names = self.arguments(image_id)
        given = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] in names] if names else []
        if not given:
            return image_id
        whole = f"{image_id}{SEPARATOR}{urlencode(sorted(given), quote_via=quote, safe='')}"
        if len(whole) > ID_CAP_CHARACTERS:
            raise BadImageId(f"the image id with its arguments has {len(whole)} characters")
        return whole


ONE_ORIGIN = OriginNames()
"""The rules of an edge without EDGE_ORIGINS: an id names no origin."""


def split_id(image_id: str) -> tuple[str, str]:
    """Return the id of a picture without arguments, and its arguments as a query, which may be empty."""
    path, _, query = image_id.partition(SEPARATOR)
    return path, query
