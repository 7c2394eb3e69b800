"""The stages of training and the defaults of its options, for the command line. Does not import torch."""

from models.training.options import PACK_BYTES, STAGES, Recipe, TrainOptions

__all__ = ["DEFAULTS", "EVERY_STAGE", "PACK_BYTES", "RECIPE", "describe_stages"]

EVERY_STAGE = ("all", *STAGES)
DEFAULTS = TrainOptions(data=[], minutes=0)
RECIPE = Recipe()


def describe_stages() -> str:
    """Return the names of all stages of training as one sentence, for the help of `train --stage`."""
    return f"{', '.join(EVERY_STAGE[:-1])} or {EVERY_STAGE[-1]}."
