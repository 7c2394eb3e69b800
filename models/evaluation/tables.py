"""Print the figures of an evaluation as tables, at most 110 columns wide when piped."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from models.evaluation.anchor_rates import AnchorRate
from models.evaluation.anchors import YARDSTICK
from models.evaluation.deployed import DeployedHead
from models.evaluation.figures import BdRate, MeanPoint, Metric, Ours, PairRatio
from models.evaluation.report import Evaluation
from models.evaluation.screens import ScreenedPicture

_PIPED_WIDTH = 110  # width in columns if stdout is a pipe; rich's default of 80 would wrap the tables
_METRIC_LABELS = ((Metric.PSNR, "PSNR"), (Metric.SSIMULACRA2, "SSIMULACRA2"))
_SHORT_LABELS = {Metric.PSNR: "PSNR", Metric.SSIMULACRA2: "SSIMU2"}


def print_tables(evaluation: Evaluation, console: Console) -> None:
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    for table in (_anchor_table, _psnr_table, _ssimulacra2_table, _heads_table, _pair_table, _curve_table, _cost_table):
        console.print(table(evaluation))
    for one in evaluation.deployed:
        console.print(_deployed_table(evaluation, one))
    if evaluation.deployed:
        console.print(_gain_table(evaluation.deployed))
    if evaluation.screens:
        console.print(_screen_table(evaluation.screens))


def _table(title: str, *, words: Sequence[str], numbers: Sequence[str], caption: str | None = None) -> Table:
    table = Table(title=title, caption=caption)
    for heading in words:
        table.add_column(heading)
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _anchor_table(evaluation: Evaluation) -> Table:
    """Return the table of the anchors' settings and BD-rates against `YARDSTICK`, whose own row has no rates."""
    pictures = len(evaluation.pictures)
    table = _table(
        f"The anchors, and their BD-rates at 344 against {YARDSTICK}, median of {pictures} pictures",
        words=("anchor", "settings"),
        numbers=[label for _, label in _METRIC_LABELS],
        caption=f"Encoded by {evaluation.anchor_libraries}.",
    )
    for name, settings in evaluation.anchor_settings.items():
        rates = [one for one in evaluation.anchor_rates if one.name == name]
        table.add_row(name, settings, *("" if one.name == one.against else _bd_cell(one) for one in rates))
    return table


def _psnr_table(evaluation: Evaluation) -> Table:
    return _bd_table(evaluation, Metric.PSNR)


def _ssimulacra2_table(evaluation: Evaluation) -> Table:
    return _bd_table(evaluation, Metric.SSIMULACRA2)


def _bd_table(evaluation: Evaluation, metric: Metric) -> Table:
    contenders = list(dict.fromkeys(one.ours for one in evaluation.bd_rates))
    pictures = len(evaluation.pictures)
    table = _table(
        f"BD-rate at equal {dict(_METRIC_LABELS)[metric]}, median of {pictures} pictures (negative: fewer bytes)",
        words=("against",),
        numbers=["\n".join((*ours.value.split(), str(ours.size_px))) for ours in contenders],
        caption="In brackets, if not all: pictures with a figure, and pictures whose curves cover the whole range.",
    )
    for name in evaluation.anchor_settings:
        rates = [one for one in evaluation.bd_rates if (one.anchor, one.metric) == (name, metric)]
        table.add_row(name, *map(_bd_cell, rates))
    return table


def _bd_cell(one: BdRate | AnchorRate) -> str:
    everything = one.pictures + one.left_out
    note = "" if one.whole_range == everything else f" ({one.pictures}, {one.whole_range})"
    return "-" if one.percent is None else f"{_percent(one.percent)}{note}"


def _heads_table(evaluation: Evaluation) -> Table:
    heads = (Ours.HIGH, Ours.HIGH_CPU)
    table = _table(
        "The light head against the better one, on the same latents",
        words=("score",),
        numbers=("bytes at equal score", *(f"{ours.value}, quality {evaluation.default_quality}" for ours in heads)),
        caption=f"BD-rate of {Ours.HIGH_CPU.value} against {Ours.HIGH.value}, median; positive: more bytes.",
    )
    for one, (metric, label) in zip(evaluation.cpu_head_losses, _METRIC_LABELS, strict=True):
        scores = [_score(evaluation.at_default(ours), metric) for ours in heads]
        table.add_row(label, _bd_cell(one), *(f"{score:.2f}" for score in scores))
    return table


def _pair_table(evaluation: Evaluation) -> Table:
    columns = [(metric, quality) for metric in Metric for quality in _pair_qualities(evaluation)]
    table = _table(
        "One latent against the two files (344 + 172) of the same scores: ratio of bytes",
        words=("pair of",),
        numbers=[
            f"{_SHORT_LABELS[metric]}\n{quality}{'*' if quality == evaluation.default_quality else ''}"
            for metric, quality in columns
        ],
        caption="Columns: the score and our quality (* the default). Geometric means over pictures. "
        "In brackets, unless it is all: pictures on which the format reaches our scores.",
    )
    for name in evaluation.anchor_settings:
        ratios = {(one.metric, one.quality): one for one in evaluation.pair_ratios if one.anchor == name}
        table.add_row(name, *(_pair_cell(ratios[column]) for column in columns))
    return table


def _pair_qualities(evaluation: Evaluation) -> list[int]:
    return sorted({one.quality for one in evaluation.pair_ratios})


def _pair_cell(one: PairRatio) -> str:
    if one.ratio is None:
        return "-"
    return f"{one.ratio:.2f}x" + (f" ({one.pictures})" if one.left_out else "")


