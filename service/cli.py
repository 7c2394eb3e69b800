"""The command line: the commands and their options. Each command imports its code when it runs.

No import at the top of this file may import torch, numpy or Pillow, so that `latentedge --help` answers at once.
A failure that the user can correct is reported as one line on stderr, with exit code 2 (`service.commands.failure`).
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from service.commands import stages
from service.commands.failure import USER_ERROR, CommandFailure, complain
from service.commands.settings_help import SettingsCommand
from service.metrics.release import read_version
from service.rendition import RENDITIONS, describe_sizes

app = typer.Typer(
    name="latentedge",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

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


def print_version(asked: bool) -> None:  # noqa: FBT001  (typer calls it with the option's value)
    """Print the version and exit if `--version` was given (`asked`)."""
    if asked:
        typer.echo(f"latentedge {read_version()}")
        raise typer.Exit


@app.callback()
def read_common_options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A picture cache that keeps one learned latent per picture and decodes every size of it on demand."""


@app.command()
def encode(
    files: Files,
    *,
    output: OutputFolder,
    quality: Annotated[
        int | None, typer.Option("--quality", help="The quality, 0 to 63.", show_default="the model's own")
    ] = None,
    target_bytes: Annotated[
        int | None, typer.Option("--target-bytes", metavar="B", help="The best quality within this many bytes.")
    ] = None,
    target_ssimulacra2: Annotated[
        float | None,
        typer.Option(
            "--target-ssimulacra2",
            metavar="S",
            help="The fewest bytes with at least this SSIMULACRA2 score (0 to 100).",
        ),
    ] = None,
    refine: Annotated[
        int,
        typer.Option(
            "--refine", metavar="N", help="Steps of the search for a better latent, such as 40 or 400; 0 for no search."
        ),
    ] = 0,
    refine_for: Annotated[str, typer.Option("--refine-for", metavar="HEADS", help=HEADS_HELP)] = "auto",
    refine_batch: Annotated[
        int | None,
        typer.Option("--refine-batch", metavar="N", help="Files in one search.", show_default="1, or 64 on a GPU"),
    ] = None,
    weights: Weights = None,
    device: Device = "cpu",
    head: Head = "auto",
) -> None:
    """Encode the centre square of pictures at 344x344 to DIR/<stem>.le; a 344x344 picture is not resized."""
    from service.commands import encode_target, latent_files
    from service.commands.codec_choice import CodecChoice

    options = encode_target.EncodeOptions(
        quality,
        target_bytes=target_bytes,
        target_ssimulacra2=target_ssimulacra2,
        refine=refine,
        refine_for=refine_for,
        refine_batch=refine_batch,
    )
    latent_files.encode(files, output=output, options=options, codec=CodecChoice(weights, device, head))


@app.command()
def decode(
    files: Files,
    *,
    output: OutputFolder,
    res: Annotated[str, typer.Option("--res", help=f"{describe_sizes()}.")] = RENDITIONS[0].name,
    weights: Weights = None,
    device: Device = "cpu",
    head: Head = "auto",
) -> None:
    """Decode latents (.le) to DIR/<stem>.png."""
    from service.commands import latent_files
    from service.commands.codec_choice import CodecChoice

    latent_files.decode(files, output=output, res=res, codec=CodecChoice(weights, device, head))


