"""Velocity moments of f and the two ways to write a gas state.

    U = (rho, rho u, E),   E = 1/2 rho u^2 + D/2 rho T,   D velocity dimensions.

Everything is dimensionless, in the scaling stated in `kinetic`. Integrals over v are sums over the
nodes of a `VelocityGrid`; f has shape (..., points), U has shape (..., 3).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from kinetic.velocity import VelocityGrid

Array: TypeAlias = NDArray[np.float64]


def conserved(rho: ArrayLike, u: ArrayLike, T: ArrayLike, dim: int = 1) -> Array:
    """Return U = (rho, rho u, E), shape (..., 3), of states that broadcast together."""
    rho, u, T = np.broadcast_arrays(*(np.asarray(a, float) for a in (rho, u, T)))
    energy = 0.5 * rho * u**2 + 0.5 * dim * rho * T
    return np.stack([rho, rho * u, energy], axis=-1)


def primitive(U: ArrayLike, dim: int = 1) -> tuple[Array, Array, Array]:
    """Return (rho, u, T) of U, shape (..., 3); the inverse of `conserved`."""
    rho, momentum, energy = np.moveaxis(np.asarray(U, float), -1, 0)
    u = momentum / rho
    return rho, u, (2.0 * energy / rho - u**2) / dim


def moments_of(f: Array, grid: VelocityGrid) -> Array:
    """Return U = sum_k (1, v_k, v_k^2 / 2) f_k dv, shape (..., 3)."""
    v = grid.nodes
    return f @ (np.stack([np.ones_like(v), v, 0.5 * v**2], axis=-1) * grid.spacing)


def heat_flux(f: Array, grid: VelocityGrid) -> Array:
    """Return q = 1/2 ∫ (v - u)^3 f dv, shape (...,)."""
    _, u, _ = primitive(moments_of(f, grid), grid.dim)
    peculiar = grid.nodes - u[..., None]
    return 0.5 * grid.spacing * np.sum(peculiar**3 * f, axis=-1)


def entropy(f: Array, grid: VelocityGrid) -> Array:
    """Return eta = ∫ f log f dv, shape (...,), with 0 log 0 = 0."""
    return grid.spacing * np.sum(xlogy(f, f), axis=-1)
