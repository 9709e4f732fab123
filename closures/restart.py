"""Initial data of a closed system from a file: a table, a kinetic solution, or a solution of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closures.closure import MomentClosure
from kinetic.errors import InvalidInput
from kinetic.output import configuration_of, read_solution
from kinetic.problem_file import SampledState, read_problem
from kinetic.problems import InitialState

Array = NDArray[np.float64]
KEY = "problem.path"


@dataclass(frozen=True)
class MomentState:
    """The last snapshot of a closed system: U (cells, 3), W (cells, K), eps and time."""

    x: Array
    knudsen: Array
    U: Array
    moments: Array
    boundary: str
    time: float

    def conserved(self) -> Array:
        """U = (rho, rho u, E), (cells, 3)."""
        return self.U


def read_state(
    path: str, knudsen: float | None, closure: MomentClosure
) -> InitialState | SampledState | MomentState:
    """Read what ``problem.path`` names.

    A solution with moments and no distribution is continued by the closure that made it.

    Raises:
        InvalidInput: the file is missing, damaged, or of another closure.
    """
    if not os.path.isdir(path):
        return read_problem(path, knudsen)
    solution = read_solution(path, KEY)
    if "distribution" in solution or "momentum" not in solution:
        return read_problem(path, knudsen)
    configuration = configuration_of(solution)
    made_by = configuration.get("closure", {}).get("name")
    count = solution.sizes.get("k", 0)
    if made_by != closure.name or count != closure.moments:
        allowed = f"made by {made_by} with {count} moments, not {closure.name} with {closure.moments}"
        raise InvalidInput(KEY, path, allowed + "; continue with that, or store the distribution")
    last = solution.isel(time=-1)
    U = np.stack([last.density, last.momentum, last.energy], axis=-1)
    W = last.moments.values if count else np.zeros((len(last.x), 0))
    eps = last.knudsen.values if knudsen is None else np.full(len(last.x), knudsen)
    boundary = str(configuration["boundary"])
    return MomentState(last.x.values, eps, U, W, boundary, float(last.time))


