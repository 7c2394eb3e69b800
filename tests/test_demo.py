"""The parts of the demonstration: pictures, children, load, figures. One test runs a small demonstration as a whole."""

import asyncio
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from models.config import HIGH_PX
from models.scores import Ssimulacra2
from service.cli import run
from service.commands.failure import CommandFailure
from service.demo import load, photographs
from service.demo.children import HOST, claim_port, edge_server, free_port, origin_server
from service.demo.load_figures import OriginFigures, StoreFigures, hit_ratio, origin_figures, print_tables
from service.demo.samples import DecodedPicture, avif, find_avif_quality
from service.serving.origin_server import STATS_PATH

LIMIT_S = 60


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> photographs.PhotoFolder:
    return photographs.write_photographs(tmp_path_factory.mktemp("photographs"))


def answer(name: str, *, hit: bool, ok: bool = True) -> load.Answer:
    return load.Answer(name, res="high", ok=ok, hit=hit, seconds=0.01, body_bytes=100)


def test_the_bundled_pictures_are_photographs_and_crops_and_say_so(bundled: photographs.PhotoFolder) -> None:
    assert bundled.sentence == "8 photographs and 152 crops of these 8"
    assert len(set(bundled.names)) == 160
    assert len(bundled.featured) == 6
    for name in bundled.names:
        with Image.open(bundled.folder / name) as picture:
            assert picture.format == "JPEG"
            assert min(picture.size) >= HIGH_PX, name


def test_a_users_folder_is_searched_for_pictures(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.jpg", "deep/a.PNG", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert photographs.find_photographs(tmp_path).names == ("b.jpg", "deep/a.PNG")


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandFailure, match="no pictures"):
        photographs.find_photographs(tmp_path)


def test_a_port_in_use_is_reported_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandFailure, match=f"port {port}"):
            claim_port(port)


def test_a_server_that_cannot_start_is_reported_with_the_last_line_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_QUALITY", "99")
    with (
        pytest.raises(CommandFailure, match="EDGE_QUALITY"),
        edge_server("http://127.0.0.1:9", log=tmp_path / "log", port=free_port()),
    ):
        pytest.fail("it must not get here")


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from service.demo.children import origin_server
room = Path(sys.argv[1])
with origin_server(room, log=room / "log") as child:
    print(child.popen.pid, flush=True)
    sys.stdin.read()
"""
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child_fd = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.send_signal(signal.SIGKILL)
            ended, _, _ = select.select([child_fd], [], [], LIMIT_S)
            assert ended, "the child outlived its parent"
        finally:
            os.close(child_fd)


def test_the_load_is_the_same_every_time_and_reaches_the_server(
    bundled: photographs.PhotoFolder, tmp_path: Path
) -> None:
    with origin_server(bundled.folder, log=tmp_path / "log") as origin:
        answers = [
            asyncio.run(load.send(origin.url, bundled.names, requests=30, on_answer=lambda: None)) for _ in range(2)
        ]
    assert [len(one) for one in answers] == [30, 30]
    assert asked(answers[0]) == asked(answers[1])
    assert not any(one.ok for one in answers[0])  # the origin has nothing under /image/
    assert {one.res for one in answers[0]} == {"high", "medium"}


def asked(answers: Sequence[load.Answer]) -> list[tuple[str, str]]:
    return sorted((one.name, one.res) for one in answers)


@pytest.mark.parametrize(
    ("cache_status", "hit"),
    [
        ("latentedge; hit; ttl=30", True),
        ("latentedge;hit", True),
        ("latentedge; fwd=uri-miss; stored", False),
        ("latentedge; fwd=uri-miss; collapsed", False),
        ("origin; fwd=miss, outer; hit", False),
        ("hit", False),
        ("", False),
    ],
)
def test_a_hit_is_what_the_header_calls_one(cache_status: str, *, hit: bool) -> None:
    assert load.is_hit(cache_status) is hit


def test_failed_requests_do_not_count_for_the_hit_ratio() -> None:
    answers = [answer("a", hit=False), answer("a", hit=True), answer("a", hit=True), answer("b", hit=False, ok=False)]
    assert hit_ratio(answers) == pytest.approx(2 / 3)
    figures = origin_figures(answers, source_bytes={"a": 1000, "b": 5}, requests=2, egress_bytes=1005)
    assert figures == OriginFigures(requests=2, egress_bytes=1005, avoided_bytes=2000)


def test_the_tables_fit_a_narrow_terminal() -> None:
    answers = [answer("a", hit=False), answer("a", hit=True)]
    store = StoreFigures(
        pictures=160,
        store_bytes=1_600_000,
        jpeg_pictures=160,
        jpeg_pair_bytes=30_000,
        avif_pictures=12,
        avif_pair_bytes=15_000,
        avif_latent_bytes=9_000,
    )
    screen = io.StringIO()
    origin = OriginFigures(requests=1, egress_bytes=1000, avoided_bytes=1000)
    print_tables(Console(file=screen, width=80), answers, store=store, origin=origin)
    for words in ("50.0%", "10.0 / 10.0 ms", "30,000", "0.33 of it", "0.60 of it"):
        assert words in screen.getvalue()


def test_the_matched_avif_file_is_the_first_that_scores_as_high() -> None:
    with Image.open(io.BytesIO(photograph_bytes())) as picture:
        reference = np.asarray(picture.convert("RGB").crop((100, 60, 272, 232)))
    noise = np.random.default_rng(0).integers(-6, 7, reference.shape)
    decoded = np.clip(reference.astype(int) + noise, 0, 255).astype(np.uint8)
    scorer = Ssimulacra2(reference)
    target = scorer.score(decoded)
    quality = find_avif_quality(DecodedPicture(reference, decoded=decoded, ssimulacra2=target))

    def score(quality: int) -> float:
        with Image.open(io.BytesIO(avif(reference, quality))) as picture:
            return scorer.score(np.asarray(picture.convert("RGB")))

    assert score(quality - 1) < target <= score(quality)


def photograph_bytes() -> bytes:
    return (resources.files("sklearn.datasets.images") / "china.jpg").read_bytes()


def test_a_small_demonstration_runs_as_a_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("EDGE_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "photographs"
    folder.mkdir()
    (folder / "china.jpg").write_bytes(photograph_bytes())
    sheet = tmp_path / "sheet.png"
    arguments = ["demo", "--once", "--requests", "40", "--port", "0", "--photos", str(folder), "--sheet", str(sheet)]
    assert run(arguments) == 0, capfd.readouterr().err
    printed = capfd.readouterr().out
    assert "1 pictures of" in printed
    assert "40 (0)" in printed
    with Image.open(sheet) as picture:
        assert picture.width > 2 * HIGH_PX


def test_the_readiness_check_is_not_counted(bundled: photographs.PhotoFolder, tmp_path: Path) -> None:
    with origin_server(bundled.folder, log=tmp_path / "log") as origin:
        counts = json.load(urllib.request.urlopen(origin.url + STATS_PATH))
    assert counts["requests"] == 0
