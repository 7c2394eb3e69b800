"""All networks of a weights file, as torch modules. codec.py encodes and decodes pictures with them.

1. `HighAutoencoder`: 344x344 picture <-> latent on a 22x22 grid, which the store keeps. Its head is `high-gpu`. It may
   also have the head `medium-gpu`, which decodes the same latent to the 172x172 picture.
2. `MediumAutoencoder`: 172x172 picture <-> another latent on a 22x22 grid; a separate codec, for comparison.
3. `LightNetworks`: the cheap networks for a CPU, on the latent of `HighAutoencoder`: the head `high-cpu` of the 344
   picture, the translator to the 172 picture, and optionally a cheaper analysis.
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
    """Analysis, hyperprior and GPU heads for the 344 picture (the high picture)."""

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
    """Analysis, hyperprior and head for the 172 picture (the medium picture), as a separate codec."""

    def __init__(self, architecture: Architecture) -> None:
        """Build networks of the widths in `architecture`."""
        super().__init__()
        self.config = architecture.medium
        self.analysis = Analysis(self.config, self.config.encoder)
        self.hyperprior = Hyperprior(self.config)
        self.head = MediumHead(self.config, architecture.medium_head)


class LightNetworks(nn.Module):
    """The cheap networks for a CPU: a head for each picture size, and optionally an analysis, for the high latent."""

    def __init__(self, architecture: Architecture) -> None:
        """Build networks of the widths in `architecture`."""
        super().__init__()
        encoder = architecture.light_encoder
        self.high = HighHead(architecture.high, architecture.high_cpu)
        self.medium = Translator(architecture.high, architecture.medium, architecture.medium_cpu)
        self.analysis = Analysis(architecture.high, encoder) if encoder else None


class SharedLatent(nn.Module):
    """The high autoencoder and the light networks as one module, for joint training on their common latent."""

    def __init__(self, architecture: Architecture) -> None:
        """Build both modules as attributes `high` and `light`, so that parameters are named as in the weights file."""
        super().__init__()
        self.high = HighAutoencoder(architecture)
        self.light = LightNetworks(architecture)


@dataclass(frozen=True)
class Networks:
    """All networks of one weights file: two autoencoders and the light networks."""

    architecture: Architecture
    high: HighAutoencoder
    medium: MediumAutoencoder
    light: LightNetworks

    @classmethod
    def of(cls, architecture: Architecture) -> Self:
        """Build networks with initial weights; the caller trains them or loads weights into them."""
        return cls(
            architecture, HighAutoencoder(architecture), MediumAutoencoder(architecture), LightNetworks(architecture)
        )

    def parts(self) -> tuple[HighAutoencoder, MediumAutoencoder, LightNetworks]:
        """Return the modules `high`, `medium` and `light`."""
        return self.high, self.medium, self.light


def pad_to_cells(x: Tensor, config: AutoencoderConfig) -> Tensor:
    """Pad x (B, 3, S, S) at the right and the bottom, by replication, to a multiple of the stride.

    344 becomes 352 (stride 16), and 172 becomes 176 (stride 8).
    """
    spare = config.padded_px - config.size_px
    return F.pad(x, (0, spare, 0, spare), mode="replicate")
