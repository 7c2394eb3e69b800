"""Reading the variable part of a stored record, field by field. No I/O, no clock."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from service.errors import DamagedRecord


@dataclass(slots=True)
class FieldReader:
    """Takes fields off the front and never beyond the end."""

    body: bytes
    at: int

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Return the next fields of a fixed layout. Raises DamagedRecord."""
        if layout.size > len(self.body) - self.at:
            raise DamagedRecord("a field reaches beyond the end")
        fields = layout.unpack_from(self.body, self.at)
        self.at += layout.size
        return fields

    def take(self, count: int) -> bytes:
        """Return the next bytes. Raises DamagedRecord."""
        if count > len(self.body) - self.at:
            raise DamagedRecord("a field reaches beyond the end")
        self.at += count
        return self.body[self.at - count : self.at]

    def ascii(self, count: int) -> str:
        """Return the next bytes as text. Raises DamagedRecord."""
        field = self.take(count)
        if not field.isascii():
            raise DamagedRecord("a text that is not ASCII")
        return field.decode("ascii")

    def utf8(self, count: int) -> str:
        """Return the next bytes as text of any language. Raises DamagedRecord."""
        try:
            return self.take(count).decode()
        except UnicodeDecodeError as error:
            raise DamagedRecord("a text that is not UTF-8") from error

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.body[self.at :]
