"""A store that edges have filled, and `latentedge refine` on it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import redis

from models.bitstream import parse
from service.records.record import Record, pack, source_digest, unpack
from service.records.store_keys import record_key
from service.rules.response_fields import PassedOn
from service.store.embedded import EmbeddedValkey
from tests.command_line import Outcome, Shell
from tests.service.scripted_origin import ScriptedOrigin

STEPS = 2
TTL_S = 600


@dataclass(frozen=True)
class FilledCache:
    """The store of an origin's pictures, all of them the same photograph."""

    store: EmbeddedValkey
    direct: redis.Redis
    origin: ScriptedOrigin
    source: bytes
    bitstream: bytes
    """Of a blur of the photograph: every search for the photograph itself finds something better."""

    def key(self, image_id: str) -> bytes:
        return record_key(image_id, origin=self.origin.url)

    def record(self, name: str, **given: Any) -> Record:  # noqa: ANN401  (a record's own fields)
        fields: dict[str, Any] = {
            "bitstream": self.bitstream,
            "born_ms": 1_000,
            "filled_ms": 2_000,
            "lifetime_s": TTL_S,
            "source_digest": source_digest(self.source),
            "source_bytes": len(self.source),
            "conventional_high_bytes": 30_000,
            "conventional_medium_bytes": 8_000,
            "stream_id": parse(self.bitstream).stream_id,
            "quality": parse(self.bitstream).quality,
            "passed": PassedOn(cache_control="max-age=600"),
            "image_id": name,
        }
        return Record(**(fields | given))

    def put(self, name: str, **given: Any) -> Record:  # noqa: ANN401  (likewise)
        record = self.record(name, **given)
        self.direct.set(self.key(name), pack(record, self.key(name)), ex=TTL_S)
        return record

    def put_used(
        self, name: str, *, frequency: int | None = None, idletime: int | None = None, refinement: int = 0
    ) -> None:
        """Put a record as the store would have it after so many uses, or so many seconds without one."""
        self.direct.set("made", pack(self.record(name, refinement=refinement), self.key(name)))
        dump = self.direct.dump("made")
        assert isinstance(dump, bytes)
        self.direct.restore(self.key(name), TTL_S * 1000, dump, frequency=frequency, idletime=idletime)

    def stored(self, image_id: str) -> Record:
        key = self.key(image_id)
        value = self.direct.get(key)
        assert isinstance(value, bytes)
        return unpack(value, key)

    def arguments(self, *more: object, steps: int = STEPS) -> tuple[object, ...]:
        options = ("--store", self.store.url, "--origin", self.origin.url, "--steps", steps)
        return ("refine", *options, "--per-minute", 0, "--origin-requests", 1, *more)

    def asked(self) -> list[str]:
        """What the origin was asked for, in this order."""
        return [request.path.removeprefix("/") for request in self.origin.requests]


def refined(latentedge: Shell, cache: FilledCache, *more: object, steps: int = STEPS) -> Counter[str]:
    """Run through the cache; what the summary counts, without what it found none of."""
    return summary(latentedge(*cache.arguments(*more, steps=steps)))


def summary(outcome: Outcome) -> Counter[str]:
    assert outcome.code == 0, outcome.err
    return counted(outcome.out)


def counted(printed: str) -> Counter[str]:
    (line,) = printed.splitlines()
    read: dict[str, float] = json.loads(line)
    measured = {"seconds", "first_bytes", "refined_bytes"}
    return Counter({name: int(count) for name, count in read.items() if count and name not in measured})
