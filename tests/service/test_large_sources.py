"""Large files of the origin: their own lane, and a child with limits that always exits."""

import asyncio
import contextlib
import io
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from service.errors import DamagedPicture, NotAPicture, PictureTooLarge, QueueFull, SourceError
from service.render import decoding_work, image_file, shown_part
from service.render.decoding_work import bound_px
from service.render.image_file import ImageLimits
from service.upstream import source_reader as source_reader_module
from service.upstream.child_reader import ChildLimits, ChildReader
from service.upstream.source import Prepared, prepare
from service.upstream.source_messages import unpack_answer
from service.upstream.source_reader import SMALL_PX, Lane, SourceReader
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.test_decoding_work import (
    avif_with_a_false_size,
    chunk,
    jpeg_with,
    png_with,
    segment,
    tiff_of_one_tile,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at children in /proc")

LIMITS = ImageLimits(source_pixels=64_000_000)
CHILD = ChildLimits.for_pixels(LIMITS.source_pixels, cpu_s=60)
LIMIT_S = 120
FRESH = {"Cache-Control": "max-age=600"}


def black_png(width_px: int, height_px: int) -> bytes:
    """Return a file of a few kilobytes with many pixels of one bit."""
    header = struct.pack(">IIBBBBB", width_px, height_px, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + (width_px + 7) // 8) * height_px), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


LARGE = black_png(4000, 4000)


def many_scans(scans: int) -> bytes:
    """Return a progressive JPEG that repeats its last scan, each over all pixels."""
    file = io.BytesIO()
    Image.new("L", (2000, 2000)).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * scans + whole[-2:]


@contextlib.contextmanager
def child_reader(limits: ChildLimits = CHILD) -> Iterator[ChildReader]:
    reader = ChildReader(limits)
    try:
        yield reader
    finally:
        reader.close()


@contextlib.contextmanager
def source_reader() -> Iterator[SourceReader]:
    with ThreadPoolExecutor(1) as threads:
        reader = SourceReader(LIMITS, threads=threads, cpu_s=60)
        try:
            yield reader
        finally:
            reader.close()


def children() -> set[int]:
    """Return the pids of the children that read large files for this process."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return {pid for pid in found if is_a_reader(pid)}


def is_a_reader(pid: int) -> bool:
    try:
        return "service.upstream.source_child" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # it has ended meanwhile
        return False


def end_children() -> None:
    """End the children of earlier tests; an edge that needs one starts another."""
    for child in children():
        os.kill(child, signal.SIGKILL)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)


def memory_kb(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def same(one: Prepared, other: Prepared) -> bool:
    rest = ("source_digest", "source_bytes", "conventional_high_bytes", "conventional_medium_bytes", "media_type")
    pixels = np.array_equal(one.high, other.high) and np.array_equal(one.medium, other.medium)
    return pixels and all(getattr(one, name) == getattr(other, name) for name in rest)


def test_a_child_reads_as_a_thread_does(photo: bytes) -> None:
    with child_reader() as reader:
        for file in (photo, LARGE, photo):
            assert same(reader.prepare(file), prepare(file, LIMITS)), "another picture"


@pytest.mark.parametrize(
    ("file", "error"),
    [(b"<html>", NotAPicture), (LARGE[:-100], DamagedPicture), (black_png(8001, 8000), PictureTooLarge)],
)
def test_a_child_reports_an_unusable_file_and_reads_the_next(
    photo: bytes, file: bytes, error: type[SourceError]
) -> None:
    with child_reader() as reader:
        reader.prepare(photo)
        before = children()
        with pytest.raises(error):
            reader.prepare(file)
        reader.prepare(photo)
        assert children() == before


def test_a_file_that_takes_too_much_cpu_time_is_too_large(photo: bytes) -> None:
    """300 kB of scans over 4 megapixels take a minute of CPU time, and a thread could not be interrupted."""
    with child_reader(replace(CHILD, cpu_s=1)) as reader:
        with pytest.raises(PictureTooLarge, match="1 s of CPU time"):
            reader.prepare(many_scans(20_000))
        assert same(reader.prepare(photo), prepare(photo, LIMITS)), "another child reads the next file"


def test_a_file_that_waits_too_long_for_a_busy_cpu_is_not_to_blame(photo: bytes) -> None:
    with child_reader(replace(CHILD, wait_s=0.01)) as reader, pytest.raises(QueueFull, match="busy"):
        reader.prepare(LARGE + photo)


def test_a_file_that_takes_too_much_memory_is_too_large(photo: bytes) -> None:
    with child_reader(replace(CHILD, memory_bytes=200 * 2**20)) as reader:
        with pytest.raises(PictureTooLarge, match="out of memory"):
            reader.prepare(black_png(7900, 7900))
        assert same(reader.prepare(photo), prepare(photo, LIMITS)), "the same child reads the next file"


@pytest.mark.parametrize("program", [shutil.which("false"), "/no/such/program"])
def test_a_child_that_cannot_start_is_an_overload_and_no_fault_of_the_file(
    photo: bytes, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with child_reader() as reader, pytest.raises(QueueFull, match="child"):
        reader.prepare(photo)


def test_a_file_that_cannot_be_opened_for_lack_of_memory_is_too_large() -> None:
    """The file is tiny, so that the child can read it from the pipe without more memory."""
    with child_reader(replace(CHILD, memory_bytes=2**20)) as reader, pytest.raises(PictureTooLarge):
        reader.prepare(black_png(1, 1))


def test_a_file_that_cannot_be_received_for_lack_of_memory_is_too_large() -> None:
    with child_reader(replace(CHILD, memory_bytes=200 * 2**20)) as reader, pytest.raises(PictureTooLarge):
        reader.prepare(bytes(150 * 2**20))


def test_a_file_whose_child_is_killed_by_another_is_not_to_blame(photo: bytes) -> None:
    others = children()
    with child_reader() as reader, ThreadPoolExecutor(1) as threads:
        reader.prepare(photo)
        (child,) = children() - others
        os.kill(child, signal.SIGSTOP)
        reading = threads.submit(reader.prepare, LARGE)
        with Path(f"/proc/{child}/fd/0").open("rb") as questions:
            assert select.select([questions], [], [], LIMIT_S)[0], "the child has been sent the file"
        os.kill(child, signal.SIGKILL)
        with pytest.raises(QueueFull, match="killed"):
            reading.result()


def test_memory_that_a_large_file_took_is_given_back() -> None:
    """36 megapixels are 144 MB as RGB alone."""
    others = children()
    with child_reader() as reader:
        reader.prepare(black_png(6000, 6000))
        reader.prepare(black_png(10, 10))  # so that it has tidied up behind the first
        (child,) = children() - others
        assert memory_kb(child, "VmHWM") > 140_000
        assert memory_kb(child, "VmRSS") < 90_000


def test_a_child_that_has_died_is_replaced(photo: bytes) -> None:
    others = children()
    with child_reader() as reader:
        reader.prepare(photo)
        (child,) = children() - others
        os.kill(child, signal.SIGKILL)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert same(reader.prepare(photo), prepare(photo, LIMITS)), "another picture"


PARENT = """
import os, sys
from service.upstream.child_reader import ChildLimits, ChildReader
reader = ChildReader(ChildLimits.for_pixels(10**6, cpu_s=60))
reader.prepare(sys.stdin.buffer.read())
print(reader._child.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_child_ends_with_its_parent(photo: bytes) -> None:
    parent = subprocess.run([sys.executable, "-c", PARENT], input=photo, stdout=subprocess.PIPE, check=False)
    assert parent.returncode == -signal.SIGKILL
    with contextlib.suppress(ProcessLookupError):  # gone already
        ended = os.pidfd_open(int(parent.stdout))
        assert select.select([ended], [], [], LIMIT_S)[0]


def test_a_closed_reader_does_not_wait_for_its_file(photo: bytes) -> None:
    """The child is stopped for ever."""

    async def story(reader: SourceReader) -> int:
        others = children()
        await reader.prepare(LARGE)
        (child,) = children() - others
        os.kill(child, signal.SIGSTOP)
        reading = asyncio.create_task(reader.prepare(LARGE))
        assert (await reader.prepare(photo)).media_type == "image/jpeg"
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        return child

    with source_reader() as reader:
        child = asyncio.run(story(reader))
    assert not Path(f"/proc/{child}").exists()


def test_small_files_need_no_child(photo: bytes) -> None:
    before = children()
    with source_reader() as reader:
        assert same(asyncio.run(reader.prepare(photo)), prepare(photo, LIMITS)), "another picture"
        assert children() == before


@pytest.mark.parametrize("file", [black_png(2049, 2048), many_scans(11), black_png(8, 8) + bytes(SMALL_PX)])
def test_many_pixels_scans_or_bytes_make_a_file_large(file: bytes) -> None:
    assert (bound_px(file) or 0) > SMALL_PX


@pytest.mark.parametrize("file", [black_png(2048, 2048), many_scans(0)])
def test_other_files_are_small(file: bytes) -> None:
    assert (bound_px(file) or 0) <= SMALL_PX


@pytest.mark.parametrize(
    "bomb",
    [
        tiff_of_one_tile(4096),
        avif_with_a_false_size(),
        jpeg_with(b"\xff" * 2**20),
        jpeg_with(segment(0xEF, b"") * 100_000),
        png_with(chunk(b"tEXt", b"a\0b") * 20_000),
    ],
    ids=["TIFF tile", "AVIF size", "JPEG fill bytes", "JPEG segments", "PNG texts"],
)
def test_a_file_without_a_bound_is_opened_in_the_child(edge: RunningEdge, origin: ScriptedOrigin, bomb: bytes) -> None:
    """It is served, refused or too large for the child; only the child shows that the edge did not open it itself."""
    origin.script("/bomb", Reply(bomb, headers=FRESH))
    end_children()
    assert edge.get("/image/bomb").status_code in {200, 413, 422}
    assert children()


def test_a_tile_that_is_larger_than_its_picture_meets_the_memory_limit() -> None:
    """The tile takes 256 MB, the picture 4 kB."""
    with (
        child_reader(replace(CHILD, memory_bytes=200 * 2**20)) as reader,
        pytest.raises(SourceError, match=r"memory|decoder error -9"),  # Pillow's code for a lack of memory
    ):
        reader.prepare(tiff_of_one_tile(16_000))


def test_a_file_in_which_pillow_sees_more_pixels_than_the_bound_goes_to_the_child(
    photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = children()
    monkeypatch.setattr(source_reader_module, "SMALL_PX", 2**17)
    monkeypatch.setattr(decoding_work, "bound_px", lambda _: 1)
    with source_reader() as reader:
        assert same(asyncio.run(reader.prepare(photo)), prepare(photo, LIMITS)), "another picture"
        assert children() > before


def test_a_miss_does_not_wait_behind_large_files(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    """Six large files wait while their child is stopped."""
    names = [f"bomb{number}" for number in range(6)]
    origin.script("/first", Reply(LARGE, headers=FRESH))
    origin.script("/plain", Reply(photo, headers=FRESH))
    bombs = [Reply(LARGE, headers=FRESH) for _ in names]
    for name, bomb in zip(names, bombs, strict=True):
        origin.script(f"/{name}", bomb)
    end_children()
    assert edge.get("/image/first").status_code == 200  # the child has been started
    (child,) = children()
    with ThreadPoolExecutor(len(names)) as clients:
        os.kill(child, signal.SIGSTOP)
        try:
            waiting = [clients.submit(edge.get, f"/image/{name}") for name in names]
            assert all(bomb.arrived.wait(LIMIT_S) for bomb in bombs)
            assert edge.get("/image/plain").status_code == 200
            assert not any(one.done() for one in waiting)
        finally:
            os.kill(child, signal.SIGCONT)
        assert {one.result().status_code for one in waiting} == {200}


def test_the_least_work_comes_first() -> None:
    async def story() -> list[int]:
        lane, first, came = Lane(waiting=3), asyncio.Event(), []

        async def take(work: int) -> None:
            async with lane.turn(work):
                came.append(work)
                await first.wait()

        tasks = [asyncio.create_task(take(work)) for work in (60, 50, 5, 20)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await take(1)
        tasks[2].cancel()
        first.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        await take(7)
        return came

    assert asyncio.run(story()) == [60, 20, 50, 7]


def test_a_turn_that_comes_to_a_cancelled_task_goes_to_the_next() -> None:
    async def story() -> None:
        lane = Lane(waiting=2)

        async def take() -> None:
            async with lane.turn(1):
                pass

        async with lane.turn(1):
            left, stays = asyncio.create_task(take()), asyncio.create_task(take())
            await asyncio.sleep(0)
        left.cancel()  # its turn has come in this very moment
        await asyncio.wait_for(stays, LIMIT_S)
        await take()

    asyncio.run(story())


@given(st.integers(0, 255), st.binary(max_size=200))
def test_an_invalid_answer_of_a_child_is_refused(outcome: int, rest: bytes) -> None:
    with pytest.raises((ValueError, SourceError)):
        unpack_answer(outcome, rest)


def test_decoding_a_jpeg_at_a_reduced_scale_costs_little_quality() -> None:
    """16 photographs beside each other, at 3072 px: 1536 px are decoded."""
    tile = Image.fromarray(data.astronaut())  # type: ignore[no-untyped-call]
    mosaic, file = Image.new("RGB", (3072, 3072)), io.BytesIO()
    for x in range(0, 3072, 512):
        for y in range(0, 3072, 512):
            mosaic.paste(tile.rotate(90 * ((x + y) // 512)), (x, y))
    mosaic.save(file, "JPEG", quality=90)
    whole = image_file.read(file.getvalue(), limits=LIMITS).pixels
    squares = image_file.read_squares(file.getvalue(), (344, 172), limits=LIMITS).pixels
    for pixels, size_px in zip(squares, (344, 172), strict=True):
        reference = image_file.square(whole, size_px)
        error = np.square(pixels.astype(float) - reference).mean()
        assert 0 < error < 255**2 / 10**5, "50 dB, and not the same"


def test_strips_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 500, 4), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    (whole,) = image_file.read_squares(file.getvalue(), (344,), limits=LIMITS).pixels
    monkeypatch.setattr(shown_part, "STRIP_PX", 3000)
    (strips,) = image_file.read_squares(file.getvalue(), (344,), limits=LIMITS).pixels
    assert np.array_equal(whole, strips), "strips differ"
    read = image_file.read(file.getvalue(), limits=LIMITS).pixels
    assert np.array_equal(whole, image_file.square(read, 344)), "the square of the whole picture differs"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_squares_are_upright(photo: bytes, orientation: int) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    with Image.open(io.BytesIO(photo)) as image:
        image.crop((0, 0, 512, 400)).save(file, "PNG", exif=exif)
    (upright,) = image_file.read_squares(file.getvalue(), (344,), limits=LIMITS).pixels
    expected = image_file.square(image_file.read(file.getvalue(), limits=LIMITS).pixels, 344)
    assert np.array_equal(upright, expected), "turned otherwise"


def test_more_pixels_than_pillow_allows_by_itself() -> None:
    """Pillow refuses more than 179 million pixels, however large EDGE_SOURCE_PIXELS is."""
    file = black_png(2900, 64_000)
    with child_reader(ChildLimits.for_pixels(2900 * 64_000, cpu_s=60)) as reader:
        assert (reader.prepare(file).high == 0).all(), "the picture is not black"
    with child_reader(ChildLimits.for_pixels(2900 * 64_000 - 1, cpu_s=60)) as reader, pytest.raises(PictureTooLarge):
        reader.prepare(file)
