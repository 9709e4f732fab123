"""Structure of weak shocks against the exact solution of the Navier-Stokes equations.

R. Becker, Z. Phys. 8 (1922) 321: where heat conduction balances viscosity, kappa / c_p being the
longitudinal viscosity 2 (D-1)/D mu, the total enthalpy H = (D+2)/2 T + u^2/2 is constant and

    2 (D-1)/D mu(T) u du/dx = -m (gamma+1) / (2 gamma) (u_1 - u) (u - u_2),     m = rho u.

The Prandtl number is then D / (2 (D-1)): 1 in D = 2, that of BGK, and 3/4 in D = 3.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from kinetic.collisions import BGK, EllipsoidalBGK
from kinetic.moments import moments_of
from kinetic.problems import InitialState, cell_centers
from kinetic.solver import Scheme, Solver
from kinetic.space import SpaceGrid
from kinetic.velocity import VelocityGrid


def steepest(u1: float, u2: float, dim: int) -> float:
    """Return the largest eps d_x rho between (rho, T) = (1, 1) at u1 and u2, for mu = T eps."""
    gamma, shear = (dim + 2) / dim, 2.0 * (dim - 1) / dim
    H = gamma / (gamma - 1.0) + 0.5 * u1**2

    def slope(u: float) -> float:
        T = (gamma - 1.0) / gamma * (H - 0.5 * u**2)
        change = u1 * (gamma + 1.0) / (2.0 * gamma) * (u1 - u) * (u - u2) / (shear * T * u)
        return float(u1 / u**2 * change)

    found = minimize_scalar(lambda u: -slope(u), bounds=(u2, u1), method="bounded")
    return slope(float(found.x))


@pytest.mark.parametrize(
    ("operator", "dim", "mach", "eps", "cells", "points", "tolerance"),
    [
        (EllipsoidalBGK("density", prandtl=0.75), 3, 1.3, 6e-3, 200, 32, 4e-3),
        (BGK("density"), 2, 1.3, 9e-3, 80, 20, 2e-2),
    ],
)
def test_the_thickness_of_a_weak_shock_is_beckers(
    operator: BGK, dim: int, mach: float, eps: float, cells: int, points: int, tolerance: float
) -> None:
    gamma = (dim + 2) / dim
    ratio = (gamma + 1.0) * mach**2 / ((gamma - 1.0) * mach**2 + 2.0)
    u1 = mach * np.sqrt(gamma)
    u2, T2 = u1 / ratio, (1.0 + 2.0 * gamma / (gamma + 1.0) * (mach**2 - 1.0)) / ratio
    x, grid = cell_centers(cells), VelocityGrid(points, 7.5, dim)
    sides = ((1.0, ratio), (u1, u2), (1.0, T2))
    component = tuple(np.where(x < 0.5, *side) for side in sides)
    state = InitialState(x, np.full(cells, eps), (component,), "outflow")
    run = Solver(grid, SpaceGrid(cells), state.knudsen, operator, "outflow", Scheme("ars222"))
    *_, last = run.evolve(state.on_grid(grid), end=1.0, snapshots=2)
    rho = moments_of(last.f, grid)[:, 0]
    slopes = cells * (8.0 * (rho[3:-1] - rho[1:-3]) - (rho[4:] - rho[:-4])) / 12.0
    assert eps * slopes.max() == pytest.approx(steepest(u1, u2, dim), rel=tolerance)
