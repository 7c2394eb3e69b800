"""The responses to invalid input, and to requests while the origin, the queue or the store fails."""

import asyncio
import io
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import redis
from PIL import Image

from service.settings.edge_settings import Settings, read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.paused import paused
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import stored_keys
from tests.service.test_revalidation import encodes

FRESH = {"Cache-Control": "max-age=600"}


def bomb() -> bytes:
    """Return a PNG of a few hundred bytes that announces 10,000 x 10,000 pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def assert_problem(response: httpx.Response, status: int) -> None:
    """Assert a problem (RFC 9457) that no cache may store."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    problem = response.json()
    assert problem["status"] == status
    assert problem["detail"]
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    "path",
    [
        "/image/a?res=low",
        "/image/a?res=",
        "/image/a?fmt=gif",
        "/image/a?res=high&res=medium",
        "/image/",
        "/image/%2e%2e/a",
        "/image/a/%2e%2e%2fb",
        "/image/http://host/a",
        "/image/http:%2F%2Fhost/a",
        "/image//host/a",
        "/image/a%5cb",
        "/image/a%00b",
        "/image/a%0d%0aX:%20y",
        "/image/%ff%fe",
        "/image/" + "x" * 513,
    ],
)
def test_bad_requests_never_reach_the_origin(edge: RunningEdge, origin: ScriptedOrigin, path: str) -> None:
    response = raw_get(edge, path)
    assert_problem(response, 400)
    assert not origin.requests


def raw_get(edge: RunningEdge, path: str) -> httpx.Response:
    """Request a path that httpx would normalise."""
    host, port = edge.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n".encode())
        head, _, body = b"".join(iter(lambda: client.recv(65536), b"")).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 500, 503])
def test_an_error_of_the_origin_is_passed_on(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, status: int
) -> None:
    origin.script("/gone", Reply(b"<h1>secrets of the origin</h1>", status=status))
    response = edge.get("/image/gone")
    assert_problem(response, status)
    assert "secrets" not in response.text
    assert response.headers["vary"] == "Accept"
    assert response.headers["cache-status"] == f"latentedge; fwd=uri-miss; fwd-status={status}"
    assert len(stored_keys(store)) == (status in {404, 410})  # see test_negative_caching


