"""All networks of a weights file, as modules. codec.py turns bytes into pictures with them.

1. `HighAutoencoder`: 344x344 <-> latent on 22x22; the latent that the store holds. Its own head is `high-gpu`. It may
   also have `medium-gpu`, which decodes the same latent to the medium picture.
2. `MediumAutoencoder`: 172x172 <-> latent on 22x22; a codec of its own.
3. `LightNetworks`: the networks for a CPU: `high-cpu`, a second synthesis of the high picture, the translator to the
   medium picture (`?res=medium`), and optionally a second, cheaper analysis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from torch import Tensor, nn
from torch.nn import functional as F

from models.analysis import Analysis
from models.hyperprior import Hyperprior
from models.synthesis import HighHead, MediumHead
from models.translator import Translator

if TYPE_CHECKING:
    from models.config import Architecture, AutoencoderConfig


class HighAutoencoder(nn.Module):
    """Analysis, hyperprior and GPU heads of the high picture."""

    def __init__(self, architecture: Architecture) -> None:
        """Build networks of the widths in `architecture`."""
        super().__init__()
        self.config = architecture.high
        self.analysis = Analysis(self.config, self.config.encoder)
        self.hyperprior = Hyperprior(self.config)
        self.head = HighHead(self.config, architecture.high_gpu)
        self.medium_head = (
            Translator(self.config, architecture.medium, architecture.medium_gpu) if architecture.medium_gpu else None
        )


class MediumAutoencoder(nn.Module):
    """Analysis, hyperprior and head of the medium picture."""

    def __init__(self, architecture: Architecture) -> None:
        """Build networks of the widths in `architecture`."""
        super().__init__()
        self.config = architecture.medium
        self.analysis = Analysis(self.config, self.config.encoder)
        self.hyperprior = Hyperprior(self.config)
        self.head = MediumHead(self.config, architecture.medium_head)


class LightNetworks(nn.Module):
    """The cheap networks on the high latent: a head for each picture size, and an analysis if any."""

    def __init__(self, architecture: Architecture) -> None:
        """Build networks of the widths in `architecture`."""
        super().__init__()
        encoder = architecture.light_encoder
        self.high = HighHead(architecture.high, architecture.high_cpu)
        self.medium = Translator(architecture.high, architecture.medium, architecture.medium_cpu)
        self.analysis = Analysis(architecture.high, encoder) if encoder else None


class SharedLatent(nn.Module):
    """The high autoencoder and all networks that read or write its latent, for joint training."""

    def __init__(self, architecture: Architecture) -> None:
        """Build them under the names of the weights file."""
        super().__init__()
        self.high = HighAutoencoder(architecture)
        self.light = LightNetworks(architecture)


@dataclass(frozen=True)
class Networks:
    """All networks of one weights file."""

    architecture: Architecture
    high: HighAutoencoder
    medium: MediumAutoencoder
    light: LightNetworks

    @classmethod
    def of(cls, architecture: Architecture) -> Self:
        """Build new networks, whose weights are to be filled in."""
        return cls(
            architecture, HighAutoencoder(architecture), MediumAutoencoder(architecture), LightNetworks(architecture)
        )

    def parts(self) -> tuple[HighAutoencoder, MediumAutoencoder, LightNetworks]:
        """Return the three modules."""
        return self.high, self.medium, self.light


def pad_to_cells(x: Tensor, config: AutoencoderConfig) -> Tensor:
    """Replicate the right and bottom edge of x (B, 3, S, S) up to whole latent cells. Nothing else pads."""
    spare = config.padded_px - config.size_px
    return F.pad(x, (0, spare, 0, spare), mode="replicate")
