"""The stages and the defaults of a training, as light as the command line: imports no torch."""

from models.training.options import PACK_BYTES, STAGES, Recipe, TrainOptions

__all__ = ["DEFAULTS", "EVERY_STAGE", "PACK_BYTES", "RECIPE", "sentence"]

EVERY_STAGE = ("all", *STAGES)
DEFAULTS = TrainOptions(data=[], minutes=0)
RECIPE = Recipe()


def sentence() -> str:
    """All stages, for a person."""
    return f"{', '.join(EVERY_STAGE[:-1])} or {EVERY_STAGE[-1]}."
