"""Heat conduction of the Navier-Stokes closure, implicit: no time step depends on eps.

Chapman-Enskog for BGK in D = 1 (no viscous stress):

    d_t E = d_x (kappa d_x T),     kappa = (3/2) rho T eps/nu,     E = rho u^2/2 + rho T/2.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

GAMMA = 1.0 - 1.0 / sqrt(2.0)
"""Of the L-stable two-stage SDIRK method (Alexander, SIAM J. Numer. Anal. 14 (1977) 1006)."""


def conduct(U: Tensor, mean_free_time: Tensor, dt: Tensor, dx: float, boundary: str) -> Tensor:
    """Advance E of U (B, N, 3) by dt (B,) with kappa = (3/2) p eps/nu.

    Second order in space and time with kappa frozen; E is conserved to round-off.

    Args:
        U: conserved variables.
        mean_free_time: eps/nu, (B, N).
        dt: time steps.
        dx: width of a cell.
        boundary: "periodic" or "outflow", through which no heat is conducted.
    """
    rho = U[..., 0]
    T = 2.0 * U[..., 2] / rho - (U[..., 1] / rho) ** 2
    flux = _flux_matrix(1.5 * rho * T * mean_free_time, dx, boundary)
    heating = _divergence(flux, dx)
    step = dt[:, None, None]
    matrix = (
        torch.eye(rho.shape[1], dtype=U.dtype, device=U.device)
        + GAMMA * step * (2.0 / rho)[..., None] * heating
    )
    lu = torch.linalg.lu_factor(matrix)

    def heat(temperature: Tensor) -> Tensor:
        return torch.einsum("bij,bj->bi", heating, temperature)

    T1 = torch.linalg.lu_solve(*lu, T[..., None])[..., 0]
    begun = T - (1.0 - GAMMA) * dt[:, None] * (2.0 / rho) * heat(T1)
    T2 = torch.linalg.lu_solve(*lu, begun[..., None])[..., 0]
    q = torch.einsum("bij,bj->bi", flux, (1.0 - GAMMA) * T1 + GAMMA * T2)
    change = -dt[:, None] / dx * (q[:, 1:] - q[:, :-1])
    return torch.stack((rho, U[..., 1], U[..., 2] + change), dim=-1)


def conducted_heat(
    rho: Tensor, T: Tensor, mean_free_time: Tensor, dx: float, boundary: str
) -> Tensor:
    """q = -kappa d_x T at the faces, (B, N+1), of rho, T and eps/nu (B, N)."""
    Q = _flux_matrix(1.5 * rho * T * mean_free_time, dx, boundary)
    return torch.einsum("bij,bj->bi", Q, T)


def _flux_matrix(kappa: Tensor, dx: float, boundary: str) -> Tensor:
    """Q (B, N+1, N), q = Q T at the N+1 faces: q_(j+1/2) = -kappa_(j+1/2) (T_(j+1) - T_j)/dx."""
    B, N = kappa.shape
    face = torch.arange(N + 1, device=kappa.device)
    if boundary == "periodic":
        left, right = (face - 1) % N, face % N
    else:
        left, right = (face - 1).clamp(min=0), face.clamp(max=N - 1)
    # The harmonic mean lets no heat into a cell that conducts none.
    a, b = kappa[:, left], kappa[:, right]
    conductance = 2.0 * a * b / (a + b) / dx
    Q = kappa.new_zeros((B, N + 1, N))
    Q[:, face, left] += conductance
    Q[:, face, right] -= conductance
    return Q


def _divergence(Q: Tensor, dx: float) -> Tensor:
    """A with (A T)_j = (q_(j+1/2) - q_(j-1/2))/dx: (B, N, N)."""
    return (Q[:, 1:] - Q[:, :-1]) / dx