def _curve_table(evaluation: Evaluation) -> Table:
    table = _table(
        "Means over pictures at each quality, all from one stream",
        words=(),
        numbers=(
            "quality",
            "bytes",
            "bpp",
            *(f"{score}\n{column}" for column in ("high-gpu", "high-cpu", "medium") for score in ("PSNR", "SSIMU2")),
            "PSNR\nLANCZOS",
            "gap dB",
        ),
        caption="* the default quality. gap: PSNR of decoding to 344 and LANCZOS to 172, minus the translator's.",
    )
    sides = (Ours.HIGH, Ours.HIGH_CPU, Ours.MEDIUM, Ours.SHRUNK)
    rows = zip(*(evaluation.points(ours) for ours in sides), evaluation.translator_gaps, strict=True)
    for *points, shrunk, gap in rows:
        first = points[0]
        table.add_row(
            f"{first.quality}{'*' if first.quality == evaluation.default_quality else ''}",
            f"{first.size_bytes:.0f}",
            f"{first.bits_per_px:.3f}",
            *_score_cells(points),
            f"{shrunk.psnr_db:.2f}",
            f"{gap.psnr_db:.2f}",
        )
    return table


def _cost_table(evaluation: Evaluation) -> Table:
    times = evaluation.times
    table = _table(
        "Cost of one picture at the default quality: one thread, a batch of one, CPU time",
        words=("decoder", "size"),
        numbers=("MMAC", "means MMAC", "kMAC/px", "parameters", "entropy ms", "synthesis ms", "encode ms"),
        caption="means MMAC: of the means and the exact path; included in MMAC, the same for every head.",
    )
    for one in evaluation.decoders:
        table.add_row(
            one.ours.value,
            str(one.ours.size_px),
            f"{one.macs / 1e6:.0f}",
            f"{one.means_macs / 1e6:.0f}",
            f"{one.kmac_per_px:.2f}",
            f"{one.parameters:,}",
            f"{times.read_ms:.2f}",
            f"{one.synthesize_ms:.2f}",
            f"{times.encode_ms:.1f}",
        )
    return table


def _deployed_table(evaluation: Evaluation, one: DeployedHead) -> Table:
    table = _table(
        f"As deployed: each latent searched for {one.head.value} in {one.steps} steps; plain -> searched",
        words=("against",),
        numbers=(
            *(f"BD {_SHORT_LABELS[metric]}\n{ours.value}" for ours in (one.head, Ours.MEDIUM) for metric in Metric),
            *(f"pair {_SHORT_LABELS[metric]}\nquality {evaluation.default_quality}" for metric in Metric),
        ),
        caption=f"{one.pictures} pictures at the qualities {', '.join(map(str, one.qualities))}, plain and searched. "
        "In brackets, unless it is all: pictures with a figure.",
    )
    for name in evaluation.anchor_settings:
        table.add_row(name, *_bd_changes(one, name), *_pair_changes(one, name))
    return table


def _bd_changes(one: DeployedHead, anchor: str) -> list[str]:
    both = zip(one.plain_rates, one.rates, strict=True)
    return [
        f"{_number(plain.percent)} -> {_number(found.percent)} %" + (f" ({found.pictures})" if found.left_out else "")
        for plain, found in both
        if found.anchor == anchor
    ]


def _pair_changes(one: DeployedHead, anchor: str) -> list[str]:
    both = zip(one.plain_pairs, one.pairs, strict=True)
    return [f"{_pair_cell(plain)} -> {_pair_cell(found)}" for plain, found in both if found.anchor == anchor]


def _gain_table(heads: Sequence[DeployedHead]) -> Table:
    table = _table(
        "BD-rate of searched against plain bitstreams, median over pictures",
        words=("searched for", "decoded by"),
        numbers=("steps", "seconds", *(f"{label}\n%" for _, label in _METRIC_LABELS), "PSNR\n% a second"),
    )
    for one in heads:
        for ours in (one.head, Ours.MEDIUM):
            psnr, ssimulacra2 = (gain for gain in one.gains if gain.ours is ours)
            cells = (_percent(gain.percent, digits=2) for gain in (psnr, ssimulacra2))
            per_second = _percent(psnr.percent_per_second, digits=2)
            table.add_row(one.head.value, ours.value, str(one.steps), f"{one.seconds:.1f}", *cells, per_second)
    return table


def _screen_table(screens: Sequence[ScreenedPicture]) -> Table:
    table = _table(
        "Pictures that EDGE_SCREEN=auto keeps as screen streams, beside their latents at the default quality",
        words=("picture",),
        numbers=("screen\nbytes", "largest\nerror", "SSIMU2", "latent\nbytes", "PSNR", "SSIMU2"),
    )
    for one in screens:
        screen, latent = one.screen, one.latent
        scores = (f"{screen.ssimulacra2:.1f}", f"{latent.size_bytes}", f"{latent.psnr_db:.2f}")
        table.add_row(one.path.name, f"{screen.size_bytes}", f"{screen.quality}", *scores, f"{latent.ssimulacra2:.1f}")
    return table


def _number(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:+.1f}"


def _percent(figure: float | None, *, digits: int = 1) -> str:
    return "-" if figure is None else f"{figure:+.{digits}f} %"


def _score_cells(points: Sequence[MeanPoint]) -> list[str]:
    return [cell for one in points for cell in (f"{one.psnr_db:.2f}", f"{one.ssimulacra2:.1f}")]


def _score(point: MeanPoint, metric: Metric) -> float:
    return point.psnr_db if metric is Metric.PSNR else point.ssimulacra2
