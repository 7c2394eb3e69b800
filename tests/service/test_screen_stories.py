"""EDGE_SCREEN=auto and off on edges that share a store, and a child below them: one key, one string, one entity tag."""

import io
from collections.abc import Iterator
from dataclasses import replace

import httpx
import numpy as np
import pytest
import redis
from PIL import Image

from models.bitstream import kind_of
from models.config import HIGH_PX, MEDIUM_PX
from models.picture_array import Pixels
from models.pixels import lanczos_half
from models.screen.choice import find_candidate
from models.screen.stream import encode_if_smaller
from models.screen.stream_ids import SCREEN_STREAM_ID
from service.cache import source_file
from service.errors import RecordOfOthers
from service.metrics.outcomes import SweepOutcome
from service.records.census import estimate
from service.records.purge_table import PurgeTable
from service.records.record import pack
from service.records.record_reader import Books, RecordReader
from service.records.store_keys import record_key
from service.refine.candidates import SweepAim, candidate
from service.render import image_file
from service.rules.negotiation import LATENT_MEDIA_TYPE, Wanted
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from service.store.random_sample import Sample, StoredValue
from service.upstream.source import Prepared
from tests.models import golden_streams
from tests.models.pictures import photograph
from tests.models.screen_pictures import as_stored
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import stored_keys
from tests.service.tiers import change, child_of, encodes, own_store, record_of, told

FRESH = {"Cache-Control": "max-age=600"}
LIMITS = image_file.ImageLimits(source_pixels=10**7)


@pytest.fixture(scope="module")
def _auto(session_valkey: EmbeddedValkey, _session_edge: RunningEdge) -> Iterator[RunningEdge]:
    settings = read_settings(
        origin=_session_edge.settings.origin,
        redis_url=session_valkey.url,
        screen="auto",
        refine=1,
        latent_token=LATENT_TOKEN,
    )
    with running_edge(settings) as edge:
        yield edge


@pytest.fixture
def auto(_auto: RunningEdge, edge: RunningEdge) -> RunningEdge:
    """An edge with EDGE_SCREEN=auto, which shares its empty store with `edge`, and searches for better latents."""
    assert edge.settings.screen == "off"
    return _auto


