"""evaluate and train: the only door from the service to models.training."""

from pathlib import Path

from models.checkpoint import CheckpointError, load
from models.config import ARCHITECTURES, Architecture
from models.training.evaluate import EvaluateOptions
from models.training.evaluate import evaluate as run_evaluation
from models.training.references import ReferencePictureError
from models.training.train import STAGES, TrainOptions
from models.training.train import train as run_training
from models.training.warm_start import StageMissingError, UnfitStartError
from service.commands.failure import CommandFailure

__all__ = ["EvaluateOptions", "TrainOptions", "architecture_of", "evaluate", "train"]


def evaluate(options: EvaluateOptions) -> None:
    _must_be_folder(options.folder)
    try:
        run_evaluation(options)
    except (CheckpointError, ReferencePictureError) as error:
        raise CommandFailure(f"latentedge: {error}") from error


def architecture_of(name: str) -> Architecture:
    """The networks of that name."""
    if name not in ARCHITECTURES:
        raise CommandFailure(f"latentedge: --architecture is {' or '.join(ARCHITECTURES)}, not {name!r}")
    return ARCHITECTURES[name]


def train(options: TrainOptions) -> None:
    if options.stage != "all" and options.stage not in STAGES:
        raise CommandFailure(f"latentedge: --stage is all, {', '.join(STAGES)}, not {options.stage!r}")
    if options.start is not None:
        _must_be_weights(options.start)
    for folder in (*options.data, *filter(None, (options.valid, options.resume))):
        _must_be_folder(folder)
    try:
        run_training(options)
    except (ReferencePictureError, StageMissingError, UnfitStartError) as error:
        raise CommandFailure(f"latentedge: {error}") from error


def _must_be_weights(file: Path) -> None:
    try:
        load(file)
    except CheckpointError as error:
        raise CommandFailure(f"latentedge: --from: {error}") from error


def _must_be_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise CommandFailure(f"{folder}: not a folder")
