"""A Valkey with the user of docs/operations.md, behind TLS."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from service.store.embedded import EmbeddedValkey
from tests.markdown_page import ROOT

PASSWORD = "of the user/1"
_WRITTEN = re.compile(r"^ACL SETUSER (latentedge) (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Certificate:
    """A certificate of 127.0.0.1 that signs itself, and its key, as files."""

    certificate: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """Make a certificate, or skip the test where openssl is not installed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder.mkdir(exist_ok=True)
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
            *("-days", "2", "-subj", "/CN=store", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(made.key), "-out", str(made.certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return made


@contextmanager
def tls_before(server: EmbeddedValkey, certificate: Certificate) -> Iterator[int]:
    """Accept TLS on a port of the loopback, and pass the bytes on to a server. Yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(target=_accept, args=(listening, context, urlsplit(server.url).path))
        accepting.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(listening: socket.socket, context: ssl.SSLContext, path: str) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(client, context, path), daemon=True).start()


def _serve(client: socket.socket, context: ssl.SSLContext, path: str) -> None:
    with (
        suppress(OSError),
        closing(client),
        context.wrap_socket(client, server_side=True) as secure,
        socket.socket(socket.AF_UNIX) as server,
    ):
        server.connect(path)
        # A socket does not tell of bytes that TLS has read ahead, so each direction has a thread of its own.
        threading.Thread(target=_copy, args=(server, secure), daemon=True).start()
        _copy(secure, server)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def documented_rules() -> list[str]:
    """Return the rules of the user in docs/operations.md, without its password."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    ((_, rules),) = _WRITTEN.findall(page)
    return [rule for rule in rules.split() if not rule.startswith(">")]


def make_user(server: redis.Redis) -> None:
    """Make the user of docs/operations.md."""
    server.execute_command("ACL", "SETUSER", "latentedge", f">{PASSWORD}", *documented_rules())  # type: ignore[no-untyped-call]
