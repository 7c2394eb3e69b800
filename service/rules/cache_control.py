"""Parsers of Cache-Control (RFC 9111 5.2.2) and CDN-Cache-Control (RFC 9213). They make no caching decision.

The directive `immutable` is ignored, because this edge never revalidates a fresh response when a client reloads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from http_sfv.dictionary import Dictionary

# RFC 9111 1.2.2: delta-seconds above 2**31 are clamped to 2**31.
LONGEST_S = 2**31

FIELD_CAP_CHARACTERS = 2048
"""The longest Cache-Control or CDN-Cache-Control field that is parsed (assumed). A record holds only 512 characters of
each, so a picture with a longer field is never stored."""


@dataclass(frozen=True, slots=True)
class CacheControl:
    """The caching directives of a response that this edge acts on. Absent directives are False or None."""

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    public: bool = False
    no_transform: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    max_age_s: int | None = None
    s_maxage_s: int | None = None
    stale_while_revalidate_s: int | None = None
    stale_if_error_s: int | None = None


def parse_cache_control(field: str) -> CacheControl:
    """Parse a Cache-Control field. Several field lines must have been joined with commas.

    A field longer than FIELD_CAP_CHARACTERS is treated as `no-store, no-transform`.
    """
    if len(field) > FIELD_CAP_CHARACTERS:
        return CacheControl(no_store=True, no_transform=True)
    directives: dict[str, str] = {}
    for element in _elements(field):
        name, _, value = element.strip().partition("=")
        # RFC 9111 5.2 allows no space around "=". If there is one, the directive counts, but its value is ignored.
        value = value if name == name.rstrip() else ""
        # RFC 9111 4.2.1: if a directive occurs twice, the first one counts. 5.2: names are case-insensitive.
        directives.setdefault(name.strip().lower(), value)
    seconds = {name: _delta_seconds(value) for name, value in directives.items()}
    return _build(directives, seconds)


def parse_cdn_cache_control(field: str) -> CacheControl | None:
    """Parse a CDN-Cache-Control field. Return None if it is empty or malformed (RFC 9213 2.1)."""
    members = Dictionary()
    if len(field) > FIELD_CAP_CHARACTERS:
        return None
    try:
        members.parse(field.encode("ascii"))
        seconds = {name: _integer(members[name].value) for name in _SECONDS & members.keys()}
    except (ValueError, AttributeError):  # the field is malformed, or a lifetime in it is not an integer
        return None
    # RFC 9213 2.1: a directive without a value is Boolean true. Boolean false means that it is absent.
    stated = {name: "" for name, member in members.items() if getattr(member, "value", True) is not False}
    return _build(stated, seconds) if members else None


def write_cache_control(control: CacheControl) -> str:
    """Return the directives as the value of a Cache-Control or CDN-Cache-Control field."""
    words = []
    for one in fields(control):
        stated, name = getattr(control, one.name), one.name.removesuffix("_s").replace("_", "-")
        if stated is True:
            words.append(name)
        elif stated is not None and stated is not False:
            words.append(f"{name}={stated}")
    return ", ".join(words)


def _elements(field: str) -> list[str]:
    """Split a field at its commas, except within quoted strings, in one pass over the characters."""
    elements, start, opened = [], 0, -1
    at = 0
    while at < len(field):
        if field[at] == '"':
            opened = at if opened < 0 else -1
        elif field[at] == "\\" and opened >= 0:
            at += 1  # RFC 9110 5.6.4: a character after a backslash never ends a quoted string
        elif field[at] == "," and opened < 0:
            elements.append(field[start:at])
            start = at + 1
        at += 1
    if opened < 0:
        return [*elements, field[start:]]
    # An unclosed quote is ignored, because a directive after it may forbid storing.
    return [*elements, field[start:opened], *field[opened:].replace('"', ",").split(",")]


_SECONDS = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})


def _build(stated: Mapping[str, object], seconds: Mapping[str, int]) -> CacheControl:
    return CacheControl(
        no_store="no-store" in stated,
        # RFC 9111 5.2.2.4 and 5.2.2.7: a cache may treat no-cache="..." and private="..." as no-cache and private.
        no_cache="no-cache" in stated,
        private="private" in stated,
        public="public" in stated,
        no_transform="no-transform" in stated,
        must_revalidate="must-revalidate" in stated,
        proxy_revalidate="proxy-revalidate" in stated,
        must_understand="must-understand" in stated,
        max_age_s=seconds.get("max-age"),
        s_maxage_s=seconds.get("s-maxage"),
        stale_while_revalidate_s=seconds.get("stale-while-revalidate"),
        stale_if_error_s=seconds.get("stale-if-error"),
    )


def _delta_seconds(text: str) -> int:
    # RFC 9111 5.2: max-age=60 and max-age="60" are both accepted. 4.2.1: an invalid lifetime counts as 0 (stale).
    return parse_delta_seconds(_unquote(text)) or 0


def _unquote(text: str) -> str:
    """Return the value of a quoted string (RFC 9110 5.6.4). Any other text is returned unchanged."""
    if len(text) <= 1 or not text.startswith('"') or not text.endswith('"'):
        return text
    escapes = iter(text[1:-1])
    return "".join(next(escapes, "") if one == "\\" else one for one in escapes)


def parse_delta_seconds(digits: str) -> int | None:
    """Parse delta-seconds (RFC 9111 1.2.2), clamped to LONGEST_S. Return None if `digits` are not all digits."""
    if not (digits.isascii() and digits.isdigit()):
        return None
    return min(LONGEST_S, int(digits.lstrip("0")[:20] or "0"))


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("a lifetime in CDN-Cache-Control must be an integer")  # noqa: TRY004  (callers catch it)
    return min(LONGEST_S, max(0, value))
