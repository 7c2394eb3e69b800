"""Build the codec of one worker, and read from it what figures and metrics say of it."""

from __future__ import annotations

from service.bus.decoder_client import DecoderClient
from service.bus.symbol_reader import SymbolReader
from service.metrics.codec_counts import CodecCounts
from service.metrics.release import read_version
from service.metrics.telemetry import BuildFigures
from service.records.record import VERSION as RECORD_VERSION
from service.render.codec_options import WorkerOptions, waiting_messages
from service.render.codec_worker import CodecWorker
from service.render.picture_codec import PictureCodec
from service.render.screen_codec import ScreenCodec
from service.settings.edge_settings import Settings
from service.settings.quality import Quality, TargetScore
from service.web.stats import CodecFigures


def build_codec(settings: Settings, counts: CodecCounts, decoder: str | None) -> PictureCodec:
    """Return the codec of latents, and of screen streams in front of it."""
    latents = _latent_codec(settings, counts, decoder)
    return ScreenCodec(latents, writes=settings.screen == "auto", limits=WorkerOptions.of(settings).queue)


def _latent_codec(settings: Settings, counts: CodecCounts, decoder: str | None) -> PictureCodec:
    """Return a client of the decoder process at this address, or if it is None, a codec on a thread of this process."""
    options = WorkerOptions.of(settings)
    if decoder is None:
        return CodecWorker(options, counts)
    reader = SymbolReader(settings.weights, kernels=settings.kernels, threads=settings.threads, limits=options.queue)
    return DecoderClient(decoder, reader, waiting=waiting_messages(options.queue))


def quality_of(settings: Settings, codec: PictureCodec) -> Quality:
    """Return the quality of new latents. If none is set, the weights have one."""
    return codec.names.default_quality if settings.quality is None else settings.quality


def version_figures(codec: PictureCodec) -> BuildFigures:
    """Return the labels of the metric `edge_build_info`."""
    stream_id = codec.names.stream_id.hex()
    return BuildFigures(version=read_version(), stream_id=stream_id, record_version=RECORD_VERSION)


def codec_figures(codec: PictureCodec, quality: Quality) -> CodecFigures | None:
    """Return the figures of the codec, which change if its accelerator fails; None while the decoder is away."""
    if not codec.is_there:
        return None
    names = codec.names
    return CodecFigures(
        device=names.device,
        head=names.head,
        kernels=names.kernels,
        stream_id=names.stream_id.hex(),
        quality=None if isinstance(quality, TargetScore) else quality,
        target_ssimulacra2=quality.ssimulacra2 if isinstance(quality, TargetScore) else None,
    )
