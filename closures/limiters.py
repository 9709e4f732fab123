"""The limited reconstructions of `kinetic.limiters`, elementwise on tensors.

Each maps the differences behind = f_j - f_(j-1), ahead = f_(j+1) - f_j and the second differences
of the two neighbours to the offset f_(j+1/2) - f_j of the face downstream; sources stand in
`kinetic.limiters`. The learned equations and their reference are then discretised alike, so that
comparing them compares closures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from kinetic.limiters import STEEPNESS, TINY

Limiter = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _minmod(a: Tensor, b: Tensor) -> Tensor:
    """The smaller of two numbers of one sign, else 0."""
    return torch.minimum(a, b).clamp(min=0.0) + torch.maximum(a, b).clamp(max=0.0)


def minmod(behind: Tensor, ahead: Tensor, d_behind: Tensor, d_ahead: Tensor) -> Tensor:
    """Half of minmod(behind, ahead)."""
    return 0.5 * _minmod(behind, ahead)


def mc(behind: Tensor, ahead: Tensor, d_behind: Tensor, d_ahead: Tensor) -> Tensor:
    """Half of minmod(2 behind, (behind + ahead) / 2, 2 ahead)."""
    return _minmod(0.25 * (behind + ahead), _minmod(behind, ahead))


def van_leer(behind: Tensor, ahead: Tensor, d_behind: Tensor, d_ahead: Tensor) -> Tensor:
    """Half the harmonic mean of two differences of one sign."""
    product = behind * ahead
    same = product > 0.0
    return torch.where(same, product / torch.where(same, behind + ahead, 1.0), 0.0)


def van_albada(behind: Tensor, ahead: Tensor, d_behind: Tensor, d_ahead: Tensor) -> Tensor:
    """Half of ab (a + b) / (a^2 + b^2) for differences of one sign."""
    product = (behind * ahead).clamp(min=0.0)
    # Where one vanishes the quotient is 0, and so must be its derivative.
    squares = torch.where(product > 0.0, behind * behind + ahead * ahead + TINY, 1.0)
    return 0.5 * product * (behind + ahead) / squares


def third(behind: Tensor, ahead: Tensor, d_behind: Tensor, d_ahead: Tensor) -> Tensor:
    """(behind + 2 ahead) / 6 within the bounds of Suresh & Huynh (1997)."""
    d = ahead - behind
    median = 0.5 * (ahead - _minmod(d, d_ahead))
    upper_limit = STEEPNESS * behind
    large_curvature = 0.5 * behind + (4.0 / 3.0) * _minmod(d, d_behind)
    low = torch.maximum(
        torch.minimum(ahead, median).clamp(max=0.0),
        torch.minimum(upper_limit, large_curvature).clamp(max=0.0),
    )
    high = torch.minimum(
        torch.maximum(ahead, median).clamp(min=0.0),
        torch.maximum(upper_limit, large_curvature).clamp(min=0.0),
    )
    return torch.minimum(torch.maximum((behind + 2.0 * ahead) / 6.0, low), high)


LIMITERS: Mapping[str, Limiter] = MappingProxyType(
    {
        "third": third,
        "minmod": minmod,
        "van_leer": van_leer,
        "mc": mc,
        "van_albada": van_albada,
    }
)
