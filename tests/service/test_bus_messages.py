"""The messages between workers and the decoder: golden bytes, round trips and damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.latent_codec import Symbols
from service.bus.answer_messages import Answer, Encoded, Failure, Fault, Names, Picture, build_answer, parse_answer
from service.bus.arrays import CELLS, Buffer
from service.bus.fields import Header
from service.bus.request_messages import (
    Cancel,
    Decode,
    Demote,
    Encode,
    Hello,
    Refine,
    Request,
    build_request,
    parse_request,
)
from service.errors import CodecFailed, DamagedBitstream, DamagedMessage, QueueFull
from service.render.jobs import Search
from service.render.picture_codec import CodecNames
from service.settings.quality import TargetScore

STREAM = b"\x01\x02\x03\x04"
H1 = np.arange(CELLS * 2, dtype=np.int32).astype(np.int8).reshape(CELLS, 2)
Q = (np.arange(CELLS * 3, dtype=np.int16) % 7 - 3).reshape(CELLS, 3)
PIXELS = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
NAMES = CodecNames(
    device="cpu", head="high-cpu", kernels="heads=float32", stream_id=b"\x01\x02\x03\x04", default_quality=32,
    readable={
        b"\x01\x02\x03\x04": {344: b"\xaa\xbb\xcc\xdd", 172: b"\x00\x11\x22\x33"},
        b"\x05\x06\x07\x08": {344: b"\xaa\xbb\xcc\xde", 172: b"\x00\x11\x22\x34"},
    },
)  # fmt: skip
REQUESTS: list[Request] = [
    Hello(),
    Cancel(),
    Decode(Symbols(32, H1, Q), STREAM, 344, 12.5),
    Decode(Symbols(63, H1, Q * 100), STREAM, 172, 12.5),
    Encode(PIXELS, 20, patient=True, deadline_s=1.0),
    Encode(PIXELS, TargetScore(70.5), patient=False, deadline_s=1.0),
    Demote(b"bitstream", 31),
    Refine(PIXELS, Search(quality=20, steps=400)),
    Refine(PIXELS, Search(quality=20, steps=1, target=TargetScore(0.0))),
]
ANSWERS: list[Answer] = [
    Names(NAMES),
    Picture(PIXELS, queue_s=0.25, synthesis_s=0.5),
    Encoded(b"bitstream"),
    Encoded(None),
    Failure(Fault.QUEUE_FULL, "512 jobs are waiting"),
]


def read_request(frames: list[Buffer]) -> Request:
    return parse_request(Header.parse(bytes(frames[0])), frames[1:])


def read_answer(frames: list[Buffer]) -> Answer:
    return parse_answer(Header.parse(bytes(frames[0])), frames[1:])


def parts(message: object) -> list[Any]:
    """The fields of a message, arrays as lists."""
    if isinstance(message, np.ndarray):
        return [message.dtype.name, message.tolist()]
    if not hasattr(message, "__dataclass_fields__"):
        return [message]
    return [type(message), *(parts(getattr(message, field.name)) for field in fields(message))]  # type: ignore[arg-type]


def test_the_bytes_of_a_header() -> None:
    header, h1, q = build_request(0x0102, Decode(Symbols(32, H1, Q), STREAM, 344, 12.5))
    assert bytes(header).hex() == "4c4202020201000000000000" + "5801" + "20" + "01" + "01020304" + "0000000000002940"
    assert (len(h1), len(q)) == (CELLS * 2, CELLS * 3)
    assert bytes(q[:7]) == bytes([253, 254, 255, 0, 1, 2, 3])
    header, _ = build_answer(7, Failure(Fault.QUEUE_FULL, "full"))
    assert bytes(header).hex() == "4c4202140700000000000000" + "02"


def test_a_large_symbol_makes_all_of_them_wide() -> None:
    _, _, q = build_request(1, Decode(Symbols(32, H1, Q * 100), STREAM, 344, 12.5))
    assert len(q) == 2 * CELLS * 3


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: type(one).__name__)
def test_a_request_arrives_as_it_was(request_: Request) -> None:
    assert parts(read_request(build_request(9, request_))) == parts(request_)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda one: type(one).__name__)
def test_an_answer_arrives_as_it_was(answer: Answer) -> None:
    assert parts(read_answer(build_answer(9, answer))) == parts(answer)


@pytest.mark.parametrize("error", [QueueFull("a"), CodecFailed("b"), DamagedBitstream("c")])
def test_an_error_arrives_as_the_same_error(error: QueueFull | CodecFailed | DamagedBitstream) -> None:
    arrived = Failure.of(error).error()
    assert (type(arrived), str(arrived)) == (type(error), str(error))


BUILT = [build_request(9, one) for one in REQUESTS] + [build_answer(9, one) for one in ANSWERS]


@given(
    message=st.sampled_from(BUILT),
    read=st.sampled_from([read_request, read_answer]),
    flips=st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), max_size=3),
    cut=st.none() | st.integers(0, 60),
    more=st.lists(st.binary(max_size=9), max_size=2),
)
def test_a_damaged_message_is_another_message_or_a_typed_error(
    message: list[Buffer],
    read: Callable[[list[Buffer]], Request | Answer],
    flips: list[tuple[int, int]],
    cut: int | None,
    more: list[bytes],
) -> None:
    header = bytearray(message[0])
    for place, change in flips:
        header[place % len(header)] ^= change
    try:
        read([bytes(header[:cut]), *message[1:], *more])
    except DamagedMessage:
        return


@given(frames=st.lists(st.binary(max_size=80), min_size=1, max_size=4))
def test_random_bytes_raise_a_typed_error(frames: list[bytes]) -> None:
    for read in (read_request, read_answer):
        with pytest.raises(DamagedMessage):
            read([b"LX", *frames])
        try:
            read([*frames])
        except DamagedMessage:
            continue
