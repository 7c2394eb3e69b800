"""The stages of a training by name, as light as the command line: imports no torch."""

from models.training.options import STAGES

EVERY_STAGE = ("all", *STAGES)


def sentence() -> str:
    """All of them, for a person."""
    return f"{', '.join(EVERY_STAGE[:-1])} or {EVERY_STAGE[-1]}."
