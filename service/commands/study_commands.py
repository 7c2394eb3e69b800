"""The commands `study autoencoders` and `data check`, and their options.

Each command imports its code when it runs: see `service.cli`.
"""

from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import require_extra


def autoencoders(
    *,
    data: Annotated[Path, typer.Option("--data", metavar="PATH", help="A folder, a DIV2K tree or a pack.")],
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="The output folder; a second start in it continues.")
    ],
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.001, help="Length of all trainings on an otherwise idle machine.")
    ] = 60.0,
    valid: Annotated[
        Path | None,
        typer.Option("--valid", metavar="DIR", help="Photographs to score on.", show_default="every 16th of --data"),
    ] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Trainings at a time, each on one thread.")] = 2,
    seed: Annotated[int, typer.Option("--seed", help="Random seed of weights and batches.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="One code length for each size of picture.")] = False,
) -> None:
    """Compare three kinds of autoencoders and the research note's translators, and write a report with plots."""
    with require_extra("demo"):
        from service.commands import studies

    report = studies.study(
        studies.StudyOptions(
            data=data, output=output, minutes=minutes, valid=valid, quick=quick, processes=processes, seed=seed
        )
    )
    typer.echo(report)


def check(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="A folder, a DIV2K tree or a pack of photographs.")],
) -> None:
    """Check training pictures: formats, sizes, unreadable files, duplicates, and which ones a training would use."""
    with require_extra("train"):
        from service.commands import data_lines

    data_lines.check(source)
