"""The commands check, warm and top, on a real edge, a real store and a scripted origin."""

import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from rich.console import Console

from service.commands.check_report import Part
from service.commands.live_figures import Moment, frame
from service.commands.probes import probe_origins
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from service.web.stats import Figures
from tests.command_line import Shell
from tests.service.running_edge import LATENT_TOKEN, RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import stored_keys


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, session_valkey: EmbeddedValkey, origin: ScriptedOrigin) -> None:
    monkeypatch.setenv("EDGE_ORIGIN", origin.url)
    monkeypatch.setenv("EDGE_REDIS_URL", session_valkey.url)


@pytest.mark.usefixtures("environment")
def test_check_finds_nothing_wrong(latentedge: Shell, origin: ScriptedOrigin, store: redis.Redis) -> None:
    store.flushall()
    origin.script("/latentedge-check", Reply(status=404))
    outcome = latentedge("check")
    assert outcome.out.splitlines() == [f"{part}: ok" for part in ("settings", "machine", "weights", "store", "origin")]
    assert outcome.code == 0
    assert list(store.scan_iter()) == []  # nothing of the probe is left


def test_check_tells_all_faults_at_once(
    latentedge: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unused_port: int
) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    monkeypatch.setenv("EDGE_ORIGIN", f"http://127.0.0.1:{unused_port}")
    monkeypatch.setenv("EDGE_REDIS_URL", f"redis://:s3cret@127.0.0.1:{unused_port}")
    monkeypatch.setenv("EDGE_WEIGHTS", str(tmp_path / "bad.safetensors"))
    monkeypatch.setenv("EDGE_QUALITY", "99")
    monkeypatch.setenv("EDGE_ADMIN_PROT", "8081")
    monkeypatch.setenv("EDGE_PARENT", "http://parent.example")
    outcome = latentedge("check")
    assert outcome.code == 1
    lines = outcome.out.splitlines()
    starts = (
        "settings: FAULT: EDGE_QUALITY",
        "settings: FAULT: EDGE: EDGE_PARENT",
        "settings: FAULT: EDGE_ADMIN_PROT: there is no such setting; did you mean EDGE_ADMIN_PORT?",
        "machine: ok",
        "weights: FAULT",
        "store: FAULT",
        "origin: FAULT",
        "parent: not checked",
    )
    assert [line for line, start in zip(lines, starts, strict=True) if not line.startswith(start)] == []
    assert "s3cret" not in outcome.out


