"""Train one autoencoder of the plan, and score it on the squares that no training has seen."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.config import MEDIUM_PX
from models.pixels import to_pixels, to_tensor
from models.scores import Ssimulacra2
from models.studies.fitting import fit
from models.studies.negative_elbo import Nats, error_weight, picture_scores, squared_error
from models.studies.three_kinds import FullyConnected, Variational, draw, kl_nats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from models.picture_array import Pixels
    from models.studies.design import Design
    from models.studies.fitting import Budget, Moment
    from models.studies.squares import Batches, Squares
    from models.studies.three_kinds import Autoencoder

_BATCH, _BATCH_OF_MEDIUM = 16, 4
_TIMED = 10
_SCORED_TOGETHER = 8


@dataclass(frozen=True)
class KindFigures:
    """The size and results of one autoencoder: means over the scored squares, times for one picture on one thread."""

    name: str
    kind: str
    size_px: int
    code_length: int
    beta: float
    parameters: int
    first_layer: int
    steps: int
    seconds: float
    psnr_db: float
    ssimulacra2: float | None
    """None below 172 px, because the score is not meant for such small pictures."""
    encode_ms: float
    decode_ms: float
    nats: Nats | None
    """The terms of the negative ELBO, of a variational autoencoder only."""


def train_kind(design: Design, model: Autoencoder, batches: Batches, *, budget: Budget, quality: int) -> Moment:
    """Train a model in place, and return the final moment. `quality` selects the lambda of a variational loss."""
    count = _BATCH_OF_MEDIUM if design.size_px >= MEDIUM_PX else _BATCH

    def loss(_moment: Moment) -> Tensor:
        (x,) = batches.draw(count, design.size_px)
        return model_loss(model, x, quality=quality, beta=design.beta)

    return fit(model.parameters(), loss, budget)


def model_loss(model: Autoencoder, x: Tensor, *, quality: int, beta: float) -> Tensor:
    """Return the loss for each colour value: the squared error, or the negative ELBO with `beta` times its KL term.

    The ELBO is divided by its weight of the squared error, so that the losses of all kinds have the same scale.
    """
    if not isinstance(model, Variational):
        return (model.decode(model.encode(x)) - x).square().mean()
    posterior_mean, log_variance = model.posterior(x)
    error = squared_error(model.decode(draw(posterior_mean, log_variance)), x)
    rate = beta / error_weight(quality) * kl_nats(posterior_mean, log_variance)
    return (error + rate).mean() / x[0].numel()


@torch.no_grad()
def decode_all(model: Autoencoder, pictures: NDArray[np.uint8]) -> list[Pixels]:
    """Encode and decode pictures (n, S, S, 3)."""
    return [
        one
        for first in range(0, len(pictures), _SCORED_TOGETHER)
        for one in to_pixels(
            model.decode(model.encode(to_tensor(pictures[first : first + _SCORED_TOGETHER]))), pictures.shape[1]
        )
    ]


@torch.no_grad()
def score_kind(design: Design, model: Autoencoder, squares: Squares, *, trained: Moment, quality: int) -> KindFigures:
    """Return the figures of a trained model on `squares`."""
    originals = squares.by_side[design.size_px]
    decoded = decode_all(model, originals)
    x = to_tensor(originals[0])
    code = model.encode(x)
    return KindFigures(
        name=design.name,
        kind=design.kind.value,
        size_px=design.size_px,
        code_length=design.code_length,
        beta=design.beta,
        parameters=_count(model),
        first_layer=_count(model.first if isinstance(model, FullyConnected) else model.encoder.first),
        steps=trained.step,
        seconds=trained.seconds,
        psnr_db=mean(picture_scores(originals, decoded)),
        ssimulacra2=_perceived(originals, decoded) if design.size_px >= MEDIUM_PX else None,
        encode_ms=_time_ms(lambda: model.encode(x)),
        decode_ms=_time_ms(lambda: model.decode(code)),
        nats=variational_nats(model, originals, quality=quality) if isinstance(model, Variational) else None,
    )


@torch.no_grad()
def variational_nats(model: Variational, pictures: NDArray[np.uint8], *, quality: int) -> Nats:
    """Return the terms of the negative ELBO on pictures (n, S, S, 3), with one draw from each posterior."""
    torch.manual_seed(0)
    rates, errors, scores = [], [], []
    for first in range(0, len(pictures), _SCORED_TOGETHER):
        pixels = pictures[first : first + _SCORED_TOGETHER]
        x = to_tensor(pixels)
        posterior_mean, log_variance = model.posterior(x)
        x_hat = model.decode(draw(posterior_mean, log_variance))
        rates += kl_nats(posterior_mean, log_variance).tolist()
        errors += squared_error(x_hat, x).tolist()
        scores += picture_scores(pixels, to_pixels(x_hat, x.shape[2]))
    return Nats(mean(rates), error_weight(quality) * mean(errors), mean(scores))


def _perceived(originals: NDArray[np.uint8], decoded: Sequence[Pixels]) -> float:
    return mean([Ssimulacra2(original).score(one) for original, one in zip(originals, decoded, strict=True)])


def _count(network: nn.Module) -> int:
    return sum(one.numel() for one in network.parameters())


def _time_ms(work: Callable[[], object]) -> float:
    """Return the shortest processor time of several runs, in ms."""
    times = []
    for _ in range(_TIMED):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1e3 * min(times)
