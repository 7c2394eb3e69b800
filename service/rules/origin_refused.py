"""The error that is raised for an error response of the origin. It is not in errors.py, as it holds ResponseFields."""
# ruff: noqa: N818  (errors are named after the event, as in errors.py)

from __future__ import annotations

from http import HTTPStatus

from service.errors import OriginError
from service.rules import freshness
from service.rules.response_fields import ResponseFields


class OriginRefused(OriginError):
    """The origin answered with an error status, or a negative cache entry says that it did."""

    public = "The origin answered with an error."
    report = False
    label = "refused"

    def __init__(self, status: int, fields: ResponseFields, *, ttl_s: int | None = None) -> None:
        super().__init__(f"the origin answered {status}")
        self.status = status
        self.fields = fields
        self.ttl_s = ttl_s
        """For how many more seconds the negative cache entry is fresh; None if the error is not from the cache."""
        self.is_reusable = ttl_s is not None
        """Whether the error may also be sent to other requests for the picture (RFC 9111 4)."""

    @property
    def is_final(self) -> bool:
        """Whether the status is below 500, so that no stale picture may be served instead of the error (RFC 5861 4)."""
        return self.status < HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def says_gone(self) -> bool:
        """Whether the origin says to every client that it has no such picture."""
        return self.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE} and not freshness.is_private(self.fields.passed)

    @property
    def vary(self) -> str:
        """The Vary field of the origin's error response."""
        return self.fields.passed.vary
