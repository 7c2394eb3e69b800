"""A parent that fails or sends wrong data: the client still gets the picture of the origin."""

import asyncio
import threading
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import NoReturn

import httpx
import pytest

from models.codec import Codec
from service.errors import OriginUnreachable
from service.metrics.telemetry import Telemetry
from service.metrics.timings import Timings
from service.records.latent_facts import FIELD
from service.records.record import source_digest
from service.render.codec_worker import CodecWorker
from service.render.image_file import ImageLimits
from service.rules.freshness import FreshnessRules
from service.rules.response_fields import ResponseFields
from service.store.embedded import EmbeddedValkey
from service.upstream.intake import Intake
from service.upstream.origin_client import Limits, OriginClient
from service.upstream.parent import Parent
from service.upstream.response_body import HeldSlot
from service.upstream.source import ANY_TERMS
from service.upstream.source_reader import SourceReader
from tests.models.golden_screens import read_screens
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.tiers import (
    FACTS,
    LATENT,
    SAID,
    a_latent,
    aged,
    another_latent,
    child_of,
    flipped,
    passed_over,
    record_of,
    told,
)
from tests.service.watched_codec import OPTIONS


def a_screen() -> bytes:
    """Return the screen stream of a logo."""
    (logo,) = (one.blob for one in read_screens() if one.name == "logo")
    return logo


@pytest.fixture(scope="module")
def scripted_parent() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as parent:
        yield parent


@pytest.fixture(scope="module")
def _ward(
    session_valkey: EmbeddedValkey, scripted_parent: ScriptedOrigin, _session_origin: ScriptedOrigin
) -> Iterator[RunningEdge]:
    patient = {"parent_retry_s": 0, "parent_timeout_s": 60}
    with child_of(scripted_parent.url, session_valkey, store=2, origin=_session_origin.url, **patient) as edge:
        yield edge


@pytest.fixture
def ward(_ward: RunningEdge, edge: RunningEdge, scripted_parent: ScriptedOrigin) -> Iterator[RunningEdge]:
    """An edge whose parent follows a script."""
    _ = edge
    yield _ward
    scripted_parent.forget()


@pytest.mark.parametrize(
    ("reason", "reply"),
    [
        ("damaged", Reply(flipped(a_latent(), -5), headers={**LATENT, **FACTS})),
        ("damaged", Reply(a_latent()[:-4], headers={**LATENT, **FACTS})),
        ("damaged", Reply(a_latent()[:12], headers={**LATENT, **FACTS})),
        ("damaged", Reply(a_latent() + bytes(2**21), headers={**LATENT, **FACTS})),
        ("foreign", Reply(flipped(a_latent(), 4), headers={**LATENT, **FACTS})),
        ("damaged", Reply(flipped(a_screen(), -5), headers={**LATENT, **FACTS})),
        ("damaged", Reply(a_screen()[:-4], headers={**LATENT, **FACTS})),
        ("damaged", Reply(a_screen()[:9] + a_latent()[9:], headers={**LATENT, **FACTS})),
        ("damaged", Reply(a_latent()[:3] + a_screen()[3:7] + a_latent()[7:], headers={**LATENT, **FACTS})),
        ("foreign", Reply(flipped(a_screen(), 4), headers={**LATENT, **FACTS})),
        ("foreign", Reply(a_screen()[:8] + b"\3" + a_screen()[9:], headers={**LATENT, **FACTS})),
        ("foreign", Reply(b"", headers={**LATENT, **FACTS})),
        ("foreign", Reply(b"<html>", headers={**LATENT, **FACTS})),
        ("not_a_picture", Reply(b"<html>", headers={"Content-Type": "text/html"})),
        ("not_a_picture", Reply(a_latent(), headers={"Content-Type": "application/octet-stream"})),
        ("broken", Reply(a_latent(), missing_bytes=100, headers=LATENT)),
        ("broken", Reply(status=304)),
        ("broken", Reply(status=302, headers={"Location": "http://elsewhere.example/"})),
        ("refused", Reply(status=500)),
        ("refused", Reply(status=403, headers={"Cache-Status": "x; fwd=uri-miss; fwd-status=403"})),
        ("refused", Reply(status=401, headers={"Cache-Status": "x; fwd=uri-miss; fwd-status=401"})),
        ("wrong_token", Reply(status=401)),
        ("no_latents", Reply(b"no such route", status=404)),
        ("loop", Reply(status=508)),
    ],
)
def test_the_origin_is_asked_if_the_parent_sends_no_usable_latent(
    ward: RunningEdge,
    origin: ScriptedOrigin,
    scripted_parent: ScriptedOrigin,
    photo: bytes,
    reason: str,
    reply: Reply,
) -> None:
    scripted_parent.script("/latent/cat", reply)
    origin.script("/cat", Reply(photo, headers=SAID))
    before = passed_over(ward, reason)
    assert told(ward.get("/image/cat?res=medium")) == "latentedge; fwd=uri-miss; stored"
    assert passed_over(ward, reason) == before + 1
    assert record_of(ward, "cat").source_bytes == len(photo)


