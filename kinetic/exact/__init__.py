"""Exact solutions that the solvers are measured against (dimensionless, as all of `kinetic`)."""

from kinetic.exact.bkw import HEAT_FLUX_RATE, STRESS_RATE, bkw, bkw_rate
from kinetic.exact.free_molecular import free_riemann, free_transport
from kinetic.exact.relaxation import relaxed
from kinetic.exact.riemann import Gas, RiemannSolution, solve_riemann
from kinetic.exact.spectrum import dispersion, dispersion_matrix, eigenvalues, hermite_matrix, mode

__all__ = [
    "HEAT_FLUX_RATE",
    "STRESS_RATE",
    "Gas",
    "RiemannSolution",
    "bkw",
    "bkw_rate",
    "dispersion",
    "dispersion_matrix",
    "eigenvalues",
    "free_riemann",
    "free_transport",
    "hermite_matrix",
    "mode",
    "relaxed",
    "solve_riemann",
]
