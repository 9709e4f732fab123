"""Uniform velocity grid: the nodes that carry f(x, v)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinetic.errors import InvalidInput

MIN_POINTS = 8
# A Maxwellian cut at five standard deviations has lost 6e-7 of its mass, and the trapezoidal rule
# with spacing sqrt(T) integrates it with the error 2 exp(-2 pi^2) = 5e-9 (Poisson summation).
TAIL_WIDTHS = 5.0
MAX_SPACING = 1.0


@dataclass(frozen=True)
class VelocityGrid:
    """Nodes ``v_k`` uniform on ``[-extent, extent]``, each of weight ``spacing`` (dimensionless).

    Args:
        points: number of nodes, at least 8.
        extent: largest |v|, positive, in the scale of the thermal speed sqrt(T) at T = 1.
        dim: velocity dimensions D.

    Raises:
        InvalidInput: a value is out of range.
    """

    points: int = 81
    extent: float = 8.0
    dim: int = 1

    def __post_init__(self) -> None:
        if self.dim != 1:
            raise InvalidInput("velocity.dim", self.dim, "must be 1, the dimension implemented")
        if isinstance(self.points, bool) or int(self.points) != self.points:
            raise InvalidInput("velocity.points", self.points, "must be an integer")
        if self.points < MIN_POINTS:
            raise InvalidInput("velocity.points", self.points, f"must be at least {MIN_POINTS}")
        if not (isfinite(self.extent) and self.extent > 0):
            raise InvalidInput("velocity.extent", self.extent, "must be positive and finite")

    @property
    def spacing(self) -> float:
        """Distance of neighbouring nodes, and the weight of each in a sum over velocities."""
        return 2.0 * self.extent / (self.points - 1)

    @cached_property
    def nodes(self) -> NDArray[np.float64]:
        """Nodes in ascending order, shape (points,), antisymmetric to the last bit."""
        return np.asarray((np.arange(self.points) - 0.5 * (self.points - 1)) * self.spacing, float)

    def check_resolution(self, rho: ArrayLike, u: ArrayLike, T: ArrayLike) -> None:
        """Refuse gas states (rho, u, T), broadcast together, that this grid cannot hold.

        Raises:
            InvalidInput: a state is not physical, its Maxwellian is cut by the ends of the grid,
                or it is too narrow for the spacing; the message says which grid would do.
        """
        rho, u, T = np.broadcast_arrays(*(np.asarray(a, float) for a in (rho, u, T)))
        for name, values in (("density", rho), ("temperature", T)):
            bad = ~(np.isfinite(values) & (values > 0))
            if np.any(bad):
                raise InvalidInput(name, values[bad].flat[0], "must be positive and finite")
        if not np.all(np.isfinite(u)):
            raise InvalidInput("velocity", u[~np.isfinite(u)].flat[0], "must be finite")
        reach = float(np.max(np.abs(u) + TAIL_WIDTHS * np.sqrt(T)))
        spacing = MAX_SPACING * float(np.sqrt(np.min(T)))
        if reach > self.extent or self.spacing > spacing:
            raise self._too_small(reach, spacing)

    def _too_small(self, reach: float, spacing: float) -> InvalidInput:
        extent = max(self.extent, ceil(10.0 * reach) / 10.0)
        points = max(self.points, ceil(2.0 * extent / min(spacing, self.spacing)) + 1)
        grid = f"points={self.points}, extent={self.extent:g}"
        cause = (
            f"cuts the tails of the gas, which reach |v|={reach:.4g}"
            if reach > self.extent
            else f"has spacing {self.spacing:.3g}, too coarse for the coldest gas"
        )
        remedy = f"this grid {cause}; velocity.extent={extent:g} and velocity.points={points} do"
        return InvalidInput("velocity", f"({grid})", remedy)
