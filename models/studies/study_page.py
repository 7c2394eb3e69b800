"""The report of a study: `study.md` with tables, plots and sheets, made from the results in the output folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.config import MEDIUM_PX, quality_lambda
from models.studies import study_prose as prose
from models.studies.design import NOTE_NEURONS, dense_parameters
from models.studies.negative_elbo import sigma
from models.studies.remedies import Way
from models.studies.study_plots import plot_kinds, plot_rates, plot_sweep, plot_ways
from models.studies.study_sheets import write_sheets
from models.studies.study_tables import kinds_table, rates_table, sweep_table, ways_table

if TYPE_CHECKING:
    from pathlib import Path

    from models.studies.design import Plan
    from models.studies.results import Results

PAGE = "study.md"
PICTURES = "study"
"""Name of the report, and of the folder beside it that holds its plots and sheets."""
_LEVELS = 255


def write_report(folder: Path, plan: Plan, results: Results) -> Path:
    """Write the report and its pictures from the finished trainings, and return the report's path."""
    pictures = folder / PICTURES
    pictures.mkdir(exist_ok=True)
    kinds = [results.kind(one.name) for one in plan.designs()]
    compared = [results.kind(one.name) for one in plan.compared()]
    swept = [results.kind(one.name) for one in plan.swept()]
    ways, codec = [results.way(way) for way in Way], results.codec()
    plot_kinds(compared, results.linear(), pictures / "kinds.png")
    plot_sweep(swept, pictures / "sweep.png")
    plot_rates(kinds, codec, plan.quality, pictures / "rates.png")
    plot_ways(ways, pictures / "translators.png")
    write_sheets(folder, plan, results, pictures)
    lines = [
        *_heading(results, plan, trainings=len(kinds) + len(ways)),
        *_section("Quality over code length", prose.KINDS),
        *_picture("PSNR over code length", "kinds.png"),
        *kinds_table(compared, results.linear(), plan.refused()),
        "",
        *_counting(),
        *_section("Reconstructions", prose.RECONSTRUCTIONS),
        *_picture("reconstructions of three pictures", "reconstructions.png"),
        *_section("Between two pictures", prose.INTERPOLATIONS),
        *_picture("interpolations", "interpolations.png"),
        *_section("Beta, and samples of the variational autoencoder", prose.SWEEP),
        *_picture("PSNR and KL divergence over beta", "sweep.png"),
        *sweep_table(swept),
        "",
        *_picture("samples", "samples.png"),
        *_section("The codec as a variational autoencoder", prose.CODEC),
        *_picture("rate and PSNR, and the negative ELBO", "rates.png"),
        *rates_table(kinds, codec, plan.quality),
        "",
        *_weights(plan, codec_streams(results)),
        *_section("The translator", prose.TRANSLATOR),
        *_picture("PSNR of the medium picture over the time of training", "translators.png"),
        *ways_table(ways),
        "",
        *_picture("medium pictures by each way", "translated.png"),
        *_section("Again", prose.AGAIN),
    ]
    page = folder / PAGE
    page.write_text("\n".join(lines), encoding="utf-8")
    return page


def codec_streams(results: Results) -> float:
    """Return the mean size of the codec's real bitstreams in nats."""
    return next(one.stream_nats for one in results.codec() if one.stream_nats is not None)


def _heading(results: Results, plan: Plan, *, trainings: int) -> list[str]:
    settings = results.settings()
    medium_px, high_px = plan.chain_px
    together = trainings * settings.seconds_each / 60
    sentences = (
        f"{trainings} trainings of {settings.seconds_each:.1f} processor seconds each on one thread"
        f" ({together:.0f} minutes together), on {settings.processor}, seed {settings.seed}. All figures are means over"
        f" pictures that were not trained on. The translators go from pictures of {high_px} px to pictures of"
        f" {medium_px} px."
    )
    return ["# Three kinds of autoencoders, and a translator between two", "", prose.INTRODUCTION, "", sentences, ""]


def _section(title: str, text: str) -> list[str]:
    return [f"## {title}", "", text, ""]


def _picture(meaning: str, file: str) -> list[str]:
    return [f"![{meaning}]({PICTURES}/{file})", ""]


def _counting() -> list[str]:
    count = dense_parameters(3 * MEDIUM_PX**2, NOTE_NEURONS)
    return [
        f"The first fully connected layer at {MEDIUM_PX} px with {NOTE_NEURONS} neurons has {count:,} parameters.",
        "",
    ]


def _weights(plan: Plan, stream_nats: float) -> list[str]:
    weight = quality_lambda(plan.quality)
    sentence = (
        f"Quality {plan.quality} has lambda = {weight:.4f}, which is the negative ELBO with sigma ="
        f" {sigma(plan.quality) * _LEVELS:.1f} of {_LEVELS} levels. Its real bitstreams take {stream_nats:,.0f} nats."
    )
    return [sentence, ""]
