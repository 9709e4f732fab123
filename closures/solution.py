"""Solutions of closed moment systems: from a configuration, or many initial states at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from closures.batch import Batch, Task
from closures.closure import Closure, Frame, spacing
from closures.finite_volume import Scheme
from closures.gas import Gas, check_gas, frequency
from closures.hybrid.config import HybridConfig
from closures.library import ClosureConfig, load
from closures.memory import keep_freed_memory
from closures.reduced import ReducedClosure
from closures.restart import MomentState, read_state, sign
from kinetic.collisions import BGK
from kinetic.config import SchemeConfig, SolveConfig, check_cells
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.moments import primitive
from kinetic.problem_file import SampledState
from kinetic.problems import Array, InitialState, State, problem
from kinetic.progress import ProgressBar
from kinetic.velocity import VelocityGrid

BATCH_CELLS = 2048
"""Cells advanced together: enough to hide the overhead of a call, few enough for temporary arrays
to stay below the size from which the allocator asks the system for fresh pages each time."""

DEVICE_CELLS = 100_000
"""The same on a device that is not the processor, which takes as long for one cell as for a
thousand: some 5 GiB of its memory."""

WARM_UP_TIME = 1e-9
"""Far below a time step."""


@dataclass(frozen=True)
class ClosureSolveConfig(SolveConfig):
    """Everything that defines one solution of a closed system (``closures solve``)."""

    closure: ClosureConfig = field(default_factory=ClosureConfig)
    hybrid: HybridConfig = field(default_factory=HybridConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_gas(Gas.of(self))
        dimension = self.velocity.dim
        object.__setattr__(self, "closure", self.closure.completed(dimension))


def solve(**config: Any) -> xr.Dataset:
    """Solve one problem with a closed moment system and return its snapshots.

    Args:
        config: the keys of `kinetic.solve` and ``closure``: a name, or a mapping with ``name``,
            ``moments``, ``path`` and ``fast``; and ``hybrid``, a threshold
            (`closures.hybrid.config`).

    Returns:
        Dataset as `kinetic.solve` returns it, and the ``moments`` W (time, x, k) where there are
        any.

    Raises:
        InvalidInput: a key, a name, a value or a file is not allowed.
        NonPhysicalState: the solution became non-physical; its `solution` holds what came before.

    Example:
        >>> closures.solve(problem="wave", knudsen=0.1, closure={"name": "entropy", "moments": 9})
    """
    return run(ClosureSolveConfig.from_mapping(config), progress=True)


def run(config: ClosureSolveConfig, progress: bool = False) -> xr.Dataset:
    """Solve the problem of a configuration; see `solve`."""
    chosen = config.closure
    closure = load(chosen.name, chosen.moments, chosen.path, chosen.fast, Gas.of(config))
    if config.hybrid.threshold is not None:
        # Its kernels need libraries that the closures alone do without.
        from closures.hybrid.solution import run as run_hybrid

        return sign(run_hybrid(config, closure, progress), closure)
    state = _initial_state(config, closure)
    if not config.time.end > state.time:
        raise InvalidInput("time.end", config.time.end, f"must be after the start, {state.time:g}")
    boundary = config.boundary or state.boundary
    config = replace(config, cells=len(state.x), boundary=boundary)
    grid = _grid(config, closure, state)
    (result,) = run_batch(
        closure,
        [state],
        end=config.time.end,
        snapshots=config.time.snapshots,
        collision=frequency(config.collision),
        boundary=boundary,
        scheme=config.scheme,
        velocity=grid,
        configuration=config.to_mapping(),
        progress=progress,
    )
    if isinstance(result, NonPhysicalState):
        raise result
    return result


def _grid(
    config: ClosureSolveConfig, closure: Closure, state: State | MomentState
) -> VelocityGrid | None:
    """Where f_hat is stored, if it is.

    Raises:
        InvalidInput: the closure has no f_hat to store, or the grid cannot hold the gas.
    """
    if not config.output.distribution:
        return None
    velocity = config.velocity
    if velocity.dim == 2 and not isinstance(closure, ReducedClosure):
        allowed = f"{closure.name} has no f_hat of (v1, v2), only its integrals over v2"
        raise InvalidInput("output.distribution", True, allowed)
    grid = VelocityGrid(velocity.points, velocity.extent, velocity.dim)
    # A restart takes its gas from f_hat on this grid, so what the grid cuts off is lost.
    grid.check_resolution(*primitive(state.conserved(velocity.dim), velocity.dim))
    return grid


def _initial_state(config: ClosureSolveConfig, closure: Closure) -> State | MomentState:
    given = config.problem
    if given.path is not None:
        state = read_state(given.path, config.knudsen, closure)
        check_cells(config.cells, len(state.x))
        return state
    return problem(given.name, seed=given.seed, knudsen=config.knudsen, cells=config.cells)


def run_batch(
    closure: Closure,
    states: Sequence[State | MomentState],
    *,
    end: float,
    snapshots: int,
    collision: BGK,
    boundary: str | None,
    scheme: SchemeConfig,
    progress: bool = False,
    **options: Any,
) -> list[xr.Dataset | NonPhysicalState]:
    """Solve for many initial states of equal cells, boundary and time; one failing stops no other.

    Each trajectory has its own time steps, so its solution does not depend on its companions.

    Args:
        closure: what closes the equations.
        states: initial states.
        end, snapshots: final time, and number of times kept from the start to it.
        collision, boundary, scheme: as in a configuration; no boundary means that of the states.
        progress: show a bar.
        options: ``velocity``: a grid on which f_hat is stored too; ``configuration``: stored with
            the solutions; ``device``: of the tensors.

    Returns:
        For each state a dataset, whose ``solver_seconds`` is its share of the time of its batch, or
        the error that ended it.
    """
    keep_freed_memory()
    discretisation = Scheme.of(scheme, closure.dimension, closure.moments)
    task = Task(closure, collision, boundary or states[0].boundary, discretisation, **options)
    cells = BATCH_CELLS if task.device == "cpu" else DEVICE_CELLS
    size = max(1, cells // len(states[0].x))
    times = np.linspace(states[0].time, end, snapshots)[1:]
    records = []
    if hasattr(closure, "solver"):
        _warm_up(task, states[0])
    with torch.no_grad(), ProgressBar(progress, closure.name) as bar:
        for first in range(0, len(states), size):
            members = states[first : first + size]
            parts = [initial_moments(closure, state) for state in members]
            U, W = (torch.cat(part) for part in zip(*parts, strict=True))
            batch = Batch(task, members, U, W)
            for n, until in enumerate(times):
                batch.advance(float(until))
                done = first * len(times) + (n + 1) * len(members)
                bar.update(done, len(states) * len(times))
            records += batch.records
    return [sign(record.result(task), closure) for record in records]


@torch.no_grad()
def _warm_up(task: Task, state: State | MomentState) -> None:
    """Compile the kernels of a solver, or load them, by a small step that is not timed."""
    Batch(task, [state], *initial_moments(task.closure, state)).advance(state.time + WARM_UP_TIME)


def initial_moments(closure: Closure, state: State | MomentState) -> tuple[Tensor, Tensor]:
    """U (N, 3) and W (N, K) of an initial state, by quadrature in the frame of each cell."""
    dimension = closure.dimension
    U = torch.as_tensor(state.conserved(dimension))
    if isinstance(state, MomentState):
        return U, torch.as_tensor(state.moments)
    frame = Frame.of(U, dimension)
    width = frame.T.sqrt()[:, None]
    v = frame.u[:, None] + width * closure.c
    if dimension == 1:
        f = torch.as_tensor(state.distribution(v.numpy()))
    elif isinstance(state, InitialState):
        f = torch.as_tensor(state.reduced(v.numpy(), dimension)).movedim(-1, 0)
    else:
        assert isinstance(state, SampledState)
        f = _reduced(state, frame, closure.c.numpy())
    m = closure.encode(frame, v, f * width * spacing(closure))
    return U, frame.rho[:, None] * m


def _reduced(state: SampledState, frame: Frame, c: Array) -> Tensor:
    """(g, h) of a state that is known on a velocity grid, at the nodes c: (2, cells, n)."""
    # Imported here: only restarts need its interpolation.
    from closures.reduced_samples import reduce, reduced_frame

    parts = reduced_frame(reduce(state.f, state.v, state.dim), state.v, c, state.dim)
    g, tau = (torch.as_tensor(part) for part in parts)
    g = (frame.rho / frame.T.sqrt())[:, None] * g
    return torch.stack((g, (state.dim - 1) * frame.T[:, None] * tau * g))
