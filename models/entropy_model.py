"""Probabilities of symbols: differentiable likelihoods for training, and integer CDF tables for entropy_coder.py.

A symbol q = round(y gain - mu) is coded with a zero-mean table chosen by an integer scale index. Scales are log-spaced
(Balle 2018, arXiv 1802.01436; Balle 2019 for tables indexed by an integer). Index 0 means skip: the symbol is not coded
and decodes as 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.layers import QUALITY_KNOTS, QualityTable

SCALE_COUNT = 64
SCALE_FIRST = 0.12
"""Scale (standard deviation in symbol steps) of index 0, whose symbols are not coded: a Gaussian of this scale rounds
to a nonzero symbol 3 times in 100,000 (derived)."""
SCALE_LAST = 256.0
"""Scale of the last index, in symbol steps: about that of the mean brightness of blocks at quality 63 (measured)."""
LOG_STEP = math.log(SCALE_LAST / SCALE_FIRST) / (SCALE_COUNT - 1)
HYPER_LIMIT = 15
"""Hyper-latents are rounded to integers and clamped to -15..15."""
HYPER_GROUPS = 16
"""Number of groups of four qualities; the qualities of a group share the CDF tables of the hyper-latents."""
TABLE_TOTAL = 1 << 16
"""Sum of the counts of one CDF table: probabilities have 16 bits."""
SUPPORT_LIMIT = 255
"""The largest |q| that any table codes without an escape, in symbol steps."""

_MASS_FLOOR = 1e-9


class SymbolModel(nn.Module):
    """Likelihood of q given its scale index: a mixture of two zero-mean Gaussians, with wider tails than one has."""

    def __init__(self) -> None:
        """Start with 80 % of the mass in the narrow Gaussian."""
        super().__init__()
        self.share = nn.Parameter(torch.tensor(1.4))
        self.spread = nn.Parameter(torch.tensor(0.5))

    def mass(self, q: Tensor, index: Tensor) -> Tensor:
        """Return the probability of [q - 1/2, q + 1/2] for each q; `index`, of the same shape, may be fractional."""
        inverse = torch.exp(-(math.log(SCALE_FIRST) + LOG_STEP * index)) * math.sqrt(0.5)
        wide = inverse * torch.exp(-nn.functional.softplus(self.spread) - 0.3)
        narrow = inverse * 1.15
        share = torch.sigmoid(self.share)
        size = q.abs()
        mass = share * (torch.erf((0.5 - size) * narrow) + torch.erf((0.5 + size) * narrow))
        mass = mass + (1 - share) * (torch.erf((0.5 - size) * wide) + torch.erf((0.5 + size) * wide))
        return (0.5 * mass).clamp_min(_MASS_FLOOR)


class HyperLatentModel(nn.Module):
    """Likelihood of z: one logistic distribution per channel, whose location and scale depend on the quality."""

    def __init__(self, channels: int) -> None:
        """Start with location 0 and scale 1 in each channel and for each quality."""
        super().__init__()
        self.place = QualityTable(torch.zeros(QUALITY_KNOTS, channels))
        self.log_width = QualityTable(torch.zeros(QUALITY_KNOTS, channels))

    def mass(self, z: Tensor, quality: Tensor) -> Tensor:
        """Return the probability of [z - 1/2, z + 1/2] for each z (B, C, H, W) at `quality` (B,).

        The intervals of -15 and 15 extend to infinity, because z is clamped to them.
        """
        place, inverse = self.place(quality)[:, :, None, None], torch.exp(-self.log_width(quality))[:, :, None, None]
        above = torch.sigmoid((z + 0.5 - place) * inverse)
        below = torch.sigmoid((z - 0.5 - place) * inverse)
        above = torch.where(z >= HYPER_LIMIT, torch.ones_like(above), above)
        below = torch.where(z <= -HYPER_LIMIT, torch.zeros_like(below), below)
        return (above - below).clamp_min(_MASS_FLOOR)


def scale_of(index: int) -> float:
    """Return the scale (standard deviation in symbol steps) that a scale index stands for."""
    return SCALE_FIRST * math.exp(LOG_STEP * index)


def support_of(index: int) -> int:
    """Return the largest |q| that the table of a scale index codes without an escape."""
    return min(SUPPORT_LIMIT, math.ceil(5 * scale_of(index)) + 2)


def integer_table(mass: Tensor, *, total: int = TABLE_TOTAL) -> Tensor:
    """Return integer counts (K,), each at least 1, that sum to `total` and are nearly proportional to `mass` (K,).

    The largest count absorbs the rounding errors of the others.
    """
    mass = mass.double().clamp_min(0)
    spare = total - len(mass)
    counts = 1 + torch.floor(mass / mass.sum() * spare).long()
    counts[counts.argmax()] += total - int(counts.sum())
    return counts.to(torch.int32)


@torch.no_grad()
def symbol_tables(model: SymbolModel, counts: Tensor | None = None, *, prior: float = 2000.0) -> list[Tensor]:
    """Return a table for each scale index: with K = `support_of(index)`, the counts of q = -K..K and of the escape.

    `counts` (SCALE_COUNT, 2 SUPPORT_LIMIT + 2), if given, is a histogram of real symbols by scale index; its last
    column counts the symbols beyond the limit. It is made symmetric and added to `prior` times the model's
    probabilities.
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
    """Return the tables (HYPER_GROUPS, C, 2 HYPER_LIMIT + 1) of the hyper-latents.

    `counts`, if given, is a histogram of real hyper-latents of the same shape. It is added to `prior` times the model's
    probabilities.
    """
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
    """Return the number of the group, 0..15, whose hyper-latent tables a quality uses."""
    return quality // 4
