"""The three kinds of autoencoders, small enough to train on a CPU.

    FullyConnected   x (S * S * 3) -> neurons -> code -> neurons -> x_hat, as mirror images
    Convolutional    x -> convolutions to a sixteenth of the side -> code -> transposed convolutions -> x_hat
    Variational      the convolutional one, whose encoder returns the mean and the variance of each number of the code

All have the same interface: `encode` maps pictures (B, 3, S, S) in 0..1 to codes (B, L), and `decode` maps back.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers import activate
from models.studies.design import STRIDE_PX, Kind

if TYPE_CHECKING:
    from models.studies.design import Design

_DEVIATION = 0.25
"""Standard deviation of colour values in photographs (assumed)."""
_LOG_VARIANCES = (-12.0, 6.0)
"""Limits of the logarithm of a posterior's variance, against overflow in the first steps (assumed)."""


class FullyConnected(nn.Module):
    """A fully connected encoder and decoder, which are mirror images."""

    def __init__(self, design: Design, neurons: int) -> None:
        """Build both networks with `neurons` neurons between pictures and codes."""
        super().__init__()
        self.size_px = design.size_px
        self.first = nn.Linear(design.values, neurons)
        self.to_code = nn.Linear(neurons, design.code_length)
        self.from_code = nn.Linear(design.code_length, neurons)
        self.last = nn.Linear(neurons, design.values)

    def encode(self, x: Tensor) -> Tensor:
        code: Tensor = self.to_code(activate(self.first(centre(x).flatten(1))))
        return code

    def decode(self, code: Tensor) -> Tensor:
        values: Tensor = self.last(activate(self.from_code(code)))
        return uncentre(values.view(len(code), 3, self.size_px, self.size_px))


class ConvolutionalEncoder(nn.Module):
    """Two convolutions that each divide the side by four, with one of 3x3 between them, then the code's channels."""

    def __init__(self, design: Design, *, outputs: int) -> None:
        """Build an encoder with `outputs` channels for each cell."""
        super().__init__()
        self.first = nn.Conv2d(3, design.width, 4, 4)
        self.mix = nn.Conv2d(design.width, design.width, 3, padding=1)
        self.second = nn.Conv2d(design.width, 4 * design.width, 4, 4)
        self.leave = nn.Conv2d(4 * design.width, outputs, 1)
        self.spare_px = design.grid * STRIDE_PX - design.size_px
        start_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, 3, S, S) to a grid of numbers (B, outputs, G, G)."""
        h = F.pad(centre(x), (0, self.spare_px, 0, self.spare_px), mode="replicate")
        h = activate(self.second(activate(self.mix(activate(self.first(h))))))
        grid: Tensor = self.leave(h)
        return grid


class ConvolutionalDecoder(nn.Module):
    """The mirror image of `ConvolutionalEncoder`."""

    def __init__(self, design: Design) -> None:
        """Build a decoder for a code with this number of channels."""
        super().__init__()
        self.enter = nn.Conv2d(design.channels, 4 * design.width, 1)
        self.second = nn.ConvTranspose2d(4 * design.width, design.width, 4, 4)
        self.mix = nn.Conv2d(design.width, design.width, 3, padding=1)
        self.first = nn.ConvTranspose2d(design.width, 3, 4, 4)
        self.size_px = design.size_px
        start_convolutions(self)

    def forward(self, grid: Tensor) -> Tensor:
        """Map a code's grid (B, C, G, G) to x_hat (B, 3, S, S)."""
        h = self.first(activate(self.mix(activate(self.second(activate(self.enter(grid)))))))
        return uncentre(h[:, :, : self.size_px, : self.size_px])


def start_convolutions(network: nn.Module) -> None:
    """Set the weights of all convolutions so that variances stay equal through leaky ReLUs (He et al. 2015)."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            # With a stride of the kernel's size, a transposed convolution computes each pixel from one cell.
            reads = part.in_channels * (part.kernel_size[0] ** 2 if isinstance(part, nn.Conv2d) else 1)
            nn.init.normal_(part.weight, std=math.sqrt(2 / reads))
            nn.init.zeros_(part.bias)  # type: ignore[arg-type]  # all of them have a bias


def centre(x: Tensor) -> Tensor:
    """Map colour values in 0..1 to about unit variance around zero."""
    return (x - 0.5) / _DEVIATION


def uncentre(h: Tensor) -> Tensor:
    """Undo `centre`."""
    return h * _DEVIATION + 0.5


class Convolutional(nn.Module):
    """A convolutional encoder and decoder, optionally with fully connected layers beside the code."""

    def __init__(self, design: Design) -> None:
        """Build both networks."""
        super().__init__()
        self.grid = (design.channels, design.grid, design.grid)
        self.encoder = ConvolutionalEncoder(design, outputs=design.channels)
        self.decoder = ConvolutionalDecoder(design)
        length = design.code_length
        self.to_code = nn.Linear(length, length) if design.middle else nn.Identity()
        self.from_code = nn.Linear(length, length) if design.middle else nn.Identity()

    def encode(self, x: Tensor) -> Tensor:
        code: Tensor = self.to_code(self.encoder(x).flatten(1))
        return code

    def decode(self, code: Tensor) -> Tensor:
        x_hat: Tensor = self.decoder(self.from_code(code).view(-1, *self.grid))
        return x_hat


class Variational(nn.Module):
    """A convolutional autoencoder whose encoder returns a Gaussian for each number of the code."""

    def __init__(self, design: Design) -> None:
        """Build both networks."""
        super().__init__()
        self.grid = (design.channels, design.grid, design.grid)
        self.encoder = ConvolutionalEncoder(design, outputs=2 * design.channels)
        self.decoder = ConvolutionalDecoder(design)

    def encode(self, x: Tensor) -> Tensor:
        """Return the means of the posteriors (B, L)."""
        return self.posterior(x)[0]

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means (B, L) and the logarithms of the variances (B, L) of the posteriors."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return mean.flatten(1), log_variance.clamp(*_LOG_VARIANCES).flatten(1)

    def decode(self, code: Tensor) -> Tensor:
        x_hat: Tensor = self.decoder(code.view(-1, *self.grid))
        return x_hat


Autoencoder = FullyConnected | Convolutional | Variational


def build(design: Design, *, most_parameters: int) -> Autoencoder:
    """Build the autoencoder of a design with random weights, its convolutions in channels_last.

    Raises `ValueError` where a fully connected one has more than `most_parameters` parameters.
    """
    return _build(design, most_parameters).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's overloads of `to` leave this one out


def _build(design: Design, most_parameters: int) -> Autoencoder:
    if design.kind is Kind.CONVOLUTIONAL:
        return Convolutional(design)
    if design.kind is Kind.VARIATIONAL:
        return Variational(design)
    neurons = design.neurons(most_parameters)
    if neurons is None:
        raise ValueError(f"{design.name} has more than {most_parameters:,} parameters")
    return FullyConnected(design, neurons)


def kl_nats(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the KL divergence (B,) in nats of Gaussian posteriors (B, L) from the prior N(0, 1)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Draw codes (B, L) from Gaussian posteriors, with gradients to both parameters."""
    return mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
