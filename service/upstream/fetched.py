"""What a fetch from the origin or the parent returns, and its error for a file that is too large. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import PictureTooLarge
from service.rules.response_fields import ResponseFields


@dataclass(frozen=True, slots=True)
class Fetched:
    """A response of the origin: a whole file, or a 304, which says that the stored picture has not changed."""

    body: bytes | None
    """The bytes of the file, after gzip has been undone; None for a 304."""
    fields: ResponseFields
    media_type: str = ""
    """The Content-Type of the response, in lower case and without parameters."""
    latent_facts: str = ""
    """The Latentedge-Source field, in which a parent describes its latent (see `latent_facts`); empty if absent."""
    received_bytes: int = 0
    """The length of the content as the origin sent it."""


class FileTooLarge(PictureTooLarge):
    """The file has too many bytes. The `fields` of the response decide how long the error is cached."""

    def __init__(self, message: str, fields: ResponseFields) -> None:
        super().__init__(message)
        self.fields = fields
