"""Solutions by a closure and the kinetic solver together: from a configuration to snapshots."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from closures.closure import Closure
from closures.gas import frequency
from closures.hybrid.indicator import Mask
from closures.hybrid.projection import LearnedKind, tables_of
from closures.hybrid.runtime import Array
from closures.hybrid.solver import HybridSolver, HybridStepper, Snapshot
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.moments import heat_flux, moments_of
from kinetic.output import to_dataset, velocity_coordinates
from kinetic.reference import cores, discretise, initial_state, warm_up
from kinetic.velocity import VelocityGrid

if TYPE_CHECKING:
    from closures.solution import ClosureSolveConfig


def run(config: ClosureSolveConfig, closure: Closure, progress: bool = False) -> xr.Dataset:
    """Solve the problem of a configuration that has a threshold.

    Returns:
        What `closures.solve` returns, with ``kinetic`` (time, x): 1 where the kinetic solver ran;
        and the attributes ``kinetic_share``, the share of kinetic cells in all steps, and
        ``collision_share``, that of the explicit collisions that were evaluated.

    Raises:
        InvalidInput: a value is not allowed, or the closure is not a learned one.
        NonPhysicalState: its `solution` holds what came before.
    """
    threshold = config.hybrid.threshold
    assert threshold is not None
    if config.closure.fast:
        allowed = "the hybrid solver has kernels of its own; leave it out"
        raise InvalidInput("closure.fast", True, allowed)
    learned = cast(LearnedKind, closure)
    tables_of(learned)  # refuses closures of another kind
    state = initial_state(config.problem, knudsen=config.knudsen, cells=config.cells)
    boundary = config.boundary or state.boundary
    config = replace(config, cells=len(state.x), boundary=boundary)
    if not config.time.end > state.time:
        raise InvalidInput("time.end", config.time.end, f"must be after the start, {state.time:g}")
    solver, f0 = discretise(config, state, cores())
    hybrid = HybridSolver(solver, learned, frequency(config.collision), threshold)
    warm_up(solver.scheme, solver.grid.dim)
    times = np.linspace(state.time, config.time.end, config.time.snapshots)
    return _record(hybrid, f0, times, config, progress)


def _record(
    hybrid: HybridSolver, f0: Array, times: Array, config: ClosureSolveConfig, progress: bool
) -> xr.Dataset:
    """Advance f0 and label the snapshots; a failure carries those before it."""
    kept: list[_Kept] = []
    stepper: HybridStepper | None = None
    begin = time.perf_counter()
    try:
        for snapshot, stepper in hybrid.evolve(f0, times, progress):  # noqa: B007 - the last one
            kept.append(_Kept.of(snapshot, hybrid.solver.grid, config.output.distribution))
    except NonPhysicalState as error:
        if kept:
            error.solution = _label(hybrid, kept, stepper, config, time.perf_counter() - begin)
        raise
    return _label(hybrid, kept, stepper, config, time.perf_counter() - begin)


@dataclass(frozen=True)
class _Kept:
    """What a solution holds of a snapshot: f, which is large, only where it is asked for."""

    time: float
    U: Array
    heat_flux: Array
    kinetic: Mask
    moments: Array
    f: Array | None

    @classmethod
    def of(cls, snapshot: Snapshot, grid: VelocityGrid, distribution: bool) -> _Kept:
        """Take the moments of a snapshot."""
        f = snapshot.f
        fields = moments_of(f, grid), heat_flux(f, grid), snapshot.kinetic, snapshot.moments
        return cls(snapshot.time, *fields, f if distribution else None)


def _label(
    hybrid: HybridSolver,
    kept: list[_Kept],
    stepper: HybridStepper | None,
    config: ClosureSolveConfig,
    seconds: float,
) -> xr.Dataset:
    """The snapshots as `kinetic.output` lays them out."""
    assert stepper is not None
    grid, space = hybrid.solver.grid, hybrid.solver.space
    U = np.stack([one.U for one in kept])
    coordinates: dict[str, Any] = {
        "time": [one.time for one in kept],
        "x": space.centers,
        "k": np.arange(hybrid.closure.moments),
    }
    optional: dict[str, Any] = {}
    if config.output.distribution:
        coordinates |= velocity_coordinates(grid)
        f = np.stack([one.f for one in kept if one.f is not None])
        optional["distribution"] = f.reshape(len(kept), space.cells, *grid.shape)
    solution = to_dataset(
        coordinates,
        U,
        np.stack([one.heat_flux for one in kept]),
        hybrid.solver.knudsen,
        configuration=config.to_mapping(),
        solver_seconds=seconds,
        dim=grid.dim,
        moments=U[..., :1] * np.stack([one.moments for one in kept]),
        momentum=U[..., 1],
        kinetic=np.stack([one.kinetic for one in kept]).astype(np.int8),
        **optional,
    )
    cells, kinetic = (int(count) for count in stepper.cell_steps)
    solution.attrs["kinetic_share"] = kinetic / max(1, cells)
    evaluations = sum(stepper.tableau.transported) * cells
    solution.attrs["collision_share"] = stepper.collisions.evaluated / max(1, evaluations)
    return solution
