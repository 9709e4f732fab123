"""Initial data of a closed system from a file: a table, a kinetic solution, or one of its own."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from closures.closure import Closure, Frame
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.files import parse_json
from kinetic.output import configuration_of, loaded, read_solution
from kinetic.problem_file import check_centers, read_problem
from kinetic.problems import State

Array = NDArray[np.float64]
KEY = "problem.path"
ATTRIBUTE = "closure"
SAME = 1e-10
"""Largest difference of the moments of the same particles between closures that are the same."""

Result = TypeVar("Result", bound=xr.Dataset | NonPhysicalState)


@dataclass(frozen=True)
class MomentState:
    """The last snapshot of a closed system: U (cells, 3), W (cells, K), eps and time."""

    x: Array
    knudsen: Array
    U: Array
    moments: Array
    boundary: str
    time: float

    def conserved(self, dim: int = 1) -> Array:
        """U = (rho, rho u, E), (cells, 3)."""
        return self.U


def sign(result: Result, closure: Closure) -> Result:
    """Write into a solution which closure made it, and return it."""
    solution = result.solution if isinstance(result, NonPhysicalState) else result
    if solution is not None:
        solution.attrs[ATTRIBUTE] = json.dumps(_signature(closure))
    return result


def _signature(closure: Closure) -> dict[str, Any]:
    """The name of a closure and the moments of some particles, which tell its w from others."""
    one = torch.ones(1, dtype=torch.float64)
    v = torch.tensor([[-3.1, -2.3, -1.1, -0.2, 0.7, 1.6, 2.7, 3.7]], dtype=torch.float64)
    mass = torch.linspace(0.1, 1.0, v.numel(), dtype=torch.float64)[None]
    if closure.dimension > 1:
        mass = torch.stack((mass, 1.3 * mass))
    m = closure.encode(Frame(one, 0.0 * one, one), v, mass)
    return {"name": closure.name, "moments": closure.moments, "probe": m.detach()[0].tolist()}


def read_state(path: str, knudsen: float | None, closure: Closure) -> State | MomentState:
    """Read what ``problem.path`` names; a constant `knudsen` replaces that of the file.

    A solution of `closure` is continued from its moments. Other solutions need a distribution.

    Raises:
        InvalidInput: the file is missing, damaged, or of another closure without a distribution.
    """
    if os.path.isdir(path):
        solution = read_solution(path, KEY)
        maker = _maker(solution)
        _check_dimension(solution, closure)
        if maker is not None and _same(maker, _signature(closure)):
            return _last_moments(solution, path, knudsen)
        if maker is not None and "distribution" not in solution:
            made = f"was made by {maker.get('name')} with {maker.get('moments')} moments"
            this = f"not by this {closure.name} with {closure.moments}"
            remedy = "continue with that one, or store the distribution"
            raise InvalidInput(KEY, path, f"{made}, {this}; {remedy}")
    state = read_problem(path, knudsen)
    _check_physical(state.conserved(), path)
    return state


def _check_dimension(solution: xr.Dataset, closure: Closure) -> None:
    """Refuse a solution of another gas: its energy would be another temperature."""
    velocity = configuration_of(solution).get("velocity")
    found = velocity.get("dim") if isinstance(velocity, dict) else None
    if found not in (None, closure.dimension):
        allowed = f"the solution of {KEY} has velocity.dim={found}"
        raise InvalidInput("velocity.dim", closure.dimension, allowed)


def _maker(solution: xr.Dataset) -> dict[str, Any] | None:
    """The signature in a solution; None if there is none, or one that is damaged."""
    try:
        maker = parse_json(solution.attrs[ATTRIBUTE])
    except (KeyError, TypeError, ValueError):
        return None
    return maker if isinstance(maker, dict) else None


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if any(one.get(key) != other[key] for key in ("name", "moments")):
        return False
    try:
        a, b = (np.array(signature["probe"], dtype=np.float64) for signature in (one, other))
    except (KeyError, TypeError, ValueError):
        return False
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= SAME))


def _last_moments(solution: xr.Dataset, path: str, knudsen: float | None) -> MomentState:
    cells = solution.sizes["x"]
    last = solution.isel(time=-1).drop_vars("distribution", errors="ignore")
    last = loaded(last, path, KEY)
    if "momentum" not in last:
        raise InvalidInput(KEY, path, "it lacks momentum, which a closure goes on from")
    check_centers(path, last["x"].values)
    U = np.stack([last[name].values for name in ("density", "momentum", "energy")], axis=-1)
    W = last["moments"].values if "moments" in last else np.zeros((cells, 0))
    if not np.isfinite(W).all():
        raise InvalidInput(KEY, path, "its moments must be finite")
    _check_physical(U, path)
    return MomentState(
        x=last["x"].values,
        knudsen=last["knudsen"].values if knudsen is None else np.full(cells, knudsen),
        U=U,
        moments=W,
        boundary=_boundary(solution),
        time=float(last["time"]),
    )


def _boundary(solution: xr.Dataset) -> str:
    found = configuration_of(solution).get("boundary")
    return found if found in ("periodic", "outflow") else "periodic"


def _check_physical(U: Array, path: str) -> None:
    rho, momentum, energy = U.T
    with np.errstate(all="ignore"):
        T = 2.0 * energy / rho - (momentum / rho) ** 2
    bad = ~(np.isfinite(U).all(axis=1) & (rho > 0.0) & (T > 0.0))
    if bad.any():
        cell = int(np.argmax(bad))
        allowed = f"density and temperature must be positive; cell {cell} has T={T[cell]:g}"
        raise InvalidInput(KEY, path, allowed)
