"""The tables of a study's report, as lines of Markdown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from models.config import MEDIUM_PX, quality_lambda
from models.studies.design import dense_parameters
from models.studies.study_plots import WAYS, medium_vaes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from models.studies.design import Design
    from models.studies.kinds import KindFigures
    from models.studies.negative_elbo import Nats
    from models.studies.principal_blocks import LinearFigures
    from models.studies.remedies import WayFigures
    from models.studies.results import CodecPoint


def kinds_table(kinds: Sequence[KindFigures], linear: Sequence[LinearFigures], refused: Sequence[Design]) -> list[str]:
    """Return the table of the three kinds of autoencoders and the linear maps. The `refused` ones are too large."""
    head = (
        "picture",
        "kind",
        "numbers in a code",
        "parameters",
        "first layer",
        "steps",
        "PSNR (dB)",
        "SSIMULACRA2",
        "encode / decode (ms)",
    )
    rows = sorted(
        [
            *(((one.size_px, one.code_length), _kind_row(one)) for one in kinds),
            *(((one.size_px, one.code_length), _linear_row(one)) for one in linear),
            *(((one.size_px, one.code_length), _refused_row(one)) for one in refused),
        ],
        key=lambda row: row[0],
    )
    return _table(head, [row for _, row in rows])


def _kind_row(one: KindFigures) -> tuple[str, ...]:
    return (
        f"{one.size_px} px",
        _spoken(one.kind),
        f"{one.code_length:,}",
        f"{one.parameters:,}",
        f"{one.first_layer:,}",
        f"{one.steps:,}",
        f"{one.psnr_db:.2f}",
        "-" if one.ssimulacra2 is None else f"{one.ssimulacra2:.0f}",
        f"{one.encode_ms:.2f} / {one.decode_ms:.2f}",
    )


def _linear_row(one: LinearFigures) -> tuple[str, ...]:
    numbers = (f"{one.code_length:,}", f"{one.parameters:,}", "-", "none", f"{one.psnr_db:.2f}")
    return (f"{one.size_px} px", "linear", *numbers, "-", "-")


def _refused_row(one: Design) -> tuple[str, ...]:
    too_many = f"{one.connected_parameters(one.least_neurons):,}: too many"
    first = f"{dense_parameters(one.values, one.least_neurons):,}"
    return (f"{one.size_px} px", _spoken(one.kind), f"{one.code_length:,}", too_many, first, *4 * ("-",))


def sweep_table(sweep: Sequence[KindFigures]) -> list[str]:
    """Return the table of the variational autoencoders that differ in beta."""
    head = ("beta", "PSNR of the mean (dB)", "PSNR of a draw (dB)", "KL (nats a picture)", "KL (nats a number)")
    return _table(
        head,
        [
            (
                f"{one.beta:g}",
                f"{one.psnr_db:.2f}",
                f"{one.nats.psnr_db:.2f}",
                f"{one.nats.rate:,.0f}",
                f"{one.nats.rate / one.code_length:.2f}",
            )
            for one in sweep
            if one.nats
        ],
    )


def rates_table(kinds: Sequence[KindFigures], codec: Sequence[CodecPoint], quality: int) -> list[str]:
    """Return rate, distortion and negative ELBO of VAEs and codec on the same pictures of 172 px.

    All distortions are weighted by the lambda of `quality`.
    """
    head = ("model", "lambda of its loss", "rate (nats)", "bits per pixel", "PSNR (dB)", "distortion (nats)", "sum")
    vaes = [(f"VAE, {one.code_length:,} numbers", one.beta, one.nats) for one in medium_vaes(kinds)]
    rows = [(name, f"{quality_lambda(quality) / beta:.4f}", *_terms(nats)) for name, beta, nats in vaes if nats]
    rows += [
        (f"codec, quality {one.quality}", f"{quality_lambda(one.quality):.4f}", *_terms(one.nats)) for one in codec
    ]
    return _table(head, rows)


def ways_table(ways: Sequence[WayFigures]) -> list[str]:
    """Return the table of the ways to the medium picture."""
    head = ("way", "parameters", "steps", "halfway (dB)", "at the end (dB)")
    limits = ("medium autoencoder (dB)", "high, then LANCZOS (dB)")
    by_way = {one.way: one for one in ways}
    return _table((*head, *limits), [_way_row(label, by_way[way]) for way, label in WAYS.items()])


def _way_row(label: str, one: WayFigures) -> tuple[str, ...]:
    half, end = one.points[len(one.points) // 2], one.points[-1]
    scores = (half.psnr_db, end.psnr_db, one.ceiling_db, one.resized_db)
    return (label, f"{one.parameters:,}", f"{end.step:,}", *(f"{score:.2f}" for score in scores))


def _terms(nats: Nats) -> tuple[str, ...]:
    bits_per_px = nats.rate / math.log(2) / MEDIUM_PX**2
    return (
        f"{nats.rate:,.0f}",
        f"{bits_per_px:.3f}",
        f"{nats.psnr_db:.2f}",
        f"{nats.distortion:,.0f}",
        f"{nats.total:,.0f}",
    )


def _spoken(kind: str) -> str:
    return kind.replace("-", " ")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [_line(head), "|" + "---|" * len(head), *(_line(row) for row in rows)]


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
