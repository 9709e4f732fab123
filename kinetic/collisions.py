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
from typing import Protocol

import numpy as np

from kinetic.errors import InvalidInput, NonPhysicalState, check_choice
from kinetic.imex import Explicit, ImexTableau, Relaxation
from kinetic.maxwellian import power_law, relax_products, relax_rows
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


class Collision(Protocol):
    """A collision operator, split for the time integration into two parts.

    Attributes:
        keeps_positive: whether neither part makes f negative.
    """

    @property
    def keeps_positive(self) -> bool: ...

    def parts(
        self, grid: VelocityGrid, knudsen: Array, tableau: ImexTableau
    ) -> tuple[Relaxation, Explicit | None]:
        """Return the implicit step, and the explicit part if there is one.

        Args:
            grid: velocity grid.
            knudsen: eps, shape (cells,).
            tableau: the method that they are for.
        """
        ...


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
        return power_law(np.asarray(rho), np.asarray(T), *self.exponents)

    @property
    def keeps_positive(self) -> bool:
        """True: a relaxed f lies between f and a Maxwellian."""
        return True

    def relaxation(self, grid: VelocityGrid, knudsen: Array) -> Relaxation:
        """Return the implicit step on f (cells, columns) in place, for eps of shape (cells,)."""
        kernel, constants = _kernel(grid)
        exponents, frequency = self.exponents, 1.0 / knudsen

        def relax(f: Array, step: float, correction: float, time: float) -> None:
            """Solve g = f + step Q(g) / eps, then bring g nearer to equilibrium, in place.

            The distance of g from its Maxwellian is divided by 1 + correction (nu / eps)^2.

            Raises:
                NonPhysicalState: a cell has no Maxwellian; it names `time`.
            """
            cell = kernel(f, *constants, exponents, frequency, step, correction)
            if cell >= 0:
                raise non_physical(f[cell], grid, time, cell)

        return relax

    def parts(
        self, grid: VelocityGrid, knudsen: Array, tableau: ImexTableau
    ) -> tuple[Relaxation, None]:
        """Return the implicit step, which is all."""
        return self.relaxation(grid, knudsen), None


def _kernel(grid: VelocityGrid) -> tuple[Callable[..., int], tuple[object, ...]]:
    """Return the kernel that relaxes on a grid, and what it takes after f."""
    if grid.dim == 1:
        return relax_rows, (grid.nodes, grid.spacing)
    per_node = grid.columns // grid.points
    weights = grid.mass[:per_node], grid.transverse[:per_node]
    return relax_products, (grid.nodes, *weights, grid.volume, grid.dim)


def non_physical(f: Array, grid: VelocityGrid, time: float, cell: int) -> NonPhysicalState:
    """Return the error that describes the state of `cell`, whose distribution is f (columns,)."""
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
