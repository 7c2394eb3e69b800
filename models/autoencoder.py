"""The two autoencoders and what reads the high one's latent beside it, as modules. No bytes here: see codec.py.

1. `HighAutoencoder`: 344x344 <-> latent on 22x22; what the store holds. Its own head is `high-gpu`.
2. `MediumAutoencoder`: 172x172 <-> latent on 22x22; a codec of its own.
3. `LightHeads`: `high-cpu`, a second synthesis of the high picture for processors, and the
   translator, from the same latent to the medium picture (`?res=medium`).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from models.analysis import Analysis
from models.config import HIGH, HIGH_CPU_HEAD, HIGH_GPU_HEAD, MEDIUM, MEDIUM_HEAD, TRANSLATOR, AutoencoderConfig
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
        self.head = HighHead(HIGH, HIGH_GPU_HEAD)


class MediumAutoencoder(nn.Module):
    """Analysis, hyperprior and head of the medium picture."""

    config: AutoencoderConfig = MEDIUM

    def __init__(self) -> None:
        """Networks of the widths in `models.config`."""
        super().__init__()
        self.analysis = Analysis(MEDIUM)
        self.hyperprior = Hyperprior(MEDIUM)
        self.head = MediumHead(MEDIUM, MEDIUM_HEAD)


class LightHeads(nn.Module):
    """The cheap ways from the high latent to both sizes."""

    def __init__(self) -> None:
        """Networks of the widths in `models.config`."""
        super().__init__()
        self.high = HighHead(HIGH, HIGH_CPU_HEAD)
        self.medium = Translator(HIGH, MEDIUM, TRANSLATOR)


class SharedLatent(nn.Module):
    """The high autoencoder and all that reads its latent, to be trained together."""

    def __init__(self) -> None:
        """Named as in the weights file."""
        super().__init__()
        self.high = HighAutoencoder()
        self.light = LightHeads()


def pad_to_cells(x: Tensor, config: AutoencoderConfig) -> Tensor:
    """Replicate the right and bottom edge of x (B, 3, S, S) up to whole latent cells: the one place that pads."""
    spare = config.padded_px - config.size_px
    return F.pad(x, (0, spare, 0, spare), mode="replicate")
