"""The stages and defaults of training for the command line, without importing torch."""

from models.training.options import PACK_BYTES, STAGES, Recipe, TrainOptions

__all__ = ["DEFAULTS", "EVERY_STAGE", "PACK_BYTES", "RECIPE", "describe_stages"]

EVERY_STAGE = ("all", *STAGES)
DEFAULTS = TrainOptions(data=[], minutes=0)
RECIPE = Recipe()


def describe_stages() -> str:
    """Return the names of all stages as one sentence for the help."""
    return f"{', '.join(EVERY_STAGE[:-1])} or {EVERY_STAGE[-1]}."
