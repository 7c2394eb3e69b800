"""The autoencoders of the study and the plan of its trainings. Standard library only.

A code is the list of numbers to which an autoencoder maps a picture. All kinds have codes of equal lengths: `channels`
numbers for each cell of 16x16 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from models.config import MEDIUM_PX

if TYPE_CHECKING:
    from collections.abc import Iterator

STRIDE_PX = 16
"""Side of a cell in pixels: a convolutional encoder divides the side by four, twice."""
NOTE_NEURONS = 100
"""The number of neurons that the note assumes for a fully connected first layer."""
_WIDEST = 512
"""Neurons of the outer layers of a fully connected autoencoder, where its parameters allow them (assumed)."""


class Kind(StrEnum):
    """The three kinds of autoencoders that the research note weighs."""

    CONNECTED = "fully-connected"
    CONVOLUTIONAL = "convolutional"
    VARIATIONAL = "variational"


def dense_parameters(inputs: int, neurons: int) -> int:
    """Return the number of parameters of a fully connected layer: its weights and its biases."""
    return inputs * neurons + neurons


@dataclass(frozen=True)
class Design:
    """One autoencoder: its kind, the side of its pictures, and the sizes of its networks."""

    kind: Kind
    size_px: int
    channels: int
    """Count of numbers in the code for each cell of 16x16 pixels."""
    width: int = 32
    """Channels at a quarter of the picture's side. At a sixteenth there are four times as many."""
    beta: float = 1.0
    """Weight of the KL divergence in the loss of a variational autoencoder."""
    middle: bool = False
    """Whether a convolutional autoencoder has a fully connected layer on each side of its code."""

    @property
    def grid(self) -> int:
        """Return the number of cells in a row of the picture."""
        return -(-self.size_px // STRIDE_PX)

    @property
    def code_length(self) -> int:
        """Return the count of numbers in a code."""
        return self.channels * self.grid**2

    @property
    def values(self) -> int:
        """Return the count of colour values in a picture."""
        return 3 * self.size_px**2

    @property
    def name(self) -> str:
        """Return a name that no other design has, for files."""
        extra = f"-width-{self.width}" * (self.width != Design.width) + "-middle" * self.middle
        beta = f"-beta-{self.beta:g}" * (self.kind is Kind.VARIATIONAL)
        return f"{self.kind}-{self.size_px}-{self.code_length}{beta}{extra}"

    @property
    def least_neurons(self) -> int:
        """Return the note's 100 neurons, or the code's length if that is more."""
        return max(NOTE_NEURONS, self.code_length)

    def neurons(self, most_parameters: int) -> int | None:
        """Return the width of the outer layers of the fully connected autoencoder within a limit of parameters.

        Returns None where not even the least width fits.
        """
        for neurons in (max(_WIDEST, self.code_length), self.least_neurons):
            if self.connected_parameters(neurons) <= most_parameters:
                return neurons
        return None

    def connected_parameters(self, neurons: int) -> int:
        """Return the parameters of the fully connected autoencoder whose outer layers have this many neurons."""
        layers = (self.values, neurons, self.code_length, neurons, self.values)
        return sum(dense_parameters(first, second) for first, second in pairwise(layers))


@dataclass(frozen=True)
class Plan:
    """The trainings of one study. Each gets an equal share of the time."""

    channels: tuple[tuple[int, tuple[int, ...]], ...]
    """For each side in pixels, the code lengths (numbers for each cell) with which all kinds are trained."""
    most_parameters: int
    """Limit on the parameters of a fully connected autoencoder. Adam keeps four numbers for each parameter."""
    sweep: Design
    """The variational autoencoder that is trained for each of `betas`."""
    betas: tuple[float, ...]
    sweep_of_medium: tuple[Design, ...]
    """More variational autoencoders of 172 px pictures, to stand beside the released codec."""
    chain_px: tuple[int, int]
    """Sides of the medium and of the high picture between whose codes the translators are trained."""
    chain_channels: int
    """Count of numbers for each cell in the codes between which translators are trained."""
    quality: int = 31
    """The quality of the codec whose lambda weights the distortion in the loss of the variational autoencoders."""

    def designs(self) -> tuple[Design, ...]:
        """Return all autoencoders to train, except fully connected ones with too many parameters."""
        chosen = [*self.compared(), *self.swept(), *self.sweep_of_medium, *self._of_chain()]
        return tuple(dict.fromkeys(chosen))

    def compared(self) -> tuple[Design, ...]:
        """Return the autoencoders of the three kinds to compare, except those with too many parameters."""
        return tuple(one for one in self._wanted() if self.allows(one))

    def refused(self) -> tuple[Design, ...]:
        """Return the fully connected autoencoders that have too many parameters."""
        return tuple(one for one in self._wanted() if not self.allows(one))

    def swept(self) -> tuple[Design, ...]:
        """Return the variational autoencoders that differ in beta alone."""
        return tuple(replace(self.sweep, beta=beta) for beta in self.betas)

    def _wanted(self) -> Iterator[Design]:
        for size_px, channels in self.channels:
            for one in channels:
                yield from (Design(kind, size_px, one) for kind in Kind)

    def allows(self, design: Design) -> bool:
        """Return whether an autoencoder is within the limit of parameters."""
        return design.kind is not Kind.CONNECTED or design.neurons(self.most_parameters) is not None

    def chain(
        self, kind: Kind = Kind.CONVOLUTIONAL, *, wide: bool = False, middle: bool = False
    ) -> tuple[Design, Design]:
        """Return the medium and the high autoencoder between which a translator is trained.

        With `wide` they have twice the channels, with `middle` fully connected layers beside the code.
        """
        width = 2 * Design.width if wide else Design.width
        medium, high = (Design(kind, px, self.chain_channels, width=width, middle=middle) for px in self.chain_px)
        return medium, high

    def _of_chain(self) -> tuple[Design, ...]:
        return (
            *self.chain(),
            *self.chain(Kind.VARIATIONAL),
            *self.chain(wide=True),
            *self.chain(middle=True),
        )


def full_plan() -> Plan:
    """Return the plan of a whole study."""
    return Plan(
        channels=((32, (4, 64)), (64, (16, 64)), (MEDIUM_PX, (1, 16))),
        most_parameters=32_000_000,
        sweep=Design(Kind.VARIATIONAL, 64, 16),
        betas=(1, 8, 64),
        sweep_of_medium=(Design(Kind.VARIATIONAL, MEDIUM_PX, 16, beta=16),),
        chain_px=(32, 64),
        chain_channels=64,
    )


def quick_plan() -> Plan:
    """Return a plan with one code length for each side, for a first look and for the tests."""
    return Plan(
        channels=((32, (4,)), (64, (4,)), (MEDIUM_PX, (1,))),
        most_parameters=4_000_000,
        sweep=Design(Kind.VARIATIONAL, 64, 4),
        betas=(1, 16),
        sweep_of_medium=(),
        chain_px=(32, 64),
        chain_channels=4,
    )
