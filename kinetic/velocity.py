"""Uniform velocity grid: the nodes that carry f(x, v).

The gas flows along x alone and is at rest and symmetric across it. On every grid f is a matrix
(cells, columns), whose columns are sorted by v_1:

    D = 1   f(v_k)                 one column for each node
    D = 2   f(v_1i, v_2k)          column i N + k, v_2 varying fastest
    D = 3   g(v_1i), h(v_1i)       columns 2 i and 2 i + 1, two reduced distributions

where g = ∫ f dv_2 dv_3 and h = ∫ (v_2^2 + v_3^2) f dv_2 dv_3 (C. K. Chu, Phys. Fluids 8 (1965) 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, isfinite, prod

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
    """Nodes ``v_k`` uniform on ``[-extent, extent]``, a distance ``spacing`` apart (dimensionless).

    Args:
        points: number of nodes along an axis, at least 8.
        extent: largest |v|, positive, in the scale of the thermal speed sqrt(T) at T = 1.
        dim: velocity dimensions D.

    Raises:
        InvalidInput: a value is out of range.
    """

    points: int = 81
    extent: float = 8.0
    dim: int = 1

    def __post_init__(self) -> None:
        if self.dim not in (1, 2, 3):
            raise InvalidInput("velocity.dim", self.dim, "must be 1, 2 or 3")
        if isinstance(self.points, bool) or int(self.points) != self.points:
            raise InvalidInput("velocity.points", self.points, "must be an integer")
        if self.points < MIN_POINTS:
            raise InvalidInput("velocity.points", self.points, f"must be at least {MIN_POINTS}")
        if not (isfinite(self.extent) and self.extent > 0):
            raise InvalidInput("velocity.extent", self.extent, "must be positive and finite")

    @property
    def spacing(self) -> float:
        """Distance of neighbouring nodes."""
        return 2.0 * self.extent / (self.points - 1)

    @property
    def volume(self) -> float:
        """Weight of a column in a sum over velocities."""
        return self.spacing**2 if self.dim == 2 else self.spacing

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the columns of one cell by their axes: (N,), (N, N) or (N, 2)."""
        return {1: (self.points,), 2: (self.points, self.points), 3: (self.points, 2)}[self.dim]

    @property
    def columns(self) -> int:
        """Number of columns of f."""
        return prod(self.shape)

    @cached_property
    def nodes(self) -> NDArray[np.float64]:
        """Nodes in ascending order, shape (points,), antisymmetric to the last bit."""
        return np.asarray((np.arange(self.points) - 0.5 * (self.points - 1)) * self.spacing, float)

    @cached_property
    def along(self) -> NDArray[np.float64]:
        """v_1 of every column, ascending, shape (columns,)."""
        return np.repeat(self.nodes, self.columns // self.points)

    @cached_property
    def mass(self) -> NDArray[np.float64]:
        """Weight, in units of `volume`, with which a column counts in ∫ f, shape (columns,)."""
        ones = np.ones(self.columns)
        if self.dim == 3:
            ones[1::2] = 0.0
        return ones

    @cached_property
    def transverse(self) -> NDArray[np.float64]:
        """The same in ∫ (v_2^2 + ...) f, the square of the velocity across x; shape (columns,)."""
        if self.dim == 2:
            return np.tile(self.nodes**2, self.points)
        return 1.0 - self.mass

    @cached_property
    def invariants(self) -> NDArray[np.float64]:
        """Weights of a column in U = ∫ (1, v_1, |v|^2 / 2) f, shape (3, columns)."""
        energy = 0.5 * (self.along**2 * self.mass + self.transverse)
        return np.stack([self.mass, self.along * self.mass, energy]) * self.volume

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
        if self.dim == 2:
            points += points % 2  # Boltzmann's collisions need an even number
        grid = f"points={self.points}, extent={self.extent:g}"
        cause = (
            f"cuts the tails of the gas, which reach |v|={reach:.4g}"
            if reach > self.extent
            else f"has spacing {self.spacing:.3g}, too coarse for the coldest gas"
        )
        remedy = f"this grid {cause}; velocity.extent={extent:g} and velocity.points={points} do"
        return InvalidInput("velocity", f"({grid})", remedy)
