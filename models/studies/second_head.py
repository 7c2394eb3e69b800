"""The design of this project: a second decoder of the high code, trained on pixels, makes the medium picture.

code (C, G, G) -> least-squares map of a cell and its neighbours to 8x8 pixels ----+-> medium picture
               -> convolutions, whose last layer starts at zero -------------------+
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers import activate
from models.studies.design import STRIDE_PX
from models.studies.three_kinds import centre, start_convolutions, uncentre

if TYPE_CHECKING:
    from models.studies.design import Design
    from models.studies.fitting import Moment
    from models.studies.three_kinds import Autoencoder, Convolutional
    from models.studies.translators import PairedPictures

_HALF_STRIDE_PX = STRIDE_PX // 2
_RIDGE = 1e-3
"""Share of the features' mean variance that the least-squares fit adds to its diagonal (assumed)."""


class SecondHead(nn.Module):
    """A decoder of the high code to the picture of half the side."""

    def __init__(self, design: Design) -> None:
        """Build the head for the code of the high autoencoder `design`."""
        super().__init__()
        self.grid = (design.channels, design.grid, design.grid)
        self.linear = nn.Conv2d(design.channels, 3 * _HALF_STRIDE_PX**2, 3, padding=1)
        self.enter = nn.Conv2d(design.channels, 4 * design.width, 1)
        self.second = nn.ConvTranspose2d(4 * design.width, design.width, 4, 4)
        self.mix = nn.Conv2d(design.width, design.width, 3, padding=1)
        self.first = nn.ConvTranspose2d(design.width, 3, 2, 2)
        start_convolutions(self)
        nn.init.zeros_(self.first.weight)

    def forward(self, code: Tensor) -> Tensor:
        """Map codes (B, L) to pictures (B, 3, S/2, S/2)."""
        grid = code.view(-1, *self.grid)
        h = self.first(activate(self.mix(activate(self.second(activate(self.enter(grid)))))))
        return uncentre(F.pixel_shuffle(self.linear(grid), _HALF_STRIDE_PX) + h)

    @torch.no_grad()
    def start(self, code: Tensor, medium: Tensor) -> None:
        """Set the linear map to the ridge regression from codes (n, L) to pictures (n, 3, S/2, S/2)."""
        around = F.unfold(code.view(-1, *self.grid), 3, padding=1).transpose(1, 2).flatten(0, 1)
        features = torch.cat([around, torch.ones(len(around), 1)], dim=1).double()
        target = F.pixel_unshuffle(centre(medium), _HALF_STRIDE_PX).flatten(2).transpose(1, 2).flatten(0, 1).double()
        gram = features.T @ features
        gram.diagonal().add_(_RIDGE * gram.diagonal().mean())
        weights = torch.linalg.solve(gram, features.T @ target).T.float()
        self.linear.weight.copy_(weights[:, :-1].view_as(self.linear.weight))
        self.linear.bias.copy_(weights[:, -1])  # type: ignore[union-attr]  # a Conv2d made with bias has one


class FrozenLatentHead:
    """The second head on the code of a frozen high autoencoder, from its least-squares start."""

    def __init__(self, high: Autoencoder, design: Design, *, first: PairedPictures) -> None:
        """Fit the linear map to the pictures `first`."""
        self._high, self._head = high, SecondHead(design)
        with torch.no_grad():
            self._head.start(high.encode(first.high), first.medium)

    def parameters(self) -> list[nn.Parameter]:
        return list(self._head.parameters())

    def loss(self, pictures: PairedPictures, moment: Moment) -> Tensor:
        del moment
        return (self.decode(pictures.high) - pictures.medium).square().mean()

    def decode(self, high: Tensor) -> Tensor:
        with torch.no_grad():
            code = self._high.encode(high)
        medium: Tensor = self._head(code)
        return medium


class JointHead:
    """The second head trained together with the high autoencoder from random weights, as in the released codec."""

    def __init__(self, high: Convolutional, design: Design) -> None:
        """Build a head for the untrained autoencoder `high`."""
        self._high, self._head = high, SecondHead(design)

    def parameters(self) -> list[nn.Parameter]:
        return [*self._high.parameters(), *self._head.parameters()]

    def loss(self, pictures: PairedPictures, moment: Moment) -> Tensor:
        del moment
        code = self._high.encode(pictures.high)
        high = (self._high.decode(code) - pictures.high).square().mean()
        medium: Tensor = (self._head(code) - pictures.medium).square().mean()
        return high + medium

    def decode(self, high: Tensor) -> Tensor:
        medium: Tensor = self._head(self._high.encode(high))
        return medium

    def decode_high(self, high: Tensor) -> Tensor:
        """Return the high pictures (B, 3, S, S) that the autoencoder decodes."""
        return self._high.decode(self._high.encode(high))
