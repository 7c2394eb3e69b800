"""Compute the figures of the demonstration's requests, and print them as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from service.demo.load import CLIENTS, Answer
from service.demo.samples import AVIF_SPEED, AVIF_TUNE, JPEG_QUALITY


@dataclass(frozen=True)
class StoreFigures:
    """The sizes of the latents in the store, and of the picture files that a conventional edge would store."""

    pictures: int
    store_bytes: int
    jpeg_pictures: int  # the number of pictures whose JPEG files were measured
    jpeg_pair_bytes: float  # the mean size of the two JPEG files of one picture
    avif_pictures: int
    avif_pair_bytes: float
    avif_latent_bytes: float  # the mean size of the latents of the pictures whose AVIF files were measured


@dataclass(frozen=True)
class OriginFigures:
    """The traffic to the origin, and the traffic that hits avoided."""

    requests: int
    egress_bytes: int
    avoided_bytes: int  # the sum of the sizes of the source files over all hits


def origin_figures(
    answers: Sequence[Answer], *, source_bytes: Mapping[str, int], requests: int, egress_bytes: int
) -> OriginFigures:
    avoided = sum(source_bytes[answer.name] for answer in answers if answer.hit)
    return OriginFigures(requests, egress_bytes=egress_bytes, avoided_bytes=avoided)


def hit_ratio(answers: Sequence[Answer]) -> float:
    """Return the fraction of hits among answers without errors. A request that waited for another's fill is no hit."""
    answered = [answer for answer in answers if answer.ok]
    return sum(answer.hit for answer in answered) / len(answered) if answered else 0.0


def print_tables(console: Console, answers: Sequence[Answer], *, store: StoreFigures, origin: OriginFigures) -> None:
    console.print(_load_table(answers, origin), _store_table(store), sep="\n")


def _load_table(answers: Sequence[Answer], origin: OriginFigures) -> Table:
    failed = sum(not answer.ok for answer in answers)
    share = origin.avoided_bytes / max(1, origin.avoided_bytes + origin.egress_bytes)
    table = _table(f"{len(answers):,} requests, {CLIENTS} at a time, from the same machine")
    table.show_header = False
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("requests (failed)", f"{len(answers):,} ({failed})")
    table.add_row("hit ratio", f"{hit_ratio(answers):.1%}")
    kinds = (("decoded hits", True, False), ("hits from memory", True, True), ("misses", False, False))
    for title, hit, from_memory in kinds:
        chosen = [answer for answer in answers if (answer.ok, answer.hit) == (True, hit)]
        chosen = [answer for answer in chosen if answer.from_memory is from_memory]
        table.add_row(f"latency of {len(chosen):,} {title}, p50 / p99", _percentiles_ms(chosen))
    table.add_row("origin requests", f"{origin.requests:,}")
    table.add_row("origin egress avoided", f"{_size(origin.avoided_bytes)} ({share:.1%})")
    return table


def _store_table(store: StoreFigures) -> Table:
    latent_bytes = store.store_bytes / max(1, store.pictures)
    table = _table(f"{store.pictures:,} pictures, both sizes of each")
    table.caption = (
        f"JPEG: mean of {store.jpeg_pictures} pictures, files, not matched in quality. "
        f"AVIF: mean of {store.avif_pictures} pictures, files of speed {AVIF_SPEED}, 4:4:4, tune={AVIF_TUNE}, "
        "that score the SSIMULACRA2 of the edge's renditions; latents of the same pictures. "
        "A latent in the store is counted with its header and the store's own overhead."
    )
    for heading in ("kept as", "bytes a picture", "all", "latents take"):
        table.add_column(heading, justify="left" if heading == "kept as" else "right")
    rows = (
        ("latent, in the store", latent_bytes, None),
        (f"JPEG q{JPEG_QUALITY}, two files", store.jpeg_pair_bytes, latent_bytes),
        ("AVIF, two files", store.avif_pair_bytes, store.avif_latent_bytes),
    )
    for title, each, against in rows:
        table.add_row(
            title,
            f"{each:,.0f}",
            _size(each * store.pictures),
            "" if against is None else f"{against / max(1, each):.2f} of it",
        )
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_style="bold", title_justify="left", caption_justify="left")


def _percentiles_ms(answers: Sequence[Answer]) -> str:
    if not answers:
        return "-"
    p50, p99 = np.percentile([1000 * answer.seconds for answer in answers], (50, 99))
    return f"{p50:,.1f} / {p99:,.1f} ms"


def _size(size_bytes: float) -> str:
    """Return a size as text in decimal MB or kB."""
    return f"{size_bytes / 1e6:,.2f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:,.1f} kB"  # noqa: PLR2004