def test_an_error_answers_head_without_a_body(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/gone", Reply(status=404))
    response = edge.client.head("/image/gone")
    assert response.status_code == 404
    assert response.content == b""


@pytest.mark.parametrize(
    ("status", "reply"),
    [
        (415, Reply(b"<html>hello</html>", headers={"Content-Type": "image/jpeg"})),
        (415, Reply(b"")),
        (413, Reply(bomb())),
        (413, Reply(bytes(20_000_001))),
        (413, Reply(bytes(20_000_001), announced=False)),
        (502, Reply(bytes(50_000), missing_bytes=10_000)),
        (502, Reply(status=205)),
        (502, Reply(status=304)),
        (502, Reply(status=302, headers={"Location": "http://169.254.169.254/latest"})),
        (502, Reply(status=302, headers={"Location": "//elsewhere.example/a"})),
        (502, Reply(status=302, headers={"Location": "file:///etc/passwd"})),
        (502, Reply(status=302, headers={"Location": "http://[nowhere"})),
        (502, Reply(zlib.compress(b"x"), headers={"Content-Encoding": "deflate"})),
    ],
)
def test_an_unusable_response_of_the_origin_is_an_error(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, status: int, reply: Reply
) -> None:
    origin.script("/bad", reply)
    assert_problem(edge.get("/image/bad"), status)
    assert not stored_keys(store)


def test_a_log_line_quotes_only_a_part_of_an_invalid_response(
    edge: RunningEdge, origin: ScriptedOrigin, caplog: pytest.LogCaptureFixture
) -> None:
    nonsense = Reply(b"x" * 50_000 + b"\r\n", headers={"Transfer-Encoding": "chunked"}, announced=False)
    origin.script("/nonsense", nonsense)
    assert_problem(edge.get("/image/nonsense"), 502)
    (line,) = caplog.messages
    assert line.startswith("OriginBroken: the origin sent no valid response: RemoteProtocolError")
    assert len(line) < 300


def test_a_truncated_picture_is_refused(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/half", Reply(photo[: len(photo) // 2], headers=FRESH))
    assert_problem(edge.get("/image/half"), 422)


def test_a_redirect_within_the_origin_is_followed(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/from", Reply(status=302, headers={"Location": "/to"}))
    origin.script("/to", Reply(photo, headers=FRESH))
    assert edge.get("/image/from?res=medium").status_code == 200


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_without_location_is_passed_on_and_remembered(
    edge: RunningEdge, origin: ScriptedOrigin, status: int
) -> None:
    """RFC 9110 15.4."""
    origin.script("/from", Reply(status=status, headers=FRESH))
    first, second = edge.get("/image/from"), edge.get("/image/from?res=medium")
    assert first.status_code == second.status_code == status
    assert second.headers["cache-status"].startswith("latentedge; hit; ttl=")


def test_a_204_is_passed_on_and_remembered(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    """RFC 9110 15.3.5."""
    origin.script("/none", Reply(status=204, headers=FRESH))
    first, second = edge.get("/image/none"), edge.get("/image/none?res=medium")
    for answer in (first, second):
        assert (answer.status_code, answer.content) == (204, b"")
        assert not {"content-type", "content-length"} & set(answer.headers)
    assert second.headers["cache-status"].startswith("latentedge; hit; ttl=")


@pytest.mark.parametrize("status", [205, 206, 304])
def test_a_success_status_without_a_whole_picture_is_an_error(
    edge: RunningEdge, origin: ScriptedOrigin, status: int
) -> None:
    origin.script("/odd", Reply(status=status, headers=FRESH))
    assert_problem(edge.get("/image/odd"), 502)


@pytest.mark.parametrize("status", [201, 202, 299])
def test_a_picture_with_another_status_is_passed_on_with_it_and_not_stored(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, status: int
) -> None:
    """RFC 9110 15.1."""
    origin.script("/new", *[Reply(photo, status=status)] * 3)
    answers = [edge.get("/image/new?res=medium"), edge.get("/image/new?res=medium"), edge.client.head("/image/new")]
    for answer in answers:
        assert answer.status_code == status
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["cache-status"] == "latentedge; fwd=uri-miss; detail=status"
    assert stored_keys(store) == []


@pytest.mark.parametrize("status", [201, 202, 203, 299])
def test_a_picture_with_another_status_is_stored_if_it_has_an_explicit_lifetime(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, status: int
) -> None:
    """RFC 9111 3."""
    origin.script("/new", Reply(photo, status=status, headers=FRESH))
    filled, hit = edge.get("/image/new"), edge.get("/image/new?res=medium")
    assert filled.status_code == hit.status_code == status
    assert hit.headers["cache-status"].startswith("latentedge; hit; ttl=")
    not_modified = edge.get("/image/new", headers={"If-None-Match": filled.headers["etag"]})
    assert not_modified.status_code == 304


def test_endless_redirects_are_an_error(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/loop", *[Reply(status=302, headers={"Location": "/loop"})] * 4)
    assert_problem(edge.get("/image/loop"), 502)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16"])
def test_unusual_pictures_are_served(edge: RunningEdge, origin: ScriptedOrigin, mode: str) -> None:
    file = io.BytesIO()
    picture = Image.new("I;16", (1, 1), 30_000) if mode == "I;16" else Image.new("RGB", (1, 1), "teal").convert(mode)
    picture.save(file, "JPEG" if mode == "CMYK" else "PNG")
    origin.script("/odd", Reply(file.getvalue(), headers=FRESH))
    assert edge.get("/image/odd?res=medium").status_code == 200


@contextmanager
def special_edge(session_valkey: EmbeddedValkey, **given: object) -> Iterator[RunningEdge]:
    with running_edge(read_settings(**{"redis_url": session_valkey.url, **given})) as special:
        yield special


def test_an_unreachable_origin_is_a_502(session_valkey: EmbeddedValkey) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and never listening: nobody else can be there
        with special_edge(session_valkey, origin=f"http://127.0.0.1:{taken.getsockname()[1]}") as special:
            assert_problem(special.get("/image/a"), 502)
            assert special.get("/readyz").status_code == 200


@pytest.mark.parametrize("sent", ["nothing", "headers"])
def test_an_origin_that_does_not_answer_in_time_is_a_504(session_valkey: EmbeddedValkey, sent: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        if sent == "headers":
            threading.Thread(target=send_headers_and_wait, args=(silent,), daemon=True).start()
        with special_edge(session_valkey, origin=address, origin_timeout_s=0.3) as special:
            assert_problem(special.get("/image/a"), 504)


def send_headers_and_wait(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)  # an answer before the request would be nobody's
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        connection.recv(65536)  # returns when the edge hangs up


def test_a_full_queue_refuses_at_once(session_valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes) -> None:
    with special_edge(session_valkey, origin=origin.url, queue_items=1, batch_items=1) as special:
        origin.script("/busy", Reply(photo, headers=FRESH))
        special.client.head("/image/busy")

        async def crowd() -> list[httpx.Response]:
            async with httpx.AsyncClient(base_url=special.url, timeout=120, trust_env=False) as client:
                return await asyncio.gather(*[client.get("/image/busy") for _ in range(40)])

        answers = asyncio.run(crowd())
        refused = [answer for answer in answers if answer.status_code == 503]
        assert {answer.status_code for answer in answers} == {200, 503}
        assert refused[0].headers["retry-after"] == "1"
        assert_problem(refused[0], 503)
        assert special.get("/livez").status_code == 200


class TestWithoutAStore:
    """The store fails and comes back. Clients always get their picture."""

    @pytest.fixture
    def settings(self, origin: ScriptedOrigin, tmp_path: Path) -> Settings:
        return read_settings(origin=origin.url, redis_url=f"unix://{tmp_path}/store.sock")

    def test_without_the_store_pictures_come_from_the_origin_and_are_not_stored(
        self, settings: Settings, origin: ScriptedOrigin, photo: bytes
    ) -> None:
        origin.script("/cat", *[Reply(photo, headers=FRESH)] * 2)
        with running_edge(settings) as edge:
            for res, side_px in (("medium", 172), ("high", 344)):
                answer = edge.get(f"/image/cat?res={res}")
                assert answer.headers["cache-status"] == "latentedge; fwd=bypass; detail=store-unavailable"
                assert answer.headers["cache-control"] == "max-age=600"
                with Image.open(io.BytesIO(answer.content)) as image:
                    assert image.size == (side_px, side_px)
            assert edge.get("/readyz").status_code == 200
            assert edge.metric("edge_store_errors_total") >= 2
            assert edge.metric('edge_cache_requests_total{res="high",status="bypass"}') == 1
            assert edge.stats()["store"]["answers"] is False

    def test_the_edge_uses_the_store_again_when_it_is_back(
        self, settings: Settings, origin: ScriptedOrigin, photo: bytes, tmp_path: Path, valkey_program: None
    ) -> None:
        _ = valkey_program
        origin.script("/cat", *[Reply(photo, headers=FRESH)] * 3)
        with running_edge(settings) as edge:
            with EmbeddedValkey(limit_bytes=2**24, folder=tmp_path):
                assert "stored" in edge.get("/image/cat").headers["cache-status"]
                assert "hit" in edge.get("/image/cat").headers["cache-status"]
            assert "bypass" in edge.get("/image/cat").headers["cache-status"]
            with EmbeddedValkey(limit_bytes=2**24, folder=tmp_path):
                assert "stored" in edge.get("/image/cat").headers["cache-status"]
                assert "hit" in edge.get("/image/cat?res=medium").headers["cache-status"]

    def test_a_store_that_hangs_delays_pictures_and_loses_none(
        self, valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
    ) -> None:
        settings = read_settings(origin=origin.url, redis_url=valkey.url, store_timeout_s=1.5, store_retry_s=0)
        origin.script("/cat", *[Reply(photo, headers=FRESH)] * 2)
        with running_edge(settings) as edge:
            with paused(valkey):
                assert "bypass" in edge.get("/image/cat").headers["cache-status"]
            assert "stored" in edge.get("/image/cat").headers["cache-status"]
            assert "hit" in edge.get("/image/cat").headers["cache-status"]

    def test_requests_at_the_same_time_share_one_fetch(
        self, settings: Settings, origin: ScriptedOrigin, photo: bytes
    ) -> None:
        gate = threading.Event()
        origin.script("/crowd", Reply(photo, headers=FRESH, gate=gate))
        with running_edge(settings) as edge:

            async def crowd() -> list[httpx.Response]:
                async with httpx.AsyncClient(base_url=edge.url, timeout=120, trust_env=False) as client:
                    tasks = [
                        asyncio.create_task(client.get("/image/crowd", params={"res": ("high", "medium")[number % 2]}))
                        for number in range(20)
                    ]
                    await asyncio.to_thread(edge.arrivals.wait_for, 20)
                    # A request that has arrived joins the flight within a few turns of the loop; this one comes after
                    # all of them, and its answer proves that they had those turns.
                    await client.get("/livez")
                    await client.get("/livez")
                    gate.set()
                    return await asyncio.gather(*tasks)

            answers = asyncio.run(crowd())
        assert {answer.status_code for answer in answers} == {200}


def test_a_closed_edge_has_no_open_sockets_files_or_threads(session_valkey: EmbeddedValkey) -> None:
    """Compare after a first start, which leaves some sockets, files and threads open for good."""

    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    if not Path("/proc/self/fd").exists():
        pytest.skip("only Linux lists what a process has open")
    counts = []
    for _ in range(4):
        with special_edge(session_valkey, origin="http://127.0.0.1:9") as special:
            assert_problem(special.get("/image/a"), 502)
        counts.append(held())
    # Other edges of this process open or close something now and then; what each edge left open would add up.
    for kind in zip(*counts[1:], strict=True):
        assert not all(before < after for before, after in pairwise(kind)), counts


def test_a_store_that_cannot_be_written_costs_no_encode(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    """A replica, or a full store that evicts nothing: the latent would be made and thrown away."""
    origin.script("/cat", *[Reply(photo, headers=FRESH)] * 3)
    encoded = encodes(edge)
    store.config_set("min-replicas-to-write", 1)
    try:
        answers = [edge.get("/image/cat") for _ in range(2)]
    finally:
        store.config_set("min-replicas-to-write", 0)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert {answer.headers["cache-status"] for answer in answers} == {"latentedge; fwd=uri-miss; detail=no-lease"}
    assert encodes(edge) == encoded
    assert "stored" in edge.get("/image/cat").headers["cache-status"]
