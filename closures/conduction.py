"""Heat conduction of the Navier-Stokes closure, implicit: no time step depends on eps.

Chapman-Enskog (for the viscous stress see `closures.viscosity`):

    d_t E = d_x (kappa d_x T),   E = rho u^2/2 + D/2 rho T,   kappa = (D+2)/2 rho T eps/nu (BGK).
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor

from closures.closure import Frame
from closures.tridiagonal import solve_dominant

GAMMA = 1.0 - 1.0 / sqrt(2.0)
"""Of the L-stable two-stage SDIRK method (Alexander, SIAM J. Numer. Anal. 14 (1977) 1006)."""

Coefficient = Callable[[Tensor, Tensor], Tensor]
"""kappa or mu of rho and T of cells, (B, N) each."""


def conduct(
    U: Tensor, conductivity: Coefficient, dt: Tensor, dx: float, boundary: str, dimension: int = 1
) -> Tensor:
    """Advance E of U (B, N, 3) by dt (B,), to second order in space and time.

    kappa is that of the temperature half a step later. E is conserved to round-off: what the
    solution of the linear systems adds to its sum is taken off.

    Args:
        U: conserved variables.
        conductivity: kappa.
        dt: time steps.
        dx: width of a cell.
        boundary: "periodic" or "outflow", through which no heat is conducted.
        dimension: D.
    """
    frame = Frame.of(U.flatten(0, 1), dimension)
    rho, T = frame.rho.view(U.shape[:2]), frame.T.view(U.shape[:2])
    # D/2 rho d_t T = -d_x q: dT = -rate (q_right - q_left).
    rate = dt[:, None] * (2.0 / dimension) / (rho * dx)
    g = conductance(conductivity(rho, T), dx, boundary)
    g = conductance(conductivity(rho, implicit(T, 0.5 * rate, g)), dx, boundary)
    T1 = implicit(T, GAMMA * rate, g)
    # Slopes by differences of T: a flux is the difference of all but equal temperatures, times
    # kappa, and without digits where kappa is large.
    T2 = implicit(T + (1.0 - GAMMA) / GAMMA * (T1 - T), GAMMA * rate, g)
    heat = 0.5 * dimension * rho * (T2 - T)
    energy = U[..., 2] + (heat - heat.mean(dim=1, keepdim=True))
    return torch.stack((U[..., 0], U[..., 1], energy), dim=-1)


def conducted_heat(kappa: Tensor, T: Tensor, dx: float, boundary: str) -> Tensor:
    """q = -kappa d_x T at the faces, (B, N+1), of kappa and T in the cells (B, N)."""
    return _flux(conductance(kappa, dx, boundary), T)


def implicit(T: Tensor, rate: Tensor, g: Tensor) -> Tensor:
    """New of New + rate d(flux(New)) = T."""
    return solve_dominant(torch.ones_like(T), rate * g[:, :-1], rate * g[:, 1:], T)


def _flux(g: Tensor, T: Tensor) -> Tensor:
    """q_(j+1/2) = -g_(j+1/2) (T_(j+1) - T_j) at the N+1 faces."""
    return -g * differences(T)


def differences(T: Tensor) -> Tensor:
    """T_(j+1) - T_j at the N+1 faces, the first and last being those across the boundary."""
    return torch.cat((T, T[:, :1]), dim=1) - torch.cat((T[:, -1:], T), dim=1)


def conductance(kappa: Tensor, dx: float, boundary: str) -> Tensor:
    """g = kappa/dx at the N+1 faces; the harmonic mean lets no heat into a cell that conducts none.

    An outflow boundary repeats the outermost cell, so that no heat crosses it.
    """
    a, b = torch.cat((kappa[:, -1:], kappa), dim=1), torch.cat((kappa, kappa[:, :1]), dim=1)
    g = 2.0 * a * b / (a + b) / dx
    if boundary == "periodic":
        return g
    return torch.cat((torch.zeros_like(g[:, :1]), g[:, 1:-1], torch.zeros_like(g[:, :1])), dim=1)
