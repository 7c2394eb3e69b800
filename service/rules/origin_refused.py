"""The error that says what the origin has answered. Beside errors.py, since it bears the fields of the answer."""
# ruff: noqa: N818  (named as what happened, as in errors.py)

from __future__ import annotations

from service.errors import OriginError
from service.rules.response_fields import ResponseFields


class OriginRefused(OriginError):
    """The origin answered with an error status."""

    public = "The origin answered with an error."
    report = False
    label = "refused"

    def __init__(self, status: int, fields: ResponseFields, *, ttl_s: int | None = None) -> None:
        super().__init__(f"the origin answered {status}")
        self.status = status
        self.fields = fields
        self.ttl_s = ttl_s
        """How long this will still be remembered; None where the origin was asked just now."""
        self.is_reusable = ttl_s is not None
        """Whether it may answer other requests too (RFC 9111 4)."""