@pytest.mark.usefixtures("environment")
def test_check_leaves_out_only_what_its_faults_concern(latentedge: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ORIGIN", "ftp://origin.example")
    monkeypatch.setenv("EDGE_PARENT", "http://parent.example")
    monkeypatch.delenv("EDGE_PARENT_TOKEN", raising=False)
    outcome = latentedge("check")
    assert outcome.code == 1
    lines = outcome.out.splitlines()
    assert lines[0].startswith("settings: FAULT: EDGE_ORIGIN")
    left_out = "not checked, because its settings are invalid"
    assert lines[-3:] == ["store: ok", f"origin: {left_out}", f"parent: {left_out}"]


@pytest.mark.usefixtures("environment")
def test_check_reports_a_picture_that_the_origin_refuses(latentedge: Shell, origin: ScriptedOrigin) -> None:
    origin.script("/latentedge-check", Reply(status=401))
    origin.script("/cats/1.jpg", Reply(status=403))
    outcome = latentedge("check", "--id", "cats/1.jpg")
    assert outcome.code == 1
    assert [line for line in outcome.out.splitlines() if line.startswith("origin")] == [
        "origin: FAULT: the origin answered 401",
        "origin: FAULT: cats/1.jpg: the origin answered 403",
    ]


@pytest.mark.parametrize(
    ("image_id", "told"), [("\udcff", "\\udcff: the image id contains"), ("x" * 70_000, "the image id has 70000")]
)
def test_a_picture_that_no_edge_would_ask_for_is_told(
    origin: ScriptedOrigin, session_valkey: EmbeddedValkey, image_id: str, told: str
) -> None:
    origin.script("/latentedge-check", Reply(status=404))
    settings = read_settings(origin=origin.url, redis_url=session_valkey.url)
    (fault,) = asyncio.run(probe_origins(settings, image_id))
    assert told in "".join(Part("origin", (fault,)).lines())


@pytest.mark.usefixtures("environment")
def test_check_asks_the_parent_with_its_token(
    latentedge: Shell,
    edge: RunningEdge,
    origin: ScriptedOrigin,
    monkeypatch: pytest.MonkeyPatch,
    unused_port: int,
) -> None:
    def told() -> list[str]:
        return [line for line in latentedge("check").out.splitlines() if line.startswith("parent")]

    origin.script("/latentedge-check", *[Reply(status=404)] * 5)  # four by the child, and one by the parent
    monkeypatch.setenv("EDGE_PARENT", edge.url)
    monkeypatch.setenv("EDGE_PARENT_TOKEN", LATENT_TOKEN)
    assert told() == ["parent: ok"]
    monkeypatch.setenv("EDGE_PARENT_TOKEN", "wrong")
    assert told() == [
        "parent: FAULT: EDGE_PARENT_TOKEN is not the EDGE_LATENT_TOKEN of the parent, which answers 401",
    ]
    monkeypatch.setenv("EDGE_PARENT", f"http://127.0.0.1:{unused_port}")
    (line,) = told()
    assert line.startswith("parent: FAULT: the parent cannot be reached")
    monkeypatch.setenv("EDGE_PARENT", origin.url)  # no edge
    origin.script("/latent/latentedge-check", Reply(status=404))
    (line,) = told()
    assert line.startswith("parent: FAULT: the parent answers 404")


def test_warm_fills_the_store_and_tells_the_failed_ids(
    latentedge: Shell, edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, tmp_path: Path
) -> None:
    origin.script("/a.jpg", Reply(photo))
    origin.script("/b c.jpg", Reply(photo, headers={"Cache-Control": "no-store"}))
    origin.script("/gone.jpg", Reply(status=404))
    ids = tmp_path / "ids"
    ids.write_text("a.jpg\nb c.jpg\n\ngone.jpg\na.jpg\n", encoding="utf-8")
    outcome = latentedge("warm", ids, "--edge", edge.url, "--per-second", 0, "--at-once", 2)
    assert outcome.code == 1
    assert outcome.err.splitlines() == ["gone.jpg: 404 Not Found"]
    told = json.loads(outcome.out)
    assert told.pop("seconds") > 0
    assert told == {"pictures": 3, "stored": 1, "hit": 0, "not_stored": 1, "failed": 1}
    assert len(stored_keys(store)) == 2  # a picture, and the error that is remembered


def test_warm_reads_ids_from_stdin(
    latentedge: Shell, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.script("/a.jpg", Reply(photo))
    assert edge.get("/image/a.jpg").status_code == 200
    monkeypatch.setattr(sys, "stdin", io.StringIO("a.jpg\n"))
    outcome = latentedge("warm", "-", "--edge", edge.url)
    assert (outcome.code, json.loads(outcome.out)["hit"]) == (0, 1)


def test_warm_tells_each_id_that_cannot_be_asked_for(
    latentedge: Shell, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, tmp_path: Path
) -> None:
    """None of them may end the run, or lead to another route of the edge."""
    origin.script("/a.jpg", Reply(photo))
    bad = ["../livez", "/a.jpg", "http://a.example/a.jpg", "x" * 70_000, "\x1b]0;title\x07", "a\\b"]
    (tmp_path / "ids").write_text("\ufeff" + "\n".join([*bad, "a.jpg"]), encoding="utf-8")
    options = ("--edge", edge.url, "--per-second", 0, "--key", "00", "--salt", "00")
    outcome = latentedge("warm", tmp_path / "ids", *options)
    assert outcome.code == 1
    told = {line.rpartition(": ")[0] for line in outcome.err.splitlines()}
    assert told == {*bad[:4], "\\x1b]0;title\\x07", bad[5]}
    assert {name: json.loads(outcome.out)[name] for name in ("stored", "failed")} == {"stored": 1, "failed": 6}


@pytest.mark.parametrize(
    "options", [("--edge", "http://a\x01"), ("--key", "zz", "--salt", "00"), ("--key", "00")], ids=lambda one: one[0]
)
def test_warm_tells_wrong_options_in_one_line(latentedge: Shell, options: tuple[str, ...]) -> None:
    outcome = latentedge("warm", os.devnull, *options)
    assert (outcome.code, len(outcome.err.splitlines())) == (2, 1)


def test_text_of_a_hostile_edge_gives_the_terminal_no_commands(
    latentedge: Shell, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/a.jpg", Reply(photo))
    edge.get("/image/a.jpg?res=medium")
    figures = edge.stats() | {"version": "\x1b]0;title\x07\x9b31m"}
    figures["requests"] = [{**one, "res": "[/none]"} for one in figures["requests"]]
    figures["stages"] = [{**one, "stage": "\x1b[31m"} for one in figures["stages"]]
    origin.script("/stats", Reply(json.dumps(figures).encode()))
    outcome = latentedge("top", "--once", "--edge", origin.url)
    assert outcome.code == 0
    assert all(line.isprintable() for line in outcome.out.splitlines())
    assert "\\x1b]0;title\\x07\\x9b31m" in outcome.out
    origin.script("/stats", Reply(status=302, headers={"Location": "/\x9b31m"}))
    assert latentedge("top", "--once", "--edge", origin.url).err.strip().isprintable()


@pytest.mark.parametrize("command", [("warm", "FILE"), ("top", "--once")])
def test_an_edge_that_cannot_be_reached_is_told_in_one_line(
    latentedge: Shell, tmp_path: Path, unused_port: int, command: tuple[str, ...]
) -> None:
    (tmp_path / "ids").write_text("a.jpg\n", encoding="utf-8")
    arguments = (str(tmp_path / "ids") if word == "FILE" else word for word in command)
    outcome = latentedge(*arguments, "--edge", f"http://127.0.0.1:{unused_port}")
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert "cannot be re" in line
    assert outcome.out == ""


def test_top_prints_one_frame(latentedge: Shell, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/a.jpg", Reply(photo))
    edge.get("/image/a.jpg")
    outcome = latentedge("top", "--once", "--edge", edge.url)
    assert outcome.code == 0
    for words in ("hit ratio", " records", "miss", "p99, ms", edge.stats()["codec"]["stream_id"]):
        assert words in outcome.out


def test_top_shows_the_rate_between_two_frames(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    from pydantic import TypeAdapter

    reader = TypeAdapter(Figures)
    origin.script("/a.jpg", Reply(photo))
    before = Moment(10.0, reader.validate_python(edge.stats()))
    for _ in range(5):
        edge.get("/image/a.jpg")
    console = Console(file=io.StringIO(), width=100)
    console.print(frame(Moment(12.0, reader.validate_python(edge.stats())), before))
    assert isinstance(console.file, io.StringIO)
    assert "2.5" in console.file.getvalue()


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("complete_bash", {"COMP_WORDS": "latentedge w", "COMP_CWORD": "1"}),
        ("complete_zsh", {"_TYPER_COMPLETE_ARGS": "latentedge w"}),
        ("complete_fish", {"_TYPER_COMPLETE_ARGS": "latentedge w", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_shells_complete_commands(shell: str, words: dict[str, str]) -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "service"],
        env={**os.environ, "_LATENTEDGE_COMPLETE": shell, **words},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "warm" in outcome.stdout, outcome.stderr
    assert "sign" not in outcome.stdout
