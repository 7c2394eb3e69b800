"""Read the fields of a stored record one after another, with a check of each length. No I/O, no clock."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from service.errors import DamagedRecord


@dataclass(slots=True)
class FieldReader:
    """Reads one field after another from `body`, starting at offset `at`, and never beyond the end."""

    body: bytes
    at: int

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Return the next fields, which have a fixed layout. Raises DamagedRecord if too few bytes are left."""
        if layout.size > len(self.body) - self.at:
            raise DamagedRecord("the fixed fields of the record reach beyond its end")
        fields = layout.unpack_from(self.body, self.at)
        self.at += layout.size
        return fields

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes. Raises DamagedRecord if fewer are left."""
        if count > len(self.body) - self.at:
            raise DamagedRecord("a field of the record reaches beyond its end")
        self.at += count
        return self.body[self.at - count : self.at]

    def ascii(self, count: int) -> str:
        """Return the next `count` bytes as ASCII text. Raises DamagedRecord."""
        field = self.take(count)
        if not field.isascii():
            raise DamagedRecord("a text field of the record is not ASCII")
        return field.decode("ascii")

    def utf8(self, count: int) -> str:
        """Return the next `count` bytes as UTF-8 text. Raises DamagedRecord."""
        try:
            return self.take(count).decode()
        except UnicodeDecodeError as error:
            raise DamagedRecord("a text field of the record is not UTF-8") from error

    def rest(self) -> bytes:
        """Return all bytes that have not been read yet."""
        return self.body[self.at :]
