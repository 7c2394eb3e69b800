"""Negotiate the content: choose image id, size and media type from a request's URL and Accept field. No I/O."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

from service.errors import BadFormat, BadImageId, BadResolution
from service.rendition import LOSSLESS_MEDIA_TYPE, MEDIA_TYPES, RENDITIONS, find_rendition

ID_CAP_CHARACTERS = 512
LATENT_MEDIA_TYPE = "application/vnd.latentedge"
DEFAULT_MEDIA_TYPE = next(iter(MEDIA_TYPES.values()))

SHORT_QUERY = 64
SHORT_ACCEPT = 256
ACCEPT_CAP_CHARACTERS = 4096  # a longer Accept is ignored; assumed: browsers send less than a tenth of this
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")  # the scheme of a URL (RFC 3986 3.1)

# RFC 9110 12.4.2: the weight of a media range has at most three decimals and is at most 1.
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
# An image id must not contain control characters, lone surrogates, or line and paragraph separators.
_REFUSED_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The rendition that a request asks for: a picture, its size and its media type."""

    image_id: str
    size_px: int
    media_type: str

    @property
    def is_latent(self) -> bool:
        """Return whether the client requests the latent itself instead of a picture file."""
        return self.media_type == LATENT_MEDIA_TYPE


@dataclass(frozen=True, slots=True)
class Query:
    """The query arguments `res` and `fmt`. All others are ignored, so they never create another cache entry."""

    res: str = RENDITIONS[0].name
    fmt: str | None = None


def read_query(query: str) -> Query:
    """Parse the query of the picture route. Raises BadResolution or BadFormat if an argument is given twice."""
    return _read_short(query) if len(query) <= SHORT_QUERY else _read(query)


@lru_cache(maxsize=256)
def _read_short(query: str) -> Query:
    """Parse a short query. Results are cached, because clients send few different queries and parse_qsl is slow."""
    return _read(query)


def _read(query: str) -> Query:
    res: str | None = None
    fmt: str | None = None
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "res":
            if res is not None:
                raise BadResolution("the argument res is given twice")
            res = value
        elif name == "fmt":
            if fmt is not None:
                raise BadFormat("the argument fmt is given twice")
            fmt = value
    return Query(res=RENDITIONS[0].name if res is None else res, fmt=fmt)


def negotiate(*, image_id: str, query: Query, accept: str) -> Wanted:
    """Return the rendition to answer with. Raises BadImageId, BadResolution or BadFormat."""
    return (_negotiate_short if len(accept) <= SHORT_ACCEPT else _negotiate)(image_id, query, accept)


@lru_cache(maxsize=2048)
def _negotiate_short(image_id: str, query: Query, accept: str) -> Wanted:
    """Negotiate a request with a short Accept field. Results are cached by all arguments; errors are not cached."""
    return _negotiate(image_id, query, accept)


def _negotiate(image_id: str, query: Query, accept: str) -> Wanted:
    check_image_id(image_id)
    rendition = find_rendition(query.res)
    if rendition is None:
        raise BadResolution(f"the edge has no size {query.res!r}")
    return Wanted(image_id=image_id, size_px=rendition.size_px, media_type=_media_type(query.fmt, accept))


def check_image_id(image_id: str) -> None:
    """Raise BadImageId for an invalid id, or one that could lead outside the origin's folder of pictures."""
    if not 0 < len(image_id) <= ID_CAP_CHARACTERS:
        raise BadImageId(f"the image id has {len(image_id)} characters; 1 to {ID_CAP_CHARACTERS} are allowed")
    if image_id.startswith("/") or "\\" in image_id or _SCHEME.match(image_id):
        raise BadImageId("the image id starts with a slash or a URL scheme, or contains a backslash")
    if _has_dot_segment(image_id) or ("%" in image_id and _has_dot_segment(unquote(image_id))):
        raise BadImageId("the image id contains a '.' or '..' segment")
    # U+FFFD is refused, because the server decodes each byte of a path that is not UTF-8 as U+FFFD. Several paths would
    # become the same image id.
    if image_id.isascii() and image_id.isprintable():
        return
    if any(unicodedata.category(one) in _REFUSED_CATEGORIES or one == "\ufffd" for one in image_id):
        raise BadImageId("the image id contains a control character, a line separator or U+FFFD")


def _has_dot_segment(path: str) -> bool:
    # Servlet containers ignore the part of a segment after `;`, and some origins decode a path twice: `..;` and
    # `%252e%252e` would lead outside their folder of pictures.
    return any(segment.partition(";")[0] in {".", ".."} for segment in path.replace("\\", "/").split("/"))


def _media_type(fmt: str | None, accept: str) -> str:
    if fmt is not None:
        if fmt not in MEDIA_TYPES:
            raise BadFormat(f"the edge has no format {fmt!r}")
        return MEDIA_TYPES[fmt]
    # RFC 9110 12.5.1 lets a server disregard Accept; this edge disregards one that is too long.
    if accept in {"", "*/*"} or len(accept) > ACCEPT_CAP_CHARACTERS:
        return DEFAULT_MEDIA_TYPE
    return _choose_media_type(accept)


def _choose_media_type(accept: str) -> str:
    ranges = _ranges(accept)
    ranks = {media_type: _rank(media_type, ranges) for media_type in MEDIA_TYPES.values()}
    acceptable = [media_type for media_type, (weight, _) in ranks.items() if weight > 0]
    if acceptable == [LOSSLESS_MEDIA_TYPE]:
        return LOSSLESS_MEDIA_TYPE
    # max returns the first of equal ranks, so the order of MEDIA_TYPES decides between them. RFC 9110 12.5.1 lets a
    # server disregard an Accept that it cannot satisfy: the response is a JPEG then.
    lossy = (media_type for media_type in acceptable if media_type != LOSSLESS_MEDIA_TYPE)
    return max(lossy, key=lambda media_type: ranks[media_type], default=DEFAULT_MEDIA_TYPE)


def _rank(media_type: str, ranges: dict[str, float]) -> tuple[float, int]:
    """Return the weight of a type, and how specific the media range is that gives it.

    If two types have the same weight, a type that Accept names beats one that a wildcard allows: a browser that lists
    image/webp and */* prefers WebP.
    """
    # RFC 9110 12.5.1: the most specific media range that matches a type decides the weight of the type.
    for specificity, pattern in ((2, media_type), (1, "image/*"), (0, "*/*")):
        if pattern in ranges:
            return ranges[pattern], specificity
    return 0.0, 0


def _ranges(accept: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for element in accept.split(","):
        media_range, *parameters = (part.strip() for part in element.split(";"))
        weight = 1.0
        for parameter in parameters:
            match = _WEIGHT.fullmatch(parameter)
            if match is None:
                break  # a media range with a parameter or an invalid weight matches no type of this edge
            weight = float(match[1])
        else:
            weights.setdefault(media_range.lower(), weight)
    return weights
