"""The record of one picture in the store of a test, looked at and aged behind the edge's back."""

from dataclasses import replace
from typing import Any

import redis

from service.records.record import Record, pack, unpack
from service.records.store_keys import record_key
from tests.service.scripted_origin import ScriptedOrigin


class Shelf:
    """The record of one picture, looked at and aged behind the edge's back."""

    def __init__(self, store: redis.Redis, origin: ScriptedOrigin, image_id: str = "cat") -> None:
        self._store = store
        self._key = record_key(image_id, origin=origin.url)

    @property
    def record(self) -> Record:
        value = self._store.get(self._key)
        assert isinstance(value, bytes)
        return unpack(value, self._key)

    def age(self, age_s: int, **changes: Any) -> None:  # noqa: ANN401  (any field of a record)
        record = self.record
        aged = replace(record, born_ms=record.born_ms - age_s * 1000, **changes)
        self._store.set(self._key, pack(aged, self._key), keepttl=True)

    def ttl_s(self) -> int:
        return int(self._store.ttl(self._key))
