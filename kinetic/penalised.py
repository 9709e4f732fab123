"""The Boltzmann equation for every Knudsen number: its collisions penalised by BGK.

Q is expensive and cannot be inverted. What is stiff in it is relaxation towards M[f], so it is
split (F. Filbet & S. Jin, J. Comput. Phys. 229 (2010) 7625) into

    Q(f) = [Q(f) - beta (M[f] - f)]  +  beta (M[f] - f),      beta = p rho,

the first part explicit beside the transport, the second implicit and solved as BGK. Q relaxes small
deviations from M[f] at rates lambda rho, 0 < lambda < 1, rho being the loss rate. With z = dt rho /
eps, one step multiplies a deviation by R(z), the last component of

    (I + z p A - z (p - lambda) A~)^-1 1      (over 1 + correction (z p)^2).

As eps -> 0 every stage comes to equilibrium, so the scheme is asymptotic preserving. |R| < 1, also
beside the transport and for the rates of the spectral operator, which near cold gases have
imaginary parts up to 0.2, for any p as long as z < 1, and for every z with p from 0.3 on for
`hsz2`, 0.65 for `ars443`, 2.5 for `ars222`. Where p is not needed it costs accuracy: at z = 0.3,
`hsz2` relaxes the heat flux 7 % too little in a step with p = 1, 0.6 % with 0.5 and 0.1 % with 0 to
0.3. Where z is large, on the other hand, the error of Q near M[f] disturbs the stages in proportion
to 1 / p, which cold gases on coarse grids do not survive. So p grows with z, as each tableau says.

`hsz2` forgets f as z -> inf, `ars222` and `ars443` do not; but these conduct heat right for all z,
as said in `kinetic.imex`, and are more accurate from z = 1 to 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit

from kinetic.boltzmann import BoltzmannOperator, boltzmann_operator
from kinetic.collisions import BGK
from kinetic.errors import InvalidInput
from kinetic.imex import Explicit, ImexTableau, Relaxation
from kinetic.moments import Array
from kinetic.velocity import VelocityGrid


@dataclass(frozen=True)
class Boltzmann:
    """Binary collisions of Maxwell molecules in D = 2; see `kinetic.boltzmann` and the module.

    Args:
        angles: number of angles of the fast spectral method, a multiple of four.
        threads: how many share an evaluation of Q; the result does not depend on it.
    """

    angles: int = 12
    threads: int = 1

    @property
    def keeps_positive(self) -> bool:
        """False: the spectral sum is of either sign where f is below its error."""
        return False

    def parts(
        self, grid: VelocityGrid, knudsen: Array, tableau: ImexTableau, dt: float
    ) -> tuple[Relaxation, Explicit]:
        """Return beta (M[f] - f) / eps as an implicit step, and the rest of Q / eps.

        Raises:
            InvalidInput: the operator does not exist on the grid.
        """
        if grid.dim != 2:
            raise InvalidInput("velocity.dim", grid.dim, "collision=boltzmann needs velocity.dim=2")
        Q = _operator(grid.points, grid.extent, self.angles)
        invariants = np.ascontiguousarray(Q.invariants.T)
        penalty = tableau.penalty_at(dt / knudsen)
        relaxation = BGK("density").relaxation(grid, knudsen / penalty)
        rate, M = 1.0 / knudsen, np.empty((len(knudsen), grid.columns))

        def add(f: Array, slope: Array, time: float) -> None:
            """Add [Q(f) - beta (M[f] - f)] / eps to `slope`, both of shape (cells, columns).

            Raises:
                NonPhysicalState: a cell has no Maxwellian; it names `time`.
            """
            np.copyto(M, f)
            relaxation(M, np.inf, 0.0, time)
            collisions = Q.spectral_sum(f.reshape(-1, *grid.shape), self.threads).reshape(f.shape)
            add_difference(slope, collisions, M, f, penalty * grid.volume, rate, invariants)

        return relaxation, add


@lru_cache(maxsize=4)
def _operator(points: int, extent: float, angles: int) -> BoltzmannOperator:
    """Return Q, kept: its tables take as long to make as it takes to evaluate for some cells."""
    return boltzmann_operator(points, extent, angles, even=True)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def add_difference(slope, Q, M, f, penalty, rate, invariants):  # type: ignore[no-untyped-def]
    """Add rate (d - P d), d = Q - penalty sum_k f_k (M - f), to the rows of `slope`.

    P projects on the rows of `invariants` (4, columns), which are orthonormal. It is applied to the
    whole of d, for the round-off of M - f is not small beside what remains of both. A product of
    matrices would do the same, with threads of its own that compete with the others.

    Args:
        slope, Q, M, f: arrays of shape (cells, columns).
        penalty: p times the volume of a column, shape (cells,).
        rate: 1 / eps, shape (cells,).
        invariants: shape (4, columns).
    """
    d = np.empty(f.shape[1])
    for cell in range(f.shape[0]):
        density = 0.0
        for k in range(d.size):
            density += f[cell, k]
        beta = penalty[cell] * density
        for k in range(d.size):
            d[k] = Q[cell, k] - beta * (M[cell, k] - f[cell, k])
        p0 = p1 = p2 = p3 = 0.0
        for k in range(d.size):
            p0 += d[k] * invariants[0, k]
            p1 += d[k] * invariants[1, k]
            p2 += d[k] * invariants[2, k]
            p3 += d[k] * invariants[3, k]
        for k in range(d.size):
            along = p0 * invariants[0, k] + p1 * invariants[1, k]
            across = p2 * invariants[2, k] + p3 * invariants[3, k]
            slope[cell, k] += rate[cell] * (d[k] - (along + across))
