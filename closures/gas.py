"""The gases that closures are of: velocity dimension and collision operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kinetic.collisions import BGK, EllipsoidalBGK, Shakhov
from kinetic.config import CollisionConfig, Physics
from kinetic.errors import InvalidInput
from kinetic.exact import HEAT_FLUX_RATE, STRESS_RATE

OPERATORS: Mapping[str, tuple[int, ...]] = {
    "bgk": (1, 2, 3),
    "es_bgk": (2, 3),
    "shakhov": (1, 2, 3),
    "boltzmann": (2,),
}
"""Collision operators that closures know, and in which dimensions."""

TRAINED = {name: OPERATORS[name] for name in ("bgk", "boltzmann")}
"""Those in whose gases closures are trained."""


@dataclass(frozen=True)
class Gas:
    """What a closure is of: the dimension of velocities, and a key of `OPERATORS`.

    prandtl: of es_bgk and shakhov; None stands for that of Maxwell molecules.
    """

    dimension: int = 1
    collision: str = "bgk"
    prandtl: float | None = None

    @classmethod
    def of(cls, physics: Physics) -> Gas:
        """The gas of a configuration."""
        collision = physics.collision
        return cls(physics.velocity.dim, collision.name, collision.prandtl)

    @property
    def trained(self) -> Gas:
        """The gas in which learned closures of this one are trained.

        Those of bgk serve es_bgk and shakhov, which differ from it in rates that are known; errors
        are alike.
        """
        return self if self.collision in TRAINED else Gas(self.dimension)

    @property
    def rates(self) -> tuple[float, float, float]:
        """Rates of collisions, stress and heat flux over nu; equal for bgk."""
        if self.collision == "boltzmann":
            return 1.0, STRESS_RATE, HEAT_FLUX_RATE
        relaxation = {
            "bgk": BGK(),
            "es_bgk": EllipsoidalBGK(prandtl=self.prandtl),
            "shakhov": Shakhov(prandtl=self.prandtl),
        }
        return relaxation[self.collision].rates(self.dimension)

    def __str__(self) -> str:
        return f"velocity.dim={self.dimension} collision={self.collision}"


BGK_GAS = Gas()


def check_gas(gas: Gas, operators: Mapping[str, tuple[int, ...]] = OPERATORS) -> None:
    """Refuse a gas that the kinetic solver knows and closures do not, or not with `operators`.

    Raises:
        InvalidInput: of its collision operator.
    """
    if not is_known(gas, operators):
        what = "do not know it" if operators is OPERATORS else "are not trained with it"
        allowed = f"closures of velocity.dim={gas.dimension} {what}; {known(operators)}"
        raise InvalidInput("collision", gas.collision, allowed)


def is_known(gas: Gas, operators: Mapping[str, tuple[int, ...]] = OPERATORS) -> bool:
    """Whether there are closures of a gas with one of the `operators`."""
    return gas.dimension in operators.get(gas.collision, ())


def known(operators: Mapping[str, tuple[int, ...]] = OPERATORS) -> str:
    """What closures know, in words."""
    listed = (
        f"{name} with velocity.dim={', '.join(map(str, dims))}" for name, dims in operators.items()
    )
    return f"they know {'; '.join(listed)}"


def frequency(collision: CollisionConfig) -> BGK:
    """nu(rho, T) of an operator; that of Maxwell molecules is rho."""
    if collision.name == "boltzmann":
        return BGK("density")
    return BGK(collision.frequency, collision.omega)
