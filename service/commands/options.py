"""Options that several commands have. Imports neither torch, numpy nor Pillow: see `service.cli`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from service.commands.failure import CommandFailure

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="The files to work on.", show_default=False)]
OutputFolder = Annotated[Path, typer.Option("--output", metavar="DIR", help="The output folder; created if missing.")]
Weights = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE", help="A weights file to use instead of the released one.")
]
Device = Annotated[str, typer.Option("--device", help="The device that runs the networks: cpu or cuda.")]
Head = Annotated[
    str, typer.Option("--head", help="The network that decodes the 344 picture: auto (by the device), cpu or gpu.")
]
HEADS_HELP = (
    "The heads whose decoded pictures the search improves: auto (the head in use), or a list with weights such as"
    " high-gpu=0.55,high-cpu=0.45."
)
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="TCP port to listen on; 0 chooses a free one.")]


@contextmanager
def require_extra(name: str) -> Iterator[None]:
    """Raise CommandFailure if an import in this block fails, because the optional dependencies `name` are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CommandFailure(
            f"latentedge: the package {error.name} is missing: run `pip install 'latentedge[{name}]'`"
        ) from error
