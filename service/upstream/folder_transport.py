"""Answer requests from a folder of this machine, as an HTTP server over it would. Reads no file outside of the folder.

Links are followed only within the folder: the real path of the opened file decides.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

import httpx

from service.rules.conditional import Conditions, Validators
from service.rules.http_date import http_date
from service.rules.negotiation import LATENT_MEDIA_TYPE

LATENT_SUFFIX = ".le"
"""The suffix of the files that `latentedge encode` writes."""
FOLDER_URL = "http://folder"
"""Stands for the folder in URLs, because httpx drops the scheme of a file URL."""
PIECE_BYTES = 2**18
"""The bytes of one read (assumed): it takes a fraction of a millisecond from the page cache."""


@dataclass(frozen=True, slots=True)
class _Opened:
    descriptor: int
    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, descriptor: int) -> _Opened:
        status = os.fstat(descriptor)
        return cls(descriptor, status.st_size, status.st_mtime_ns)

    @property
    def validators(self) -> Validators:
        tag = f'"{self.modified_ns:x}-{self.size_bytes:x}"'
        return Validators(entity_tag=tag, last_modified=http_date(self.modified_ns // 10**9))


class FolderTransport(httpx.AsyncBaseTransport):
    """A transport for httpx whose responses are the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the file that the URL names, 304 if it has not changed, or 404 if there is none in the folder."""
        path = self._root / unquote(request.url.raw_path.partition(b"?")[0].decode("ascii")).lstrip("/")
        try:
            opened = await self._open_in_thread(path)
        except PermissionError:
            return httpx.Response(HTTPStatus.FORBIDDEN)
        except OSError:
            return httpx.Response(HTTPStatus.NOT_FOUND)
        return self._respond(request, opened, path)

    async def _open_in_thread(self, path: Path) -> _Opened:
        opening = asyncio.get_running_loop().run_in_executor(None, self._open, path)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:  # such as a timeout while a disk hangs: the thread opens the file nevertheless
            opening.add_done_callback(_close)
            raise

    def _open(self, path: Path) -> _Opened:
        # O_NONBLOCK: opening a FIFO would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._check(descriptor, path)
            return _Opened.of(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def _check(self, descriptor: int, path: Path) -> None:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if not is_file or not _real_path(descriptor, path).is_relative_to(self._root):
            raise FileNotFoundError("this is no file of the folder")

    def _respond(self, request: httpx.Request, opened: _Opened, path: Path) -> httpx.Response:
        validators = opened.validators
        headers = {"ETag": validators.entity_tag, "Last-Modified": validators.last_modified}
        conditions = Conditions(request.headers.get("if-none-match"), request.headers.get("if-modified-since"))
        if conditions.is_not_modified(validators, now_s=opened.modified_ns / 10**9):
            os.close(opened.descriptor)
            return httpx.Response(HTTPStatus.NOT_MODIFIED, headers=headers)
        headers["Content-Length"] = str(opened.size_bytes)
        if path.suffix == LATENT_SUFFIX:
            headers["Content-Type"] = LATENT_MEDIA_TYPE
        return httpx.Response(HTTPStatus.OK, headers=headers, stream=_File(opened))


class _File(httpx.AsyncByteStream):
    """The content of an opened file, which must not change while it is read."""

    def __init__(self, opened: _Opened) -> None:
        self._opened = opened
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        opened, at = self._opened, 0
        while at < opened.size_bytes:
            try:
                piece = await asyncio.to_thread(os.pread, opened.descriptor, PIECE_BYTES, at)
            except OSError as error:
                raise httpx.ReadError(f"the file cannot be read: {error.strerror}") from error
            if not piece:
                break
            at += len(piece)
            yield piece
        if at != opened.size_bytes or _Opened.of(opened.descriptor) != opened:
            raise httpx.ReadError("the file has changed while it was read")

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            os.close(self._opened.descriptor)


def _close(opening: asyncio.Future[_Opened]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result().descriptor)


def _real_path(descriptor: int, path: Path) -> Path:
    """Return the real path of an opened file. Without /proc, it is the real path of the name at present."""
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    except FileNotFoundError:
        return path.resolve()
