"""The command `latentedge evaluate --demotion`: what a demoted picture looks like, and what its bytes could be instead.

The order of the work: references -> scores of each picture (kept) -> means -> table, plot, sheets, JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from models.config import HIGH_PX, MEDIUM_PX
from models.evaluation.cpu_use import in_two_processes, one_thread
from models.evaluation.demotion_plot import plot_demotion
from models.evaluation.demotion_scores import DemotionJob, DemotionMean, load_codecs, means, score_demotion
from models.evaluation.demotion_sheet import write_demotion_sheets
from models.evaluation.references import pictures_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class DemotionOptions:
    """The options of one comparison."""

    folder: Path
    output: Path
    weights: Path | None = None
    upscaler: Path | None = None


def compare_demotion(options: DemotionOptions) -> list[DemotionMean]:
    """Score every picture of the folder, print the means, and write plot, sheets and JSON to the output folder."""
    jobs = [
        DemotionJob(path, options.output / "pictures", weights=options.weights, upscaler=options.upscaler)
        for path in pictures_in(options.folder)
    ]
    with Progress(console=Console(stderr=True)) as progress:
        found = [*progress.track(in_two_processes(score_demotion, jobs), total=len(jobs), description="pictures")]
    scores = [one for of_picture in found for one in of_picture]
    rows = means(scores)
    plot_demotion(rows, options.output / "demotion.png")
    with one_thread():
        codecs = load_codecs(options.weights, options.upscaler)
        write_demotion_sheets([job.path for job in jobs], scores, codecs, options.output)
    (options.output / "demotion.json").write_text(json.dumps([asdict(one) for one in rows], indent=1))
    for size_px in (HIGH_PX, MEDIUM_PX):
        Console().print(_table([one for one in rows if one.size_px == size_px], size_px))
    print(json.dumps({"pictures": len(jobs), "means": len(rows)}))
    return rows


def _table(rows: Sequence[DemotionMean], size_px: int) -> Table:
    table = Table("quality", "made of", "bytes", "PSNR", "SSIMULACRA2", "ST-LPIPS", title=f"{size_px} x {size_px}")
    for one in rows:
        table.add_row(
            str(one.quality) if one.quality >= 0 else "",
            one.way.value,
            f"{one.share:.2f}",
            f"{one.psnr_db:.2f}",
            f"{one.ssimulacra2:.1f}",
            "" if one.distance is None else f"{one.distance:.3f}",
        )
    return table
