"""The commands `evaluate`, `pack` and `train`, which run `models.evaluation` and `models.training`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.checkpoint import load
from models.evaluation.demotion import DemotionOptions
from models.evaluation.demotion import compare_demotion as run_demotion
from models.evaluation.evaluate import EvaluateOptions
from models.evaluation.evaluate import evaluate as run_evaluation
from models.evaluation.references import ReferencePictureError
from models.training.kept import KeptWeightsError
from models.training.options import OPTIMIZERS, STAGES, Recipe, TrainOptions
from models.training.photograph_pack import PackError, PackFigures, PackOptions
from models.training.photograph_pack import pack as run_packing
from models.training.train import train as run_training
from models.training.warm_start import StageMissingError, UnfitStartError
from models.weights_file import CheckpointError
from service.commands.failure import CommandFailure, reason
from service.commands.output_folder import prepare_folder

__all__ = [
    "DemotionOptions",
    "EvaluateOptions",
    "PackOptions",
    "Recipe",
    "TrainOptions",
    "compare_demotion",
    "evaluate",
    "pack",
    "train",
]


def evaluate(options: EvaluateOptions) -> None:
    with _measuring("evaluation", options.folder, output=options.output):
        run_evaluation(options)


def compare_demotion(options: DemotionOptions) -> None:
    with _measuring("comparison", options.folder, output=options.output):
        run_demotion(options)


@contextmanager
def _measuring(what: str, folder: Path, *, output: Path) -> Iterator[None]:
    _must_be_folder(folder)
    prepare_folder(output)
    try:
        yield
    except (CheckpointError, ReferencePictureError) as error:
        raise CommandFailure(f"latentedge: the {what} cannot run: {error}") from error
    except OSError as error:
        raise CommandFailure(f"latentedge: the {what} has stopped: {error}") from error


def train(options: TrainOptions) -> None:
    if options.stage != "all" and options.stage not in STAGES:
        raise CommandFailure(f"latentedge: --stage must be one of all, {', '.join(STAGES)}, not {options.stage!r}")
    if options.recipe.optimizer not in OPTIMIZERS:
        raise CommandFailure(
            f"latentedge: --optimizer must be {' or '.join(OPTIMIZERS)}, not {options.recipe.optimizer!r}"
        )
    if options.flat is not None and options.stage in {"all", "release"}:
        raise CommandFailure("latentedge: --from-flat has the weights of one stage: name that stage with --stage")
    if options.start is not None:
        _must_be_weights(options.start)
    for source in options.data:
        if not source.exists():
            raise CommandFailure(f"latentedge: --data: there is no such folder or pack file: {source}")
    for folder in filter(None, (options.valid, options.resume, options.flat)):
        _must_be_folder(folder)
    prepare_folder(options.resume or options.output)
    try:
        run_training(options)
    except (KeptWeightsError, ReferencePictureError, StageMissingError, UnfitStartError) as error:
        raise CommandFailure(f"latentedge: the training cannot run: {error}") from error
    except OSError as error:
        raise CommandFailure(f"latentedge: the training has stopped: {error}") from error


def pack(options: PackOptions) -> PackFigures:
    for folder in options.data:
        _must_be_folder(folder)
    prepare_folder(options.output.parent)
    try:
        return run_packing(options)
    except (PackError, ReferencePictureError) as error:
        raise CommandFailure(f"latentedge: the photographs cannot be packed: {error}") from error
    except OSError as error:
        raise CommandFailure(f"latentedge: cannot write the pack {options.output}: {reason(error)}") from error


def _must_be_weights(file: Path) -> None:
    try:
        load(file)
    except CheckpointError as error:
        raise CommandFailure(f"latentedge: the weights of --from cannot be loaded: {error}") from error


def _must_be_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise CommandFailure(f"latentedge: {folder} is not a folder")
