"""Viscous stress of the Navier-Stokes closure in two and three dimensions, implicit.

Chapman-Enskog, for flow along x (there is no such stress in one dimension):

    rho d_t u = d_x (mu* d_x u),    mu* = 2 (1 - 1/D) mu,    heating mu* (d_x u)^2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from closures.closure import Frame
from closures.conduction import GAMMA, Coefficient, conductance, differences, implicit


def rub(
    U: Tensor, viscosity: Coefficient, dt: Tensor, dx: float, boundary: str, dimension: int
) -> Tensor:
    """Advance rho u and E of U (B, N, 3) by dt (B,), to second order in space and time.

    The kinetic energy that is lost becomes heat where the gas is sheared; momentum and energy are
    conserved to round-off.

    Args:
        U: conserved variables.
        viscosity: mu* of rho and T.
        dt: time steps.
        dx: width of a cell.
        boundary: "periodic" or "outflow", through which no momentum diffuses.
        dimension: D.
    """
    frame = Frame.of(U.flatten(0, 1), dimension)
    rho, u, T = (field.view(U.shape[:2]) for field in (frame.rho, frame.u, frame.T))
    rate = dt[:, None] / (rho * dx)
    g = conductance(viscosity(rho, T), dx, boundary)
    u1 = implicit(u, GAMMA * rate, g)
    u2 = implicit(u + (1.0 - GAMMA) / GAMMA * (u1 - u), GAMMA * rate, g)
    gained = rho * (u2 - u)
    momentum = gained - gained.mean(dim=1, keepdim=True)
    middle = 0.5 * (u + u2)
    shear = g * differences(middle) ** 2
    heat = (0.5 * dt[:, None] / dx) * (shear[:, 1:] + shear[:, :-1])
    energy = rho * middle * (u2 - u) + heat
    energy = energy - energy.mean(dim=1, keepdim=True)
    return torch.stack((U[..., 0], U[..., 1] + momentum, U[..., 2] + energy), dim=-1)
