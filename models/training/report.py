"""An evaluation, and how it is told: tables for people, JSON for scripts. Measures nothing."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.config import HIGH_PX, MEDIUM_PX
from models.training.cost import DecoderCost, StageTimes
from models.training.figures import BdRate, MeanPoint, Metric, Ours, PairRatio, PictureScores, TranslatorGap

_PIPED_WIDTH = 110  # a pipe has no width; 80 columns would fold the tables
_METRIC_LABELS = ((Metric.PSNR, "PSNR"), (Metric.SSIMULACRA2, "SSIMULACRA2"))


@dataclass(frozen=True)
class Evaluation:
    folder: str
    quick: bool
    default_quality: int
    bd_rates: tuple[BdRate, ...]
    pair_ratios: tuple[PairRatio, ...]
    translator_gaps: tuple[TranslatorGap, ...]
    mean_points: tuple[MeanPoint, ...]
    decoders: tuple[DecoderCost, ...]
    times: StageTimes
    pictures: tuple[PictureScores, ...]


def print_tables(evaluation: Evaluation, console: Console) -> None:
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    for table in (_bd_table(evaluation), _pair_table(evaluation), _curve_table(evaluation), _cost_table(evaluation)):
        console.print(table)


def write_json(evaluation: Evaluation, path: Path) -> None:
    path.write_text(json.dumps(asdict(evaluation), indent=1, default=str) + "\n")


def main_figures_line(evaluation: Evaluation) -> str:
    """One line of JSON; null where no picture's curves allow the figure."""
    high, medium = (_at_default(evaluation, ours) for ours in (Ours.HIGH, Ours.MEDIUM))
    gaps = evaluation.translator_gaps
    times = evaluation.times
    return json.dumps(
        {
            "folder": evaluation.folder,
            "pictures": len(evaluation.pictures),
            "quick": evaluation.quick,
            **{_bd_key(one): _rounded(one.percent, 2) for one in evaluation.bd_rates},
            **{
                f"pair_ratio_{one.metric}_{one.anchor.lower()}": _rounded(one.ratio, 3)
                for one in evaluation.pair_ratios
                if one.quality == evaluation.default_quality
            },
            "translator_gap_db": round(sum(one.psnr_db for one in gaps) / len(gaps), 3),
            "translator_gap_worst_quality_db": round(max(one.psnr_db for one in gaps), 3),
            "default_quality": evaluation.default_quality,
            "default_bytes": round(high.size_bytes),
            "default_psnr_344_db": round(high.psnr_db, 2),
            "default_ssimulacra2_344": round(high.ssimulacra2, 2),
            "default_psnr_172_db": round(medium.psnr_db, 2),
            "default_ssimulacra2_172": round(medium.ssimulacra2, 2),
            **{f"decoder_{one.size_px}_kmac_per_px": round(one.kmac_per_px, 2) for one in evaluation.decoders},
            **{f"decoder_{one.size_px}_parameters": one.parameters for one in evaluation.decoders},
            "encode_ms": round(times.encode_ms, 2),
            "decode_344_ms": round(times.read_ms + times.synthesize_high_ms, 2),
            "decode_172_ms": round(times.read_ms + times.synthesize_medium_ms, 2),
        }
    )


def _bd_table(evaluation: Evaluation) -> Table:
    table = Table(title=f"BD-rate, median of {len(evaluation.pictures)} pictures (negative: fewer bytes)")
    for heading in ("codec", "size", "score"):
        table.add_column(heading)
    names = _anchor_names(evaluation)
    for name in names:
        table.add_column(f"against {name}", justify="right")
    for ours in (Ours.HIGH, Ours.MEDIUM, Ours.ALONE):
        for metric, label in _METRIC_LABELS:
            rates = [one for one in evaluation.bd_rates if (one.ours, one.metric) == (ours, metric)]
            table.add_row(ours.value, str(ours.size_px), label, *(_bd_cell(one) for one in rates))
    table.caption = (
        "In brackets: pictures with enough common range to have a figure, and with all of it, where not all."
    )
    return table


def _bd_cell(one: BdRate) -> str:
    everything = one.pictures + one.left_out
    if one.percent is None:
        return "-"
    note = "" if one.whole_range == everything else f" ({one.pictures}, {one.whole_range})"
    return f"{one.percent:+.1f} %{note}"


