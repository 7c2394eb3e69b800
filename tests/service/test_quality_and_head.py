"""EDGE_QUALITY as a target score, and EDGE_HEAD, which decodes the 344 picture from the same record."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import redis
from PIL import Image, ImageFilter
from skimage import data

from models.picture_array import Pixels
from models.scores import Ssimulacra2
from service.records.record import unpack
from service.records.store_keys import record_key
from service.render import image_file
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin

FRESH = {"Cache-Control": "public, max-age=600"}
TARGET = 60
FLOAT32 = "exact=float32,heads=float32,analysis=float32"


@contextmanager
def special_edge(origin: ScriptedOrigin, store: EmbeddedValkey, **given: object) -> Iterator[RunningEdge]:
    with running_edge(read_settings(origin=origin.url, redis_url=store.url, **given)) as edge:
        yield edge


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def easy() -> bytes:
    """Return a photograph out of focus."""
    photograph = Image.fromarray(data.astronaut())  # type: ignore[no-untyped-call]
    return png(photograph.resize((344, 344)).filter(ImageFilter.GaussianBlur(4)))


@pytest.fixture(scope="module")
def hard() -> bytes:
    """Return a photograph of gravel, with detail everywhere."""
    return png(Image.fromarray(data.gravel()).convert("RGB").resize((344, 344)))  # type: ignore[no-untyped-call]


def pixels(answer: httpx.Response) -> Pixels:
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image.convert("RGB"))


def test_each_picture_gets_the_quality_that_its_score_needs(
    valkey: EmbeddedValkey, origin: ScriptedOrigin, easy: bytes, hard: bytes
) -> None:
    pictures = {"easy": easy, "hard": hard}
    for name, blob in pictures.items():
        origin.script(f"/{name}", Reply(blob, headers=FRESH))
    qualities = {}
    with special_edge(origin, valkey, quality=f"auto:{TARGET}") as edge, redis.Redis.from_url(valkey.url) as store:
        for name, blob in pictures.items():
            decoded = pixels(edge.get(f"/image/{name}?fmt=png"))
            reference = image_file.read(blob, limits=image_file.ImageLimits(10**6)).pixels
            assert Ssimulacra2(reference).score(decoded) >= TARGET
            key = record_key(name, origin=origin.url)
            qualities[name] = unpack(store.get(key), key).quality
        codec = edge.stats()["codec"]
    assert 0 < qualities["easy"] < qualities["hard"] < 63
    assert (codec["quality"], codec["target_ssimulacra2"]) == (None, TARGET)


def test_a_head_changes_the_entity_tag_and_no_record(
    valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    sizes = ("high", "medium")
    with special_edge(origin, valkey, head="cpu", kernels=FLOAT32) as edge:
        light = {res: edge.get(f"/image/cat?res={res}&fmt=png") for res in sizes}
        assert edge.stats()["codec"]["head"] == "high-cpu"
        assert edge.stats()["codec"]["kernels"] == FLOAT32
    with special_edge(origin, valkey, head="gpu", kernels=FLOAT32) as edge:
        better = {res: edge.get(f"/image/cat?res={res}&fmt=png") for res in sizes}
        assert edge.stats()["codec"]["head"] == "high-gpu"
    assert all(answer.headers["cache-status"].startswith("latentedge; hit;") for answer in better.values())
    for res in sizes:
        assert better[res].headers["etag"] != light[res].headers["etag"]
        assert (pixels(better[res]) != pixels(light[res])).any()
