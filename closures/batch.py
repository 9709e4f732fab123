"""Trajectories advanced together, each with its own time steps, from snapshot to snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from closures.closure import Closure, Distribution
from closures.finite_volume import Failure, Scheme, State
from closures.reduced import ReducedDecoded
from closures.solvers import Marching, Solver, solver_of
from kinetic.collisions import BGK
from kinetic.errors import NonPhysicalState
from kinetic.output import to_dataset, velocity_coordinates
from kinetic.velocity import VelocityGrid

Array = NDArray[np.float64]

DIGITS = 12
"""Times are rounded to this many digits, so that a restart, which computes them by other
arithmetic, takes the same steps."""


class Start(Protocol):
    """Where a trajectory begins: cell centres (N,), eps (N,) and the time."""

    @property
    def x(self) -> Array: ...
    @property
    def knudsen(self) -> Array: ...
    @property
    def time(self) -> float: ...


@dataclass(frozen=True)
class Task:
    """What the trajectories of one call have in common; see `closures.solution.run_batch`."""

    closure: Closure
    collision: BGK
    boundary: str
    scheme: Scheme
    velocity: VelocityGrid | None = None
    configuration: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"


@dataclass
class Record:
    """What is kept of one trajectory: the fields of its snapshots, its seconds and its end.

    fallbacks: how many cells a compiled solver could not decode by whole Newton steps; None of
    other solvers.
    """

    start: Start
    times: list[float] = field(default_factory=list)
    fields: dict[str, list[Array]] = field(default_factory=dict)
    seconds: float = 0.0
    fallbacks: int | None = None
    error: NonPhysicalState | None = None

    def result(self, task: Task) -> xr.Dataset | NonPhysicalState:
        """The solution, or the error with the snapshots before it."""
        solution = self._dataset(task) if self.times else None
        if self.error is not None:
            self.error.solution = solution
            return self.error
        assert solution is not None
        return solution

    def _dataset(self, task: Task) -> xr.Dataset:
        coordinates: dict[str, Any] = {"time": self.times, "x": self.start.x}
        fields = {name: np.stack(values) for name, values in self.fields.items()}
        U, q = fields.pop("conserved"), fields.pop("heat_flux")
        if task.closure.moments:
            coordinates["k"] = np.arange(task.closure.moments)
        else:
            del fields["moments"]
        if task.velocity is not None:
            coordinates |= velocity_coordinates(task.velocity)
        solution = to_dataset(
            coordinates,
            U,
            q[..., 0],
            self.start.knudsen,
            configuration=task.configuration,
            solver_seconds=self.seconds,
            dim=task.closure.dimension,
            momentum=U[..., 1],
            **fields,
        )
        if self.fallbacks is not None:
            solution.attrs["newton_fallbacks"] = self.fallbacks
        return solution


class Batch:
    """Trajectories advanced together; one that fails is taken out with the snapshots it had.

    Args:
        task: what they have in common.
        starts: where they begin, at one time.
        U, W: conserved variables (M, 3) and moments (M, K) there, trajectory by trajectory.
    """

    def __init__(self, task: Task, starts: Sequence[Start], U: Tensor, W: Tensor) -> None:
        self.task = task
        self.records = [Record(start) for start in starts]
        self.active = list(range(len(starts)))
        eps = torch.as_tensor(np.stack([start.knudsen for start in starts]), dtype=U.dtype)
        scheme = task.scheme
        eps, U, W = (tensor.to(task.device) for tensor in (eps, U, W))
        self.solver = solver_of(task.closure, eps, task.collision, task.boundary, scheme)
        self.time = eps.new_full((len(starts),), _rounded(starts[0].time))
        self.state = State(U, W / U[:, :1], W[:, :0], task.closure.dimension)
        self._W = W
        self._last_part: tuple[tuple[int, ...], Solver] | None = None
        self._snapshot(starts[0].time)

    def advance(self, until: float) -> None:
        """Advance every trajectory to `until` and keep a snapshot of it."""
        stop = _rounded(until)
        while len(running := torch.nonzero(self.time < stop)[:, 0]):
            if isinstance(self.solver, Marching):
                self._march(running, self.solver, stop)
            else:
                self._step(running, stop)
        self._W = self.state.U[:, :1] * self.state.m
        self._snapshot(until)

    def _march(self, running: Tensor, solver: Marching, stop: float) -> None:
        """All steps to `stop` of the trajectories, which are at one time."""
        new = self._attempt(running, solver.march, self.state, self.time, stop)
        if new is not None:
            self.state, self.time = new, torch.full_like(self.time, stop)

    def _step(self, running: Tensor, stop: float) -> None:
        """One step of the trajectories `running`, which ends at `stop` or before."""
        whole = len(running) == len(self.active)
        rows = self.solver.rows(running)
        solver = self.solver if whole else self._part(running)
        state = self.state if whole else self.state.take(rows)
        left = stop - self.time[running]
        count = torch.ceil(left / solver.largest_step(state) * (1.0 - 1e-12)).clamp(min=1.0)
        dt = left / count
        new = self._attempt(running, solver.step, state, dt)
        if new is not None:
            self.state = new if whole else self.state.put(rows, new)
            self.time[running] = torch.where(count == 1.0, stop, self.time[running] + dt)

    def _part(self, running: Tensor) -> Solver:
        """The solver of some trajectories; the same are asked for until the next one stops."""
        key = tuple(self.active[b] for b in running.tolist())
        if self._last_part is None or self._last_part[0] != key:
            self._last_part = key, self.solver.take(running)
        return self._last_part[1]

    def _snapshot(self, now: float) -> None:
        """Keep U and W as they are, and go on from nothing else.

        theta is found afresh, from equilibrium, so that a run that restarts from the snapshot
        repeats the one that went on, to the bit.
        """
        while self.active:
            everyone = torch.arange(len(self.active), device=self.time.device)
            U, m = self.state.U, self._W / self.state.U[:, :1]
            new = self._attempt(everyone, self.solver.decode, U, m, None)
            if new is not None:
                self.state = new
                return self._keep(now)
        return None

    def _attempt(
        self, trajectories: Tensor, function: Callable[..., State], *arguments: Any
    ) -> State | None:
        """`function` of the arguments; on failure take out those that failed, and return None."""
        members = [self.active[b] for b in trajectories.tolist()]
        begin = time.perf_counter()
        try:
            return function(*arguments)
        except Failure as failure:
            self._remove(trajectories, failure)
            return None
        finally:
            for i in members:
                self.records[i].seconds += (time.perf_counter() - begin) / len(members)
            self._count(members, function)

    def _count(self, members: list[int], function: Callable[..., State]) -> None:
        """Add up the fallbacks of a compiled solver, whose method `function` is."""
        take = getattr(getattr(function, "__self__", None), "take_fallbacks", None)
        if take is not None:
            for i, count in zip(members, take(), strict=True):
                self.records[i].fallbacks = (self.records[i].fallbacks or 0) + count

    def _remove(self, trajectories: Tensor, failure: Failure) -> None:
        cells = self.solver.cells
        lost = set()
        for row in failure.cells.tolist():
            b, cell = int(trajectories[row // cells]), row % cells
            if b not in lost:
                lost.add(b)
                values = {
                    name: float(getattr(failure.frame, name)[row]) for name in ("rho", "u", "T")
                }
                when = float((self.time if failure.time is None else failure.time)[b])
                error = NonPhysicalState(when, cell, values, failure.reason)
                self.records[self.active[b]].error = error
        kept = [b for b in range(len(self.active)) if b not in lost]
        self.active = [self.active[b] for b in kept]
        index = torch.as_tensor(kept, dtype=torch.long, device=self.time.device)
        rows = self.solver.rows(index)
        self.state, self._W = self.state.take(rows), self._W[rows]
        self.time, self.solver = self.time[index], self.solver.take(index)

    def _keep(self, now: float) -> None:
        state, task = self.state, self.task
        values = {
            "conserved": state.U,
            "heat_flux": self.solver.heat_flux(state)[:, None],
            "moments": self._W,
        }
        if task.velocity is not None:
            f = self.solver.closure.distribution(state.frame, state.theta)
            v = torch.as_tensor(task.velocity.nodes).to(state.U)
            values["distribution"] = _stored(f, v.expand(len(state.U), -1), task.velocity.dim)
        cells = self.solver.cells
        for b, i in enumerate(self.active):
            record = self.records[i]
            record.times.append(now)
            for name, value in values.items():
                own = value[b * cells : (b + 1) * cells].cpu().numpy().copy()
                record.fields.setdefault(name, []).append(own)


def _stored(f: Distribution, v: Tensor, dimension: int) -> Tensor:
    """f_hat at the nodes v (M, n) of a velocity grid, as solutions hold it (`kinetic.output`)."""
    if isinstance(f, ReducedDecoded) and dimension == 2:
        return f.plane(v)
    return f(v) if dimension == 1 else f(v).movedim(0, -1)


def _rounded(time: float) -> float:
    return float(f"{time:.{DIGITS}g}")
