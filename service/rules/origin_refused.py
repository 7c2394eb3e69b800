"""The error for an error status of the origin. It is not in errors.py, because it holds the answer's fields."""
# ruff: noqa: N818  (errors are named after the event, as in errors.py)

from __future__ import annotations

from http import HTTPStatus

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
        """The seconds for which the negative cache entry stays fresh; None if the origin has just answered."""
        self.is_reusable = ttl_s is not None
        """Whether this error may also answer other requests (RFC 9111 4)."""

    @property
    def is_final(self) -> bool:
        """Whether the origin says that it has no such picture, so that no stale one may stand in (RFC 5861 4)."""
        return self.status < HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def vary(self) -> str:
        """The Vary field of the origin's answer."""
        return self.fields.passed.vary