@app.command()
def info(files: Files, *, weights: Weights = None) -> None:
    """Print the header, the sizes and the bits per pixel of latents (.le), after checking their checksums."""
    from service.commands import latent_files
    from service.commands.codec_choice import CodecChoice

    latent_files.info(files, codec=CodecChoice(weights, "cpu", "auto"))


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of pictures.")],
    *,
    output: OutputFolder = Path("runs/evaluate"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer pictures and qualities, and no AVIF of speed 2.")
    ] = False,
    refine: Annotated[
        list[int] | None,
        typer.Option("--refine", metavar="N", min=1, help="Also measure a search of N steps; repeatable, resumable."),
    ] = None,
    refine_pictures: Annotated[
        int,
        typer.Option("--refine-pictures", metavar="N", min=1, help="Number of pictures for the search of --refine."),
    ] = 12,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Compare rate and distortion with JPEG, WebP, AVIF and JPEG XL: tables, plots, sheets, JSON on the last line."""
    with _require_extra("demo"):
        from service.commands import model_work

    model_work.evaluate(
        model_work.EvaluateOptions(
            folder,
            output=output,
            quick=quick,
            refine_steps=tuple(refine or ()),
            refine_pictures=refine_pictures,
            weights=weights,
            device=device,
        )
    )


@app.command()
def train(
    *,
    data: Annotated[
        list[Path], typer.Option("--data", metavar="PATH", help="A folder or a pack of photographs; repeatable.")
    ],
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.1, help="Time budget, including the decay of the learning rate.")
    ],
    output: OutputFolder = stages.DEFAULTS.output,
    valid: Annotated[Path | None, typer.Option("--valid", metavar="DIR", help="Photographs to validate on.")] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="DIR", help="The folder of a run to continue.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Weights to start from, instead of the closed-form start."),
    ] = None,
    flat: Annotated[
        Path | None,
        typer.Option(
            "--from-flat", metavar="DIR", help="A stage's folder. This run starts from its weights before the decay."
        ),
    ] = None,
    stage: Annotated[str, typer.Option("--stage", help=stages.describe_stages())] = stages.DEFAULTS.stage,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads for torch.")] = stages.DEFAULTS.threads,
    seed: Annotated[
        int, typer.Option("--seed", help="Random seed of crops, qualities and initial weights.")
    ] = stages.DEFAULTS.seed,
    rate: Annotated[float, typer.Option("--rate", min=0, help="Learning rate.")] = stages.RECIPE.rate,
    batch: Annotated[
        int, typer.Option("--batch", min=1, help="Crops per step; 32 fit on a GPU.")
    ] = stages.RECIPE.batch,
    crop_px: Annotated[
        int, typer.Option("--crop", metavar="PX", min=64, max=256, help="Side of a crop in px.")
    ] = stages.RECIPE.crop_px,
    optimizer: Annotated[str, typer.Option("--optimizer", help="muon or adamw.")] = stages.RECIPE.optimizer,
    contest_s: Annotated[
        float,
        typer.Option("--contest", metavar="S", min=0, help="Try each optimizer for S seconds and keep the better one."),
    ] = stages.DEFAULTS.contest_s,
    perceptual: Annotated[
        float,
        typer.Option("--perceptual", min=0, max=1, help="Weight of SSIMULACRA2 in the distortion during the decay."),
    ] = stages.RECIPE.perceptual,
    note: Annotated[
        bool, typer.Option("--note", help="Also train the translator of the research note, to compare.")
    ] = stages.DEFAULTS.note,
    device: Device = stages.DEFAULTS.device,
) -> None:
    """Train the codec within a time budget."""
    with _require_extra("demo"):
        from service.commands import model_work

    recipe = model_work.Recipe(batch=batch, crop_px=crop_px, rate=rate, optimizer=optimizer, perceptual=perceptual)
    model_work.train(
        model_work.TrainOptions(
            data=data,
            valid=valid,
            minutes=minutes,
            output=output,
            resume=resume,
            start=start,
            flat=flat,
            stage=stage,
            threads=threads,
            seed=seed,
            device=device,
            contest_s=contest_s,
            note=note,
            recipe=recipe,
        )
    )


@app.command()
def pack(
    *,
    data: Annotated[list[Path], typer.Option("--data", metavar="DIR", help="A folder of photographs; repeatable.")],
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The pack to write.")],
    most_bytes: Annotated[
        int, typer.Option("--most-bytes", metavar="B", min=1, help="Largest size of the pack.")
    ] = stages.PACK_BYTES,
) -> None:
    """Re-encode photographs so that they fit one file of a given size, for `train --data FILE` elsewhere."""
    with _require_extra("demo"):
        from service.commands import model_work

    typer.echo(model_work.pack(model_work.PackOptions(data, output, most_bytes=most_bytes)))


@app.command(cls=SettingsCommand)
def serve(
    *,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Port = 8080,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Server processes.")] = 1,
) -> None:
    """Run the edge. All other settings come from the environment, as listed below. EDGE_ORIGIN is required."""
    from service.commands import start_servers

    start_servers.serve(host=host, port=port, workers=workers)


@app.command(cls=SettingsCommand)
def refine(
    *,
    store: Annotated[
        str, typer.Option("--store", metavar="URL", envvar="EDGE_REDIS_URL", help="The store of the edges.")
    ],
    origin: Annotated[
        str, typer.Option("--origin", metavar="URL", envvar="EDGE_ORIGIN", help="The origin of the edges.")
    ],
    steps: Annotated[
        int,
        typer.Option(
            "--steps", metavar="N", min=1, help="Steps of each search. Recommended: 40 on a CPU, 400 on a GPU."
        ),
    ],
    refine_for: Annotated[
        str, typer.Option("--refine-for", metavar="HEADS", envvar="EDGE_REFINE_FOR", help=HEADS_HELP)
    ] = "auto",
    per_minute: Annotated[
        float, typer.Option("--per-minute", metavar="N", min=0, help="Most pictures per minute; 0 for no limit.")
    ] = 60.0,
    origin_requests: Annotated[
        int, typer.Option("--origin-requests", metavar="N", min=1, help="Most requests to the origin at a time.")
    ] = 2,
) -> None:
    """Replace the latents in a store by better ones, hottest first. An interrupted run can be started again.

    All other settings come from the environment, as for the edges.
    """
    from service.commands import better_latents

    better_latents.refine(
        better_latents.RefineOrder(
            store=store,
            origin=origin,
            steps=steps,
            refine_for=refine_for,
            per_minute=per_minute,
            origin_requests=origin_requests,
        )
    )


@app.command()
def purge(
    *,
    image_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Purge the picture with this id.")] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="Purge all pictures with this cache tag.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Purge all pictures.")] = False,
    soft: Annotated[bool, typer.Option("--soft", help="Only mark the pictures as stale.")] = False,
    edge: Annotated[
        str, typer.Option("--edge", metavar="URL", help="The URL of any edge that uses the store.")
    ] = "http://127.0.0.1:8080",
    token: Annotated[
        str, typer.Option("--token", envvar="EDGE_ADMIN_TOKEN", help="The edge's EDGE_ADMIN_TOKEN.", show_default=False)
    ] = "",
) -> None:
    """Purge pictures from all edges that share a store, and print the edge's answer."""
    from service.commands import purge_order

    order = purge_order.Order(image_id=image_id, tag=tag, everything=everything, soft=soft)
    typer.echo(purge_order.purge(order, edge=edge, token=token))


