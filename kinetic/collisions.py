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
from kinetic.maxwellian import REORDER, fill_maxwellians
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
        M = np.empty((knudsen.size, grid.points))
        state = np.empty((3, knudsen.size))

        def relax(f: Array, step: float, correction: float, time: float) -> None:
            _gas_states(f, grid.nodes, grid.spacing, state)
            rho, u, T = state
            cell = fill_maxwellians(rho, u, T, grid.nodes, M)
            if cell >= 0:
                raise non_physical(f[cell], grid, time, cell)
            rate = self.nu(rho, T) / knudsen
            _blend(f, M, 1.0 / ((1.0 + step * rate) * (1.0 + correction * rate**2)))

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


@njit(cache=True, nogil=True, error_model="numpy", fastmath=REORDER)
def _gas_states(f, v, dv, state):  # type: ignore[no-untyped-def]
    """Write (rho, u, T) of each row of f (cells, points) into `state` (3, cells)."""
    for cell in range(f.shape[0]):
        m0 = m1 = m2 = 0.0
        row = f[cell]
        for k in range(row.size):
            m0 += row[k]
            m1 += row[k] * v[k]
            m2 += row[k] * (v[k] * v[k])
        u = m1 / m0
        state[0, cell], state[1, cell], state[2, cell] = m0 * dv, u, m2 / m0 - u * u


@njit(cache=True, nogil=True, error_model="numpy")
def _blend(f, M, keep):  # type: ignore[no-untyped-def]
    """Replace each row of f by keep f + (1 - keep) M."""
    for cell in range(f.shape[0]):
        row, target = f[cell], M[cell]
        gain = 1.0 - keep[cell]
        rest = 1.0 - gain  # keep, rounded so that the weights sum to one: f must not drift
        for k in range(row.size):
            row[k] = rest * row[k] + gain * target[k]
