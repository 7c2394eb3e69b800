"""An origin of latents, made before: a miss of the edge costs a check instead of an encode. Counts its requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from service.demo.children import HOST
from service.records.latent_facts import FIELD, LatentFacts, write_facts
from service.records.record import source_digest
from service.rules.negotiation import LATENT_MEDIA_TYPE

SOURCE_BYTES, HIGH_BYTES, MEDIUM_BYTES = 100_000, 30_000, 9_000
"""What the facts say of every picture. No figure depends on it."""


def digest_of(name: str) -> bytes:
    """What the facts say of the file under this name: names differ, also where their latents are the same."""
    return source_digest(name.encode())


@dataclass
class LatentOrigin:
    port: int = 0
    requests: int = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def _facts(name: str) -> LatentFacts:
    return LatentFacts(
        source_digest=digest_of(name),
        source_bytes=SOURCE_BYTES,
        conventional_high_bytes=HIGH_BYTES,
        conventional_medium_bytes=MEDIUM_BYTES,
    )


@contextmanager
def latent_origin(latents: Mapping[str, bytes]) -> Iterator[LatentOrigin]:
    """Serves `latents` by their names."""
    origin, lock = LatentOrigin(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with lock:
                origin.requests += 1
            name = self.path.lstrip("/")
            body, facts = latents[name], _facts(name)
            self.send_response(200)
            self.send_header("Content-Type", LATENT_MEDIA_TYPE)
            self.send_header("Cache-Control", "public, max-age=86400")
            self.send_header(FIELD, write_facts(facts))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        origin.port = server.server_port
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield origin
        finally:
            server.shutdown()
            serving.join()
