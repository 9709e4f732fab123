"""What the moments that are not carried do to those that are: learned damping and diffusion.

The modes beyond w take up what transport sends them and give little of it back. Carried moments
therefore decay faster than collisions alone make them, and the more the steeper they are:

    d_t W_k + d_x G_k = -(nu/eps) W_k - a_k(eps) W_k + d_x (rho T d_k(eps) d_x m_k),    a, d >= 0,

W = rho m. Without it nine characteristic speeds stand for free streaming, which turns a jump into
a staircase; filtered spherical harmonics (McClarren and Hauck, J. Comput. Phys. 229 (2010) 5597)
and regularised moments (Struchtrup and Torrilhon, Phys. Fluids 15 (2003) 2668) do the like with
given coefficients. Mass, momentum and energy are not touched, equilibrium (m = 0) stays what it is,
and as m vanishes with eps so does all of this beside the collisions. a and d are softplus of
functions linear in log10 eps between the decades; a in units of 1/time, d of time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from closures.tridiagonal import solve_dominant

DECADES = (-3, 1)
"""Range of log10 eps within which a and d vary."""


class Dissipation(nn.Module):
    """a and d of K moments as functions of the Knudsen number.

    Args:
        moments: K.
        damping, diffusivity: their values at the start, everywhere.
    """

    log_damping: nn.Parameter
    log_diffusivity: nn.Parameter

    def __init__(self, moments: int, damping: float, diffusivity: float) -> None:
        super().__init__()
        low, high = DECADES
        knots = high - low + 1
        for name, value in (("damping", damping), ("diffusivity", diffusivity)):
            raw = torch.full((moments, knots), value, dtype=torch.float64).expm1().log()
            setattr(self, f"log_{name}", nn.Parameter(raw))

    def forward(self, knudsen: Tensor) -> tuple[Tensor, Tensor]:
        """a and d at eps of any shape: (K, ...)."""
        return self._at(knudsen, self.log_damping), self._at(knudsen, self.log_diffusivity)

    def _at(self, knudsen: Tensor, log_values: Tensor) -> Tensor:
        low, high = DECADES
        place = torch.log10(knudsen).clamp(low, high) - low
        left = place.floor().clamp(max=high - low - 1)
        t, left = place - left, left.long()
        raw = (1.0 - t) * log_values[:, left] + t * log_values[:, left + 1]
        return nn.functional.softplus(raw)


def dissipate(
    m: Tensor, excess: Tensor, diffusion: Tensor, rho: Tensor, dx: float, boundary: str
) -> Tensor:
    """New of rho excess New - d_x (diffusion d_x New) = rho m, implicit, for moments of cells.

    Args:
        m, excess: moments, and 1 + dt times what damps them (K, B, N).
        diffusion: dt times rho T d in the cells (K, B, N).
        rho: density (B, N).
        dx: width of a cell.
        boundary: "periodic" or "outflow", which nothing diffuses through.
    """
    g = 0.5 * (diffusion + diffusion.roll(-1, dims=-1)) / dx**2
    if boundary != "periodic":
        g = torch.cat((g[..., :-1], torch.zeros_like(g[..., :1])), dim=-1)
    return solve_dominant(excess, g.roll(1, dims=-1) / rho, g / rho, m)
