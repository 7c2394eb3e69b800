"""The shadow baseline: its estimates against a simulation of every request, and its way through an edge."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
from skimage import data

from models.screen.stream import decode
from models.screen.stream_ids import SCREEN_STREAM_ID
from service.metrics.telemetry import Telemetry
from service.records.census import StoreCensus
from service.records.record import unpack
from service.render import image_file
from service.render.codec_worker import CodecWorker
from service.render.conventional_files import AVIF, JPEG, SCREEN_AS_LATENT_QUALITY, file_bytes
from service.render.screen_codec import ScreenCodec
from service.rendition import RENDITIONS
from service.settings.edge_settings import read_settings
from service.shadow.baseline import FORMATS, Baseline
from service.shadow.events import ALL, CAPACITY, Event, EventRing, Threshold
from service.shadow.file_sizes import FileBytes, FileSizes
from service.shadow.ghost_cache import FIRST_COUNT, GhostCache
from service.shadow.keeper import Keeper
from service.store.embedded import EmbeddedValkey
from tests.models.golden_screens import read_screens
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.test_record import GOLDEN, KEY
from tests.service.watched_codec import OPTIONS
from tests.shadow_load import OVERHEAD_BYTES, Load, Replayed, replay, sampled

MEMORY_BYTES = 15_000_000
FRESH = {"Cache-Control": "max-age=600"}


@pytest.fixture(scope="module")
def replayed() -> Replayed:
    load = Load.drawn(pictures=6_000, requests=25_000, exponent=0.9, seed=1)
    return replay(load, memory_bytes=MEMORY_BYTES)


def observe(replayed: Replayed, *, most_files: int) -> Baseline:
    baseline = Baseline(most_files=most_files)
    baseline.set_memory(MEMORY_BYTES, file_overhead_bytes=OVERHEAD_BYTES)
    for minute, events in groupby(sampled(replayed, baseline), key=lambda one: one[0]):
        baseline.add([event for _, event in events], minute=minute)
    return baseline


def test_a_sample_tells_the_hit_ratio_of_files(replayed: Replayed) -> None:
    baseline = observe(replayed, most_files=400)
    assert baseline.rate < 0.3
    assert baseline.files <= 400
    for name in FORMATS:
        estimate = baseline.estimate(name)
        assert estimate is not None
        assert estimate.hit_ratio == pytest.approx(replayed.files[name], abs=0.02)
        assert 0 < estimate.error < 0.05
    assert replayed.own - replayed.files["jpeg"] > 0.08, "the estimate has to tell a difference that matters"


def test_a_sample_of_all_pictures_leaves_nothing_to_chance(replayed: Replayed) -> None:
    baseline = observe(replayed, most_files=10_000)
    assert baseline.rate == 1
    assert baseline.own_hit_ratio() == pytest.approx(replayed.own)
    for name in FORMATS:
        estimate = baseline.estimate(name)
        assert estimate is not None
        assert estimate.error == 0
        # Both evict by chance, with other seeds.
        assert estimate.hit_ratio == pytest.approx(replayed.files[name], abs=0.005)


def test_an_hour_is_remembered(replayed: Replayed) -> None:
    baseline = observe(replayed, most_files=400)
    baseline.add([], minute=10_000)
    assert baseline.own_hit_ratio() is None
    assert baseline.estimate("jpeg") is None


def event(picture: int, *, own_hit: int, size: int = 0) -> Event:
    return Event(picture, 100, 100, counted=1, hits=own_hit, size=size, own_hit=own_hit)


def test_what_the_latents_had_before_counts_for_the_files_too() -> None:
    """The store was filled before this process began, and nothing has been evicted since."""
    baseline = Baseline()
    baseline.set_memory(1e6, file_overhead_bytes=0)
    baseline.add([event(1, own_hit=1)], minute=0)
    estimate = baseline.estimate("jpeg")
    assert estimate is not None
    assert estimate.hit_ratio == 1
    # The other size of a picture that both have fetched is a file of its own, but the same latent.
    baseline.add([event(1, own_hit=1, size=1)], minute=0)
    estimate = baseline.estimate("jpeg")
    assert estimate is not None
    assert estimate.hit_ratio == 0.5


def test_the_least_used_name_goes_first() -> None:
    ghost = GhostCache(seed=1)
    ghost.capacity_bytes = 1000
    for _ in range(200):
        ghost.access((1, 0), 500, minute=0)
    assert len(ghost) == 1
    ghost.access((2, 0), 500, minute=0)
    ghost.access((3, 0), 500, minute=0)
    assert (1, 0) in ghost, "it was used most"
    assert len(ghost) == 2
    assert ghost.used_bytes == 1000
    # Counters fall with the minutes, so that even it goes in the end.
    ghost.access((4, 0), 500, minute=FIRST_COUNT + 200)
    ghost.access((4, 0), 500, minute=FIRST_COUNT + 200)
    ghost.access((5, 0), 500, minute=FIRST_COUNT + 200)
    assert (1, 0) not in ghost


def test_events_pass_between_processes_by_a_file(tmp_path: Path) -> None:
    worker, keeper = EventRing(tmp_path / "ring"), EventRing(tmp_path / "ring")
    worker.put(event(7, own_hit=1))
    assert keeper.take() == ([event(7, own_hit=1)], 0)
    assert keeper.take() == ([], 0)
    for picture in range(CAPACITY + 3):
        worker.put(event(picture, own_hit=0))
    events, lost = keeper.take()
    assert lost == 3
    assert [one.picture for one in events] == list(range(3, CAPACITY + 3))
    worker.close()
    keeper.close()


def test_all_workers_obey_one_threshold(tmp_path: Path) -> None:
    keeper, worker = Threshold(tmp_path), Threshold(tmp_path)
    assert worker.value == ALL
    keeper.value = 1000
    assert worker.value == 1000
    keeper.close()
    worker.close()


def test_the_ring_of_a_dead_worker_is_replayed_and_removed(tmp_path: Path) -> None:
    dead = tmp_path / "shadow-999999999.events"  # above any pid that Linux gives
    ring = EventRing(dead)
    telemetry = Telemetry()
    keeper = Keeper(telemetry.shadow, folder=tmp_path, sampler=None)
    census = StoreCensus(answers=True, objects=1, latent_bytes=1000, used_bytes=2000, limit_bytes=10_000)
    keeper.replay(census, now_s=0)
    assert not dead.exists()
    ring.close()


@pytest.mark.parametrize("media_type", [JPEG, AVIF])
@pytest.mark.parametrize("size_px", [344, 172])
def test_files_grow_with_the_quality_of_the_latent(media_type: str, size_px: int) -> None:
    pixels = image_file.square(data.astronaut(), size_px)  # type: ignore[no-untyped-call]
    assert file_bytes(pixels, media_type, 16) < file_bytes(pixels, media_type, 31) < file_bytes(pixels, media_type, 46)
    assert file_bytes(pixels, media_type, 0) == file_bytes(pixels, media_type, 16), "beyond the table, its end counts"


def test_the_tolerance_of_a_screen_stream_is_not_taken_for_the_quality_of_a_latent() -> None:
    blob = read_screens()[0].blob
    record = replace(unpack(GOLDEN, KEY), bitstream=blob, stream_id=SCREEN_STREAM_ID, quality=0)
    with ThreadPoolExecutor(1) as threads:
        codec = ScreenCodec(CodecWorker(OPTIONS, Telemetry().codec), writes=False, limits=OPTIONS.queue)
        sizes = FileSizes(codec, threads, cpu_share=0.5, is_busy=lambda: False)
        asyncio.run(sizes.measure(record))
    for number, rendition in enumerate(RENDITIONS):
        pixels = decode(blob, size_px=rendition.size_px)
        wanted = [file_bytes(pixels, one, SCREEN_AS_LATENT_QUALITY) for one in (JPEG, AVIF)]
        assert sizes.find(record, number) == FileBytes(*wanted)


@pytest.fixture
def measuring(session_valkey: EmbeddedValkey, origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    settings = read_settings(origin=origin.url, redis_url=session_valkey.url, shadow_cpu=0.5)
    with running_edge(settings) as edge:
        yield edge


def test_an_edge_measures_and_tells(measuring: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    edge = measuring
    origin.script("/shadowed", Reply(photo, headers=FRESH))
    before = edge.metric('edge_shadow_events_total{result="replayed"}')
    for res in ("high", "medium", "medium"):
        edge.get(f"/image/shadowed?res={res}")
    while edge.metric('edge_shadow_events_total{result="replayed"}') < before + 3:
        assert edge.get("/livez").status_code == 200
    while not edge.metric("edge_shadow_measured_total"):
        assert edge.get("/livez").status_code == 200
    shadow = edge.stats()["shadow"]
    assert shadow["latents"] == pytest.approx(2 / 3)
    assert shadow["jpeg"] == shadow["avif"] == pytest.approx(1 / 3), "each size is a file of its own"
    assert shadow["sampled_share"] == 1
    assert edge.metric('edge_shadow_error{files="avif"}') == 0
