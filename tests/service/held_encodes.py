"""Encodes that a test can hold: the codec's thread waits before each of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from service.render.codec_worker import CodecWorker
from service.render.jobs import EncodeJob

LIMIT_S = 120


class HeldEncodes:
    """The held encodes of all codecs in this process."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_go_on = threading.Event()


@contextmanager
def held_encodes() -> Iterator[HeldEncodes]:
    """Hold the encodes during the block; they are real ones."""
    held, encode = HeldEncodes(), CodecWorker._encode

    def later(worker: CodecWorker, jobs: Sequence[EncodeJob]) -> None:
        if jobs:
            held.begun.set()
            assert held.may_go_on.wait(LIMIT_S), "held for ever"
        encode(worker, jobs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CodecWorker, "_encode", later)
        try:
            yield held
        finally:
            held.may_go_on.set()
