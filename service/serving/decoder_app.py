"""The composition root of the decoder process: one codec, on one device, for all HTTP workers. It serves no HTTP.

It is a server like the others for the sake of its life: it starts, answers health checks, ends and logs as they do.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from service.bus.router import Router
from service.metrics.telemetry import Telemetry
from service.render.codec_options import WorkerOptions, waiting_messages
from service.render.codec_worker import CodecWorker
from service.render.picture_codec import CodecNames
from service.settings.edge_settings import Settings


def create_decoder_app(settings: Settings, *, address: str) -> Starlette:
    """Decode and encode for every worker that connects to this address."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        decoder = Decoder(WorkerOptions.of(settings), address=address)
        await decoder.start()
        gc.freeze()  # what is there now stays; see `service.serving.edge_app`
        yield
        await decoder.close()

    return Starlette(lifespan=lifespan)


class Decoder:
    """The codec and its end of the bus. Made, then started, then closed."""

    def __init__(self, options: WorkerOptions, *, address: str) -> None:
        self._options = options
        self._address = address
        self._worker = CodecWorker(options, Telemetry(), self._tell)
        self._router: Router | None = None

    async def start(self) -> None:
        """Load the codec, then take requests. Raises what loading raises."""
        await self._worker.start()
        self._router = Router(self._address, self._worker, waiting=waiting_messages(self._options.queue))
        self._router.start()

    async def close(self) -> None:
        """Answer all open requests, then end."""
        await self._worker.close()
        if self._router is not None:
            self._router.close()

    def _tell(self, names: CodecNames) -> None:
        if self._router is not None:
            self._router.announce(names)
