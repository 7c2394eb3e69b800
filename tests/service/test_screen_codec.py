"""An edge with EDGE_SCREEN=off compiles the screen mode with the first screen stream that it reads, and only once."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from models.config import HIGH_PX, MEDIUM_PX
from models.screen import stream
from service.metrics.telemetry import Telemetry
from service.render.codec_worker import CodecWorker
from service.render.jobs import Decoded
from service.render.screen_codec import ScreenCodec
from tests.models.golden_screens import read_screens
from tests.service.watched_codec import LIMIT_S, OPTIONS


def test_compiling_does_not_count_as_the_time_of_a_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_by: list[str] = []
    may_compile = threading.Event()
    monkeypatch.setattr(stream, "compile_coder", held(stream.compile_coder, may_compile, compiled_by))
    sizes = asyncio.run(decode_both_sizes(may_compile))
    assert sizes == [HIGH_PX, MEDIUM_PX]
    assert len(compiled_by) == 1
    assert not compiled_by[0].startswith("screen-"), "a thread with a bounded queue has compiled"


def held(compile_coder: Callable[[], None], gate: threading.Event, threads: list[str]) -> Callable[[], None]:
    """Return the call, which waits for `gate` and notes its thread."""

    def compile_when_allowed() -> None:
        threads.append(threading.current_thread().name)
        assert gate.wait(LIMIT_S), "held for ever"
        compile_coder()

    return compile_when_allowed


async def decode_both_sizes(may_compile: threading.Event) -> list[int]:
    """Decode a picture in both sizes at a time, while both wait for the compiler."""
    codec = ScreenCodec(CodecWorker(OPTIONS, Telemetry().codec), writes=False, limits=OPTIONS.queue)
    blob = read_screens()[0].blob
    decodes = [asyncio.create_task(codec.decode(blob, size_px=size_px)) for size_px in (HIGH_PX, MEDIUM_PX)]
    await asyncio.sleep(0)
    may_compile.set()
    found: list[Decoded] = await asyncio.gather(*decodes)
    await codec.close()
    return [len(one.pixels) for one in found]
