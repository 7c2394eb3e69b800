"""The directives of Cache-Control (RFC 9111 5.2.2) and of CDN-Cache-Control (RFC 9213). Parses, and judges nothing.

`immutable` changes nothing here: no client's reload makes this edge validate what is fresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from http_sfv.dictionary import Dictionary

# RFC 9111 1.2.2: a larger number of seconds counts as this one.
LONGEST_S = 2**31

FIELD_CAP_CHARACTERS = 2048
"""Assumed: a record has room for a quarter of it, and no picture with more is stored."""


@dataclass(frozen=True, slots=True)
class CacheControl:
    """The directives of a response that this edge acts on."""

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
    """The directives in a Cache-Control field, several lines joined by commas."""
    if len(field) > FIELD_CAP_CHARACTERS:  # it may forbid anything
        return CacheControl(no_store=True, no_transform=True)
    directives: dict[str, str] = {}
    for element in _elements(field):
        name, _, value = element.strip().partition("=")
        # No spaces around "=" (RFC 9111 5.2): what has some is there, and its value is none.
        value = value if name == name.rstrip() else ""
        # RFC 9111 4.2.1: of a directive given twice, the first counts. 5.2: names ignore case.
        directives.setdefault(name.strip().lower(), value)
    seconds = {name: _delta_seconds(value) for name, value in directives.items()}
    return _control(directives, seconds)


def parse_targeted(field: str) -> CacheControl | None:
    """The directives in a CDN-Cache-Control field, or None where it is empty or malformed (RFC 9213 2.1)."""
    members = Dictionary()
    if len(field) > FIELD_CAP_CHARACTERS:
        return None
    try:
        members.parse(field.encode("ascii"))
        seconds = {name: _integer(members[name].value) for name in _SECONDS & members.keys()}
    except (ValueError, AttributeError):  # not a structured field, or a list of values where one must be
        return None
    # RFC 9213 2.1: a directive without a value is Boolean true; false says that it is not there.
    stated = {name: "" for name, member in members.items() if getattr(member, "value", True) is not False}
    return _control(stated, seconds) if members else None


def write_cache_control(control: CacheControl) -> str:
    """Return the field that says this, of either of both kinds."""
    words = []
    for one in fields(control):
        stated, name = getattr(control, one.name), one.name.removesuffix("_s").replace("_", "-")
        if stated is True:
            words.append(name)
        elif stated is not None and stated is not False:
            words.append(f"{name}={stated}")
    return ", ".join(words)


def _elements(field: str) -> list[str]:
    """Return what commas separate; one within quotes separates nothing. Each character is looked at once."""
    elements, start, opened = [], 0, -1
    at = 0
    while at < len(field):
        if field[at] == '"':
            opened = at if opened < 0 else -1
        elif field[at] == "\\" and opened >= 0:
            at += 1  # RFC 9110 5.6.4: whatever follows is not the end
        elif field[at] == "," and opened < 0:
            elements.append(field[start:at])
            start = at + 1
        at += 1
    if opened < 0:
        return [*elements, field[start:]]
    # Quotes that are never closed quote nothing: what follows them is to count, as it may forbid something.
    return [*elements, field[start:opened], *field[opened:].replace('"', ",").split(",")]


_SECONDS = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})


def _control(stated: Mapping[str, object], seconds: Mapping[str, int]) -> CacheControl:
    return CacheControl(
        no_store="no-store" in stated,
        # RFC 9111 5.2.2.4 and 5.2.2.7: the forms with field names may be taken as the plain ones.
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
    # RFC 9111 5.2: both the token and the quoted form are accepted. 4.2.1: what is invalid is taken as stale.
    return parse_delta_seconds(_unquoted(text)) or 0


def _unquoted(text: str) -> str:
    """Return the value of a quoted string (RFC 9110 5.6.4), and anything else as it is."""
    if len(text) <= 1 or not text.startswith('"') or not text.endswith('"'):
        return text
    escapes = iter(text[1:-1])
    return "".join(next(escapes, "") if one == "\\" else one for one in escapes)


def parse_delta_seconds(digits: str) -> int | None:
    """RFC 9111 1.2.2, or None."""
    if not (digits.isascii() and digits.isdigit()):
        return None
    return min(LONGEST_S, int(digits.lstrip("0")[:20] or "0"))


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("a number of seconds is an Integer (RFC 9213 2.1)")  # noqa: TRY004  (as of all that is malformed)
    return min(LONGEST_S, max(0, value))
