"""Reference solutions: from a configuration to the labelled snapshots of the kinetic solver."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from kinetic.collisions import BGK
from kinetic.config import ProblemConfig, SolveConfig
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.maxwellian import maxwellian
from kinetic.moments import heat_flux, moments_of
from kinetic.output import to_dataset
from kinetic.problem_file import SampledState, read_problem
from kinetic.problems import Array, State, problem
from kinetic.solver import Scheme, Snapshot, Solver
from kinetic.space import SpaceGrid
from kinetic.velocity import VelocityGrid


def solve(**config: Any) -> xr.Dataset:
    """Solve one problem with the kinetic equation and return its snapshots.

    A run of more than two seconds shows a progress bar if standard error is a terminal.

    Args:
        config: the keys of `kinetic.config.SolveConfig`; groups as mappings, or as the one value
            that stands for them.

    Returns:
        Dataset with dimensions time and x, laid out as ``docs/data-format.md`` specifies.

    Raises:
        InvalidInput: a key, a name, a value or a file is not allowed.
        NonPhysicalState: the solution became non-physical; its `solution` holds what came before.

    Example:
        >>> kinetic.solve(problem="wave", knudsen=0.1, cells=100, time={"end": 0.1})
    """
    return run(SolveConfig.from_mapping(config), progress=True)


def initial_state(config: ProblemConfig, *, knudsen: float | None, cells: int) -> State:
    """Return what the solvers start from; a file brings its own number of cells.

    Raises:
        InvalidInput: the file is missing, damaged or not allowed.
    """
    if config.path is not None:
        return read_problem(config.path, knudsen)
    return problem(config.name, seed=config.seed, knudsen=knudsen, cells=cells)


def run(config: SolveConfig, progress: bool = False) -> xr.Dataset:
    """Solve the problem of a configuration; see `solve`.

    The configuration stored with the solution states the cells and the boundary that were used.
    """
    state = initial_state(config.problem, knudsen=config.knudsen, cells=config.cells)
    boundary = config.boundary or state.boundary
    config = replace(config, cells=len(state.x), boundary=boundary)
    solver, f0 = discretise(config, state)
    return _record(solver, f0, config, state.time, progress)


def discretise(config: SolveConfig, state: State) -> tuple[Solver, Array]:
    """Return the solver of a configuration for `state`, and f0 on its velocity grid.

    Raises:
        InvalidInput: the velocity grid cannot hold the state, or is not that of a restart.
    """
    grid = VelocityGrid(config.velocity.points, config.velocity.extent, config.velocity.dim)
    for component in state.components:
        grid.check_resolution(*component)
    if isinstance(state, SampledState) and not np.array_equal(state.v, grid.nodes):
        points, extent = len(state.v), state.v[-1]
        allowed = f"a restart keeps its grid: velocity.points={points} velocity.extent={extent:g}"
        raise InvalidInput("velocity", f"({grid.points} points, extent {grid.extent:g})", allowed)
    solver = Solver(
        grid,
        SpaceGrid(config.cells),
        state.knudsen,
        BGK(config.collision.frequency, config.collision.omega),
        config.boundary or state.boundary,
        Scheme(config.scheme.time, config.scheme.limiter, config.scheme.cfl),
    )
    return solver, state.distribution(grid.nodes)


def warm_up(scheme: Scheme) -> None:
    """Compile the kernels of a scheme, or load them from their cache, by one small step."""
    grid, space = VelocityGrid(), SpaceGrid(8)
    f0 = np.tile(maxwellian(1.0, 0.0, 1.0, grid.nodes), (space.cells, 1))
    solver = Solver(grid, space, np.ones(space.cells), scheme=scheme)
    for _ in solver.evolve(f0, end=1e-6, snapshots=2):
        pass


@dataclass
class _Recorder:
    """Snapshots so far: times, U, q and, where it is asked for, f."""

    grid: VelocityGrid
    keep_distribution: bool
    times: list[float] = field(default_factory=list)
    conserved: list[Array] = field(default_factory=list)
    heat_flux: list[Array] = field(default_factory=list)
    distribution: list[Array] = field(default_factory=list)

    def add(self, snapshot: Snapshot) -> None:
        """Take over a snapshot."""
        self.times.append(snapshot.time)
        self.conserved.append(moments_of(snapshot.f, self.grid))
        self.heat_flux.append(heat_flux(snapshot.f, self.grid))
        if self.keep_distribution:
            self.distribution.append(snapshot.f)

    def dataset(self, solver: Solver, config: SolveConfig, seconds: float) -> xr.Dataset:
        """Label the snapshots taken so far."""
        coordinates: dict[str, Any] = {"time": self.times, "x": solver.space.centers}
        optional: dict[str, Any] = {}
        if self.keep_distribution:
            coordinates["v"] = self.grid.nodes
            optional["distribution"] = self.distribution
        return to_dataset(
            coordinates,
            self.conserved,
            self.heat_flux,
            solver.knudsen,
            configuration=config.to_mapping(),
            solver_seconds=seconds,
            **optional,
        )


def _record(
    solver: Solver, f0: Array, config: SolveConfig, start: float, progress: bool
) -> xr.Dataset:
    """Advance f0 and label the snapshots; a failure carries those before it."""
    recorder = _Recorder(solver.grid, config.output.distribution)
    snapshots = solver.evolve(
        f0,
        end=config.time.end,
        snapshots=config.time.snapshots,
        start=start,
        progress=progress,
    )
    warm_up(solver.scheme)
    begin = time.perf_counter()
    try:
        for snapshot in snapshots:
            recorder.add(snapshot)
    except NonPhysicalState as error:
        error.solution = recorder.dataset(solver, config, time.perf_counter() - begin)
        raise
    return recorder.dataset(solver, config, time.perf_counter() - begin)
