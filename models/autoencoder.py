"""The two autoencoders and what joins them, as modules. No bytes here: see codec.py.

1. `high`: 344x344 <-> latent on 22x22; what the store holds.
2. `medium`: 172x172 <-> latent on 22x22; a codec of its own.
3. `translator` + `medium_head`: high latent -> medium latent -> 172x172, the `?res=medium` path.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from models.analysis import Analysis
from models.config import HIGH, MEDIUM, AutoencoderConfig, HighHeadConfig, MediumHeadConfig, TranslatorConfig
from models.hyperprior import Hyperprior
from models.synthesis import HighHead, MediumHead
from models.translator import Translator


class HighAutoencoder(nn.Module):
    """Analysis, hyperprior and head of the high picture."""

    config: AutoencoderConfig = HIGH

    def __init__(self) -> None:
        """Networks of the widths in `models.config`."""
        super().__init__()
        self.analysis = Analysis(HIGH)
        self.hyperprior = Hyperprior(HIGH)
        self.head = HighHead(HIGH, HighHeadConfig())


class MediumAutoencoder(nn.Module):
    """Analysis, hyperprior and head of the medium picture."""

    config: AutoencoderConfig = MEDIUM

    def __init__(self) -> None:
        """Networks of the widths in `models.config`."""
        super().__init__()
        self.analysis = Analysis(MEDIUM)
        self.hyperprior = Hyperprior(MEDIUM)
        self.head = MediumHead(MEDIUM, MediumHeadConfig())


class MediumPath(nn.Module):
    """High latent -> medium picture: the translator, then the medium decoder (its own copy, finished jointly)."""

    def __init__(self) -> None:
        """The decoder starts as the medium autoencoder's when training begins."""
        super().__init__()
        self.translator = Translator(HIGH, MEDIUM, TranslatorConfig())
        self.head = MediumHead(MEDIUM, MediumHeadConfig())

    def forward(self, y_hat: Tensor, *, quality: Tensor, deviation: Tensor, target_deviation: Tensor) -> Tensor:
        """y_hat of the high picture (B, N, H, W) -> x_hat (B, 3, 8 H, 8 W)."""
        y_medium = self.translator(y_hat, quality=quality, deviation=deviation, target_deviation=target_deviation)
        x_hat: Tensor = self.head(y_medium, quality=quality, deviation=target_deviation)
        return x_hat


def pad_to_cells(x: Tensor, config: AutoencoderConfig) -> Tensor:
    """Replicate the right and bottom edge of x (B, 3, S, S) up to whole latent cells: the one place that pads."""
    spare = config.padded_px - config.size_px
    return F.pad(x, (0, spare, 0, spare), mode="replicate")
