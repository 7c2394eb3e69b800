"""The note's translator between two autoencoders, and its remedies.

Each attempt reads the code of the high picture and returns the medium picture. Its `loss` is the quantity that one step
of its training minimises, and `parameters` returns the parameters that this step may change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from models.layers import activate

if TYPE_CHECKING:
    from models.studies.fitting import Moment
    from models.studies.three_kinds import Autoencoder

_NEURONS = 512
_TURN_STEPS = 25
"""The width of the MLP, and the steps of each turn if two trainings alternate (assumed)."""


@dataclass(frozen=True)
class Chain:
    """The two trained autoencoders between which a translator works."""

    medium: Autoencoder
    high: Autoencoder


@dataclass(frozen=True)
class PairedPictures:
    """The same pictures at both sizes: (B, 3, S, S) each."""

    medium: Tensor
    high: Tensor


class Attempt(Protocol):
    """One way from the high code to the medium picture."""

    def parameters(self) -> list[nn.Parameter]:
        """Return all parameters that the training may change."""

    def loss(self, pictures: PairedPictures, moment: Moment) -> Tensor:
        """Return the loss of one step."""

    def decode(self, high: Tensor) -> Tensor:
        """Return the medium pictures of high pictures (B, 3, S, S)."""


@dataclass(frozen=True)
class Scaling:
    """The mean and the standard deviation of each number of a code, (L,) each."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def none(cls) -> Scaling:
        """Return the scaling that changes nothing."""
        return cls(torch.zeros(()), torch.ones(()))

    @classmethod
    def of(cls, codes: Tensor) -> Scaling:
        """Return the scaling that standardises codes (n, L)."""
        return cls(codes.mean(0), codes.std(0) + 1e-4)

    def standardise(self, codes: Tensor) -> Tensor:
        """Return codes (B, L) with mean 0 and deviation 1."""
        return (codes - self.mean) / self.deviation

    def restore(self, codes: Tensor) -> Tensor:
        """Undo `standardise`."""
        return codes * self.deviation + self.mean


class Mlp(nn.Module):
    """A multilayer perceptron from the whole high code to the whole medium code."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Build three layers with random weights."""
        super().__init__()
        self.layers = nn.ModuleList(
            (nn.Linear(inputs, _NEURONS), nn.Linear(_NEURONS, _NEURONS), nn.Linear(_NEURONS, outputs))
        )

    def forward(self, code: Tensor) -> Tensor:
        """Map codes (B, L) of high pictures to codes (B, M) of medium pictures."""
        first, second, last = self.layers
        translated: Tensor = last(activate(second(activate(first(code)))))
        return translated


class NoteAttempt:
    """The note's translator: an MLP that is trained on the error between codes; both autoencoders are frozen."""

    def __init__(
        self, chain: Chain, *, scalings: tuple[Scaling, Scaling] | None = None, sizes: tuple[int, int]
    ) -> None:
        """Build the MLP for the code lengths `sizes` of the high and the medium picture.

        `scalings` standardise the codes of the high and the medium picture; None leaves them as they are.
        """
        self._chain = chain
        self._high, self._medium = scalings or (Scaling.none(), Scaling.none())
        self.mlp = Mlp(*sizes)

    def parameters(self) -> list[nn.Parameter]:
        return list(self.mlp.parameters())

    def loss(self, pictures: PairedPictures, moment: Moment) -> Tensor:
        del moment
        return self.code_loss(pictures)

    def code_loss(self, pictures: PairedPictures) -> Tensor:
        """Return the squared error between translated codes and those of the medium autoencoder."""
        with torch.no_grad():
            target = self._medium.standardise(self._chain.medium.encode(pictures.medium))
        return (self._translate(pictures.high) - target).square().mean()

    def pixel_loss(self, pictures: PairedPictures) -> Tensor:
        """Return the squared error of the medium pictures that the medium decoder makes of translated codes."""
        return (self.decode(pictures.high) - pictures.medium).square().mean()

    def decode(self, high: Tensor) -> Tensor:
        return self._chain.medium.decode(self._medium.restore(self._translate(high)))

    def _translate(self, high: Tensor) -> Tensor:
        with torch.no_grad():
            code = self._high.standardise(self._chain.high.encode(high))
        translated: Tensor = self.mlp(code)
        return translated


class FineTuning(NoteAttempt):
    """Remedy "fine-tuning the models": after half of the time, MLP and medium decoder are trained on pixels."""

    def parameters(self) -> list[nn.Parameter]:
        return [*self.mlp.parameters(), *self._chain.medium.parameters()]

    def loss(self, pictures: PairedPictures, moment: Moment) -> Tensor:
        first_half = moment.share < 0.5  # noqa: PLR2004  half of the time
        return self.code_loss(pictures) if first_half else self.pixel_loss(pictures)


class Alternation(NoteAttempt):
    """Remedy "alternate": train in turns the MLP on the error between codes, and the medium decoder on pixels.

    The note's sentence breaks off before it names the models that alternate.
    """

    def parameters(self) -> list[nn.Parameter]:
        return [*self.mlp.parameters(), *self._chain.medium.parameters()]

    def loss(self, pictures: PairedPictures, moment: Moment) -> Tensor:
        if moment.step // _TURN_STEPS % 2 == 0:
            return self.code_loss(pictures)
        with torch.no_grad():
            code = self._medium.restore(self._translate(pictures.high))
        return (self._chain.medium.decode(code) - pictures.medium).square().mean()


class FromTheStart(NoteAttempt):
    """Remedy "train the medium resolution to be able to decode high resolution from the start".

    The chain's medium autoencoder has random weights. It learns its own pictures and the translated codes together.
    """

    def parameters(self) -> list[nn.Parameter]:
        return [*self.mlp.parameters(), *self._chain.medium.parameters()]

    def loss(self, pictures: PairedPictures, moment: Moment) -> Tensor:
        del moment
        own = self._chain.medium.decode(self._chain.medium.encode(pictures.medium))
        return (own - pictures.medium).square().mean() + self.pixel_loss(pictures)