def test_a_failure_of_the_codec_does_not_count_as_a_damaged_latent(
    ward: RunningEdge,
    origin: ScriptedOrigin,
    scripted_parent: ScriptedOrigin,
    photo: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The latent is valid, and the networks fail once."""
    synthesize = Codec.synthesize

    def fail(_codec: Codec, _symbols: object, *, size_px: int) -> NoReturn:
        monkeypatch.setattr(Codec, "synthesize", synthesize)
        raise RuntimeError(f"no {size_px} px")

    scripted_parent.script("/latent/cat", Reply(a_latent(), headers={**LATENT, **FACTS}))
    origin.script("/cat", Reply(photo, headers=SAID))
    before = {reason: passed_over(ward, reason) for reason in ("damaged", "codec_failed")}
    monkeypatch.setattr(Codec, "synthesize", fail)
    assert told(ward.get("/image/cat")) == "latentedge; fwd=uri-miss; stored"
    assert passed_over(ward, "damaged") == before["damaged"]
    assert passed_over(ward, "codec_failed") == before["codec_failed"] + 1
    assert "the codec failed" in caplog.text


def test_a_parent_that_is_too_slow_is_given_up(
    session_valkey: EmbeddedValkey, origin: ScriptedOrigin, scripted_parent: ScriptedOrigin, photo: bytes
) -> None:
    gate = threading.Event()
    scripted_parent.script("/latent/cat", Reply(gate=gate))
    origin.script("/cat", Reply(photo, headers=SAID))
    with child_of(scripted_parent.url, session_valkey, store=3, origin=origin.url, parent_timeout_s=0.3) as hasty:
        assert told(hasty.get("/image/cat")) == "latentedge; fwd=uri-miss; stored"
        assert passed_over(hasty, "too_slow") == 1
    gate.set()
    scripted_parent.forget()


def test_the_origin_validates_a_stale_picture_if_the_parent_fails(
    ward: RunningEdge, origin: ScriptedOrigin, scripted_parent: ScriptedOrigin
) -> None:
    scripted_parent.script("/latent/cat", Reply(a_latent(), headers={**LATENT, **FACTS}), Reply(status=503))
    origin.script("/cat", Reply(status=304))
    assert told(ward.get("/image/cat")) == "latentedge; fwd=uri-miss; stored"
    aged(ward, "cat", 601)
    assert told(ward.get("/image/cat")) == "latentedge; fwd=stale; fwd-status=304; stored"
    assert origin.requests[-1].headers["If-None-Match"] == '"v1"'
    asked = scripted_parent.requests[-1].headers["If-None-Match"]
    assert asked == ward.latent("cat").headers["etag"]


def test_the_facts_of_a_latent_without_any_are_measured(ward: RunningEdge, scripted_parent: ScriptedOrigin) -> None:
    scripted_parent.script("/latent/cat", Reply(a_latent(), headers=LATENT))
    assert ward.get("/image/cat").status_code == 200
    record = record_of(ward, "cat")
    assert record.source_bytes == len(a_latent()) == len(record.bitstream)
    assert 20_000 < record.conventional_high_bytes < 60_000
    assert 5_000 < record.conventional_medium_bytes < 20_000
    assert record.origin_etag == ""


class BusyOrigin(OriginUnreachable):
    """An error without a label of its own."""


class BusyClient(OriginClient):
    async def _receive(self, response: httpx.Response, fields: ResponseFields, held: HeldSlot) -> NoReturn:  # noqa: ARG002
        raise BusyOrigin(f"{response.status_code}, {fields.status}")


def test_an_error_without_a_label_is_counted_as_its_base(origin: ScriptedOrigin) -> None:
    origin.script("/cat", Reply(b"x"))
    telemetry = Telemetry()

    async def story(threads: Executor) -> None:
        client = BusyClient(origin.url, limits=Limits(source_bytes=99, timeout_s=60), observer=telemetry.parent)
        intake = Intake(
            FreshnessRules(default_ttl_s=60),
            worker=CodecWorker(OPTIONS, telemetry.codec),
            reader=SourceReader(ImageLimits(source_pixels=9), threads=threads, cpu_s=1),
        )
        parent = Parent(client, intake=intake, retry_s=0, counts=telemetry.parent)
        assert await parent.ask("cat", ANY_TERMS, Timings()) is None
        await client.close()

    with ThreadPoolExecutor(1) as threads:
        asyncio.run(story(threads))
    figures = telemetry.exposition().decode()
    assert 'edge_parent_requests_total{outcome="unreachable"} 1.0' in figures
    assert 'edge_parent_fallbacks_total{reason="unreachable"} 1.0' in figures


def test_a_false_claim_about_a_source_brings_no_other_picture_from_memory(
    session_valkey: EmbeddedValkey, scripted_parent: ScriptedOrigin, origin: ScriptedOrigin, photo: bytes
) -> None:
    """The parent says of one picture's latent that it was made from the file of another picture."""
    claimed = b64encode(source_digest(photo)).decode()
    lies = {FIELD: f"digest=:{claimed}:, bytes=9, high=8, medium=7, refinement=0, etag=::"}
    scripted_parent.script("/latent/impostor", Reply(another_latent(), headers={**LATENT, **lies}))
    scripted_parent.script("/latent/cat", Reply(a_latent(), headers={**LATENT, **lies}))
    with child_of(scripted_parent.url, session_valkey, store=2, origin=origin.url, hot_bytes=2**20) as edge:
        shown = edge.get("/image/impostor").content
        cat = edge.get("/image/cat")
        assert edge.get("/image/cat").content == cat.content, "the second answer is another one"
    assert cat.content != shown, "the other picture came from memory"
    scripted_parent.forget()
