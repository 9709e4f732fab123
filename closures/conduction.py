"""Heat conduction of the Navier-Stokes closure, implicit: no time step depends on eps.

Chapman-Enskog for BGK in D = 1 (no viscous stress):

    d_t E = d_x (kappa d_x T),     kappa = (3/2) rho T eps/nu,     E = rho u^2/2 + rho T/2.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor

from closures.closure import Frame

GAMMA = 1.0 - 1.0 / sqrt(2.0)
"""Of the L-stable two-stage SDIRK method (Alexander, SIAM J. Numer. Anal. 14 (1977) 1006)."""

NEGLIGIBLE = 1e-18

Conductivity = Callable[[Tensor, Tensor], Tensor]
"""kappa(rho, T) of cells, (B, N) each."""


def conduct(U: Tensor, conductivity: Conductivity, dt: Tensor, dx: float, boundary: str) -> Tensor:
    """Advance E of U (B, N, 3) by dt (B,), to second order in space and time.

    kappa is that of the temperature half a step later. E is conserved to round-off.

    Args:
        U: conserved variables.
        conductivity: kappa.
        dt: time steps.
        dx: width of a cell.
        boundary: "periodic" or "outflow", through which no heat is conducted.
    """
    frame = Frame.of(U.flatten(0, 1))
    rho, T = frame.rho.view(U.shape[:2]), frame.T.view(U.shape[:2])
    # rho/2 d_t T = -d_x q: dT = -rate (q_right - q_left).
    rate = dt[:, None] * 2.0 / (rho * dx)
    g = _conductance(conductivity(rho, T), dx, boundary)
    g = _conductance(conductivity(rho, _implicit(T, 0.5 * rate, g)), dx, boundary)
    T1 = _implicit(T, GAMMA * rate, g)
    begun = T - (1.0 - GAMMA) * rate * _flux(g, T1).diff(dim=1)
    T2 = _implicit(begun, GAMMA * rate, g)
    q = _flux(g, (1.0 - GAMMA) * T1 + GAMMA * T2)
    energy = U[..., 2] - dt[:, None] / dx * q.diff(dim=1)
    return torch.stack((U[..., 0], U[..., 1], energy), dim=-1)


def conducted_heat(kappa: Tensor, T: Tensor, dx: float, boundary: str) -> Tensor:
    """q = -kappa d_x T at the faces, (B, N+1), of kappa and T in the cells (B, N)."""
    return _flux(_conductance(kappa, dx, boundary), T)


def solve_tridiagonal(lower: Tensor, diagonal: Tensor, upper: Tensor, b: Tensor) -> Tensor:
    """x of lower_j x_(j-1) + diagonal_j x_j + upper_j x_(j+1) = b_j, j periodic; (B, N) each.

    Cyclic reduction in all rows at once (Hockney and Jesshope, Parallel Computers 2, 1988, sec.
    5.4): each pass doubles the distance of the neighbours and squares their weight. It suits
    matrices of dominant diagonal.
    """
    left, right, x, distance = lower / diagonal, upper / diagonal, b / diagonal, 1
    while max(float(left.abs().max()), float(right.abs().max())) > NEGLIGIBLE:

        def before(y: Tensor, distance: int = distance) -> Tensor:
            return y.roll(distance, dims=1)

        def after(y: Tensor, distance: int = distance) -> Tensor:
            return y.roll(-distance, dims=1)

        scale = 1.0 - left * before(right) - right * after(left)
        x = (x - left * before(x) - right * after(x)) / scale
        left, right = -left * before(left) / scale, -right * after(right) / scale
        distance *= 2
    return x


def _implicit(T: Tensor, rate: Tensor, g: Tensor) -> Tensor:
    """New of New + rate d(flux(New)) = T."""
    lower, upper = -rate * g[:, :-1], -rate * g[:, 1:]
    return solve_tridiagonal(lower, 1.0 - lower - upper, upper, T)


def _flux(g: Tensor, T: Tensor) -> Tensor:
    """q_(j+1/2) = -g_(j+1/2) (T_(j+1) - T_j) at the N+1 faces."""
    return -g * (torch.cat((T, T[:, :1]), dim=1) - torch.cat((T[:, -1:], T), dim=1))


def _conductance(kappa: Tensor, dx: float, boundary: str) -> Tensor:
    """g = kappa/dx at the N+1 faces; the harmonic mean lets no heat into a cell that conducts none.

    An outflow boundary repeats the outermost cell, so that no heat crosses it.
    """
    a, b = torch.cat((kappa[:, -1:], kappa), dim=1), torch.cat((kappa, kappa[:, :1]), dim=1)
    g = 2.0 * a * b / (a + b) / dx
    if boundary == "periodic":
        return g
    return torch.cat((torch.zeros_like(g[:, :1]), g[:, 1:-1], torch.zeros_like(g[:, :1])), dim=1)
