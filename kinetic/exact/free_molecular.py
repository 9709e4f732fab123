"""Exact solutions of free transport, d_t f + v d_x f = 0, the limit of infinite Knudsen number.

f(t, x, v) = f0(x - v t, v)
"""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from kinetic.exact.riemann import Gas
from kinetic.maxwellian import maxwellian
from kinetic.problems import Profile

Array = NDArray[np.float64]


def free_transport(profile: Profile, x: Array, v: Array, time: float) -> Array:
    """Return f = f0(x - v t, v) of shape (cells, n) for periodic data on [0, 1].

    `profile` is drawn by `kinetic.problems.draw`; `x` (cells,) are any places, `v` (n,) velocities.
    """
    feet = (x[:, None] - v * time) % 1.0
    return np.sum([maxwellian(rho, u, T, v) for rho, u, T in profile.components(feet)], axis=0)


def free_riemann(left: Gas, right: Gas, xi: Array) -> tuple[Array, Array, Array, Array]:
    """Return (rho, u, T, q) at xi = x/t of two Maxwellian gases apart at x = 0 when t = 0.

    What moves faster than xi came from the left, the rest from the right, so that

        m_n = ∫_xi^∞ v^n M_left dv + ∫_-∞^xi v^n M_right dv,   n = 0, ..., 3,

    in one velocity dimension; q = 1/2 ∫ (v-u)^3 f dv.
    Source: G. A. Bird, Molecular Gas Dynamics (1994), section 7.2, generalised to two moving gases.
    """
    xi = np.asarray(xi, dtype=np.float64)
    # The right half is the left half of the gas seen in a mirror, v -> -v.
    mirror = np.array([1.0, -1.0, 1.0, -1.0]).reshape(4, *(1,) * xi.ndim)
    m = _moments_above(left, xi) + mirror * _moments_above(right.mirrored(), -xi)
    u = m[1] / m[0]
    T = m[2] / m[0] - u**2
    q = 0.5 * (m[3] - 3.0 * u * m[2] + 2.0 * u**3 * m[0])
    return m[0], u, T, q


def _moments_above(gas: Gas, xi: Array) -> Array:
    """Return ∫_xi^∞ v^n M dv for n = 0, ..., 3, shape (4, ...).

    With c = v - u and a = xi - u, integration by parts gives the moments of c,
    J_0 = rho/2 erfc(a / sqrt(2T)),  J_n = T a^(n-1) M(xi) + (n-1) T J_(n-2).
    """
    rho, u, T = gas
    a, edge = xi - u, maxwellian(rho, u, T, xi)
    J = [0.5 * rho * erfc(a / np.sqrt(2.0 * T)), T * edge]
    for n in (2, 3):
        J.append(T * a ** (n - 1) * edge + (n - 1) * T * J[n - 2])
    return np.array([sum(comb(n, i) * u ** (n - i) * J[i] for i in range(n + 1)) for n in range(4)])