@pytest.fixture(scope="module")
def _hasty(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    url = own_store(session_valkey, 9)
    given = {"redis_url": url, "miss": "source", "miss_items": 9, "latent_token": LATENT_TOKEN}
    with running_edge(read_settings(origin=_session_origin.url, screen="auto", **given)) as edge:
        yield edge


@pytest.fixture
def hasty(_hasty: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    """An edge with EDGE_MISS=source and EDGE_SCREEN=auto, which has a store of its own."""
    own_store(session_valkey, 9)
    return _hasty


@pytest.fixture(scope="module")
def logo() -> Pixels:
    return as_stored("logo")


@pytest.fixture(scope="module")
def logo_file(logo: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(logo).save(file, "PNG")
    return file.getvalue()


def pixels_of(answer: httpx.Response) -> Pixels:
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image.convert("RGB"))


def key_of(edge: RunningEdge, image_id: str) -> bytes:
    return record_key(image_id, origin=edge.settings.origin)


def test_an_edge_with_off_serves_what_an_edge_with_auto_has_stored(
    auto: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, logo: Pixels, logo_file: bytes
) -> None:
    origin.script("/logo", Reply(logo_file, headers=FRESH))
    first = auto.get("/image/logo?fmt=png")
    record = record_of(auto, "logo")
    assert kind_of(record.bitstream) == "screen"
    assert np.array_equal(pixels_of(first), logo), "the logo is not kept exactly"
    for one in (auto, edge):
        for res, wanted in (("high", logo), ("medium", lanczos_half(logo))):
            hit = one.get(f"/image/logo?res={res}&fmt=png")
            assert told(hit) == "latentedge; hit"
            assert np.array_equal(pixels_of(hit), wanted), f"another {res} picture"
    assert edge.get("/image/logo?fmt=png").headers["etag"] == first.headers["etag"]
    again = edge.get("/image/logo?fmt=png", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


def test_an_edge_with_auto_serves_the_latent_that_an_edge_with_off_has_stored(
    auto: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, logo_file: bytes
) -> None:
    origin.script("/logo", Reply(logo_file, headers=FRESH))
    first = edge.get("/image/logo")
    assert kind_of(record_of(edge, "logo").bitstream) == "high"
    hit = auto.get("/image/logo")
    assert told(hit) == "latentedge; hit"
    assert hit.headers["etag"] == first.headers["etag"]


def test_the_entity_tag_names_the_mode(
    auto: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, logo_file: bytes
) -> None:
    origin.script("/one", Reply(logo_file, headers=FRESH))
    origin.script("/other", Reply(logo_file, headers=FRESH))
    assert auto.get("/image/one").headers["etag"] != edge.get("/image/other").headers["etag"]


def test_a_photograph_does_not_change_by_a_byte(
    auto: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    for name in ("/one", "/other"):
        origin.script(name, Reply(photo, headers=FRESH))
    assert auto.get("/image/one").headers["etag"] == edge.get("/image/other").headers["etag"]
    assert kind_of(record_of(edge, "other").bitstream) == "high"


def test_files_of_a_screen_stream_keep_the_colours_of_thin_lines(
    auto: RunningEdge, origin: ScriptedOrigin, logo: Pixels, logo_file: bytes, photo: bytes
) -> None:
    origin.script("/logo", Reply(logo_file, headers=FRESH))
    origin.script("/cat", Reply(photo, headers=FRESH))
    for query in ("fmt=jpeg", "fmt=jpeg&res=medium"):
        assert sampling(auto.get(f"/image/logo?{query}").content) == (1, 1)
    assert sampling(auto.get("/image/cat?fmt=jpeg").content) == (2, 2)
    assert np.array_equal(pixels_of(auto.get("/image/logo?fmt=webp")), logo), "the WebP is not exact"
    assert pixels_of(auto.get("/image/logo?fmt=webp&res=medium")).shape == (172, 172, 3)
    mean_error = np.abs(pixels_of(auto.get("/image/logo?fmt=avif")).astype(int) - logo).mean()
    assert mean_error < 2


@pytest.mark.parametrize("query", ["fmt=jpeg", "fmt=jpeg&res=medium", "fmt=webp", "fmt=webp&res=medium"])
def test_a_preview_keeps_the_colours_of_thin_lines_as_the_record_does(
    hasty: RunningEdge, origin: ScriptedOrigin, logo: Pixels, logo_file: bytes, query: str
) -> None:
    origin.script("/logo", Reply(logo_file, headers=FRESH))
    preview = hasty.get(f"/image/logo?{query}")
    assert told(preview) == "latentedge; fwd=uri-miss; detail=source"
    hasty.latent("logo")  # waits for the record
    hit = hasty.get(f"/image/logo?{query}")
    assert told(hit) == "latentedge; hit"
    assert kind_of(record_of(hasty, "logo").bitstream) == "screen"
    assert np.array_equal(pixels_of(preview), pixels_of(hit)), "the preview is not the picture of the record"
    if query.startswith("fmt=jpeg"):
        assert sampling(preview.content) == sampling(hit.content) == (1, 1)
    elif query == "fmt=webp":
        assert np.array_equal(pixels_of(preview), logo), "the WebP of the preview is not exact"


def test_a_preview_of_a_photograph_is_as_without_the_screen_mode(
    hasty: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    for name in ("/jpeg", "/webp"):
        origin.script(name, Reply(photo, headers=FRESH))
    for media_type in ("jpeg", "webp"):
        preview = hasty.get(f"/image/{media_type}?fmt={media_type}")
        assert told(preview) == "latentedge; fwd=uri-miss; detail=source"
        square = image_file.square(image_file.read(photo, limits=LIMITS).pixels, HIGH_PX)
        assert preview.content == image_file.write(square, f"image/{media_type}"), f"another {media_type}"
        hasty.latent(media_type)


def test_a_photograph_on_a_flat_ground_gets_no_lossless_preview() -> None:
    flat = np.full((HIGH_PX, HIGH_PX, 3), 250, np.uint8)
    flat[80:260, 80:260] = photograph()[80:260, 80:260]
    assert find_candidate(flat)
    assert image_file.write_like_screen(flat, "image/webp") == image_file.write(flat, "image/webp"), "lossless"


def test_an_edge_with_off_writes_a_preview_as_ever(
    edge: RunningEdge, auto: RunningEdge, origin: ScriptedOrigin, logo_file: bytes
) -> None:
    origin.script("/secret", *[Reply(logo_file, headers={"Cache-Control": "no-store"})] * 2)
    assert sampling(edge.get("/image/secret?fmt=jpeg").content) == (2, 2)
    assert sampling(auto.get("/image/secret?fmt=jpeg").content) == (1, 1)


def sampling(file: bytes) -> tuple[int, int]:
    """Return the sampling factors of the first component of a JPEG."""
    with Image.open(io.BytesIO(file)) as image:
        layer: tuple[int, int, int, int] = image.layer[0]  # type: ignore[attr-defined]
    return layer[1:3]


def test_a_child_takes_the_screen_stream_of_its_parent(
    auto: RunningEdge, session_valkey: EmbeddedValkey, origin: ScriptedOrigin, logo: Pixels, logo_file: bytes
) -> None:
    origin.script("/logo", Reply(logo_file, headers=FRESH))
    with child_of(auto.url, session_valkey, origin=auto.settings.origin) as child:
        below = child.get("/image/logo?fmt=png")
        assert told(below) == "latentedge; fwd=uri-miss; stored"
        assert encodes(child) == 0
        assert below.headers["etag"] == auto.get("/image/logo?fmt=png").headers["etag"]
        assert np.array_equal(pixels_of(below), logo), "another picture"
        assert record_of(child, "logo").bitstream == record_of(auto, "logo").bitstream == auto.latent("logo").content


@pytest.mark.parametrize("finds_screens", [True, False])
def test_a_child_that_stores_nothing_writes_the_files_of_its_parents_record(
    logo: Pixels, *, finds_screens: bool
) -> None:
    stream = encode_if_smaller(logo)
    assert stream is not None
    latent = golden_streams.read_all()[31].blob
    for pixels, bitstream, wanted_sampling in ((logo, stream, (1, 1)), (photograph(), latent, (2, 2))):
        source = Prepared(b"digest", 1, pixels, lanczos_half(pixels), 1, 1, LATENT_MEDIA_TYPE, bitstream=bitstream)
        for size_px in (HIGH_PX, MEDIUM_PX):
            wanted = Wanted("logo", size_px, "image/jpeg")
            assert sampling(source_file.write(source, wanted, finds_screens=finds_screens)) == wanted_sampling


def test_no_search_and_no_sweep_touches_a_screen_stream(
    auto: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, logo_file: bytes
) -> None:
    origin.script("/logo", Reply(logo_file, headers=FRESH))
    before = auto.metric("edge_refinements_total")
    auto.get("/image/logo")
    assert auto.metric("edge_refinements_total") == before
    value = store.get(key_of(auto, "logo"))
    assert isinstance(value, bytes)
    aim = SweepAim(origin=auto.settings.origin, stream_id=b"weig", steps=9)
    assert candidate(key_of(auto, "logo"), value, aim=aim, purges=PurgeTable()) is SweepOutcome.SCREEN


def test_the_census_counts_screen_streams(
    auto: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, logo_file: bytes, photo: bytes
) -> None:
    origin.script("/logo", Reply(logo_file, headers=FRESH))
    origin.script("/cat", Reply(photo, headers=FRESH))
    auto.get("/image/logo")
    auto.get("/image/cat")
    values = [StoredValue(key, bytes(store.get(key) or b""), 9) for key in stored_keys(store)]  # type: ignore[arg-type]
    census = estimate(Sample(objects=2, used_bytes=0, limit_bytes=0, evicted_total=0, values=tuple(values)))
    assert (census.objects, census.screens) == (2, 1)
    # An edge takes a census at most every two seconds, so its figures may be those of the test before.
    assert auto.stats()["store"]["screens"] in {0, 1}


def test_a_damaged_screen_stream_is_fetched_again(
    auto: RunningEdge, origin: ScriptedOrigin, logo: Pixels, logo_file: bytes
) -> None:
    origin.script("/logo", Reply(logo_file, headers=FRESH), Reply(logo_file, headers=FRESH))
    auto.get("/image/logo")
    whole = record_of(auto, "logo").bitstream
    change(auto, "logo", bitstream=whole[:-1] + bytes([whole[-1] ^ 1]))
    refilled = auto.get("/image/logo?fmt=png")
    assert "detail=damaged-record" in refilled.headers["cache-status"]
    assert np.array_equal(pixels_of(refilled), logo), "another picture"
    assert record_of(auto, "logo").bitstream == whole


def test_a_reader_without_the_mode_takes_the_record_for_one_of_other_weights(
    auto: RunningEdge, origin: ScriptedOrigin, logo_file: bytes
) -> None:
    origin.script("/logo", Reply(logo_file, headers=FRESH))
    auto.get("/image/logo")
    record, key = record_of(auto, "logo"), key_of(auto, "logo")
    assert record.stream_id == SCREEN_STREAM_ID
    older = Books(origin=auto.settings.origin, stream_ids=frozenset({b"weig"}), foreign_hold_s=3600)
    reader = RecordReader(older, now=lambda: record.filled_ms / 1000)
    with pytest.raises(RecordOfOthers):
        reader.read(pack(replace(record), key), key)
