"""The commands of the codec and their options: encode, decode, info, evaluate, train and pack.

Each command imports its code when it runs: see `service.cli`.
"""

from pathlib import Path
from typing import Annotated

import typer

from service.commands import stages
from service.commands.options import HEADS_HELP, Device, Files, Head, OutputFolder, Weights, require_extra
from service.rendition import RENDITIONS, describe_sizes


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
    background: Annotated[
        str,
        typer.Option(
            "--background",
            metavar="RRGGBB",
            envvar="EDGE_BACKGROUND",
            help="The colour behind transparent pictures, as in an edge with this setting.",
        ),
    ] = "ffffff",
    screen: Annotated[
        bool,
        typer.Option("--screen", help="Encode logos, text and screenshots as screen streams where these are smaller."),
    ] = False,
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
        background=background,
        screen=screen,
    )
    latent_files.encode(files, output=output, options=options, codec=CodecChoice(weights, device, head))


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


def info(files: Files, *, weights: Weights = None) -> None:
    """Print the header, the sizes and the bits per pixel of bitstreams (.le), after checking their checksums."""
    from service.commands import latent_files
    from service.commands.codec_choice import CodecChoice

    latent_files.info(files, codec=CodecChoice(weights, "cpu", "auto"))


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
    demotion: Annotated[
        bool, typer.Option("--demotion", help="Compare demoted pictures instead: upscaler, LANCZOS, fewer bytes.")
    ] = False,
    upscaler: Annotated[
        Path | None,
        typer.Option("--upscaler", metavar="FILE", help="The upscaler of --demotion.", show_default="the released one"),
    ] = None,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Compare rate and distortion with JPEG, WebP, AVIF and JPEG XL: tables, plots, sheets, JSON on the last line."""
    with require_extra("demo"):
        from service.commands import model_work

    if demotion:
        model_work.compare_demotion(model_work.DemotionOptions(folder, output, weights=weights, upscaler=upscaler))
        return
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
    with require_extra("demo"):
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


def pack(
    *,
    data: Annotated[list[Path], typer.Option("--data", metavar="DIR", help="A folder of photographs; repeatable.")],
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The pack to write.")],
    most_bytes: Annotated[
        int, typer.Option("--most-bytes", metavar="B", min=1, help="Largest size of the pack.")
    ] = stages.PACK_BYTES,
) -> None:
    """Re-encode photographs so that they fit one file of a given size, for `train --data FILE` elsewhere."""
    with require_extra("demo"):
        from service.commands import model_work

    typer.echo(model_work.pack(model_work.PackOptions(data, output, most_bytes=most_bytes)))
