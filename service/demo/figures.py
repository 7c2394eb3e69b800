"""What the load came to, in figures. Arithmetic and a table, no I/O but the printing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from service.demo.load import CLIENTS, Answer
from service.demo.samples import AVIF_SPEED, JPEG_QUALITY


@dataclass(frozen=True)
class StoreFigures:
    """Of the pictures in the store, and the same for what a conventional edge would keep of them."""

    pictures: int
    store_bytes: int
    jpeg_pictures: int  # measured on so many
    jpeg_pair_bytes: float  # mean of one picture, both sizes
    avif_pictures: int
    avif_pair_bytes: float
    avif_latent_bytes: float  # mean latent of the very pictures that AVIF was measured on


@dataclass(frozen=True)
class OriginFigures:
    requests: int
    egress_bytes: int
    avoided_bytes: int  # the source's bytes, summed over hits


def origin_figures(
    answers: Sequence[Answer], *, source_bytes: Mapping[str, int], requests: int, egress_bytes: int
) -> OriginFigures:
    avoided = sum(source_bytes[answer.name] for answer in answers if answer.hit)
    return OriginFigures(requests, egress_bytes=egress_bytes, avoided_bytes=avoided)


def hit_ratio(answers: Sequence[Answer]) -> float:
    """Hits of all that could be one. Errors are left out; a request that waited on another's fill is no hit."""
    answered = [answer for answer in answers if answer.ok]
    return sum(answer.hit for answer in answered) / len(answered) if answered else 0.0


def print_table(console: Console, answers: Sequence[Answer], *, store: StoreFigures, origin: OriginFigures) -> None:
    table = Table(title="What it came to", title_style="bold", show_header=False)
    table.add_column(style="cyan")
    table.add_column(justify="right")
    table.add_column()
    failed = sum(not answer.ok for answer in answers)
    table.add_row("requests", f"{len(answers):,}", f"{CLIENTS} clients at once, {failed} failed")
    table.add_row("hit ratio", f"{hit_ratio(answers):.1%}", "waiting for another's fill is not counted as a hit")
    for title, hit in (("latency of hits", True), ("latency of misses", False)):
        p50, p99 = _percentiles_ms([answer for answer in answers if answer.ok and answer.hit is hit])
        table.add_row(title, f"{p50} ms", f"p50; p99 {p99} ms")
    table.add_section()
    _store_rows(table, store)
    table.add_section()
    table.add_row("origin requests", f"{origin.requests:,}", f"{_size(origin.egress_bytes)} sent")
    share = origin.avoided_bytes / max(1, origin.avoided_bytes + origin.egress_bytes)
    table.add_row("origin egress avoided", _size(origin.avoided_bytes), f"{share:.1%} of what the requests stand for")
    console.print(table)


def _store_rows(table: Table, store: StoreFigures) -> None:
    each = store.store_bytes / max(1, store.pictures)
    jpeg, avif = store.jpeg_pair_bytes, store.avif_pair_bytes
    table.add_row("pictures in the store", f"{store.pictures:,}", "one latent each, for both sizes")
    table.add_row(
        "bytes in the store", _size(store.store_bytes), f"{each:,.0f} a picture, header and the store's own included"
    )
    table.add_row(
        f"both sizes as JPEG q{JPEG_QUALITY}",
        _size(jpeg * store.pictures),
        f"{jpeg:,.0f} a picture ({store.jpeg_pictures} files measured): the store holds {each / max(1, jpeg):.2f} of that",
    )
    ratio = store.avif_latent_bytes / max(1, avif)
    table.add_row(
        "both sizes as AVIF",
        _size(avif * store.pictures),
        f"{avif:,.0f} a picture at the same SSIMULACRA2 (files, speed {AVIF_SPEED}, {store.avif_pictures} "
        f"measured): their latents take {ratio:.2f} of that",
    )


def _percentiles_ms(answers: Sequence[Answer]) -> tuple[str, str]:
    if not answers:
        return "-", "-"
    p50, p99 = np.percentile([1000 * answer.seconds for answer in answers], (50, 99))
    return f"{p50:,.1f}", f"{p99:,.1f}"


def _size(size_bytes: float) -> str:
    """Decimal units, as the figures beside it are."""
    return f"{size_bytes / 1e6:,.2f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:,.1f} kB"  # noqa: PLR2004