def _pair_table(evaluation: Evaluation) -> Table:
    table = Table(title="One latent against the two files (344 + 172) of the same scores: ratio of bytes")
    for heading in ("quality", "score"):
        table.add_column(heading)
    names = _anchor_names(evaluation)
    for name in names:
        table.add_column(f"{name} pair", justify="right")
    for metric, label in _METRIC_LABELS:
        for quality in sorted({one.quality for one in evaluation.pair_ratios}):
            ratios = [one for one in evaluation.pair_ratios if (one.metric, one.quality) == (metric, quality)]
            mark = " (default)" if quality == evaluation.default_quality else ""
            table.add_row(f"{quality}{mark}", label, *(_pair_cell(one) for one in ratios))
    table.caption = (
        "Geometric mean. In brackets: pictures counted, where a format cannot reach our scores on the others."
    )
    return table


def _pair_cell(one: PairRatio) -> str:
    if one.ratio is None:
        return "-"
    return f"{one.ratio:.2f}x" + (f" ({one.pictures})" if one.left_out else "")


def _curve_table(evaluation: Evaluation) -> Table:
    table = Table(title="Means over pictures at each quality, all from one stream")
    headings = ("quality", "bytes", "bpp", "PSNR 344", "SSIMU2 344", "PSNR 172", "SSIMU2 172", "LANCZOS 172", "gap dB")
    for heading in headings:
        table.add_column(heading, justify="right")
    rows = zip(
        *(_points(evaluation, ours) for ours in (Ours.HIGH, Ours.MEDIUM, Ours.SHRUNK)),
        evaluation.translator_gaps,
        strict=True,
    )
    for high, medium, shrunk, gap in rows:
        table.add_row(
            f"{high.quality}{'*' if high.quality == evaluation.default_quality else ''}",
            f"{high.size_bytes:.0f}",
            f"{high.bits_per_px:.3f}",
            f"{high.psnr_db:.2f}",
            f"{high.ssimulacra2:.1f}",
            f"{medium.psnr_db:.2f}",
            f"{medium.ssimulacra2:.1f}",
            f"{shrunk.psnr_db:.2f}",
            f"{gap.psnr_db:.2f}",
        )
    table.caption = "* the default quality. gap: decode 344 then LANCZOS, less the translator."
    return table


def _cost_table(evaluation: Evaluation) -> Table:
    times = evaluation.times
    table = Table(title="Cost of one picture at the default quality: one thread, a batch of one, CPU time")
    headings = ("size", "MMAC", "kMAC/px", "parameters", "entropy ms", "synthesis ms", "encode ms")
    for heading in headings:
        table.add_column(heading, justify="right")
    for one in evaluation.decoders:
        synthesis_ms = times.synthesize_high_ms if one.size_px == HIGH_PX else times.synthesize_medium_ms
        table.add_row(
            str(one.size_px),
            f"{one.macs / 1e6:.0f}",
            f"{one.kmac_per_px:.2f}",
            f"{one.parameters:,}",
            f"{times.read_ms:.2f}",
            f"{synthesis_ms:.2f}",
            f"{times.encode_ms:.1f}" if one.size_px == HIGH_PX else "",
        )
    return table


def _anchor_names(evaluation: Evaluation) -> list[str]:
    return list(dict.fromkeys(one.anchor for one in evaluation.bd_rates))


def _points(evaluation: Evaluation, ours: Ours) -> list[MeanPoint]:
    return [one for one in evaluation.mean_points if one.name == ours]


def _at_default(evaluation: Evaluation, ours: Ours) -> MeanPoint:
    return next(one for one in _points(evaluation, ours) if one.quality == evaluation.default_quality)


def _bd_key(one: BdRate) -> str:
    short = {Ours.HIGH: str(HIGH_PX), Ours.MEDIUM: str(MEDIUM_PX)}.get(one.ours, f"{MEDIUM_PX}_alone")
    return f"bd_{short}_{one.metric}_{one.anchor.lower()}"


def _rounded(figure: float | None, digits: int) -> float | None:
    return None if figure is None else round(figure, digits)
