"""What the moments that are not carried do to those that are: learned damping and diffusion.

The modes beyond w take up what transport sends them and give little of it back. Carried moments
therefore decay faster than collisions alone make them, and the more the steeper they are:

    d_t W_k + d_x G_k = -(nu/eps) W_k - a_k(eps) W_k + d_x (rho T d_k(eps) D_x m_k),    a, d >= 0,
    D_x m = d_x m + m B_1 d_x u/sqrt T + m B_2 d_x T/(2 T),    B_n,lk = int Mc w_l c^(n-1) w_k' dc,

W = rho m. D_x is the gradient in one frame: of the averages that the functions w of a cell have in
its neighbours, whose own are in frames of their own, as far as it is linear in m. Without diffusion
nine characteristic speeds stand for free streaming, which turns a jump into a staircase; filtered
spherical harmonics (McClarren and Hauck, J. Comput. Phys. 229 (2010) 5597) and regularised moments
(Struchtrup and Torrilhon, Phys. Fluids 15 (2003) 2668) do the like with given coefficients. Mass,
momentum and energy are not touched, equilibrium (m = 0) stays what it is, and as m vanishes with
eps so does all of this beside the collisions. a and d are softplus of functions linear in log10 eps
between the decades; a in units of 1/time, d of time. All but what D_x has beside d_x is implicit in
every stage of the time step, and of first order in it. That other part is there in one dimension
only, and with few moments (`TURNED`): else D_x is d_x.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from closures.features import Features, unit_maxwellian
from closures.tridiagonal import solve_dominant

DECADES = (-3, 1)
"""Range of log10 eps within which a and d vary."""

TURNED = 9
"""With more moments D_x is d_x: what D_x has beside it, which is explicit, would make no solution
more accurate there, and with twelve lose one of ten gases that are rougher than learned from."""

MEMORY, SLIGHT = 0.18, 0.01
"""To start from: the time in which modes are lost without collisions, times the number of degrees
beyond two that are carried (in one dimension K), and a damping."""


class Dissipation(nn.Module):
    """a and d of K moments as functions of the Knudsen number.

    At the start a = SLIGHT and d = (n/N)^2 eps s/(2 eps + 2 s), s = MEMORY/(N-2): the higher a
    moment, the shorter it lives, and the more are carried, the less is lost.

    Args:
        degrees: of the Hermite functions that the moments resemble, n (K,); N is the largest, 3 or
            more.
    """

    def __init__(self, degrees: Tensor) -> None:
        super().__init__()
        eps = 10.0 ** torch.arange(DECADES[0], DECADES[1] + 1, dtype=torch.float64)
        s = MEMORY / (int(degrees.max()) - 2)
        d = (degrees / degrees.max())[:, None] ** 2 * (0.5 * eps * s / (eps + s))
        self.raw_damping = nn.Parameter(inverse_softplus(torch.full_like(d, SLIGHT)))
        self.raw_diffusivity = nn.Parameter(inverse_softplus(d))

    def forward(self, knudsen: Tensor) -> tuple[Tensor, Tensor]:
        """a and d at eps of any shape: (K, ...)."""
        return at_knudsen(knudsen, self.raw_damping), at_knudsen(knudsen, self.raw_diffusivity)


def at_knudsen(knudsen: Tensor, raw: Tensor) -> Tensor:
    """Positive functions of eps of any shape, (n, ...): softplus of `raw` (n, decades + 1).

    That is linear in log eps between the decades and constant beyond them.
    """
    low, high = DECADES
    place = torch.log10(knudsen).clamp(low, high) - low
    left = place.floor().clamp(max=high - low - 1)
    t, left = place - left, left.long()
    return nn.functional.softplus((1.0 - t) * raw[:, left] + t * raw[:, left + 1])


def inverse_softplus(y: Tensor) -> Tensor:
    """What softplus makes y > 0 of."""
    return y.expm1().log()


def turn(features: Features, c: Tensor) -> Tensor:
    """B of functions w by quadrature on the uniform nodes c (n,): (2, K, K); see `TURNED`."""
    K = features.parity.numel()
    if K > TURNED:
        return c.new_zeros((2, K, K))
    w, slope = features.matrix(c), features.derivative(c)
    weighted = ((c[1] - c[0]) * unit_maxwellian(c))[:, None] * w
    same = features.parity[:, None] == features.parity
    u, T = weighted.T @ slope, weighted.T @ (c[:, None] * slope)
    return torch.stack((torch.where(same, 0.0, u), torch.where(same, T, 0.0)))


def turned(m: Tensor, turn: Tensor, u: Tensor, T: Tensor) -> Tensor:
    """What D_x has beside d_x at the right face of each cell, times dx, (K, B, N).

    Args:
        m: moments (K, B, N).
        turn: B, (2, K, K).
        u, T: of the cells (B, N).
    """
    du, dT = (field.roll(-1, dims=-1) - field for field in (u, T))
    m, T = (0.5 * (field + field.roll(-1, dims=-1)) for field in (m, T))
    by_u, by_T = torch.einsum("lbn,ilk->ikbn", m, turn)
    return by_u * (du / T.sqrt()) + by_T * (0.5 * dT / T)


def dissipate(
    m: Tensor,
    beside: Tensor,
    excess: Tensor,
    diffusion: Tensor,
    rho: Tensor,
    dx: float,
    boundary: str,
) -> Tensor:
    """New of rho excess New - d_x (diffusion D_x New) = rho m, implicit, for moments of cells.

    Args:
        m: moments (K, B, N).
        beside: what D_x has beside d_x, see `turned`; it is that of m.
        excess: 1 + dt times what damps them (K, B, N).
        diffusion: dt times rho T d in the cells (K, B, N).
        rho: density (B, N).
        dx: width of a cell.
        boundary: "periodic" or "outflow", which nothing diffuses through.
    """
    g = 0.5 * (diffusion + diffusion.roll(-1, dims=-1)) / dx**2
    if boundary != "periodic":
        g = torch.cat((g[..., :-1], torch.zeros_like(g[..., :1])), dim=-1)
    gain = g * beside
    m = m + (gain - gain.roll(1, dims=-1)) / rho
    return solve_dominant(excess, g.roll(1, dims=-1) / rho, g / rho, m)
