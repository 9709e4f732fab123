"""Collision operators of relaxation type and their implicit solution.

    bgk      Q = nu (M[f] - f)
    es_bgk   Q = Pr nu (G[f] - f)
    shakhov  Q = nu (S[f] - f)

BGK (Bhatnagar, Gross & Krook, Phys. Rev. 94 (1954) 511) relaxes f to the Maxwellian of its moments,
on which alone nu depends, and so all of it at one rate. The ellipsoidal model (L. H. Holway, Phys.
Fluids 9 (1966) 1658) and Shakhov's (Fluid Dyn. 3 (1968) 95) let f keep some of its stress or heat
flux: G is a Gaussian whose p_11 - p is 1 - 1/Pr of that of f, and S a Maxwellian times a polynomial
whose heat flux is 1 - Pr of that of f. With both

    d_t (p_11 - p) = -(nu / eps) (p_11 - p),   d_t q = -Pr (nu / eps) q,

so that the viscosity is mu = p eps / nu, the conductivity is kappa = (D+2)/2 mu / Pr, and Pr is the
Prandtl number. Maxwell molecules have 2/3 in three dimensions, as nearly all monatomic gases, and
1/2 in two (`kinetic.exact`). In one there is no stress, and Pr only says what kappa is.

The rates are known whatever f is, so g = f + step Q(g) / eps is solved without iteration ("moments
first", Coron & Perthame 1991): g = (f + a E) / (1 + a), with a = step r / eps, r the rate of
collisions, and E the equilibrium that goes with the moments that g will have. For BGK E = M[f].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Protocol

import numpy as np

from kinetic.errors import InvalidInput, check_choice
from kinetic.imex import Explicit, ImexTableau, Relaxation
from kinetic.maxwellian import without_maxwellian
from kinetic.moments import Array, moments_of
from kinetic.moments_first import MaxwellianRelaxation
from kinetic.relaxation import power_law, relax_products
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
        self, grid: VelocityGrid, knudsen: Array, tableau: ImexTableau, dt: float
    ) -> tuple[Relaxation, Explicit | None]:
        """Return the implicit step, and the explicit part if there is one.

        Args:
            grid: velocity grid.
            knudsen: eps, shape (cells,).
            tableau, dt: the method and the step that they are for.
        """
        ...


#: Prandtl numbers of Maxwell molecules by dimension; that of one dimension is a choice.
PRANDTL: Mapping[int, float] = MappingProxyType({1: 2 / 3, 2: 1 / 2, 3: 2 / 3})


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

    def rates(self, dim: int) -> tuple[float, float, float]:
        """Return the rates of collisions, stress and heat flux over nu, in `dim` dimensions."""
        return 1.0, 1.0, 1.0

    def relaxation(self, grid: VelocityGrid, knudsen: Array) -> Relaxation:
        """Return the implicit step on f (cells, columns) in place, for eps of shape (cells,).

        What of f relaxes at the rate r is then divided by another 1 + correction (r / eps)^2. It
        raises `NonPhysicalState` where a cell has no equilibrium, with the time that it is given.

        Raises:
            InvalidInput: the operator does not exist in these dimensions.
        """
        rate, shear, heat = self.rates(grid.dim)
        frequency = rate / knudsen
        if shear == heat == rate:
            return MaxwellianRelaxation(grid, frequency, self.exponents)
        per_node = grid.columns // grid.points
        weights = grid.mass[:per_node], grid.transverse[:per_node]
        constants = grid.nodes, *weights, grid.volume, grid.dim, (shear / rate, heat / rate)

        def relax(f: Array, step: float, correction: float, time: float) -> None:
            """Solve g = f + step Q(g) / eps, then bring g nearer to equilibrium, in place."""
            cell = relax_products(f, *constants, self.exponents, frequency, step, correction)
            if cell >= 0:
                raise without_maxwellian(moments_of(f[cell], grid), grid, time, cell)

        return relax

    def parts(
        self, grid: VelocityGrid, knudsen: Array, tableau: ImexTableau, dt: float
    ) -> tuple[Relaxation, None]:
        """Return the implicit step, which is all."""
        return self.relaxation(grid, knudsen), None


@dataclass(frozen=True)
class EllipsoidalBGK(BGK):
    """The ellipsoidal operator `es_bgk`, in two and three dimensions.

    Args:
        prandtl: Pr, at least (D - 1) / D, where the Gaussian is one for every f; None stands for
            that of Maxwell molecules.

    Raises:
        InvalidInput: as `BGK`; or, when it is used, Pr is too small or D is 1.
    """

    prandtl: float | None = None

    def rates(self, dim: int) -> tuple[float, float, float]:
        """Return the rates of collisions, stress and heat flux over nu, in `dim` dimensions."""
        if dim == 1:
            raise InvalidInput("velocity.dim", dim, "collision=es_bgk needs velocity.dim=2 or 3")
        Pr, least = self.prandtl or PRANDTL[dim], (dim - 1) / dim
        if Pr < least * (1.0 - 1e-12):
            allowed = f"must be at least {least:g} for collision=es_bgk and velocity.dim={dim}"
            raise InvalidInput("collision.prandtl", Pr, allowed)
        return Pr, 1.0, Pr


@dataclass(frozen=True)
class Shakhov(BGK):
    """The operator `shakhov`, whose equilibrium may be negative where f is far from it.

    Args:
        prandtl: Pr; None stands for that of Maxwell molecules.

    Raises:
        InvalidInput: as `BGK`.
    """

    prandtl: float | None = None

    @property
    def keeps_positive(self) -> bool:
        """False: the polynomial of S is negative where |v| is large against the flow of heat."""
        return False

    def rates(self, dim: int) -> tuple[float, float, float]:
        """Return the rates of collisions, stress and heat flux over nu, in `dim` dimensions."""
        return 1.0, 1.0, self.prandtl or PRANDTL[dim]
