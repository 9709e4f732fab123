"""Collision operators and their implicit solution.

BGK (Bhatnagar, Gross & Krook, Phys. Rev. 94 (1954) 511): Q(f) = nu (M[f] - f), where M[f] has the
moments of f and nu depends on them alone. Collisions conserve the moments, so the implicit equation
g = f + step nu (M[g] - g) / eps has M[g] = M[f] and is solved without iteration,

    g = (f + a M[f]) / (1 + a),   a = step nu / eps        (moments first: Coron & Perthame 1991).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType

import numpy as np
from numba import njit

from kinetic.errors import InvalidInput, NonPhysicalState, check_choice
from kinetic.maxwellian import REORDER, fill_maxwellian
from kinetic.moments import Array, moments_of, primitive
from kinetic.velocity import VelocityGrid

# nu = rho^p T^q: the exponents (p, q) as functions of omega.
FREQUENCIES: Mapping[str, Callable[[float], tuple[float, float]]] = MappingProxyType(
    {
        "constant": lambda omega: (0.0, 0.0),
        "density": lambda omega: (1.0, 0.0),
        "power": lambda omega: (1.0, 1.0 - omega),
    }
)


@dataclass(frozen=True)
class BGK:
    """BGK operator with a collision frequency nu(rho, T).

    Args:
        frequency: `constant` nu = 1, `density` nu = rho, `power` nu = rho T^(1 - omega).
        omega: viscosity exponent of `power`, mu ~ T^omega; 0.81 is argon.

    Raises:
        InvalidInput: unknown frequency or omega not finite.
    """

    frequency: str = "constant"
    omega: float = 0.81

    def __post_init__(self) -> None:
        check_choice("collision.frequency", self.frequency, FREQUENCIES)
        if not isfinite(self.omega):
            raise InvalidInput("collision.omega", self.omega, "must be finite")

    @property
    def exponents(self) -> tuple[float, float]:
        """(p, q) of nu = rho^p T^q."""
        return FREQUENCIES[self.frequency](self.omega)

    def nu(self, rho: Array, T: Array) -> Array:
        """Return the collision frequency nu(rho, T), dimensionless; eps is not in it."""
        p, q = self.exponents
        return np.asarray(rho) ** p * np.asarray(T) ** q

    def relaxation(
        self, grid: VelocityGrid, knudsen: Array
    ) -> Callable[[Array, float, float, float], None]:
        """Return relax(f, step, correction, time), the implicit step on f (cells, points) in place.

        It solves g = f + step Q(g) / eps and then divides the distance of g from equilibrium by
        1 + correction (nu / eps)^2. `knudsen` is eps, shape (cells,). `relax` raises
        `NonPhysicalState`, naming `time`, for a cell whose f has no Maxwellian.
        """
        p, q = self.exponents

        def relax(f: Array, step: float, correction: float, time: float) -> None:
            cell = _relax_bgk(f, grid.nodes, knudsen, step, correction, p, q)
            if cell >= 0:
                raise non_physical(f[cell], grid, time, int(cell))

        return relax


def non_physical(f: Array, grid: VelocityGrid, time: float, cell: int) -> NonPhysicalState:
    """Return the error that describes the state of `cell`, whose distribution is f (points,)."""
    with np.errstate(all="ignore"):
        rho, u, T = (float(a) for a in primitive(moments_of(f, grid), grid.dim))
    values = {"rho": rho, "u": u, "T": T}
    if not all(isfinite(value) for value in values.values()):
        reason = "not finite"
    elif rho <= 0.0 or T <= 0.0:
        reason = "density and temperature must be positive"
    else:
        reason = "the velocity grid holds no Maxwellian of this state; refine or extend it"
    return NonPhysicalState(time, cell, values, reason)


@njit(cache=True, nogil=True, error_model="numpy")
def _relax_bgk(f, v, knudsen, step, correction, p, q):  # type: ignore[no-untyped-def]
    """Relax each row of f (cells, points); return the first cell that is not physical, or -1."""
    cells, points = f.shape
    M = np.empty(points)
    for cell in range(cells):
        rho, u, T = _primitive(f[cell], v)
        if not (0.0 < rho < np.inf and 0.0 < T < np.inf):
            return cell
        if not fill_maxwellian(rho, u, T, v, M):
            return cell
        rate = rho**p * T**q / knudsen[cell]
        keep = 1.0 / ((1.0 + step * rate) * (1.0 + correction * rate * rate))
        gain = 1.0 - keep
        for k in range(points):
            f[cell, k] = keep * f[cell, k] + gain * M[k]
    return -1


@njit(cache=True, nogil=True, error_model="numpy", fastmath=REORDER)
def _primitive(f, v):  # type: ignore[no-untyped-def]
    """Return (rho, u, T) of one row of f."""
    m0 = m1 = m2 = 0.0
    for k in range(f.size):
        m0 += f[k]
        m1 += f[k] * v[k]
        m2 += f[k] * (v[k] * v[k])
    u = m1 / m0
    return m0 * (v[-1] - v[0]) / (v.size - 1), u, m2 / m0 - u * u
