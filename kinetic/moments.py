"""Velocity moments of f and the two ways to write a gas state.

    U = (rho, rho u, E),   E = 1/2 rho u^2 + D/2 rho T,   D velocity dimensions.

Everything is dimensionless, in the scaling stated in `kinetic`. Integrals over v are sums over the
columns of a `VelocityGrid`; f has shape (..., columns), U has shape (..., 3).
"""

from __future__ import annotations

import math
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
    """Return U = ∫ (1, v_1, |v|^2 / 2) f dv, shape (..., 3)."""
    return f @ grid.invariants.T


def stress(f: Array, grid: VelocityGrid) -> Array:
    """Return p_11 - p = ∫ ((v_1 - u)^2 - |v - u|^2 / D) f dv, shape (...,); zero in D = 1."""
    rho, _, T = primitive(moments_of(f, grid), grid.dim)
    across = grid.volume * (f @ grid.transverse)
    return (grid.dim - 1) * rho * T - across


def heat_flux(f: Array, grid: VelocityGrid) -> Array:
    """Return q = 1/2 ∫ |v - u|^2 (v_1 - u) f dv, shape (...,)."""
    _, u, _ = primitive(moments_of(f, grid), grid.dim)
    peculiar = grid.along - u[..., None]
    weights = peculiar * (peculiar * peculiar * grid.mass + grid.transverse)  # powers are slow
    return 0.5 * grid.volume * np.sum(weights * f, axis=-1)


def entropy(f: Array, grid: VelocityGrid) -> Array:
    """Return eta = ∫ f log f dv, shape (...,), with 0 log 0 = 0.

    In D = 3 it is the least that distributions with these g and h have, that of Gaussians across x
    of variance h / 2g: eta = ∫ g log(g^2 / (pi e h)) dv_1.
    """
    if grid.dim == 3:
        g, h = f[..., 0::2], f[..., 1::2]
        return grid.volume * np.sum(2.0 * xlogy(g, g) - xlogy(g, math.pi * math.e * h), axis=-1)
    return grid.volume * np.sum(xlogy(f, f), axis=-1)
