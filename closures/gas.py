"""The gases that closures are of: velocity dimension and collision operator."""

from __future__ import annotations

from dataclasses import dataclass

from kinetic.collisions import BGK
from kinetic.config import CollisionConfig, Physics
from kinetic.errors import InvalidInput


@dataclass(frozen=True)
class Gas:
    """What a closure is of: the dimension of velocities, and a key of `OPERATORS`."""

    dimension: int = 1
    collision: str = "bgk"

    @classmethod
    def of(cls, physics: Physics) -> Gas:
        """The gas of a configuration."""
        return cls(physics.velocity.dim, physics.collision.name)

    def __str__(self) -> str:
        return f"velocity.dim={self.dimension} collision={self.collision}"


BGK_GAS = Gas()

OPERATORS = {"bgk": (1, 2, 3), "boltzmann": (2,)}
"""Collision operators that closures know, and in which dimensions."""


def check_gas(gas: Gas) -> None:
    """Refuse a gas that the kinetic solver knows and closures do not.

    Raises:
        InvalidInput: of its collision operator.
    """
    if not is_known(gas):
        allowed = f"closures of velocity.dim={gas.dimension} do not know it; {known()}"
        raise InvalidInput("collision", gas.collision, allowed)


def is_known(gas: Gas) -> bool:
    """Whether there are closures of a gas."""
    return gas.dimension in OPERATORS.get(gas.collision, ())


def known() -> str:
    """What closures know, in words."""
    listed = (
        f"{name} with velocity.dim={', '.join(map(str, dims))}" for name, dims in OPERATORS.items()
    )
    return f"they know {'; '.join(listed)}"


def frequency(collision: CollisionConfig) -> BGK:
    """nu(rho, T) of an operator; that of Maxwell molecules is rho."""
    if collision.name == "boltzmann":
        return BGK("density")
    return BGK(collision.frequency, collision.omega)
