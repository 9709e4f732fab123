"""The Boltzmann equation for every Knudsen number: its collisions penalised by BGK.

Q is expensive and cannot be inverted. What is stiff in it is relaxation towards M[f], so it is
split (F. Filbet & S. Jin, J. Comput. Phys. 229 (2010) 7625) into

    Q(f) = [Q(f) - beta (M[f] - f)]  +  beta (M[f] - f),      beta = penalty rho,

the first part explicit beside the transport, the second implicit and solved as BGK. Q relaxes small
deviations from M[f] at rates lambda rho, 0 < lambda < 1, rho being the loss rate. With z = dt rho /
eps, one step multiplies a deviation by R(z), the last component of

    (I + z penalty A - z (penalty - lambda) A~)^-1 1      (over 1 + correction (z penalty)^2).

|R| <= 1 for every z and lambda, also beside the transport, from penalty = 0.26 on for `hsz2`, 0.58
for `ars443`, 0.90 for `ars222`; each takes a little more. As eps -> 0 every stage comes to
equilibrium, so the scheme is asymptotic preserving. More penalty than necessary is inaccurate: at
z = 0.3 `hsz2` relaxes the heat flux 7 % too little a step with penalty = 1, 0.2 % with 0.35.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numba import njit

from kinetic.boltzmann import boltzmann_operator
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
        self, grid: VelocityGrid, knudsen: Array, tableau: ImexTableau
    ) -> tuple[Relaxation, Explicit]:
        """Return beta (M[f] - f) / eps as an implicit step, and the rest of Q / eps.

        Raises:
            InvalidInput: the operator does not exist on the grid.
        """
        if grid.dim != 2:
            raise InvalidInput("velocity.dim", grid.dim, "collision=boltzmann needs velocity.dim=2")
        Q = boltzmann_operator(grid.points, grid.extent, self.angles, even=True)
        invariants = np.ascontiguousarray(Q.invariants.T)
        relaxation = BGK("density").relaxation(grid, knudsen / tableau.penalty)
        rate, M = 1.0 / knudsen, np.empty((len(knudsen), grid.columns))

        def add(f: Array, slope: Array, time: float) -> None:
            """Add [Q(f) - beta (M[f] - f)] / eps to `slope`, both of shape (cells, columns).

            Raises:
                NonPhysicalState: a cell has no Maxwellian; it names `time`.
            """
            np.copyto(M, f)
            relaxation(M, np.inf, 0.0, time)
            with scipy.fft.set_workers(self.threads):
                collisions = Q.spectral_sum(f.reshape(-1, *grid.shape)).reshape(f.shape)
            add_difference(slope, collisions, M, f, tableau.penalty * grid.volume, rate, invariants)

        return relaxation, add


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def add_difference(slope, Q, M, f, penalty, rate, invariants):  # type: ignore[no-untyped-def]
    """Add rate (d - P d), d = Q - penalty sum_k f_k (M - f), to the rows of `slope`.

    P projects on the rows of `invariants` (4, columns), which are orthonormal. It is applied to the
    whole of d, for the round-off of M - f is not small beside what remains of both. All other
    arguments have shape (cells, columns), but `rate` has (cells,). A product of matrices would do
    the same, with threads of its own that compete with the others.
    """
    d = np.empty(f.shape[1])
    for cell in range(f.shape[0]):
        density = 0.0
        for k in range(d.size):
            density += f[cell, k]
        beta = penalty * density
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
