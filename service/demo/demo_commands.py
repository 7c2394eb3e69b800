"""The commands demo and demo-photos, and their options.

Each command imports its code when it runs: see `service.cli`.
"""

from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import OutputFolder, Port, require_extra


def demo(
    *,
    photos: Annotated[Path | None, typer.Option("--photos", metavar="DIR", help="Your own photographs.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Exit after the figures, and do not keep serving.")] = False,
    requests: Annotated[int, typer.Option("--requests", min=1, help="Number of requests to send.")] = 2000,
    port: Port = 8080,
    sheet: Annotated[Path, typer.Option("--sheet", metavar="FILE", help="The sheet to write, a PNG file.")] = Path(
        "demo.png"
    ),
) -> None:
    """Start an origin and an edge, send them requests, print the figures and write a sheet of pictures."""
    with require_extra("demo"):
        from service.demo import story

    story.run(story.DemoOptions(photos=photos, once=once, requests=requests, port=port, sheet=sheet))


def demo_photos(*, output: OutputFolder) -> None:
    """Write the photographs of the demonstration, and crops of them, as JPEG files."""
    with require_extra("demo"):
        from service.demo import photographs

    typer.echo(photographs.write_photographs(output).sentence)