@app.command()
def origin(
    *,
    directory: Annotated[Path, typer.Option("--dir", metavar="DIR", help="The folder of pictures.")],
    port: Port,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run a small static origin over a folder of pictures."""
    from service.commands import start_servers

    start_servers.origin(directory, host=host, port=port)


@app.command()
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
    with _require_extra("demo"):
        from service.demo import story

    story.run(story.DemoOptions(photos=photos, once=once, requests=requests, port=port, sheet=sheet))


@app.command("demo-photos")
def demo_photos(*, output: OutputFolder) -> None:
    """Write the photographs of the demonstration, and crops of them, as JPEG files."""
    with _require_extra("demo"):
        from service.demo import photographs

    typer.echo(photographs.write_photographs(output).sentence)


@contextmanager
def _require_extra(name: str) -> Iterator[None]:
    """Raise CommandFailure if an import in this block fails, because the optional dependencies `name` are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CommandFailure(
            f"latentedge: the package {error.name} is missing: run `pip install 'latentedge[{name}]'`"
        ) from error


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. `arguments` defaults to those of the process."""
    try:
        code = app(args=arguments, prog_name="latentedge", standalone_mode=False)
    except CommandFailure as failure:
        complain(str(failure))
        return USER_ERROR
    except TyperException as error:  # the arguments are invalid
        if message := error.format_message():  # no message means that no command was given, and the help was printed
            complain(f"latentedge: {message}")
        return USER_ERROR
    except (KeyboardInterrupt, typer.Abort):
        return 128 + signal.SIGINT
    return code if isinstance(code, int) else 0


def main() -> None:
    # OpenMP reads this variable when torch is first imported, here or in a child process. By default its threads spin
    # while they wait, and take the cores from working threads. On two busy cores, an encode then took 3.4 s instead of
    # 0.2 s (measured).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(run())


def _leave(signal_number: int, _frame: FrameType | None) -> None:
    """Raise SystemExit on SIGTERM, so that `finally` blocks remove temporary files and stop child processes."""
    raise SystemExit(128 + signal_number)
