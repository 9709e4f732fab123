"""Free transport L(f) = -v d_x f in conservation form, -(F_(j+1/2) - F_(j-1/2)) / dx, F = v f_face.

The face value comes from the upwind cell, reconstructed with a limiter and then clamped so that a
step forward in time leaves f >= 0 (after Zhang & Shu, J. Comput. Phys. 229 (2010) 3091). As v does
not depend on x, the formula is also the conservative finite difference of the values at the cell
centres (Shu & Osher, J. Comput. Phys. 77 (1988) 439): f_j is f(x_j, v) to the order of the
reconstruction, collisions included.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kinetic.alignment import aligned, aligned_empty
from kinetic.errors import check_choice
from kinetic.limiters import TRANSPORTS
from kinetic.moments import Array
from kinetic.space import BOUNDARIES, SpaceGrid, ghosted_rows
from kinetic.velocity import VelocityGrid

# The clamp stays this far inside the bound, for round-off never to reach below zero.
MARGIN = 1e-12

COLUMNS = 1152
"""Of f, transported at a time: their rows of a few cells stay in a second-level cache."""


@dataclass(frozen=True)
class Transport:
    """The operator L on a grid, for forward steps up to `step` that must keep f >= 0.

    Args:
        grid, space: velocity and space grids.
        boundary: a key of `kinetic.space.BOUNDARIES`.
        limiter: a key of `kinetic.limiters.LIMITERS`.
        step: largest time step tau with f + tau L(f) >= 0 whenever f >= 0; below dx / extent.

    Raises:
        InvalidInput: unknown boundary or limiter.
    """

    grid: VelocityGrid
    space: SpaceGrid
    boundary: str
    limiter: str
    step: float

    def __post_init__(self) -> None:
        check_choice("boundary", self.boundary, BOUNDARIES)
        check_choice("scheme.limiter", self.limiter, TRANSPORTS)

    def __call__(self, f: Array, out: Array, fluxes: Array | None = None) -> None:
        """Write L(f) into `out`; both C-contiguous of shape (cells, columns).

        Into `fluxes`, shape (cells + 1, 3), go those of U through the faces, over dx.
        """
        TRANSPORTS[self.limiter](f, *self._data, out, self._unused if fluxes is None else fluxes)

    @cached_property
    def _unused(self) -> Array:
        """Space for fluxes that nobody asks for."""
        return np.empty((self.space.cells + 1, 3))

    @cached_property
    def _data(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64], Array, Array, Array, Array]:
        """What the kernel takes between f and `out`."""
        rows = ghosted_rows(self.space.cells, self.boundary)
        order = np.stack([rows[::-1], rows]).astype(np.uint64)
        v = self.grid.along
        split = np.array([0, np.searchsorted(v, 0.0), v.size], np.uint64)
        rate = np.abs(v) / self.space.dx
        # The node v = 0 has no flux; any finite bound does there.
        slowest = 0.5 * self.grid.spacing / self.space.dx
        bound = (1.0 - MARGIN) / (self.step * np.maximum(rate, slowest))
        space = aligned_empty(min(COLUMNS, v.size))
        return order, split, rate, bound, aligned(self.grid.invariants), space
