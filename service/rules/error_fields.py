"""What an origin's error says to the client beside its status, and how a remembered error keeps it. No I/O, no clock.

RFC 9110 15.5.2 and 15.5.6: a 401 without WWW-Authenticate, or a 405 without Allow, is none. Fields of the connection,
such as the Upgrade of a 426 and the Proxy-Authenticate of a 407, are for the edge alone (RFC 9110 7.6.1, 11.7.1).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

_CAP_BYTES = 2048  # assumed: three challenges with their parameters are shorter
_SEPARATOR = "\n"  # no field has it (RFC 9110 5.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFields:
    """Field values; empty where the origin said nothing."""

    retry_after: str = ""
    www_authenticate: str = ""
    allow: str | None = None
    """RFC 9110 10.2.1: an Allow without methods says that there are none."""

    @property
    def lines(self) -> dict[str, str]:
        """The fields that were said, by their names."""
        said = {field.name.replace("_", "-"): getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in said.items() if value or (name == "allow" and value is not None)}

    @property
    def can_be_kept(self) -> bool:
        """Whether a remembered error has room for them."""
        packed = _packed(self)
        return packed.isascii() and len(packed) <= _CAP_BYTES


NO_ERROR_FIELDS = ErrorFields()


def pack_error_fields(said: ErrorFields) -> bytes:
    """Return them as the end of a remembered error: nothing for none."""
    return _packed(said).encode("ascii")


def unpack_error_fields(packed: bytes) -> ErrorFields:
    """Return what the end of a remembered error says. Raises ValueError for what cannot be."""
    if not packed.isascii() or len(packed) > _CAP_BYTES:
        raise ValueError("too long, or not ASCII")
    lines = dict(line.partition(": ")[::2] for line in packed.decode("ascii").split(_SEPARATOR) if line)
    try:
        return ErrorFields(**{name.replace("-", "_"): value for name, value in lines.items()})
    except TypeError as error:
        raise ValueError("an unknown field") from error


def _packed(said: ErrorFields) -> str:
    return _SEPARATOR.join(f"{name}: {value}" for name, value in said.lines.items())
