"""Build the decoder process, which runs one codec, on one device, for all HTTP workers. It serves no HTTP.

It runs as an ASGI application without routes, so that the supervisor starts, checks and ends it like a worker.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from service.bus.router import Router
from service.metrics.telemetry import Telemetry
from service.render.codec_options import WorkerOptions, waiting_messages
from service.render.codec_worker import CodecWorker
from service.render.picture_codec import CodecNames
from service.serving.frozen_start import frozen_start
from service.settings.edge_settings import Settings


def create_decoder_app(settings: Settings, *, address: str) -> Starlette:
    """Create the decoder process's application. `address` is the pyzmq address to which workers connect."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        decoder = Decoder(WorkerOptions.of(settings), address=address)
        with frozen_start():
            await decoder.start()
        yield
        await decoder.close()

    return Starlette(lifespan=lifespan)


class Decoder:
    """The codec of the decoder process, and the router that receives the workers' requests."""

    def __init__(self, options: WorkerOptions, *, address: str) -> None:
        self._options = options
        self._address = address
        self._worker = CodecWorker(options, Telemetry().codec, self._announce)
        self._router: Router | None = None

    async def start(self) -> None:
        """Load the codec, then accept requests from workers. Raises the errors of loading the weights."""
        await self._worker.start()
        self._router = Router(self._address, self._worker, waiting=waiting_messages(self._options.queue))
        self._router.start()

    async def close(self) -> None:
        """Finish the round in progress, answer all other open requests with an error, and stop."""
        await self._worker.close()
        if self._router is not None:
            self._router.close()

    def _announce(self, names: CodecNames) -> None:
        if self._router is not None:
            self._router.announce(names)
