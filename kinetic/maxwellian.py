"""Maxwellians: the continuous one, and the discrete one that has its moments exactly on a grid."""

from __future__ import annotations

from math import isfinite

import numpy as np
from numpy.typing import ArrayLike

from kinetic.errors import NonPhysicalState
from kinetic.moments import Array, primitive
from kinetic.relaxation import fill_equilibria
from kinetic.velocity import VelocityGrid


def maxwellian(
    rho: ArrayLike, u: ArrayLike, T: ArrayLike, v: ArrayLike, *across: ArrayLike
) -> Array:
    """Return M[rho,u,T] = rho (2 pi T)^(-D/2) exp(-((v - u)^2 + ...) / 2T), all broadcast.

    Args:
        rho, u, T: state of a gas at rest across x.
        v, across: velocity along x, and D - 1 others across it.
    """
    rho, u, T, v = (np.asarray(a, float) for a in (rho, u, T, v))
    M = rho / np.sqrt(2.0 * np.pi * T) * np.exp(-((v - u) ** 2) / (2.0 * T))
    for w in across:
        M = M * maxwellian(1.0, 0.0, T, w)
    return M


def reduced_maxwellian(rho: ArrayLike, u: ArrayLike, T: ArrayLike, v: ArrayLike) -> Array:
    """Return (g, h) of M[rho,u,T] in D = 3 on a last axis: M integrated across x, and 2 T times it.

    See `kinetic.velocity`; the arguments broadcast.
    """
    g = maxwellian(rho, u, T, v)
    return np.stack([g, 2.0 * np.asarray(T, float) * g], axis=-1)


def discrete_maxwellian(U: ArrayLike, grid: VelocityGrid, time: float = 0.0) -> Array:
    """Return M_k = exp(a + b v_k + c v_k^2) whose moments on `grid` are exactly U.

    The three multipliers minimise the convex dual sum_k M_k dv - (a, b, 2c) . U, by Newton
    (Mieussens, Math. Models Methods Appl. Sci. 10 (2000) 1121). In more dimensions M is a product
    of such factors, one for each axis, all with the temperature T: that the factors across x may
    have another c than the one along it, by the error of quadrature, makes the pressure isotropic.

    Args:
        U: conserved variables, shape (cells, 3).
        grid: velocity grid.
        time: reported if a state is refused.

    Returns:
        Array of shape (cells, columns), non-negative; its moments are U to round-off.

    Raises:
        NonPhysicalState: rho or T is not positive, or no such Maxwellian exists on the grid.
    """
    U = np.ascontiguousarray(np.atleast_2d(U))
    cells, rows = len(U), grid.points if grid.dim == 2 else 1
    outer, inner = np.empty((cells, rows)), np.empty((cells, grid.columns // rows))
    alone = 0, U[None], np.empty((1, cells + 1, 3)), np.ones(1), np.ones(1)
    rate, gain = (np.zeros(cells), (0.0, 0.0)), np.empty(cells)
    made = 0.0, 0.0, False, gain, outer, inner
    cell = fill_equilibria(*alone, grid.nodes, grid.dim, rate, *made)
    if cell >= 0:
        raise without_maxwellian(U[cell], grid, time, cell)
    return (outer[:, :, None] * inner[:, None, :]).reshape(cells, grid.columns)


def without_maxwellian(U: Array, grid: VelocityGrid, time: float, cell: int) -> NonPhysicalState:
    """Return the error that describes the state U (3,) of a cell that has no Maxwellian."""
    with np.errstate(all="ignore"):
        rho, u, T = (float(a) for a in primitive(U, grid.dim))
    values = {"rho": rho, "u": u, "T": T}
    if not all(isfinite(value) for value in values.values()):
        reason = "not finite"
    elif rho <= 0.0 or T <= 0.0:
        reason = "density and temperature must be positive"
    else:
        reason = "the velocity grid holds no Maxwellian of this state; refine or extend it"
    return NonPhysicalState(time, cell, values, reason)
