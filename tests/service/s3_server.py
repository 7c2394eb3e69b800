"""A server that answers a GET only if it is signed with AWS Signature Version 4, checked without the edge's library."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit

ACCESS_KEY, SECRET_KEY, REGION = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1"
"""The credentials of AWS's published examples."""
EMPTY = hashlib.sha256().hexdigest()
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?"
    r"Signature=([0-9a-f]{64})"
)


def signature(target: str, headers: Mapping[str, str], *, signed: str, date: str, region: str, secret: str) -> str:
    """Return the signature of a GET, as the S3 API reference says ("Authenticating Requests: Authorization Header")."""
    parts = urlsplit(target)
    query = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in parse_qsl(parts.query, True))
    lines = [
        "GET",
        quote(unquote(parts.path), safe="/"),
        "&".join(f"{name}={value}" for name, value in query),
        *(f"{name}:{' '.join(headers[name].split())}" for name in signed.split(";")),
        "",
        signed,
        headers["x-amz-content-sha256"],
    ]
    scope = f"{date}/{region}/s3/aws4_request"
    canonical = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, canonical])
    key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def is_signed(target: str, headers: Mapping[str, str]) -> bool:
    """Return whether a request with these header fields (names in lower case) is signed, now, with the keys above."""
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if found is None or (found[1], found[3]) != (ACCESS_KEY, REGION) or "host" not in found[4].split(";"):
        return False
    at = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs(datetime.now(UTC) - at) > timedelta(minutes=15) or not headers["x-amz-date"].startswith(found[2]):
        return False
    expected = signature(target, headers, signed=found[4], date=found[2], region=found[3], secret=SECRET_KEY)
    return hmac.compare_digest(expected, found[5])


@dataclass
class S3Server:
    """A running server, the objects in it by path, and the targets that were asked of it."""

    url: str
    objects: dict[str, bytes] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server on a free port of the loopback during the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            told.targets.append(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = told.objects.get(unquote(urlsplit(self.path).path))
            status = 403 if not is_signed(self.path, headers) else 404 if body is None else 200
            self.send_response(status)
            self.send_header("Content-Length", str(len(body or b"") if status == 200 else 0))
            self.end_headers()
            self.wfile.write(body or b"" if status == 200 else b"")

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        told = S3Server(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()
