"""Reference solutions: from a configuration to the labelled snapshots of the kinetic solver."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray

from kinetic.collisions import BGK, Collision, EllipsoidalBGK, Shakhov
from kinetic.config import CollisionConfig, ProblemConfig, SolveConfig, check_cells
from kinetic.errors import NonPhysicalState
from kinetic.execution import cores
from kinetic.moments import heat_flux, moments_of
from kinetic.output import to_dataset, velocity_coordinates
from kinetic.penalised import Boltzmann
from kinetic.problem_file import read_problem
from kinetic.problems import Array, InitialState, State, problem
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
    return run(SolveConfig.from_mapping(config), progress=True, threads=cores())


def initial_state(config: ProblemConfig, *, knudsen: float | None, cells: int) -> State:
    """Return what the solvers start from; a file brings its own number of cells.

    Raises:
        InvalidInput: the file is missing, damaged or not allowed, or other cells were asked for.
    """
    if config.path is not None:
        state = read_problem(config.path, knudsen)
        check_cells(cells, len(state.x))
        return state
    return problem(config.name, seed=config.seed, knudsen=knudsen, cells=cells)


def run(
    config: SolveConfig,
    progress: bool = False,
    threads: int = 1,
    precision: DTypeLike = np.float64,
) -> xr.Dataset:
    """Solve the problem of a configuration; see `solve`.

    The configuration stored with the solution states the cells and the boundary that were used.
    `threads` share the evaluations of an expensive operator; `precision` is that in which the
    distribution is kept.
    """
    state = initial_state(config.problem, knudsen=config.knudsen, cells=config.cells)
    boundary = config.boundary or state.boundary
    config = replace(config, cells=len(state.x), boundary=boundary)
    solver, f0 = discretise(config, state, threads)
    count = config.time.snapshots if config.output.distribution else 0
    kept = np.empty((count, *f0.shape), precision)
    return _record(solver, f0, config, state.time, progress, kept)


def discretise(config: SolveConfig, state: State, threads: int = 1) -> tuple[Solver, Array]:
    """Return the solver of a configuration for `state`, and f0 on its velocity grid.

    Raises:
        InvalidInput: the velocity grid cannot hold the state, or is not that of a restart.
    """
    grid = VelocityGrid(config.velocity.points, config.velocity.extent, config.velocity.dim)
    for component in state.components:
        grid.check_resolution(*component)
    f0 = state.on_grid(grid)
    solver = Solver(
        grid,
        SpaceGrid(config.cells),
        state.knudsen,
        collision_of(config.collision, threads),
        config.boundary or state.boundary,
        Scheme(config.scheme.time, config.scheme.limiter, config.scheme.cfl),
    )
    return solver, f0


def collision_of(config: CollisionConfig, threads: int = 1) -> Collision:
    """Return the collision operator of a configuration."""
    if config.name == "boltzmann":
        return Boltzmann(config.angles, threads)
    if config.name == "es_bgk":
        return EllipsoidalBGK(config.frequency, config.omega, config.prandtl)
    if config.name == "shakhov":
        return Shakhov(config.frequency, config.omega, config.prandtl)
    return BGK(config.frequency, config.omega)


def warm_up(scheme: Scheme, dim: int = 1, collision: Collision | None = None) -> None:
    """Compile the kernels of a scheme, or load them from their cache, by one small step.

    They are those that `collision` takes; without one, with D = 2 those of all operators.
    """
    grid, space = VelocityGrid(16, 5.0, dim), SpaceGrid(8)
    one, zero = np.ones(space.cells), np.zeros(space.cells)
    gas = InitialState(space.centers, one, ((one, zero, one),))
    collision = collision or (Boltzmann(angles=4) if dim == 2 else BGK())
    solver = Solver(grid, space, gas.knudsen, collision, scheme=scheme)
    for _ in solver.evolve(gas.on_grid(grid), end=1e-6, snapshots=2):
        pass


@dataclass
class _Recorder:
    """Snapshots so far: times, U, q and, as far as `distribution` has room for it, f."""

    grid: VelocityGrid
    distribution: NDArray[Any]
    times: list[float] = field(default_factory=list)
    conserved: list[Array] = field(default_factory=list)
    heat_flux: list[Array] = field(default_factory=list)

    def add(self, snapshot: Snapshot) -> None:
        """Take over a snapshot."""
        if len(self.distribution):
            self.distribution[len(self.times)] = snapshot.f
        self.times.append(snapshot.time)
        self.conserved.append(moments_of(snapshot.f, self.grid))
        self.heat_flux.append(heat_flux(snapshot.f, self.grid))

    def dataset(self, solver: Solver, config: SolveConfig, seconds: float) -> xr.Dataset:
        """Label the snapshots taken so far."""
        coordinates: dict[str, Any] = {"time": self.times, "x": solver.space.centers}
        optional: dict[str, Any] = {}
        if len(self.distribution):
            coordinates |= velocity_coordinates(self.grid)
            shape = len(self.times), solver.space.cells, *self.grid.shape
            optional["distribution"] = self.distribution[: len(self.times)].reshape(shape)
        return to_dataset(
            coordinates,
            self.conserved,
            self.heat_flux,
            solver.knudsen,
            configuration=config.to_mapping(),
            solver_seconds=seconds,
            dim=self.grid.dim,
            **optional,
        )


def _record(
    solver: Solver,
    f0: Array,
    config: SolveConfig,
    start: float,
    progress: bool,
    kept: NDArray[Any],
) -> xr.Dataset:
    """Advance f0 and label the snapshots; a failure carries those before it."""
    recorder = _Recorder(solver.grid, kept)
    snapshots = solver.evolve(
        f0,
        end=config.time.end,
        snapshots=config.time.snapshots,
        start=start,
        progress=progress,
    )
    warm_up(solver.scheme, solver.grid.dim, solver.collision)
    begin = time.perf_counter()
    try:
        for snapshot in snapshots:
            recorder.add(snapshot)
    except NonPhysicalState as error:
        error.solution = recorder.dataset(solver, config, time.perf_counter() - begin)
        raise
    return recorder.dataset(solver, config, time.perf_counter() - begin)
