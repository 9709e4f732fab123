"""The Boltzmann equation for every Knudsen number: its collisions penalised by BGK.

Q is expensive and cannot be inverted. What is stiff in it is relaxation towards M[f], so it is
split (F. Filbet & S. Jin, J. Comput. Phys. 229 (2010) 7625) into

    Q(f) = [Q(f) - beta (M[f] - f)]  +  beta (M[f] - f),      beta = PENALTY rho,

the first part explicit beside the transport, the second implicit and solved as BGK. Near M[f] the
first part multiplies a deviation that Q relaxes at the rate lambda rho, 0 < lambda < 1, by
(PENALTY - lambda) rho, and what remains of it after a step of any size is bounded by one: for
`hsz2` with every PENALTY from 1/2 on, for `ars443` from 3/5 on, for `ars222` from 1 on. As eps -> 0
all stages are at equilibrium, so the scheme is asymptotic preserving.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft

from kinetic.boltzmann import boltzmann_operator
from kinetic.collisions import BGK
from kinetic.errors import InvalidInput
from kinetic.imex import Relaxation
from kinetic.moments import Array
from kinetic.velocity import VelocityGrid

#: beta / rho. The loss rate of Maxwell molecules is rho.
PENALTY = 1.0


@dataclass(frozen=True)
class Boltzmann:
    """Binary collisions of Maxwell molecules in D = 2; see `kinetic.boltzmann` and the module.

    Args:
        angles: number of angles of the fast spectral method, even.
        threads: how many share an evaluation of Q; the result does not depend on it.
    """

    angles: int = 12
    threads: int = 1

    @property
    def keeps_positive(self) -> bool:
        """False: the spectral sum is of either sign where f is below its error."""
        return False

    def relaxation(self, grid: VelocityGrid, knudsen: Array) -> Relaxation:
        """Return the implicit step of the penalty, for eps of shape (cells,)."""
        return BGK("density").relaxation(grid, knudsen / PENALTY)

    def explicit(self, grid: VelocityGrid, knudsen: Array) -> Callable[[Array, Array, float], None]:
        """Return what adds [Q(f) - beta (M[f] - f)] / eps to a slope.

        Raises:
            InvalidInput: the operator does not exist on the grid.
        """
        if grid.dim != 2:
            raise InvalidInput("velocity.dim", grid.dim, "collision=boltzmann needs velocity.dim=2")
        Q = boltzmann_operator(grid.points, grid.extent, self.angles)
        project = BGK("density").relaxation(grid, knudsen)
        cells = len(knudsen)
        rate = (1.0 / knudsen)[:, None]

        def add(f: Array, slope: Array, time: float) -> None:
            """Add the explicit part at f to `slope`, both of shape (cells, columns).

            Raises:
                NonPhysicalState: a cell has no Maxwellian; it names `time`.
            """
            M = f.copy()
            project(M, np.inf, 0.0, time)
            beta = PENALTY * grid.volume * f.sum(axis=1, keepdims=True)
            with scipy.fft.set_workers(self.threads):
                collisions = Q(f.reshape(cells, *grid.shape)).reshape(f.shape)
            # Together, for the round-off of M - f is not small beside what remains of both.
            slope += rate * Q.conserving(collisions - beta * (M - f))

        return add
