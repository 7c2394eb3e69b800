"""Tiers of edges, each with its own store, and latents made without an edge."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import redis
from PIL import Image
from skimage import data

from models.codec import Codec
from models.config import HIGH_PX
from service.records.latent_facts import FIELD
from service.records.record import Record, pack, unpack
from service.records.store_keys import record_key
from service.render import image_file
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.stored import emptied_database

MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
SAID = {"Cache-Control": "max-age=600", "ETag": '"v1"', "Last-Modified": MODIFIED}
FACTS = {FIELD: "digest=:AAECAwQFBgcICQoLDA0ODw==:, bytes=9, high=8, medium=7, refinement=0, etag=:InYxIg==:"}
LATENT = {"Content-Type": "application/vnd.latentedge", "Cache-Control": "max-age=600"}


def own_store(server: EmbeddedValkey, number: int) -> str:
    """Return the address of one database of the server, after emptying it. Purges stay: see `emptied`."""
    url = f"{server.url}?db={number}"
    with redis.Redis.from_url(url) as direct:
        emptied_database(direct)
    return url


@contextmanager
def child_of(parent: str, server: EmbeddedValkey, *, store: int = 1, **settings: Any) -> Iterator[RunningEdge]:  # noqa: ANN401  (any setting)
    """Run an edge with this parent. It may be a parent itself."""
    tokens = {"parent_token": LATENT_TOKEN, "latent_token": LATENT_TOKEN}
    given = {"redis_url": own_store(server, store), **tokens, **settings}
    with running_edge(read_settings(parent=parent, **given)) as edge:
        yield edge


@functools.cache
def a_latent() -> bytes:
    """The latent of the `photo` fixture's photograph."""
    file = io.BytesIO()
    Image.fromarray(data.astronaut()).save(file, "JPEG", quality=90)  # type: ignore[no-untyped-call]
    source = image_file.read(file.getvalue(), limits=image_file.ImageLimits(source_pixels=10**7))
    return Codec.load(device="cpu").encode(image_file.square(source.pixels, HIGH_PX), quality=20)


@functools.cache
def another_latent() -> bytes:
    """The latent of another photograph, of the same quality."""
    return Codec.load(device="cpu").encode(image_file.square(data.coffee(), HIGH_PX), quality=20)  # type: ignore[no-untyped-call]


def flipped(blob: bytes, position: int) -> bytes:
    damaged = bytearray(blob)
    damaged[position] ^= 0x10
    return bytes(damaged)


def told(answer: httpx.Response) -> str:
    return answer.headers["cache-status"].partition("; ttl=")[0]


def encodes(edge: RunningEdge) -> float:
    return edge.metric('edge_stage_seconds_count{stage="encode"}')


def passed_over(edge: RunningEdge, reason: str) -> float:
    return edge.metric(f'edge_parent_fallbacks_total{{reason="{reason}"}}')


def record_of(edge: RunningEdge, image_id: str) -> Record:
    with redis.Redis.from_url(edge.settings.redis_url) as direct:
        key = record_key(image_id, origin=edge.settings.origin)
        value = direct.get(key)
    assert isinstance(value, bytes)
    return unpack(value, key)


def change(edge: RunningEdge, image_id: str, **changes: object) -> None:
    with redis.Redis.from_url(edge.settings.redis_url) as direct:
        key = record_key(image_id, origin=edge.settings.origin)
        changed = replace(record_of(edge, image_id), **changes)  # type: ignore[arg-type]
        direct.set(key, pack(changed, key), keepttl=True)


def aged(edge: RunningEdge, image_id: str, age_s: int) -> None:
    change(edge, image_id, born_ms=record_of(edge, image_id).born_ms - age_s * 1000)
