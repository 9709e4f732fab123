"""Collisions of the cells that the kinetic solver has: the costly part as often as it matters.

Where collisions are explicit (`kinetic.penalised`), their rate of change

    e = [Q(f) - beta (M - f)] / eps

is the whole cost. A cell whose collisions relax little of f in a step, z = dt rho / eps << 1, keeps
e for k steps, k z <= 8 sqrt(threshold): between evaluations k and k' steps apart

    e(t) -> e_n + k/(2 k') (e_n - e_(n-1)),

the mean of the line through the last two over the steps to come (Adams & Bashforth), whose error is
second order in k z. Without a threshold every cell is evaluated at every stage, as the kinetic
solver does. e changes no mass, momentum or energy, however old it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from closures.hybrid import runtime
from closures.hybrid.runtime import Array
from kinetic.collisions import Collision
from kinetic.errors import NonPhysicalState
from kinetic.imex import Explicit, ImexTableau, Relaxation
from kinetic.moments import moments_of
from kinetic.velocity import VelocityGrid

LAG = 8.0
"""k z is at most this times the square root of the threshold; with 4 errors are the same."""

LONGEST = 8
"""Steps for which e is kept at most: in so many the gas moves by about half a cell."""

Rows = NDArray[np.int64]


def runs_of(rows: Rows) -> list[slice]:
    """Ascending rows as slices of neighbours."""
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if rows.size else []
    return [slice(int(part[0]), int(part[-1]) + 1) for part in parts]


@dataclass
class KineticCollisions:
    """The parts of a collision operator on some of the cells; see the module.

    Attributes:
        rows: numbers of the cells; runs: the same as slices of neighbours.
        evaluated: cells so far whose Q was evaluated, counted at every evaluation.
    """

    operator: Collision
    grid: VelocityGrid
    knudsen: Array
    tableau: ImexTableau
    dt: float
    threshold: float
    evaluated: int = 0

    def __post_init__(self) -> None:
        cells, columns = len(self.knudsen), self.grid.columns
        self.rows: Rows = np.empty(0, np.int64)
        self.runs: list[slice] = []
        # Steps for which e is still kept, -1 where there is none; and for which it is and was kept.
        self._left = np.full(cells, -1)
        self._span, self._last = np.zeros((2, cells), int)
        explicit = self._parts(np.arange(cells))[1] is not None
        self._e, self._mean = np.zeros((2, cells if explicit else 0, columns))

    def choose(self, rows: Rows) -> None:
        """Be for the cells `rows` from now on; those that are new have no e yet."""
        self._left[np.setdiff1d(np.arange(len(self.knudsen)), rows)] = -1
        self.rows = rows
        self.runs = runs_of(rows)
        self._relaxations = [self._parts(run)[0] for run in self.runs]

    def _parts(self, rows: Rows | slice) -> tuple[Relaxation, Explicit | None]:
        knudsen = np.ascontiguousarray(self.knudsen[rows])
        return self.operator.parts(self.grid, knudsen, self.tableau, self.dt)

    def relax(self, f: Array, step: float, correction: float, time: float) -> None:
        """The implicit part, of the kinetic cells of f (cells, C), in place.

        Raises:
            NonPhysicalState: a cell has no equilibrium.
        """
        for run, relaxation in zip(self.runs, self._relaxations, strict=True):
            try:
                relaxation(f[run], step, correction, time)
            except NonPhysicalState as error:
                cell = int(run.start) + error.cell
                raise NonPhysicalState(error.time, cell, error.values, error.reason) from None

    def add(self, f: Array, slope: Array, first: bool, time: float) -> None:
        """Add e of f to `slope`, both (cells, C); `first` says whether a time step begins."""
        if not len(self._e):
            return
        if first:
            self._plan(f)
        keeps = self._span[self.rows] > 0
        always, kept = self.rows[~keeps], self.rows[keeps]
        # Added to the slope itself: its last bits are then those of the kinetic solver.
        slope[always] = self._evaluated(f[always], slope[always], always, time)
        if first:
            due = kept[self._left[kept] <= 0]
            self._renew(due, self._evaluated(f[due], np.zeros((due.size, f.shape[1])), due, time))
            self._left[kept] -= 1
        runtime.add_rows(self._mean, kept, slope)

    def _plan(self, f: Array) -> None:
        """Decide for how many steps each cell that is due keeps what it will evaluate."""
        due = self.rows[self._left[self.rows] <= 0]
        z = self.dt * moments_of(f[due], self.grid)[:, 0] / self.knudsen[due]
        span = np.minimum(np.floor(LAG * sqrt(self.threshold) / z), LONGEST).astype(int)
        # The first evaluation has none before it that tells where e is going.
        span[self._left[due] < 0] = np.minimum(span[self._left[due] < 0], 1)
        self._last[due], self._span[due] = self._span[due], span
        self._left[due[span == 0]] = -1

    def _renew(self, due: Rows, e: Array) -> None:
        span, last = self._span[due], self._last[due]
        ahead = np.where(self._left[due] == 0, span / (2.0 * np.maximum(last, 1)), 0.0)[:, None]
        self._mean[due] = e + ahead * (e - self._e[due])
        self._e[due], self._left[due] = e, span

    def _evaluated(self, f: Array, slope: Array, rows: Rows, time: float) -> Array:
        """`slope` with e of the cells `rows` added."""
        if rows.size:
            explicit = self._parts(rows)[1]
            assert explicit is not None
            explicit(f, slope, time)
            self.evaluated += rows.size
        return slope
