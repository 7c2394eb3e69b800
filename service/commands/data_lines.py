"""The command `data check`: report what a folder of training pictures contains."""

from collections.abc import Iterator
from pathlib import Path

import typer

from models.evaluation.references import ReferencePictureError
from models.training.data_report import DataReport, check_data
from service.commands.failure import CommandFailure, complain
from service.commands.progress import progress_bar

_BAR_LENGTH = 30
_GROUPS_TOLD = 20


def check(source: Path) -> None:
    """Print the contents of `source`. Raises CommandFailure if a training could use none of them."""
    if not source.exists():
        raise CommandFailure(f"latentedge: there is no such folder or pack file: {source}")
    try:
        report = _check(source)
    except ReferencePictureError as error:
        raise CommandFailure(f"latentedge: {error}") from error
    for line in lines(report):
        typer.echo(line)
    for one in report.unreadable:
        complain(f"{one.file}: unreadable: {one.fault}")
    if not report.usable:
        raise CommandFailure(f"latentedge: none of the {len(report.pictures)} pictures in {source} can be read")


def _check(source: Path) -> DataReport:
    with progress_bar() as bar:
        task = bar.add_task("checking", total=None)
        return check_data(source, tell=lambda done, of: bar.update(task, completed=done, total=of))


def lines(report: DataReport) -> Iterator[str]:
    """Yield the lines to print for a report."""
    for part in report.parts:
        yield f"DIV2K {part.folder}: {part.pictures} pictures ({part.meaning})"
    yield f"pictures: {len(report.pictures)}, of which {len(report.usable)} can be read"
    formats = ", ".join(f"{name} {count}" for name, count in report.formats().most_common())
    yield f"formats: {formats or 'none'}"
    yield from _histogram(report.sizes())
    yield from _duplicates(report)
    yield _used(report)


def _histogram(sizes: list[tuple[str, int]]) -> Iterator[str]:
    most = max(1, *(count for _, count in sizes))
    for name, count in sizes:
        bar = "#" * -(-count * _BAR_LENGTH // most)
        yield f"shorter side {name:>15}: {count:>6} {bar}".rstrip()


def _duplicates(report: DataReport) -> Iterator[str]:
    spare = sum(len(group) - 1 for group in report.duplicates)
    yield f"duplicates: {spare}, in {len(report.duplicates)} groups of pictures that look alike"
    for group in report.duplicates[:_GROUPS_TOLD]:
        yield f"  alike: {', '.join(group)}"
    if len(report.duplicates) > _GROUPS_TOLD:
        yield f"  and {len(report.duplicates) - _GROUPS_TOLD} more groups"


def _used(report: DataReport) -> str:
    part = " of DIV2K_train_HR alone" if any(one.folder == "DIV2K_train_HR" for one in report.parts) else ""
    return (
        f"training would use: {len(report.usable)} pictures{part}, {report.enlarged()} of them enlarged to 344 px;"
        " duplicates are not left out"
    )
