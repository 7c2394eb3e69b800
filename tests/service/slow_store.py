"""A store whose answers can be held or delayed: a proxy between one edge and the real server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import hiredis

LIMIT_S = 60
CHUNK_BYTES = 65_536


class SlowStore:
    """Passes commands on at once, and holds all answers of a connection from the chosen command on.

    `delay_s` is called for each answer, which is then passed on so many seconds later.
    """

    def __init__(self, url: str, *, delay_s: Callable[[], float] | None = None) -> None:
        self._path = urlsplit(url).path
        self._delay_s = delay_s
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._left: int | None = None
        self._passed = 0
        self.holds = threading.Event()
        """Set when the chosen command has been answered by the server, and its answer is held."""
        self._may_answer = threading.Event()
        self._may_answer.set()

    def count_passed(self) -> int:
        """Return how many commands and answers were passed on so far."""
        with self._lock:
            return self._passed

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listening.getsockname()[1]}"

    def hold(self, command: int) -> None:
        """Hold the answer of the command with this number, counted from 0 and from now on."""
        with self._lock:
            self._left = command
        self.holds.clear()
        self._may_answer.clear()

    def release(self) -> None:
        """Hold nothing any more."""
        with self._lock:
            self._left = None
        self._may_answer.set()

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._path)
            held = threading.Event()
            for pass_on in (self._pass_commands, self._pass_answers):
                threading.Thread(target=pass_on, args=(client, server, held), daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.release()

    def _pass_commands(self, client: socket.socket, server: socket.socket, held: threading.Event) -> None:
        parsing = hiredis.Reader()
        with server:
            while sent := _receive(client):
                parsing.feed(sent)
                while parsing.gets() is not False:
                    self._count(held)
                if not _send(server, sent):
                    return

    def _count(self, held: threading.Event) -> None:
        with self._lock:
            self._passed += 1
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    self._left = None
                    held.set()

    def _pass_answers(self, client: socket.socket, server: socket.socket, held: threading.Event) -> None:
        with client:
            while answers := _receive(server):
                if held.is_set():
                    self.holds.set()
                    assert self._may_answer.wait(LIMIT_S)
                    held.clear()
                if self._delay_s is not None:
                    time.sleep(self._delay_s())
                if not _send(client, answers):
                    return
                with self._lock:
                    self._passed += 1


def _send(connection: socket.socket, data: bytes) -> bool:
    """Return whether the other side has not gone, as an edge or a server does that ends."""
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(CHUNK_BYTES)
    except OSError:
        return b""


@contextmanager
def slow_store(url: str, *, delay_s: Callable[[], float] | None = None) -> Iterator[SlowStore]:
    store = SlowStore(url, delay_s=delay_s)
    serving = threading.Thread(target=store.serve)
    serving.start()
    try:
        yield store
    finally:
        store.close()
        serving.join()
