"""Vary: which variant of a picture a request selects (RFC 9110 12.5.5, RFC 9111 4.1). No I/O, no clock.

Two requests select the same variant if the fields named by Vary have equal values in both. The forwarded fields are
compared (see forwarding.py), because the origin chose the variant by these and not by the fields of the client.
"""

from __future__ import annotations

Fields = tuple[tuple[bytes, bytes], ...]
"""The header lines of a request: pairs of a name in lower case and its value as received."""
NO_FIELDS: Fields = ()
# The edge sends the same values of these with every request, so a picture that varies by them has one variant.
_CONSTANT = frozenset({"accept", "accept-encoding", ""})
ANY = "*"
NAMES_CAP = 16
"""Assumed: if a picture varies by more fields, two clients hardly ever select the same variant."""
_CASE_INSENSITIVE = frozenset({"accept-language"})
"""Fields whose values are case-insensitive: language ranges (RFC 4647 2)."""


def selecting_names(vary: str) -> tuple[str, ...]:
    """Return the names in Vary, sorted and in lower case, without the fields that this edge always sends alike.

    More than NAMES_CAP names count as `*`.
    """
    names = {name.strip(" \t").lower() for name in vary.split(",")} - _CONSTANT
    return tuple(sorted(names)) if len(names) <= NAMES_CAP else (ANY,)


def selection(names: tuple[str, ...], fields: Fields) -> bytes:
    """Return the values of these fields as bytes, which are equal if and only if the variants are."""
    return b"".join(_netstring(name.encode("latin-1")) + _encode_values(name, fields) for name in names)


def selects_alike(vary: str, one: Fields, other: Fields) -> bool:
    """Return whether both requests select the same variant of a picture with this Vary."""
    names = selecting_names(vary)
    # RFC 9111 4.1: `*` never matches.
    return ANY not in names and selection(names, one) == selection(names, other)


def _encode_values(name: str, fields: Fields) -> bytes:
    wanted = name.encode("latin-1")
    values = [value for given, value in fields if given == wanted]
    # RFC 9111 4.1: an absent field matches only an absent field.
    value = _normalise(b",".join(values))
    return _netstring(value.lower() if name in _CASE_INSENSITIVE else value) if values else b"-,"


def _normalise(value: bytes) -> bytes:
    """Return a value without optional space around its elements (RFC 9111 4.1)."""
    if b'"' in value:  # space and commas within quotes may be significant
        return value.strip(b" \t")
    return b",".join(element.strip(b" \t") for element in value.split(b","))


def _netstring(text: bytes) -> bytes:
    """Return the text with its length before it, so that one value never equals two shorter ones."""
    return b"%d:%b," % (len(text), text)
