"""Pictures that an origin chooses by a field of the request, looked at where the store holds them."""

from __future__ import annotations

import functools
import io
import threading
from dataclasses import replace

import httpx
import redis
from PIL import Image, ImageOps
from skimage import data

from service.records.lookup import Lookup
from service.records.record import Record, pack, unpack
from service.records.store_keys import record_key
from service.records.vary_rule import VaryRule, unpack_rule
from service.rules.vary import Fields
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin

BY_LANGUAGE = {"Cache-Control": "max-age=600", "Vary": "Accept-Language", "Cache-Tag": "cats"}
EN, DE, FR = ({"Accept-Language": language} for language in ("en", "de", "fr"))


@functools.cache
def picture(language: str) -> bytes:
    """Another file for each language."""
    image, file = Image.fromarray(data.astronaut()), io.BytesIO()  # type: ignore[no-untyped-call]
    turned = {"en": image, "de": ImageOps.mirror(image), "fr": ImageOps.flip(image)}[language]
    turned.save(file, "JPEG", quality=80)
    return file.getvalue()


def in_language(language: str, **said: str) -> Reply:
    """What the origin answers to whom."""
    return Reply(picture(language), headers={**BY_LANGUAGE, "ETag": f'"{language}"', **said})


class Variants:
    """Those of one picture, looked at and aged behind the edge's back."""

    def __init__(self, store: redis.Redis, origin: ScriptedOrigin, image_id: str = "cat") -> None:
        self._store = store
        self._image_id = image_id
        self.home = record_key(image_id, origin=origin.url)

    @property
    def rule(self) -> VaryRule:
        return unpack_rule(self._held(self.home), self.home)

    def key(self, asked: dict[str, str]) -> bytes:
        fields: Fields = tuple((name.lower().encode(), value.encode()) for name, value in asked.items())
        return Lookup(self._image_id, self.home, fields).under(self.rule).key

    def record(self, asked: dict[str, str]) -> Record:
        key = self.key(asked)
        return unpack(self._held(key), key)

    def age(self, asked: dict[str, str], age_s: int) -> None:
        record, key = self.record(asked), self.key(asked)
        self._store.set(key, pack(replace(record, born_ms=record.born_ms - age_s * 1000), key), keepttl=True)

    def _held(self, key: bytes) -> bytes:
        value = self._store.get(key)
        assert isinstance(value, bytes)
        return value


def ask(edge: RunningEdge, asked: dict[str, str] | list[tuple[str, str]], path: str = "/image/cat") -> httpx.Response:
    return edge.get(path, headers=asked)


def under_way(edge: RunningEdge, asked: dict[str, str], path: str = "/image/cat") -> UnderWay:
    return UnderWay(edge, asked, path)


class UnderWay:
    """A request that has arrived when the block begins, and is answered when it ends."""

    def __init__(self, edge: RunningEdge, asked: dict[str, str], path: str) -> None:
        self._edge = edge
        self._answers: list[httpx.Response] = []
        self._asking = threading.Thread(target=lambda: self._answers.append(ask(edge, asked, path)))

    def __enter__(self) -> list[httpx.Response]:
        self._edge.arrivals.reset()
        self._asking.start()
        self._edge.arrivals.wait_for(1)
        return self._answers

    def __exit__(self, *_error: object) -> None:
        self._asking.join()


def gated(reply: Reply) -> Reply:
    return Reply(reply.body, reply.status, reply.headers, gate=threading.Event())


def opened(reply: Reply) -> None:
    assert reply.gate is not None
    reply.gate.set()
