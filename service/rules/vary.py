"""Decide which variant of a picture a request selects (RFC 9110 12.5.5, RFC 9111 4.1). No I/O, no clock.

Two requests select the same variant if the fields that Vary names have equal values in both. Only forwarded fields are
compared (see forwarding.py), because the origin sees no other fields of the client.
"""

from __future__ import annotations

Fields = tuple[tuple[bytes, bytes], ...]
"""The header lines of a request: pairs of a name in lower case and its value as received."""
NO_FIELDS: Fields = ()
# The edge sends the same Accept and Accept-Encoding with every request, so these fields select no variant.
_CONSTANT = frozenset({"accept", "accept-encoding", ""})
ANY = "*"
NAMES_CAP = 16
"""The maximum number of names in Vary; more count as `*`. Assumed: with so many, two clients hardly ever select the
same variant."""
_SETS = frozenset({"accept-language"})
"""Fields whose elements are compared without case (language ranges: RFC 4647 2) and without order: a list of languages
states preferences by weights, and RFC 9110 12.5.4 says that nobody can rely on the order."""


def selecting_names(vary: str) -> tuple[str, ...]:
    """Return the names in Vary, sorted and in lower case, without fields whose forwarded value never changes.

    Return `*` alone for more than NAMES_CAP names.
    """
    names = {name.strip(" \t").lower() for name in vary.split(",")} - _CONSTANT
    return tuple(sorted(names)) if len(names) <= NAMES_CAP else (ANY,)


def selection(names: tuple[str, ...], fields: Fields) -> bytes:
    """Encode the values of the named fields. Two requests select the same variant if the results are equal."""
    return b"".join(_netstring(name.encode("latin-1")) + _encode_values(name, fields) for name in names)


def selects_alike(vary: str, one: Fields, other: Fields) -> bool:
    """Return whether both requests select the same variant of a picture with this Vary."""
    names = selecting_names(vary)
    # RFC 9111 4.1: a stored response with `Vary: *` never matches a request.
    return ANY not in names and selection(names, one) == selection(names, other)


def _encode_values(name: str, fields: Fields) -> bytes:
    wanted = name.encode("latin-1")
    values = [value for given, value in fields if given == wanted]
    # RFC 9111 4.1: an absent field of a request matches only an absent field, not an empty one.
    value = _normalise(b",".join(values))
    return _netstring(_as_set(value) if name in _SETS else value) if values else b"-,"


def _as_set(value: bytes) -> bytes:
    return b",".join(sorted(value.lower().split(b",")))


def _normalise(value: bytes) -> bytes:
    """Return a field value without optional space around its elements (RFC 9111 4.1)."""
    if b'"' in value:  # spaces and commas within quotes may be significant, so the elements are not changed
        return value.strip(b" \t")
    return b",".join(element.strip(b" \t") for element in value.split(b","))


def _netstring(text: bytes) -> bytes:
    """Return the text as a netstring (its length, then the text), so that joined texts cannot be confused."""
    return b"%d:%b," % (len(text), text)
