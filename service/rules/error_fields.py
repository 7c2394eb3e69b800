"""The header fields of an origin's error response that are passed on to clients, and their encoding in a negative
cache entry. No I/O.

A 401 must have WWW-Authenticate and a 405 must have Allow (RFC 9110 15.5.2 and 15.5.6). Hop-by-hop fields, such as the
Upgrade of a 426 and the Proxy-Authenticate of a 407, are not passed on (RFC 9110 7.6.1, 11.7.1).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

_CAP_BYTES = 2048  # assumed: enough for three WWW-Authenticate challenges with their parameters
_SEPARATOR = "\n"  # separates packed fields: no field value contains a line feed (RFC 9110 5.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFields:
    """Retry-After, WWW-Authenticate and Allow of an error response; "" means that the origin did not send the field."""

    retry_after: str = ""
    www_authenticate: str = ""
    allow: str | None = None
    """The value of Allow; None if absent. An empty Allow is valid: no method is allowed (RFC 9110 10.2.1)."""

    @property
    def lines(self) -> dict[str, str]:
        """Return the fields that the origin sent, as a mapping from name to value."""
        said = {field.name.replace("_", "-"): getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in said.items() if value or (name == "allow" and value is not None)}

    @property
    def can_be_kept(self) -> bool:
        """Return whether a negative cache entry can hold the fields: they are ASCII and at most _CAP_BYTES long."""
        packed = _join(self)
        return packed.isascii() and len(packed) <= _CAP_BYTES


NO_ERROR_FIELDS = ErrorFields()


def pack_error_fields(said: ErrorFields) -> bytes:
    """Encode the fields as `name: value` lines for the end of a negative cache entry; b"" if there are none."""
    return _join(said).encode("ascii")


def unpack_error_fields(packed: bytes) -> ErrorFields:
    """Parse the bytes that `pack_error_fields` wrote. Raises ValueError if they are malformed."""
    if not packed.isascii() or len(packed) > _CAP_BYTES:
        raise ValueError(f"the error fields are not ASCII or have more than {_CAP_BYTES} bytes")
    lines = dict(line.partition(": ")[::2] for line in packed.decode("ascii").split(_SEPARATOR) if line)
    try:
        return ErrorFields(**{name.replace("-", "_"): value for name, value in lines.items()})
    except TypeError as error:
        raise ValueError("the error fields contain an unknown name") from error


def _join(said: ErrorFields) -> str:
    return _SEPARATOR.join(f"{name}: {value}" for name, value in said.lines.items())
