"""Which of several answers a request selects (Vary: RFC 9110 12.5.5, RFC 9111 4.1). No I/O, no clock.

Two requests are for the same variant if the fields that the origin names have the same values in both. The fields are
those that reach the origin (see `forwarding`): the origin has chosen by them, and not by what the client has sent.
"""

from __future__ import annotations

Fields = tuple[tuple[bytes, bytes], ...]
"""Lines of a request: names in lower case, values as they came."""
NO_FIELDS: Fields = ()
# The edge asks for every picture in the same words, so an answer that varies by these is the only one there is.
_ASKED_ALIKE = frozenset({"accept", "accept-encoding", ""})
ANY = "*"
NAMES_CAP = 16
"""Assumed: a picture that varies by more fields is hardly ever the same for two clients."""
_LETTERS_ALIKE = frozenset({"accept-language"})
"""Fields whose values mean the same in capitals: language ranges (RFC 4647 2)."""


def selecting_names(vary: str) -> tuple[str, ...]:
    """The fields by which a picture varies, each once; those that this edge never changes left aside.

    A picture that varies by too many of them varies by everything, as far as this edge is concerned.
    """
    names = {name.strip(" \t").lower() for name in vary.split(",")} - _ASKED_ALIKE
    return tuple(sorted(names)) if len(names) <= NAMES_CAP else (ANY,)


def selection(names: tuple[str, ...], fields: Fields) -> bytes:
    """What a request says under these names: the same bytes for the same variant, others for any other."""
    return b"".join(_netstring(name.encode("latin-1")) + _said(name, fields) for name in names)


def selects_alike(vary: str, one: Fields, other: Fields) -> bool:
    """Whether an answer to the one request is an answer to the other."""
    names = selecting_names(vary)
    # RFC 9111 4.1: `*` never matches.
    return ANY not in names and selection(names, one) == selection(names, other)


def _said(name: str, fields: Fields) -> bytes:
    wanted = name.encode("latin-1")
    values = [value for given, value in fields if given == wanted]
    # RFC 9111 4.1: a field that is not there matches only where it was not there.
    value = _normalised(b",".join(values))
    return _netstring(value.lower() if name in _LETTERS_ALIKE else value) if values else b"-,"


def _normalised(value: bytes) -> bytes:
    """RFC 9111 4.1: lines are combined, and space is dropped where it means nothing."""
    if b'"' in value:  # within quotes it may mean something, and so may the comma
        return value.strip(b" \t")
    return b",".join(element.strip(b" \t") for element in value.split(b","))


def _netstring(text: bytes) -> bytes:
    """With its length before it, so that no value can look like two."""
    return b"%d:%b," % (len(text), text)
