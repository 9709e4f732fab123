"""Exact results for Maxwell molecules in three velocity dimensions, kernel 1/(4 pi).

The solution of Bobylev, Krook and Wu of d_t f = Q(f), isotropic with rho = 1, u = 0 and T = 1,

    f = exp(-v^2 / 2K) / (2 (2 pi K)^(3/2)) [(5K - 3)/K + (1 - K)/K^2 v^2],   K = 1 - 2/5 exp(-t/6).

The relaxation rates follow as in `kinetic.exact.bkw`, where the means over the sphere replace those
over the circle: that of g_i g_j without its trace still vanishes, and g (G.g) becomes |g|^2 G / 3,

    d_t P_ij = -(rho/2) P_ij,    2 d_t q = 1/2 (2/3 rho q - 2 rho q),  d_t q = -(rho/3) q,

so that the Prandtl number is 2/3.

Sources: A. V. Bobylev, Sov. Phys. Dokl. 20 (1976) 820; M. Krook & T. T. Wu, Phys. Fluids 20 (1977)
1589.
"""

from __future__ import annotations

from math import exp

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinetic.errors import InvalidInput

Array = NDArray[np.float64]

#: d_t P_ij = -rho STRESS_RATE_3D P_ij for the traceless part of the pressure tensor.
STRESS_RATE_3D = 1 / 2
#: d_t q = -rho HEAT_FLUX_RATE_3D q.
HEAT_FLUX_RATE_3D = 1 / 3


def bkw_3d(speed: ArrayLike, time: float) -> Array:
    """Return f(t) at speeds |v|; not negative.

    Raises:
        InvalidInput: time is negative, where f would be too.
    """
    K, w = _width(time), np.square(np.asarray(speed, float))
    return 0.5 * _gaussian(K, w) * _polynomial(K, w)


def bkw_3d_rate(speed: ArrayLike, time: float) -> Array:
    """Return d_t f = Q(f) of `bkw_3d` at speeds |v|.

    With f = G p / 2: d_K G = G (v^2/2K^2 - 3/2K), d_K p = 3/K^2 - (2 - K)/K^3 v^2, K' = (1 - K)/6.

    Raises:
        InvalidInput: time is negative.
    """
    K, w = _width(time), np.square(np.asarray(speed, float))
    slope = _polynomial(K, w) * (0.5 * w / K**2 - 1.5 / K) + 3.0 / K**2 - (2.0 - K) * w / K**3
    return (1.0 - K) / 12.0 * _gaussian(K, w) * slope


def _width(time: float) -> float:
    if time < 0.0:
        raise InvalidInput("time", time, "must not be negative")
    return 1.0 - 0.4 * exp(-time / 6.0)


def _gaussian(K: float, w: Array) -> Array:
    return (2.0 * np.pi * K) ** -1.5 * np.exp(-0.5 * w / K)


def _polynomial(K: float, w: Array) -> Array:
    return (5.0 * K - 3.0) / K + (1.0 - K) / K**2 * w
