"""Train every translator from the high code to the medium picture (a *way*), and record the curve of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.evaluation.references import resize
from models.pixels import to_pixels
from models.studies.design import Kind
from models.studies.fitting import fit
from models.studies.kinds import decode_all
from models.studies.negative_elbo import picture_scores
from models.studies.second_head import FrozenLatentHead, JointHead
from models.studies.three_kinds import Convolutional
from models.studies.translators import (
    Alternation,
    Chain,
    FineTuning,
    FromTheStart,
    NoteAttempt,
    PairedPictures,
    Scaling,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from models.picture_array import Pixels
    from models.studies.design import Design, Plan
    from models.studies.fitting import Budget, Moment
    from models.studies.squares import Batches, Squares
    from models.studies.three_kinds import Autoencoder
    from models.studies.translators import Attempt

    Load = Callable[[Design], Autoencoder]

_BATCH = 16
_STATISTICS = 512
"""The batch size, and the number of pictures for the scalings and for the least-squares start (assumed)."""


class Way(StrEnum):
    """The ways to the medium picture: the note's, its remedies in the note's order, and this project's."""

    NOTE = "note"
    STANDARDISE = "standardise"
    CAPACITY = "capacity"
    MIDDLE = "connected-middle"
    FINE_TUNE = "fine-tune"
    ALTERNATE = "alternate"
    FROM_START = "from-the-start"
    VARIATIONAL = "variational"
    SECOND_HEAD = "second-head"
    JOINT = "joint"


@dataclass(frozen=True)
class CurvePoint:
    """A measurement during a training: processor seconds, steps, and the mean PSNR of the scored medium pictures."""

    seconds: float
    step: int
    psnr_db: float


@dataclass(frozen=True)
class WayFigures:
    """The curve of one way, and two PSNRs of its pair of autoencoders for comparison."""

    way: str
    parameters: int
    points: tuple[CurvePoint, ...]
    ceiling_db: float
    """PSNR of the medium autoencoder on its own codes: the best that a translator to these codes can reach."""
    resized_db: float
    """PSNR of the high picture that the high autoencoder decodes, resized to the medium side by LANCZOS."""


def chain_designs(way: Way, plan: Plan) -> tuple[Design, Design]:
    """Return the medium and the high autoencoder that a way uses."""
    if way is Way.CAPACITY:
        return plan.chain(wide=True)
    if way is Way.MIDDLE:
        return plan.chain(middle=True)
    return plan.chain(Kind.VARIATIONAL if way is Way.VARIATIONAL else Kind.CONVOLUTIONAL)


@dataclass(frozen=True)
class WayPictures:
    """The squares for one way: for its training, for its score, and for the sheets."""

    batches: Batches
    scored: Squares
    shown: Squares


def train_way(
    way: Way, plan: Plan, load: Load, *, pictures: WayPictures, budget: Budget
) -> tuple[WayFigures, NDArray[np.uint8]]:
    """Train one way within its time, and return its figures and the medium pictures (n, S, S, 3) for the sheets.

    `load` returns the trained autoencoder of a design.
    """
    scored = pictures.scored
    medium, high = chain_designs(way, plan)
    chain = Chain(load(medium), load(high))
    ceiling = _score(decode_all(chain.medium, scored.by_side[medium.size_px]), scored, medium.size_px)
    decoded = [resize(one, medium.size_px) for one in decode_all(chain.high, scored.by_side[high.size_px])]

    def draw(count: int) -> PairedPictures:
        return PairedPictures(*pictures.batches.draw(count, medium.size_px, high.size_px))

    attempt = _attempt(way, plan, chain, draw(_STATISTICS))
    points: list[CurvePoint] = []

    def measure(moment: Moment) -> None:
        points.append(
            CurvePoint(
                moment.seconds, moment.step, _score(_decode(attempt, scored, plan.chain_px), scored, medium.size_px)
            )
        )

    fit(attempt.parameters(), lambda moment: attempt.loss(draw(_BATCH), moment), budget, measure=measure)
    figures = WayFigures(
        way=way.value,
        parameters=sum(one.numel() for one in attempt.parameters()),
        points=tuple(points),
        ceiling_db=ceiling,
        resized_db=_score(decoded, scored, medium.size_px),
    )
    return figures, np.stack(_decode(attempt, pictures.shown, plan.chain_px))


def _attempt(way: Way, plan: Plan, chain: Chain, first: PairedPictures) -> Attempt:
    medium, high = chain_designs(way, plan)
    sizes = (high.code_length, medium.code_length)
    if way is Way.SECOND_HEAD:
        return FrozenLatentHead(chain.high, high, first=first)
    if way is Way.JOINT:
        return JointHead(Convolutional(high), high)
    if way is Way.STANDARDISE:
        return NoteAttempt(chain, scalings=_scalings(chain, first), sizes=sizes)
    if way is Way.FROM_START:
        return FromTheStart(Chain(Convolutional(medium), chain.high), sizes=sizes)
    attempts = {Way.FINE_TUNE: FineTuning, Way.ALTERNATE: Alternation}
    return attempts.get(way, NoteAttempt)(chain, sizes=sizes)


@torch.no_grad()
def _scalings(chain: Chain, first: PairedPictures) -> tuple[Scaling, Scaling]:
    return Scaling.of(chain.high.encode(first.high)), Scaling.of(chain.medium.encode(first.medium))


@torch.no_grad()
def _decode(attempt: Attempt, squares: Squares, chain_px: tuple[int, int]) -> list[Pixels]:
    medium_px, high_px = chain_px
    return to_pixels(attempt.decode(squares.all(high_px)), medium_px)


def _score(decoded: list[Pixels], scored: Squares, size_px: int) -> float:
    return mean(picture_scores(scored.by_side[size_px], decoded))
