"""Uniform finite-volume grid on x in [0, 1] and the boundaries that close it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from kinetic.errors import InvalidInput, check_choice

MIN_CELLS = 4
GHOSTS = 3


@dataclass(frozen=True)
class SpaceGrid:
    """`cells` equal cells on [0, 1] with centres ``x_j = (j + 1/2) dx``.

    Raises:
        InvalidInput: `cells` is not an integer of at least 4.
    """

    cells: int

    def __post_init__(self) -> None:
        if isinstance(self.cells, bool) or int(self.cells) != self.cells or self.cells < MIN_CELLS:
            raise InvalidInput("cells", self.cells, f"must be an integer of at least {MIN_CELLS}")

    @property
    def dx(self) -> float:
        """Width of a cell."""
        return 1.0 / self.cells

    @property
    def centers(self) -> NDArray[np.float64]:
        """Cell centres, shape (cells,)."""
        return (np.arange(self.cells) + 0.5) / self.cells


def _periodic(index: NDArray[np.int64], cells: int) -> NDArray[np.int64]:
    return index % cells


def _outflow(index: NDArray[np.int64], cells: int) -> NDArray[np.int64]:
    return np.clip(index, 0, cells - 1)


BOUNDARIES: Mapping[str, Callable[[NDArray[np.int64], int], NDArray[np.int64]]] = MappingProxyType(
    {"periodic": _periodic, "outflow": _outflow}
)


def ghosted_rows(cells: int, boundary: str) -> NDArray[np.int64]:
    """Return the cell that stands for each of the cells -3, ..., cells + 2, shape (cells + 6,).

    `periodic` wraps around; `outflow` repeats the outermost cell (zero gradient).

    Raises:
        InvalidInput: `boundary` is not one of `BOUNDARIES`.
    """
    index = np.arange(-GHOSTS, cells + GHOSTS)
    return BOUNDARIES[check_choice("boundary", boundary, BOUNDARIES)](index, cells)
