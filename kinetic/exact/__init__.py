"""Exact solutions that the solvers are measured against (dimensionless, as all of `kinetic`)."""

from kinetic.exact.bkw import HEAT_FLUX_RATE, STRESS_RATE, bkw, bkw_rate
from kinetic.exact.bkw3d import HEAT_FLUX_RATE_3D, STRESS_RATE_3D, bkw_3d, bkw_3d_rate
from kinetic.exact.free_molecular import free_riemann, free_transport
from kinetic.exact.relaxation import relaxed
from kinetic.exact.riemann import Gas, RiemannSolution, solve_riemann
from kinetic.exact.spectrum import dispersion, dispersion_matrix, eigenvalues, hermite_matrix, mode

__all__ = [
    "HEAT_FLUX_RATE",
    "HEAT_FLUX_RATE_3D",
    "STRESS_RATE",
    "STRESS_RATE_3D",
    "Gas",
    "RiemannSolution",
    "bkw",
    "bkw_3d",
    "bkw_3d_rate",
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
