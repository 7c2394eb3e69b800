"""A small static origin that serves one folder of pictures, for the demonstration, Docker Compose and experiments.

It answers GET and HEAD, also with conditions. `/_origin/stats` shows how many requests have reached it.
"""

import asyncio
import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path

import uvicorn
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from service.serving.listening import bind

STATS_PATH = "/_origin/stats"
CACHE_CONTROL = "public, max-age=3600"
MEDIA_TYPES = {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".le": "application/vnd.latentedge",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
}


@dataclass
class OriginCounts:
    requests: int = 0
    not_modified: int = 0
    not_found: int = 0
    body_bytes: int = 0


@dataclass(frozen=True)
class PictureFile:
    path: Path
    size_bytes: int
    modified_s: int
    entity_tag: str

    @classmethod
    def at(cls, path: Path) -> "PictureFile":
        stat = path.stat()
        # As in nginx, the tag is made from date (here in nanoseconds) and size, so that the file need not be read.
        digest = hashlib.sha256(f"{stat.st_mtime_ns}-{stat.st_size}".encode()).hexdigest()
        return cls(path, size_bytes=stat.st_size, modified_s=int(stat.st_mtime), entity_tag=f'"{digest[:16]}"')

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Cache-Control": CACHE_CONTROL,
            "ETag": self.entity_tag,
            "Last-Modified": formatdate(self.modified_s, usegmt=True),
        }

    def is_unchanged_for(self, *, if_none_match: str | None, if_modified_since: str | None) -> bool:
        if if_none_match is not None:  # RFC 9110 13.1.3: ignore If-Modified-Since if there is an If-None-Match
            tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
            return "*" in tags or self.entity_tag in tags  # splitting at commas is safe: `entity_tag` has no comma
        if if_modified_since is None:
            return False
        try:
            return self.modified_s <= parsedate_to_datetime(if_modified_since).timestamp()
        except ValueError:  # RFC 9110 13.1.3: ignore an invalid date
            return False


class StaticOrigin:
    """The ASGI application that serves the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._counts = OriginCounts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # uvicorn runs with lifespan="off", and no client uses WebSocket
            raise NotImplementedError(f"the origin answers only HTTP requests, not {scope['type']}")
        response = await self._answer(scope)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        if scope["method"] not in {"GET", "HEAD"}:
            return _problem(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})
        if scope["path"] == STATS_PATH:
            return Response(json.dumps(asdict(self._counts)), media_type="application/json")
        self._counts.requests += 1
        picture = await asyncio.to_thread(self._find, scope["path"])
        if picture is None:
            self._counts.not_found += 1
            return _problem(HTTPStatus.NOT_FOUND)
        if picture.is_unchanged_for(
            if_none_match=_header(scope, b"if-none-match"), if_modified_since=_header(scope, b"if-modified-since")
        ):
            self._counts.not_modified += 1
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=picture.headers)
        return await self._deliver(picture, head=scope["method"] == "HEAD")

    def _find(self, url_path: str) -> PictureFile | None:
        if "\0" in url_path or url_path.endswith("/"):
            return None
        try:
            path = (self._folder / url_path.lstrip("/")).resolve(strict=True)
            # Checked after resolving, so that neither `..` nor a symbolic link leads out of the folder.
            inside = path.is_relative_to(self._folder) and path.is_file()
            return PictureFile.at(path) if inside else None
        except (OSError, RuntimeError):  # a missing or unreadable file, too long a name, or a loop of symbolic links
            return None

    async def _deliver(self, picture: PictureFile, *, head: bool) -> Response:
        media_type = MEDIA_TYPES.get(picture.path.suffix.lower(), "application/octet-stream")
        if head:
            length = {"Content-Length": str(picture.size_bytes)}
            return Response(headers=picture.headers | length, media_type=media_type)
        body = await asyncio.to_thread(picture.path.read_bytes)
        self._counts.body_bytes += len(body)
        return Response(body, headers=picture.headers, media_type=media_type)


def run(folder: Path, *, host: str, port: int) -> None:
    """Serve the files of a folder until SIGTERM or Ctrl-C. Raises CannotListen if the address cannot be used."""
    config = uvicorn.Config(
        StaticOrigin(folder), lifespan="off", log_level="warning", access_log=False, server_header=False
    )
    with bind(host, port) as listening, suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def _header(scope: Scope, name: bytes) -> str | None:
    """Return the value of a header field, several lines joined by commas (RFC 9110 5.3), or None without the field."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return ", ".join(values) if values else None


def _problem(status: HTTPStatus, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(status.phrase + "\n", status_code=status, headers=headers)
