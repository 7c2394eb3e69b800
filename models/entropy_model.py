"""Probabilities of symbols: smooth likelihoods for training, and integer tables for coding. entropy_coder.py codes.

A symbol q = round(y gain - mu) is coded with a zero-mean table chosen by an integer scale index. Scales are log-spaced
(Balle 2018, arXiv 1802.01436; Balle 2019 for tables indexed by an integer). Index 0 means skip: not coded, q = 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.layers import QUALITY_KNOTS, QualityTable

SCALE_COUNT = 64
SCALE_FIRST = 0.12
"""Scale of index 0, the skip index: a Gaussian of this width is 0 but for 3 symbols in 100,000 (derived)."""
SCALE_LAST = 256.0
"""Scale of the last index: about the width of the mean block brightness at quality 63 (measured)."""
LOG_STEP = math.log(SCALE_LAST / SCALE_FIRST) / (SCALE_COUNT - 1)
HYPER_LIMIT = 15
"""Hyper-latents are clamped to -15..15."""
HYPER_GROUPS = 16
"""Qualities share hyper-latent tables in groups of four."""
TABLE_TOTAL = 1 << 16
"""Counts of one table sum to this."""
SUPPORT_LIMIT = 255
"""Largest |q| that any table codes without escape."""

_MASS_FLOOR = 1e-9


class SymbolModel(nn.Module):
    """Likelihood of q given its scale index: a two-part Gaussian scale mixture, wider tails than one Gaussian."""

    def __init__(self) -> None:
        """Start at 80 % of the mass in the narrow part."""
        super().__init__()
        self.share = nn.Parameter(torch.tensor(1.4))
        self.spread = nn.Parameter(torch.tensor(0.5))

    def mass(self, q: Tensor, index: Tensor) -> Tensor:
        """Return the probability of the unit interval around q; `index` is real-valued to pass gradients."""
        inverse = torch.exp(-(math.log(SCALE_FIRST) + LOG_STEP * index)) * math.sqrt(0.5)
        wide = inverse * torch.exp(-nn.functional.softplus(self.spread) - 0.3)
        narrow = inverse * 1.15
        share = torch.sigmoid(self.share)
        size = q.abs()
        mass = share * (torch.erf((0.5 - size) * narrow) + torch.erf((0.5 + size) * narrow))
        mass = mass + (1 - share) * (torch.erf((0.5 - size) * wide) + torch.erf((0.5 + size) * wide))
        return (0.5 * mass).clamp_min(_MASS_FLOOR)


class HyperLatentModel(nn.Module):
    """Likelihood of z: one logistic per channel, whose place and width depend on quality."""

    def __init__(self, channels: int) -> None:
        """Start centred with unit width."""
        super().__init__()
        self.place = QualityTable(torch.zeros(QUALITY_KNOTS, channels))
        self.log_width = QualityTable(torch.zeros(QUALITY_KNOTS, channels))

    def mass(self, z: Tensor, quality: Tensor) -> Tensor:
        """Return the probability of the unit interval around z (B, C, H, W); the outer intervals are unbounded."""
        place, inverse = self.place(quality)[:, :, None, None], torch.exp(-self.log_width(quality))[:, :, None, None]
        above = torch.sigmoid((z + 0.5 - place) * inverse)
        below = torch.sigmoid((z - 0.5 - place) * inverse)
        above = torch.where(z >= HYPER_LIMIT, torch.ones_like(above), above)
        below = torch.where(z <= -HYPER_LIMIT, torch.zeros_like(below), below)
        return (above - below).clamp_min(_MASS_FLOOR)


def scale_of(index: int) -> float:
    """Return the width of the table of a scale index, in symbol steps."""
    return SCALE_FIRST * math.exp(LOG_STEP * index)


def support_of(index: int) -> int:
    """Return the largest

    q

    that the table of a scale index codes without escape.
    """
    return min(SUPPORT_LIMIT, math.ceil(5 * scale_of(index)) + 2)


def integer_table(mass: Tensor, *, total: int = TABLE_TOTAL) -> Tensor:
    """Return counts of at least 1 that sum to `total`, in proportion to `mass` (K,).

    The largest count takes the remainder.
    """
    mass = mass.double().clamp_min(0)
    spare = total - len(mass)
    counts = 1 + torch.floor(mass / mass.sum() * spare).long()
    counts[counts.argmax()] += total - int(counts.sum())
    return counts.to(torch.int32)


@torch.no_grad()
def symbol_tables(model: SymbolModel, counts: Tensor | None = None, *, prior: float = 2000.0) -> list[Tensor]:
    """Return tables of all scale indexes: entry i codes q = i - K for i <= 2K, the last entry is the escape.

    `counts` (SCALE_COUNT, 2 SUPPORT_LIMIT + 2), if given, are symbols seen in training by index (last column: beyond
    the limit); they are blended with the model as if it had seen `prior` symbols, and made symmetric.
    """
    tables = []
    for index in range(SCALE_COUNT):
        support = support_of(index)
        q = torch.arange(-support, support + 1).double()
        mass = model.double().mass(q, torch.full_like(q, float(index)))
        escape = (1 - mass.sum()).clamp_min(1e-6)
        blended = prior * torch.cat([mass, escape[None]])
        if counts is not None:
            row = counts[index].double()
            inner = row[SUPPORT_LIMIT - support : SUPPORT_LIMIT + support + 1]
            inner = 0.5 * (inner + inner.flip(0))
            blended = blended + torch.cat([inner, (row.sum() - inner.sum())[None]])
        tables.append(integer_table(blended))
    model.float()
    return tables


@torch.no_grad()
def hyper_tables(model: HyperLatentModel, counts: Tensor | None = None, *, prior: float = 200.0) -> Tensor:
    """Return tables (HYPER_GROUPS, C, 2 HYPER_LIMIT + 1) of the hyper-latents, blended with `counts` of that shape."""
    channels = model.place.knots.shape[1]
    z = torch.arange(-HYPER_LIMIT, HYPER_LIMIT + 1).float().view(1, 1, -1, 1).expand(1, channels, -1, 1)
    rows = []
    for group in range(HYPER_GROUPS):
        middle = torch.tensor([group * 4 + 2])
        mass = prior * model.mass(z, middle)[0, :, :, 0].double()
        if counts is not None:
            mass = mass + counts[group].double()
        rows.append(torch.stack([integer_table(row) for row in mass]))
    return torch.stack(rows)


def hyper_group(quality: int) -> int:
    """Return the table group of a quality."""
    return quality // 4
