"""Exact results for Maxwell molecules in two velocity dimensions, d_t f = Q(f), kernel 1/(2 pi).

The solution of Bobylev, Krook and Wu, an isotropic gas with rho = 1, u = 0 and T = 1,

    f = exp(-v^2 / 2K) / (2 pi K^2) [2K - 1 + (1 - K) / (2K) v^2],   K = 1 - exp(-t/8) / 2.

Relaxation rates. Two molecules with c = G + g/2 and c* = G - g/2 leave with G +- |g| sigma / 2, all
sigma equally likely; <> is the mean over sigma. For every phi(c),

    ∫ phi Q dv = 1/2 ∫∫ f f* <phi' + phi*' - phi - phi*> dv dv*.

- Stress: phi = c_i c_j without its trace gives phi + phi* = 2 G_i G_j + g_i g_j / 2, of which the
  second term averages to zero. As ∫∫ f f* g_i g_j = 2 rho P_ij,

      d_t P_ij = 1/2 (-1/2) 2 rho P_ij = -(rho/2) P_ij.

- Heat flux: phi = c |c|^2 gives phi + phi* = 2 G (|G|^2 + |g|^2/4) + g (G.g), of which the last
  term alone changes, to |g|^2 G / 2. As 2 G.g = |c|^2 - |c*|^2 and the mean of c is zero,
  ∫∫ f f* g (G.g) = 2 rho q and ∫∫ f f* |g|^2 G / 2 = rho q, with q = 1/2 ∫ c |c|^2 f dv, so that

      2 d_t q = 1/2 (rho q - 2 rho q),   d_t q = -(rho/4) q.

They hold for every f, near equilibrium or not. The viscosity is 2 T eps, and the Prandtl number 1/2
(2/3 in three dimensions).

Sources: A. V. Bobylev, Sov. Phys. Dokl. 20 (1976) 820; M. Krook & T. T. Wu, Phys. Fluids 20 (1977)
1589; C. Truesdell & R. G. Muncaster, Fundamentals of Maxwell's Kinetic Theory (1980).
"""

from __future__ import annotations

from math import exp

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinetic.errors import InvalidInput

Array = NDArray[np.float64]

#: d_t P_ij = -rho STRESS_RATE P_ij for the traceless part of the pressure tensor.
STRESS_RATE = 0.5
#: d_t q = -rho HEAT_FLUX_RATE q.
HEAT_FLUX_RATE = 0.25


def bkw(v1: ArrayLike, v2: ArrayLike, time: float) -> Array:
    """Return f(t) at the velocities (v1, v2), broadcast together; not negative.

    Raises:
        InvalidInput: time is negative, where f would be too.
    """
    K, v_squared = _width(time), np.square(v1) + np.square(v2)
    return _gaussian(K, v_squared) * _polynomial(K, v_squared)


def bkw_rate(v1: ArrayLike, v2: ArrayLike, time: float) -> Array:
    """Return d_t f = Q(f) of `bkw` at the velocities (v1, v2).

    d_t f = K' exp(-v^2/2K) / (2 pi K^2) [(v^2/2K^2 - 2/K) p + 2 - v^2/2K^2], p the polynomial of
    `bkw` and K' = (1 - K)/8.

    Raises:
        InvalidInput: time is negative.
    """
    K, v_squared = _width(time), np.square(v1) + np.square(v2)
    s = v_squared / (2.0 * K**2)
    bracket = (s - 2.0 / K) * _polynomial(K, v_squared) + 2.0 - s
    return 0.125 * (1.0 - K) * _gaussian(K, v_squared) * bracket


def _width(time: float) -> float:
    if not time >= 0.0:
        raise InvalidInput("time", time, "must not be negative")
    return 1.0 - 0.5 * exp(-time / 8.0)


def _gaussian(K: float, v_squared: Array) -> Array:
    return np.exp(-v_squared / (2.0 * K)) / (2.0 * np.pi * K**2)


def _polynomial(K: float, v_squared: Array) -> Array:
    return 2.0 * K - 1.0 + (1.0 - K) / (2.0 * K) * v_squared
