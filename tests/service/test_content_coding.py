"""Content codings of an origin that nobody asked for: words that are no coding, gzip, and codings that are refused."""

import gzip
import zlib

import pytest

from service.errors import OriginBroken
from service.rules.content_coding import decompress, gzip_layers
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin


@pytest.mark.parametrize(
    ("field", "layers"),
    [
        ("", 0),
        ("identity", 0),
        ("aws-chunked", 0),
        ("UTF-8", 0),
        ("none", 0),
        ("binary, ,base64", 0),
        ("gzip", 1),
        ("X-GZip", 1),
        ("aws-chunked,gzip", 1),
        ("gzip, gzip", 2),
    ],
)
def test_only_registered_codings_count(field: str, layers: int) -> None:
    assert gzip_layers(field) == layers


@pytest.mark.parametrize("field", ["deflate", "aws-chunked, BR", "zstd", "compress", "gzip, br", "gzip,gzip,gzip"])
def test_other_codings_are_refused(field: str) -> None:
    with pytest.raises(OriginBroken):
        gzip_layers(field)


def test_gzip_is_undone_up_to_a_cap() -> None:
    zeros = bytes(1_000_000)
    once = gzip.compress(zeros)
    for body, layers in ((once, 1), (gzip.compress(once), 2)):
        assert decompress(body, layers, cap_bytes=1_000_000) == zeros, "other bytes"
        assert len(decompress(body, layers, cap_bytes=2_000)) == 2_001


def test_a_body_that_is_no_gzip_is_unchanged() -> None:
    assert decompress(b"\xff\xd8 a JPEG", 1, cap_bytes=100) == b"\xff\xd8 a JPEG"
    assert decompress(b"", 1, cap_bytes=100) == b""
    assert decompress(gzip.compress(b"once") + b"bytes after it", 2, cap_bytes=100) == b"once"


@pytest.mark.parametrize("cut", [3, 15, -1, -8])
def test_a_truncated_or_damaged_gzip_is_an_error(cut: int) -> None:
    whole = gzip.compress(bytes(range(200)))
    with pytest.raises(OriginBroken, match="truncated"):
        decompress(whole[:cut], 1, cap_bytes=1_000)
    with pytest.raises(OriginBroken, match="damaged"):
        decompress(whole[:-8] + bytes(8), 1, cap_bytes=1_000)


@pytest.mark.parametrize("coding", ["", "aws-chunked", "UTF-8", "none", "identity"])
def test_a_picture_with_a_word_that_is_no_coding_is_served(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, coding: str
) -> None:
    origin.script("/cat", Reply(photo, headers={"Content-Encoding": coding}))
    assert "stored" in edge.get("/image/cat").raise_for_status().headers["cache-status"]


@pytest.mark.parametrize("coding", ["gzip", "aws-chunked,gzip", "x-gzip"])
def test_a_picture_that_is_stored_with_gzip_is_served(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, coding: str
) -> None:
    origin.script("/plain", Reply(photo))
    origin.script("/cat", Reply(gzip.compress(photo), headers={"Content-Encoding": coding}))
    plain = edge.get("/image/plain").raise_for_status()
    cat = edge.get("/image/cat").raise_for_status()
    assert cat.content == plain.content, "the pictures differ"
    assert "content-encoding" not in cat.headers


def test_a_file_that_must_not_be_transformed_is_sent_decompressed(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    headers = {"Content-Encoding": "gzip", "Cache-Control": "no-transform, max-age=60"}
    origin.script("/cat", Reply(gzip.compress(photo), headers=headers))
    answer = edge.get("/image/cat").raise_for_status()
    assert answer.content == photo, "the file has changed"
    assert "content-encoding" not in answer.headers


def test_a_gzip_file_that_becomes_too_large_is_refused(valkey: EmbeddedValkey, origin: ScriptedOrigin) -> None:
    origin.script("/bomb", Reply(gzip.compress(bytes(1_000_001)), headers={"Content-Encoding": "gzip"}))
    settings = read_settings(origin=origin.url, redis_url=valkey.url, source_bytes=1_000_000)
    with running_edge(settings) as edge:
        assert edge.get("/image/bomb").status_code == 413


@pytest.mark.parametrize("coding", ["deflate", "br"])
def test_a_picture_with_another_coding_is_an_error(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, coding: str, caplog: pytest.LogCaptureFixture
) -> None:
    origin.script("/cat", Reply(zlib.compress(photo), headers={"Content-Encoding": coding}))
    assert edge.get("/image/cat").status_code == 502
    assert f"content coding {coding}" in caplog.text
