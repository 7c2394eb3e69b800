"""The decoder process behind whole servers, as `latentedge serve` starts them with EDGE_DECODER=process."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from models.checkpoint import RELEASED
from models.codec import Codec
from service.render import image_file
from service.serving.workers import STARTUP_FAILURE
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import AS_A_CHILD, LATENT_TOKEN
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.server_process import SERVER, Server, serving
from tests.service.test_drain import answer, ask, connect, release, wait_for_exit, wait_until_closed

FRESH = {"Cache-Control": "max-age=600"}
LIMIT_S = 120
KERNELS = "float32"
"""Each process measures which kernels are faster; where the machine is busy, two can differ, and so do their pixels."""
CLIENTS = 4


def decoder_of(server: Server) -> int:
    """Return the process that listens on the bus."""
    (address,) = server.folder.glob("latentedge-metrics-*/bus")
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(address))
        return int(struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def shown_by_a_codec_here(server: Server) -> bytes:
    """Return the medium picture of the latent that the server has stored, decoded in this process, as a PNG file."""
    codec = Codec.load(kernels=KERNELS)
    latent = server.get("/latent/cat", AS_A_CHILD).content
    return image_file.write(codec.synthesize([codec.read(latent)], size_px=172)[0], "image/png")


class Load:
    """Clients that request decodes in a loop, and check every response."""

    def __init__(self, server: Server, expected: bytes) -> None:
        self._server, self._expected = server, expected
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._seen: list[int] = []

    def wait_for(self, status: int, *, count: int) -> None:
        """Wait until `count` more responses have this status."""
        with self._changed:
            before = self._seen.count(status)
            enough = self._changed.wait_for(lambda: self._seen.count(status) >= before + count, timeout=LIMIT_S)
        assert enough, f"not {count} answers with {status}"

    @contextmanager
    def running(self) -> Iterator[None]:
        with ThreadPoolExecutor(CLIENTS) as clients:
            asking = [clients.submit(self._ask) for _ in range(CLIENTS)]
            try:
                yield
            finally:
                self._ended.set()
            for one in asking:
                one.result()

    def _ask(self) -> None:
        while not self._ended.is_set():
            answer = self._server.get("/image/cat?res=medium&fmt=png")
            assert answer.status_code in {200, 503}, answer.text
            if answer.status_code == 503:
                assert answer.headers["retry-after"] == "1"
            else:
                assert answer.content == self._expected, "another picture"
            with self._changed:
                self._seen.append(answer.status_code)
                self._changed.notify_all()


def test_a_killed_decoder_is_restarted_and_no_request_hangs_or_gets_a_wrong_picture(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, valkey_program: None
) -> None:
    _ = valkey_program
    origin.script("/cat", Reply(photo, headers=FRESH))
    settings = {"decoder": "process", "device": "cpu", "hot_bytes": 0, "kernels": KERNELS}
    with serving(short_path, origin.url, workers=2, latent_token=LATENT_TOKEN, **settings) as server:
        assert server.get("/image/cat").status_code == 200
        load = Load(server, shown_by_a_codec_here(server))
        with load.running():
            load.wait_for(200, count=10)
            first = decoder_of(server)
            os.kill(first, signal.SIGKILL)
            assert server.get("/livez").status_code == 200
            load.wait_for(200, count=5 * CLIENTS)  # more than the first decoder can have answered before its end
            assert decoder_of(server) != first
        figures = server.get("/stats").json()
        assert figures["codec"]["device"] == "cpu"
        batches = [line for line in server.get("/metrics").text.splitlines() if "edge_batch_size_count" in line]
        assert len(batches) == 2, "both sizes"
        server.parent.send_signal(signal.SIGTERM)
        assert server.parent.wait(LIMIT_S) == 0
    assert not list(short_path.glob("latentedge-*")), "something was left behind"


def test_a_decoder_that_cannot_start_ends_the_server(short_path: Path, origin: ScriptedOrigin) -> None:
    """The worker waits for the decoder at that time."""
    command = [sys.executable, "-c", SERVER, "0", "1"]
    environment = {"EDGE_ORIGIN": origin.url, "TMPDIR": str(short_path), "PATH": "/usr/bin:/bin"}
    # No process sees a GPU here, so this decoder ends with an error.
    environment |= {"EDGE_DEVICE": "cuda", "CUDA_VISIBLE_DEVICES": "", "EDGE_REDIS_URL": "redis://127.0.0.1:1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=2 * LIMIT_S, check=False)
    assert ended.returncode == STARTUP_FAILURE, ended.stderr
    assert "a process could not start" in ended.stderr


def test_a_signal_to_every_process_cuts_no_request(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, valkey: EmbeddedValkey, unused_port: int
) -> None:
    """systemd sends SIGTERM to all processes, but the decoder must outlive the workers, which need it."""
    reply = Reply(photo, headers=FRESH, gate=threading.Event())
    origin.script("/slow", reply)
    settings = {"decoder": "process", "device": "cpu", "redis_url": valkey.url, "admin_port": unused_port}
    with (
        serving(short_path, origin.url, workers=1, latent_token=LATENT_TOKEN, **settings) as server,
        connect(server) as client,
    ):
        ask(client, "/image/slow?res=medium")
        assert reply.arrived.wait(LIMIT_S)
        os.killpg(server.parent.pid, signal.SIGTERM)
        wait_until_closed(server)
        release(reply)
        said = answer(client)
        assert said.startswith(b"HTTP/1.1 200 OK\r\n"), said[:200]
        assert b"; stored;" in said
        assert wait_for_exit(server) == 0


def test_a_decoder_without_its_weights_file_ends_the_server(
    short_path: Path, origin: ScriptedOrigin, valkey: EmbeddedValkey
) -> None:
    """Restarts would only fill the log."""
    weights = short_path / "weights.safetensors"
    shutil.copy(RELEASED, weights)
    settings = {"decoder": "process", "device": "cpu", "redis_url": valkey.url, "weights": weights}
    with serving(short_path, origin.url, workers=1, latent_token=LATENT_TOKEN, **settings) as server:
        decoder = decoder_of(server)
        weights.unlink()
        os.kill(decoder, signal.SIGKILL)
        server.wait_until_said("EDGE_WEIGHTS")
        assert wait_for_exit(server) == STARTUP_FAILURE
