"""Reference solutions of kinetic equations of a rarefied gas in one space dimension.

    d_t f + v_1 d_x f = (1/eps(x)) Q(f),      x in [0, 1],  v in R^D

Scaling, one for the whole project: everything is dimensionless. Lengths are in units of the domain,
velocities in units of the thermal speed sqrt(k T0/m) at a reference temperature T0, times in units
of length over velocity, densities in units of a reference density; pressure is p = rho T, a
Maxwellian is rho (2 pi T)^(-D/2) exp(-|v-u|^2 / 2T), and eps is the Knudsen number.

    >>> import kinetic
    >>> solution = kinetic.solve(problem="wave", knudsen=0.1, time={"end": 0.1})
    >>> solution.density.sel(time=0.1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinetic.lazy import lazy_names

if TYPE_CHECKING:
    from kinetic import exact as exact
    from kinetic.boltzmann import boltzmann_operator as boltzmann_operator
    from kinetic.boltzmann3d import boltzmann_operator_3d as boltzmann_operator_3d
    from kinetic.collisions import BGK as BGK
    from kinetic.config import SolveConfig as SolveConfig
    from kinetic.dataset import generate as generate
    from kinetic.errors import InvalidInput as InvalidInput
    from kinetic.errors import NonPhysicalState as NonPhysicalState
    from kinetic.output import read_solution as read_solution
    from kinetic.output import write_solution as write_solution
    from kinetic.problems import InitialState as InitialState
    from kinetic.problems import problem as problem
    from kinetic.reference import solve as solve
    from kinetic.trajectories import open_dataset as open_dataset
    from kinetic.velocity import VelocityGrid as VelocityGrid

#: Where each public name lives. They are imported on first use, so that importing `kinetic`, as
#: every start of the command line does, costs nothing.
_PUBLIC = {
    "BGK": "kinetic.collisions",
    "boltzmann_operator": "kinetic.boltzmann",
    "boltzmann_operator_3d": "kinetic.boltzmann3d",
    "SolveConfig": "kinetic.config",
    "generate": "kinetic.dataset",
    "open_dataset": "kinetic.trajectories",
    "InvalidInput": "kinetic.errors",
    "NonPhysicalState": "kinetic.errors",
    "exact": "kinetic.exact",
    "read_solution": "kinetic.output",
    "write_solution": "kinetic.output",
    "InitialState": "kinetic.problems",
    "problem": "kinetic.problems",
    "solve": "kinetic.reference",
    "VelocityGrid": "kinetic.velocity",
}

__all__ = list(_PUBLIC)
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
