"""Relaxation to a Maxwellian that is known before f is: each stage in one pass over memory.

Collisions keep U = (rho, rho u, E), so that a stage of `kinetic.imex`

    f_i = (1 - gain) f*_i + gain M[U_i],   f*_i = sum_(j<i) (alpha_ij f_j + beta_ij dt L(f_j)),

has the U of f*_i ("moments first", F. Coron & B. Perthame, SIAM J. Numer. Anal. 28 (1991) 26; S.
Pieraccini & G. Puppo, J. Sci. Comput. 32 (2007) 1), and that is known from the stages before:

    U_i = sum_(j<i) (alpha_ij U_j + beta_ij dt (F_j(x_(c-1/2)) - F_j(x_(c+1/2))) / dx),

F_j being the fluxes of U through the faces, which the transport sums up on its way. M[U_i] is a
product of few numbers, so f*_i is neither written nor read. U is that of f where some steps begin,
and carried through them: what round-off of explicit collisions, over eps, adds to f*_i does not
change it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numba import njit

from kinetic.alignment import aligned
from kinetic.imex import Explicit, ImexStepper, ImexTableau, combine
from kinetic.maxwellian import without_maxwellian
from kinetic.moments import Array
from kinetic.relaxation import REORDER, fill_equilibria
from kinetic.velocity import VelocityGrid

# The weight of what is alone.
ONE = np.ones(1)

# U_j (stages, cells, 3), the fluxes F_j (stages, cells + 1, 3) over dx, and the alpha_ij and
# beta_ij dt of a stage i.
History: TypeAlias = tuple[Array, Array, Array, Array]


class MaxwellianRelaxation:
    """The implicit step of BGK, f <- (1 - gain) f + gain M[U].

    Args:
        grid: velocity grid.
        frequency: 1 / eps, shape (cells,).
        exponents: (p, q) of nu = rho^p T^q.

    Attributes:
        gain, outer, inner: of the last equilibria; see `kinetic.relaxation.fill_equilibria`.
    """

    def __init__(
        self, grid: VelocityGrid, frequency: Array, exponents: tuple[float, float]
    ) -> None:
        self.grid, self.frequency, self.exponents = grid, frequency, exponents
        cells, rows = frequency.size, grid.points if grid.dim == 2 else 1
        self.gain = np.empty(cells)
        self.outer, self.inner = np.empty((cells, rows)), np.empty((cells, grid.columns // rows))
        self._weights = aligned(grid.invariants)
        self._alone: History = np.zeros((1, cells, 3)), np.zeros((1, cells + 1, 3)), ONE, ONE

    def __call__(self, f: Array, step: float, correction: float, time: float) -> None:
        """Solve g = f + step Q(g) / eps, then bring g nearer to equilibrium, in place.

        What of g relaxes at the rate r is divided by 1 + correction (r / eps)^2.

        Raises:
            NonPhysicalState: a cell has no equilibrium; it names `time`.
        """
        self.sum_up(f, self._alone[0][0])
        self.prepare(0, self._alone, step, correction, time)
        self.mix(0, f, f[None], f[None], ONE, ONE, f)

    def sum_up(self, f: Array, U: Array) -> None:
        """Write the conserved variables of f into U (cells, 3)."""
        sum_columns(f, self._weights, U)

    def prepare(
        self,
        i: int,
        history: History,
        step: float,
        correction: float,
        time: float,
        known: bool = False,
    ) -> None:
        """Make U_i, which is given if i is 0, the gain of a step, and M[U_i] unless it is known.

        Raises:
            NonPhysicalState: a cell has no equilibrium; it names `time`.
        """
        grid, made = self.grid, (self.gain, self.outer, self.inner)
        rate = self.frequency, self.exponents
        cell = fill_equilibria(
            i, *history, grid.nodes, grid.dim, rate, step, correction, known, *made
        )
        if cell >= 0:
            raise without_maxwellian(history[0][i, cell], grid, time, cell)

    def mix(
        self,
        pairs: int,
        f: Array,
        stages: Array,
        slopes: Array,
        alpha: Array,
        beta: Array,
        out: Array,
    ) -> None:
        """Write the relaxed sum of f and so many stages and slopes, see `mix`, into `out`."""
        made = self.gain, self.outer, self.inner
        mix(pairs, out is f, f, stages, slopes, alpha, beta, *made, out)


class MomentsFirstStepper(ImexStepper):
    """An `ImexStepper` whose relaxation is that of BGK; `transport` also writes fluxes of U."""

    relaxation: MaxwellianRelaxation

    def __init__(
        self,
        tableau: ImexTableau,
        transport: Callable[[Array, Array, Array], None],
        relaxation: MaxwellianRelaxation,
        shape: tuple[int, int],
        explicit: Explicit | None = None,
    ) -> None:
        super().__init__(tableau, transport, relaxation, shape, explicit)
        stages, cells = len(tableau.explicit), shape[0]
        self._U, self._fluxes = np.zeros((stages, cells, 3)), np.zeros((stages, cells + 1, 3))
        self._resting = not tableau.shu_osher[1][1].any()

    def _begin(self, f: Array, time: float) -> None:
        self.relaxation.sum_up(f, self._U[0])
        self.relaxation.prepare(0, (self._U, self._fluxes, ONE, ONE), 0.0, 0.0, time)

    def _transport(self, f: Array, i: int) -> None:
        self.transport(f, self._slopes[i], self._fluxes[i])

    def _relax(
        self, i: int, f: Array, stage: Array, step: float, correction: float, time: float
    ) -> None:
        alpha, beta = self._weights[i]
        # Before anything moves, M is that of f, which the last stage of a step leaves behind.
        known = i == 1 and self._resting
        history = self._U, self._fluxes, alpha, beta
        self.relaxation.prepare(i, history, step, correction, time, known)
        if stage is f:
            self._U[0] = self._U[i]
        stages, slopes = self._stages, self._slopes
        # What is mixed in one pass.
        if beta[0] == 0.0 and i - 1 <= (2 if stage is f else 1):
            self.relaxation.mix(i - 1, f, stages, slopes, alpha, beta, stage)
        else:
            combine(f, stages, slopes, alpha, beta, stage)
            self.relaxation.mix(0, stage, stages, slopes, ONE, ONE, stage)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=REORDER)
def sum_columns(f, weights, U):  # type: ignore[no-untyped-def]
    """Write U_n = sum_k weights_nk f_k, n < 3, of each row of f (cells, columns)."""
    for cell in range(f.shape[0]):
        mass = momentum = energy = 0.0
        for k in range(f.shape[1]):
            mass += weights[0, k] * f[cell, k]
            momentum += weights[1, k] * f[cell, k]
            energy += weights[2, k] * f[cell, k]
        U[cell, 0], U[cell, 1], U[cell, 2] = mass, momentum, energy


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def mix(  # type: ignore[no-untyped-def]
    pairs, in_place, f, stages, slopes, alpha, beta, gain, outer, inner, out
):
    """Write (1 - gain) (alpha_0 f + sum_j alpha_j f_j + beta_j L_j) + gain outer inner.

    Args:
        pairs: how many stages f_j and slopes L_j there are, from j = 1 on; none or one, or two
            if it is in place.
        in_place: whether f takes the result, and not `out`: loops that write what they read are
            vectorised only if that is known.
        f, out: shape (cells, columns).
        stages, slopes: one more axis before.
        alpha, beta: shape (pairs + 1,), or longer.
        gain: shape (cells,).
        outer, inner: shapes (cells, rows) and (cells, columns / rows).
    """
    size, rows = f.size, outer.shape[1]
    old, new, width = f.reshape(size), out.reshape(size), np.uint64(inner.shape[1])
    stages, slopes = stages.reshape((-1, size)), slopes.reshape((-1, size))
    for cell in range(f.shape[0]):
        # Rounded so that the weights sum to one: f must not drift.
        keep = 1.0 - gain[cell]
        for i in range(rows):
            share = gain[cell] * outer[cell, i]
            # Unsigned as in `kinetic.limiters`.
            begin = np.uint64(cell * rows + i) * width
            if pairs == 2:
                for k in range(width):
                    n = begin + k
                    first = alpha[1] * stages[1, n] + beta[1] * slopes[1, n]
                    second = alpha[2] * stages[2, n] + beta[2] * slopes[2, n]
                    old[n] = keep * (alpha[0] * old[n] + first + second) + share * inner[cell, k]
            elif pairs == 1:
                for k in range(width):
                    n = begin + k
                    first = alpha[1] * stages[1, n] + beta[1] * slopes[1, n]
                    new[n] = keep * (alpha[0] * old[n] + first) + share * inner[cell, k]
            elif in_place:
                for k in range(width):
                    n = begin + k
                    old[n] = keep * (alpha[0] * old[n]) + share * inner[cell, k]
            else:
                for k in range(width):
                    n = begin + k
                    new[n] = keep * (alpha[0] * old[n]) + share * inner[cell, k]
