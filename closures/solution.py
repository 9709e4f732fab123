"""Solutions of closed moment systems: from a configuration, or many initial states at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from closures.closure import Frame, MomentClosure
from closures.finite_volume import Failure, FiniteVolume, Scheme
from closures.finite_volume import State as Moments
from closures.library import ClosureConfig, load
from closures.restart import MomentState, read_state
from kinetic.collisions import BGK
from kinetic.config import SchemeConfig, SolveConfig
from kinetic.errors import NonPhysicalState
from kinetic.output import to_dataset
from kinetic.problems import State, problem
from kinetic.progress import ProgressBar
from kinetic.velocity import VelocityGrid

BATCH_CELLS = 4096
"""Cells advanced together: enough to hide the overhead of a call, few enough for the caches."""

TIME_TOLERANCE = 1e-13
"""Fraction of the final time below which a remainder is round-off, not a step."""


@dataclass(frozen=True)
class ClosureSolveConfig(SolveConfig):
    """Everything that defines one solution of a closed system (``closures solve``)."""

    closure: ClosureConfig = field(default_factory=ClosureConfig)


def solve(**config: Any) -> xr.Dataset:
    """Solve one problem with a closed moment system and return its snapshots.

    Args:
        config: the keys of `kinetic.solve` and ``closure``: a name, or a mapping with ``name``,
            ``moments`` and ``path``.

    Returns:
        Dataset as `kinetic.solve` returns it, and the ``moments`` W (time, x, k) where there are any.

    Raises:
        InvalidInput: a key, a name, a value or a file is not allowed.
        NonPhysicalState: the solution became non-physical; its `solution` holds what came before.

    Example:
        >>> closures.solve(problem="wave", knudsen=0.1, closure={"name": "entropy", "moments": 9})
    """
    return run(ClosureSolveConfig.from_mapping(config), progress=True)


def run(config: ClosureSolveConfig, progress: bool = False) -> xr.Dataset:
    """Solve the problem of a configuration; see `solve`."""
    closure = load(config.closure.name, config.closure.moments, config.closure.path)
    if config.problem.path is None:
        p = config.problem
        state = problem(p.name, seed=p.seed, knudsen=config.knudsen, cells=config.cells)
    else:
        state = read_state(config.problem.path, config.knudsen, closure)
    boundary = config.boundary or state.boundary
    config = replace(config, cells=len(state.x), boundary=boundary)
    grid = VelocityGrid(config.velocity.points, config.velocity.extent)
    (result,) = run_batch(
        closure,
        [state],
        end=config.time.end,
        snapshots=config.time.snapshots,
        collision=BGK(config.collision.frequency, config.collision.omega),
        boundary=boundary,
        scheme=config.scheme,
        velocity=grid if config.output.distribution else None,
        configuration=config.to_mapping(),
        progress=progress,
    )
    if isinstance(result, NonPhysicalState):
        raise result
    return result


def run_batch(
    closure: MomentClosure,
    states: Sequence[State | MomentState],
    *,
    end: float,
    snapshots: int,
    collision: BGK,
    boundary: str | None,
    scheme: SchemeConfig,
    **options: Any,
) -> list[xr.Dataset | NonPhysicalState]:
    """Solve for many initial states of equal cells and boundary; one failing stops no other.

    Each trajectory has its own time steps, so its solution does not depend on its companions.

    Args:
        closure: what closes the equations.
        states: initial states.
        end, snapshots: final time, and number of times kept from the start to it.
        collision, boundary, scheme: as in a configuration; no boundary means that of the states.
        options: ``velocity``: a grid on which f_hat is stored too; ``configuration``: stored with the
            solutions; ``progress``: show a bar; ``device``: of the tensors.

    Returns:
        For each state a dataset, whose ``solver_seconds`` is its share of the time of its batch, or the
        error that ended it.
    """
    discretisation = Scheme(scheme.time, scheme.limiter, scheme.cfl)
    task = _Task(closure, collision, boundary or states[0].boundary, discretisation, **options)
    size = max(1, BATCH_CELLS // len(states[0].x))
    results: list[xr.Dataset | NonPhysicalState] = []
    for first in range(0, len(states), size):
        batch = _Batch(task, states[first : first + size])
        times = np.linspace(states[first].time, end, snapshots)
        with torch.no_grad(), ProgressBar(task.progress, closure.name) as bar:
            for n, until in enumerate(times):
                batch.advance(float(until))
                bar.update(n + 1, snapshots)
        results += batch.results()
    return results


@dataclass(frozen=True)
class _Task:
    """What the batches of one call have in common."""

    closure: MomentClosure
    collision: BGK
    boundary: str
    scheme: Scheme
    velocity: VelocityGrid | None = None
    configuration: dict[str, Any] = field(default_factory=dict)
    progress: bool = False
    device: str = "cpu"


@dataclass
class _Record:
    """What is kept of one trajectory."""

    x: np.ndarray
    knudsen: np.ndarray
    times: list[float] = field(default_factory=list)
    fields: dict[str, list[np.ndarray]] = field(default_factory=dict)
    seconds: float = 0.0
    error: NonPhysicalState | None = None


class _Batch:
    """Trajectories advanced together; those that fail are taken out with what they had."""

    def __init__(self, task: _Task, states: Sequence[State | MomentState]) -> None:
        self.task = task
        self.records = [_Record(np.asarray(s.x), np.asarray(s.knudsen)) for s in states]
        self.active = list(range(len(states)))
        self.time = torch.full((len(states),), states[0].time, dtype=torch.float64)
        self.time = self.time.to(task.device)
        self.solver = self._make_solver()
        parts = [initial_moments(task.closure, state) for state in states]
        U, m = (torch.cat(part).to(task.device) for part in zip(*parts, strict=True))
        self.state = Moments(U, m, m.new_zeros(len(m), 0))
        self._attempt(lambda: self.solver.decode(self.state.U, self.state.m, None))

    def advance(self, until: float) -> None:
        """Advance every trajectory to `until` and keep a snapshot of it.

        theta is found afresh there, from equilibrium, so that a run that restarts from the snapshot repeats
        the one that went on, to the bit.
        """
        while self.active:
            left = until - self.time
            running = left > TIME_TOLERANCE * until
            if not running.any():
                break
            count = torch.ceil(left / self.solver.largest_step(self.state) * (1.0 - 1e-12))
            dt = torch.where(running, left / count.clamp(min=1.0), 0.0)
            if self._attempt(lambda dt=dt: self.solver.step(self.state, dt)):
                self.time = torch.where(count <= 1.0, torch.full_like(dt, until), self.time + dt)
        rho = self.state.U[:, :1]
        m = (rho * self.state.m) / rho
        if self.active and self._attempt(lambda: self.solver.decode(self.state.U, m, None)):
            self._keep(until)

    def results(self) -> list[xr.Dataset | NonPhysicalState]:
        """The solutions, and the errors with the snapshots before them."""
        return [self._result(record) for record in self.records]

    def _make_solver(self) -> FiniteVolume:
        eps = torch.as_tensor(np.stack([self.records[i].knudsen for i in self.active]))
        task = self.task
        eps = eps.to(task.device)
        return FiniteVolume(task.closure, eps, task.collision, task.boundary, task.scheme)

    def _attempt(self, step: Any) -> bool:
        """Replace the state by `step()`; on failure take those that failed out, and return False."""
        begin = time.perf_counter()
        try:
            self.state, done = step(), True
        except Failure as failure:
            self._remove(failure)
            done = False
        for i in self.active:
            self.records[i].seconds += (time.perf_counter() - begin) / len(self.active)
        return done

    def _remove(self, failure: Failure) -> None:
        cells = self.solver.cells
        lost = failure.cells // cells
        for b in lost.unique().tolist():
            cell = int(failure.cells[lost == b][0]) - b * cells
            row = failure.frame.take(torch.as_tensor([b * cells + cell]))
            values = {"rho": float(row.rho), "u": float(row.u), "T": float(row.T)}
            error = NonPhysicalState(float(self.time[b]), cell, values, failure.reason)
            self.records[self.active[b]].error = error
        kept = [b for b in range(len(self.active)) if b not in set(lost.tolist())]
        self.active = [self.active[b] for b in kept]
        if self.active:
            index = torch.as_tensor(kept, device=self.time.device)
            rows = (index[:, None] * cells + torch.arange(cells, device=index.device)).flatten()
            self.state, self.time = self.state.take(rows), self.time[index]
            self.solver = self._make_solver()

    def _keep(self, now: float) -> None:
        shape = (len(self.active), self.solver.cells, -1)
        values = {
            "conserved": self.state.U,
            "heat_flux": self.solver.heat_flux(self.state),
            "moments": self.state.U[:, :1] * self.state.m,
        }
        if self.task.velocity is not None:
            v = torch.as_tensor(self.task.velocity.nodes).expand(len(self.state.U), -1)
            f = self.task.closure.distribution(self.state.frame, self.state.theta)
            values["distribution"] = f(v.to(self.state.U))
        arrays = {name: value.reshape(shape).cpu().numpy() for name, value in values.items()}
        for b, i in enumerate(self.active):
            self.records[i].times.append(now)
            for name, value in arrays.items():
                self.records[i].fields.setdefault(name, []).append(value[b])

    def _result(self, record: _Record) -> xr.Dataset | NonPhysicalState:
        dataset = self._dataset(record) if record.times else None
        if record.error is None and dataset is not None:
            return dataset
        if record.error is None:
            raise AssertionError("a trajectory ended without a solution or an error")
        record.error.solution = dataset
        return record.error

    def _dataset(self, record: _Record) -> xr.Dataset:
        coordinates: dict[str, Any] = {"time": record.times, "x": record.x}
        fields = {name: np.stack(values) for name, values in record.fields.items()}
        optional = {}
        if fields["moments"].shape[-1]:
            optional["moments"] = fields["moments"]
            coordinates["k"] = np.arange(fields["moments"].shape[-1])
        if "distribution" in fields and self.task.velocity is not None:
            optional["distribution"] = fields["distribution"]
            coordinates["v"] = self.task.velocity.nodes
        return to_dataset(
            coordinates,
            fields["conserved"],
            fields["heat_flux"][..., 0],
            record.knudsen,
            configuration=self.task.configuration,
            solver_seconds=record.seconds,
            momentum=fields["conserved"][..., 1],
            **optional,
        )


def initial_moments(closure: MomentClosure, state: State | MomentState) -> tuple[Tensor, Tensor]:
    """U (N, 3) and m (N, K) of an initial state, by quadrature in the frame of each cell."""
    U = torch.as_tensor(state.conserved())
    if isinstance(state, MomentState):
        return U, torch.as_tensor(state.moments) / U[:, :1]
    frame = Frame.of(U)
    width = frame.T.sqrt()[:, None]
    v = frame.u[:, None] + width * closure.c
    f = torch.as_tensor(state.distribution(v.numpy()))
    return U, closure.encode(frame, v, f * width * (closure.c[1] - closure.c[0]))
