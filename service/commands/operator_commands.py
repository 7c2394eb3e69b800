"""The commands for operators and their options: check, warm and top.

Each command imports its code when it runs: see `service.cli`.
"""

from pathlib import Path
from typing import Annotated

import typer

EdgeUrl = Annotated[str, typer.Option("--edge", metavar="URL", help="The URL of the edge.")]
FAULTS_FOUND = 1


def check(
    *,
    image_id: Annotated[
        str, typer.Option("--id", metavar="ID", help="Also fetch this picture from its origin.", show_default=False)
    ] = "",
) -> None:
    """Check all that `serve` would use, and report all faults at once. The exit code is 1 if there are any.

    The settings come from the environment, as for the edge. The weights are loaded, a key is written to the store and
    removed, and each origin and the parent get a request.
    """
    from service.commands import check_report

    parts = check_report.check(image_id)
    for part in parts:
        for line in part.lines():
            typer.echo(line)
    if any(part.faults for part in parts):
        raise typer.Exit(FAULTS_FOUND)


def warm(
    ids: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The image ids, one a line, as id or id?v=2; - for stdin.", show_default=False
        ),
    ],
    *,
    edge: EdgeUrl = "http://127.0.0.1:8080",
    per_second: Annotated[
        float, typer.Option("--per-second", metavar="N", min=0, help="Most requests per second; 0 for no limit.")
    ] = 10.0,
    at_once: Annotated[int, typer.Option("--at-once", metavar="N", min=1, help="Most requests at a time.")] = 4,
    key: Annotated[
        str, typer.Option("--key", envvar="EDGE_KEY", help="The edge's EDGE_KEY, to sign.", show_default=False)
    ] = "",
    salt: Annotated[
        str, typer.Option("--salt", envvar="EDGE_SALT", help="The edge's EDGE_SALT.", show_default=False)
    ] = "",
) -> None:
    """Request each picture of a list once, so that the edge stores it. Print the failed ids at the end, on stderr.

    A request that gets 503 is sent again after its Retry-After. The exit code is 1 if any picture failed.
    """
    from service.commands import warm_up

    order = warm_up.WarmOrder(ids=ids, edge=edge, per_second=per_second, at_once=at_once, key=key, salt=salt)
    if not warm_up.warm(order):
        raise typer.Exit(FAULTS_FOUND)


def top(
    *,
    edge: EdgeUrl = "http://127.0.0.1:8080",
    every_s: Annotated[float, typer.Option("--every", metavar="S", min=0.1, help="Seconds between two frames.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and exit.")] = False,
) -> None:
    """Show the figures of an edge (/stats) in the terminal until Ctrl-C. With EDGE_ADMIN_PORT, name that port."""
    from service.commands import live_figures

    live_figures.show(edge=edge, every_s=every_s, once=once)
