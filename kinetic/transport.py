"""Free transport by MUSCL finite volumes: L(f) = -(F_(j+1/2) - F_(j-1/2)) / dx with F = v f_face.

The face value comes from the upwind cell, reconstructed with a limiter (van Leer, J. Comput. Phys.
32 (1979) 101) and then clamped so that a step forward in time leaves f >= 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

from kinetic.errors import check_choice
from kinetic.limiters import LIMITERS
from kinetic.moments import Array
from kinetic.space import SpaceGrid, ghosted_rows
from kinetic.velocity import VelocityGrid

# Differences below sqrt(1000 dx^3) f count as smooth (3 % of f at dx = 0.01): at an extremum of f
# they are O(dx^2), so the limiters that take a floor keep their order there.
SMOOTH = 1000.0
# The clamp stays this far inside the bound, for round-off never to reach below zero.
MARGIN = 1e-12
TINY = 1e-300


@dataclass(frozen=True)
class Transport:
    """The operator L on a grid, for forward steps up to `step` that must keep f >= 0.

    Args:
        grid, space: velocity and space grids.
        boundary: a key of `kinetic.space.BOUNDARIES`.
        limiter: a key of `kinetic.limiters.LIMITERS`.
        step: largest time step tau with f + tau L(f) >= 0 whenever f >= 0; at most dx / extent.

    Raises:
        InvalidInput: unknown boundary or limiter.
    """

    grid: VelocityGrid
    space: SpaceGrid
    boundary: str
    limiter: str
    step: float

    def __post_init__(self) -> None:
        check_choice("scheme.limiter", self.limiter, LIMITERS)
        ghosted_rows(self.space.cells, self.boundary)

    def __call__(self, f: Array, out: Array) -> None:
        """Write L(f) into `out`; both C-contiguous of shape (cells, points)."""
        _KERNELS[self.limiter](f, *self._data, out)

    @cached_property
    def _data(self) -> tuple[NDArray[np.int64], Array, Array, float]:
        """Rows of the ghosted cells, v/dx, face bound as a multiple of f, floor / f^2."""
        v, dx = self.grid.nodes, self.space.dx
        # The node v = 0 has no flux; any finite bound does there.
        courant = np.maximum(np.abs(v), 0.5 * self.grid.spacing) * self.step / dx
        rows = ghosted_rows(self.space.cells, self.boundary)
        return rows, v / dx, (1.0 - MARGIN) / courant, SMOOTH * dx**3


def _compile(limiter: Callable[[float, float, float], float]) -> Callable[..., None]:
    """Return the transport kernel with `limiter` compiled in (once, on its first call)."""

    @register_jitable
    def faces(behind, centre, ahead, bound, smooth, out):  # type: ignore[no-untyped-def]
        for k in range(out.size):
            f = centre[k]
            offset = limiter(f - behind[k], ahead[k] - f, smooth * f * f + TINY)
            out[k] = max(0.0, min(f + offset, bound[k] * f))

    @njit(cache=True, nogil=True, error_model="numpy")
    def kernel(f, rows, rate, bound, smooth, out):  # type: ignore[no-untyped-def]
        cells, points = f.shape
        split = np.searchsorted(rate, 0.0)
        face, upwind = np.empty(points), np.empty(points)
        # Cell i = -1 .. cells gives the face it empties into: right for v > 0, left for v < 0.
        for i in range(-1, cells + 1):
            left, centre, right = f[rows[i + 1]], f[rows[i + 2]], f[rows[i + 3]]
            faces(right[:split], centre[:split], left[:split], bound[:split], smooth, face[:split])
            faces(left[split:], centre[split:], right[split:], bound[split:], smooth, face[split:])
            if i > 0:
                for k in range(split):
                    out[i - 1, k] = rate[k] * (upwind[k] - face[k])
            if 0 <= i < cells:
                for k in range(split, points):
                    out[i, k] = rate[k] * (upwind[k] - face[k])
            face, upwind = upwind, face

    return kernel


_KERNELS = {name: _compile(limiter) for name, limiter in LIMITERS.items()}
