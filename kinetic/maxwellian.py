"""Maxwellians: the continuous one, and the discrete one that has its moments exactly on a grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kinetic.errors import NonPhysicalState
from kinetic.moments import Array, primitive
from kinetic.relaxation import fill_maxwellians
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
    rho, u, T = primitive(np.atleast_2d(U), grid.dim)
    M, across = np.empty((2, rho.size, grid.points))
    cell = fill_maxwellians(rho, u, T, grid.nodes, M)
    if cell < 0 and grid.dim == 2:
        cell = fill_maxwellians(np.ones_like(rho), np.zeros_like(u), T, grid.nodes, across)
    if cell >= 0:
        values = {"rho": float(rho[cell]), "u": float(u[cell]), "T": float(T[cell])}
        raise NonPhysicalState(time, cell, values, "no Maxwellian on the velocity grid has it")
    if grid.dim == 1:
        return M
    if grid.dim == 3:
        across = np.stack([np.ones_like(T), 2.0 * T], axis=-1)
    return (M[:, :, None] * across[:, None, :]).reshape(rho.size, grid.columns)
