"""Run the demonstration: write pictures, start an origin and an edge, send requests, print figures, draw a sheet.

Then the servers run on until Ctrl-C.
"""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, track

from models.codec import Codec
from models.picture_array import Pixels
from models.weights_file import CheckpointError
from service.commands.failure import CommandFailure
from service.commands.output_folder import prepare_folder
from service.demo import load
from service.demo.children import Child, claim_port, edge_server, origin_server
from service.demo.load_figures import OriginFigures, StoreFigures, origin_figures, print_tables
from service.demo.photographs import PhotoFolder, find_photographs, write_photographs
from service.demo.sample_sheet import write_sheet
from service.demo.samples import Examiner, Sample, avif_pair_bytes, jpeg_pair_bytes
from service.serving.origin_server import STATS_PATH
from service.settings.edge_settings import read_settings
from service.settings.quality import TargetScore

_AVIF_PICTURES = 12  # scored pictures, with those of the sheet (assumed): they take half a minute on two cores
_JPEG_PICTURES = 200


@dataclass(frozen=True)
class DemoOptions:
    """The options of the command `demo`."""

    photos: Path | None  # None stands for the photographs of scikit-learn and scikit-image
    once: bool
    requests: int
    port: int
    sheet: Path


def run(options: DemoOptions) -> None:
    """Run the demonstration. Unless `once` is set, keep the servers running until Ctrl-C. Raises CommandFailure."""
    console = Console()
    prepare_folder(options.sheet.parent)
    port = claim_port(options.port)
    with tempfile.TemporaryDirectory(prefix="latentedge-demo-") as scratch, ExitStack() as servers:
        room = Path(scratch)
        photos = find_photographs(options.photos) if options.photos else write_photographs(room / "photographs")
        console.print(f"{photos.sentence}.")
        with console.status("starting the origin and the edge"):
            origin = servers.enter_context(origin_server(photos.folder, log=room / "origin.log"))
            edge = servers.enter_context(edge_server(origin.url, log=room / "edge.log", port=port))
        console.print(f"Origin at {origin.url}, edge at {edge.url}, its store embedded.")
        answers = _send(console, edge.url, photos, requests=options.requests)
        origin_part = _origin_figures(origin.url, photos, answers)
        samples = _examine(console, edge.url, photos)
        store_part = _store_figures(console, edge.url, photos, samples=samples)
        print_tables(console, answers, store=store_part, origin=origin_part)
        write_sheet(samples[: len(photos.featured)], path=options.sheet)
        console.print(f"Sheet: {options.sheet}")
        if not options.once:
            _serve_on(console, edge, photos)


def _send(console: Console, edge_url: str, photos: PhotoFolder, *, requests: int) -> list[load.Answer]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("requests", total=requests)
        return asyncio.run(
            load.send(edge_url, photos.names, requests=requests, on_answer=lambda: progress.advance(task))
        )


def _examine(console: Console, edge_url: str, photos: PhotoFolder) -> list[Sample]:
    """Score the pictures of the sheet, and some of the other pictures, evenly spread."""
    rest = [name for name in photos.names if name not in photos.featured]
    more = _AVIF_PICTURES - len(photos.featured)
    spread = [rest[number * len(rest) // more] for number in range(min(more, len(rest)))]
    examiner = Examiner(edge_url, photos.folder, encode=_encoder(edge_url))
    names = [*photos.featured, *spread]
    return [examiner.examine(name) for name in track(names, description="scoring", console=console)]


def _encoder(edge_url: str) -> Callable[[Pixels], bytes]:
    """Return a function that encodes pictures as the edge does, because /stats tells only the sum of all latents."""
    settings = read_settings(origin=edge_url)  # as the edge reads them; an origin is required, but is not used here
    try:
        codec = Codec.load(settings.weights, head=settings.head, kernels=settings.kernels)
    except CheckpointError as error:
        raise CommandFailure(f"latentedge: the weights of EDGE_WEIGHTS cannot be loaded: {error}") from error
    if isinstance(settings.quality, TargetScore):
        return partial(codec.encode_to_score, ssimulacra2=settings.quality.ssimulacra2)
    return partial(codec.encode, quality=codec.default_quality if settings.quality is None else settings.quality)


def _store_figures(console: Console, edge_url: str, photos: PhotoFolder, *, samples: Sequence[Sample]) -> StoreFigures:
    stats = httpx.get(f"{edge_url}/stats", timeout=30, trust_env=False).raise_for_status().json()
    measured = photos.names[:: -(-len(photos.names) // _JPEG_PICTURES)]
    jpeg_bytes = [jpeg_pair_bytes(photos.folder / name) for name in measured]
    avif_bytes = [avif_pair_bytes(sample) for sample in track(samples, description="AVIF files", console=console)]
    return StoreFigures(
        pictures=stats["store"]["objects"],
        store_bytes=stats["store"]["latent_bytes"],
        jpeg_pictures=len(jpeg_bytes),
        jpeg_pair_bytes=fmean(jpeg_bytes),
        avif_pictures=len(samples),
        avif_pair_bytes=fmean(avif_bytes),
        avif_latent_bytes=fmean(sample.latent_bytes for sample in samples),
    )


def _origin_figures(origin_url: str, photos: PhotoFolder, answers: Sequence[load.Answer]) -> OriginFigures:
    counts = httpx.get(origin_url + STATS_PATH, timeout=30, trust_env=False).raise_for_status().json()
    source_bytes = {name: (photos.folder / name).stat().st_size for name in photos.names}
    return origin_figures(
        answers, source_bytes=source_bytes, requests=counts["requests"], egress_bytes=counts["body_bytes"]
    )


def _serve_on(console: Console, edge: Child, photos: PhotoFolder) -> None:
    console.print(f"Still serving. Try {load.picture_url(edge.url, photos.names[0], res='medium')}", soft_wrap=True)
    console.print(f"Live figures: {edge.url}/ . Ctrl-C ends it.", soft_wrap=True)
    try:
        code = edge.popen.wait()
    except KeyboardInterrupt:
        return
    raise CommandFailure(f"latentedge: the edge of the demonstration ended unexpectedly, with exit code {code}")
