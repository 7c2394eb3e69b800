"""The clients of `make faults` notice a wrong picture, another size and an outdated version, also after the codec."""

import asyncio
import io
from collections import Counter

import httpx
import numpy as np
import pytest
from PIL import Image

from models.codec import Codec
from service.render import image_file
from tests.faults.answers import OLD, RESET, TIMED_OUT, WRONG, Answer
from tests.faults.load import Load
from tests.faults.marked_picture import Seen, UnreadableMarkError, draw, recognise

PAIRS = [(0, 0), (7, 1), (7, 2), (1069, 3), (65_535, 65_535)]
PUBLISHED = Counter({7: 2, 8: 5})


def pixels_of(number: int, version: int) -> np.ndarray:
    with Image.open(io.BytesIO(draw(number, version))) as picture:
        return np.asarray(picture)


def as_jpeg(pixels: np.ndarray, side_px: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).resize((side_px, side_px)).save(file, "JPEG", quality=75)
    return file.getvalue()


@pytest.mark.parametrize(("number", "version"), PAIRS)
def test_a_picture_is_recognised_in_both_sizes(number: int, version: int) -> None:
    for side_px in (344, 172):
        assert recognise(as_jpeg(pixels_of(number, version), side_px)) == Seen(side_px, number, version)


def test_a_decoded_latent_is_recognised_in_both_sizes() -> None:
    codec = Codec.load()
    blob = codec.encode(image_file.square(pixels_of(1069, 3), 344), quality=20)
    for side_px in (344, 172):
        (decoded,) = codec.synthesize([codec.read(blob)], size_px=side_px)
        assert recognise(as_jpeg(decoded, side_px)) == Seen(side_px, 1069, 3)


def test_a_picture_of_two_pictures_is_not_recognised() -> None:
    mixed = np.concatenate([pixels_of(7, 1)[:172], pixels_of(9, 6)[172:]])
    with pytest.raises(UnreadableMarkError):
        recognise(as_jpeg(mixed, 344))
    with pytest.raises(UnreadableMarkError):
        recognise(b"no picture")


async def answer_of(body: bytes, *, promised: int = 0, fault: Exception | None = None) -> Answer:
    """Ask for picture 7 in 344 px, of which version 2 is published, and get this body."""

    def reply(_request: httpx.Request) -> httpx.Response:
        if fault is not None:
            raise fault
        return httpx.Response(200, content=body)

    load = Load(["http://edge"], published=PUBLISHED)
    load.promised[7] = promised
    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as client:
        return await load.ask(client, "http://edge", 7)


@pytest.mark.parametrize(
    ("number", "version", "side_px", "promised", "verdict"),
    [
        (7, 2, 344, 2, ""),
        (7, 1, 344, 1, ""),  # not purged yet
        (7, 1, 344, 2, OLD),
        (7, 3, 344, 0, WRONG),  # never published
        (8, 2, 344, 2, WRONG),
        (7, 2, 172, 2, WRONG),
    ],
)
def test_the_verdict_on_an_answer(number: int, version: int, side_px: int, promised: int, verdict: str) -> None:
    body = as_jpeg(pixels_of(number, version), side_px)
    assert asyncio.run(answer_of(body, promised=promised)).verdict == verdict


@pytest.mark.parametrize(
    ("fault", "cut"), [(httpx.ReadTimeout("late"), TIMED_OUT), (httpx.RemoteProtocolError("half"), RESET)]
)
def test_a_request_without_an_answer(fault: Exception, cut: str) -> None:
    answer = asyncio.run(answer_of(b"", fault=fault))
    assert (answer.status, answer.cut, answer.verdict) == (0, cut, "")
