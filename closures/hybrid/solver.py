"""The kinetic solver where a closure is not trusted, the closure elsewhere: one scheme, two kinds
of cells.

A step is that of `kinetic.imex`. Each of its stages f* = sum_j alpha_j f_j + beta_j dt L(f_j) has
one transport, that of the kinetic solver on its velocity grid, for all faces. A kinetic cell then
relaxes f* as the kinetic solver does. A cell of the closure holds U and m: it takes the moments of
f*, relaxes m as `closures.finite_volume` does, and gives f_hat of them back to the grid, with
exactly the mass, momentum and energy of f*. So a face has one flux whatever is on its sides, mass,
momentum and energy are conserved to round-off wherever the interface is and however it moves; a
cell that turns to the closure is projected on f_hat with its own U, one that turns kinetic goes on
from f_hat. With every cell kinetic, the solution is that of the kinetic solver to round-off: U of a
stage is summed up from f* here, and carried along there (`kinetic.moments_first`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, sqrt

import numpy as np

from closures.hybrid.collisions import KineticCollisions
from closures.hybrid.config import FARTHEST
from closures.hybrid.indicator import Indicator, Mask, chosen, widened
from closures.hybrid.projection import Decoded, LearnedKind, Projection, Undecodable
from closures.hybrid.runtime import Array
from closures.memory import keep_freed_memory
from kinetic.collisions import BGK
from kinetic.imex import TABLEAUX, combine
from kinetic.progress import ProgressBar
from kinetic.solver import Solver
from kinetic.transport import Transport

LOOK = 8
"""Time steps between two looks at the indicator."""


REACH = 2.0
"""Times the square root of the number of cells: cells through which moments diffuse in a step. As a
step is proportional to a cell, farther ones count for less than 1e-8."""


@dataclass(frozen=True)
class Snapshot:
    """f (cells, C) at a time, which cells are kinetic, and m of all cells (cells, K)."""

    time: float
    f: Array
    kinetic: Mask
    moments: Array


class HybridStepper:
    """Advances f by steps of dt; see the module.

    Args:
        solver: the kinetic one.
        closure: learned.
        frequency: nu(rho, T) of the closure.
        threshold: of the indicator; 0 for the kinetic solution.
        dt: time step.

    Attributes:
        kinetic: which cells are kinetic (cells,).
        collisions: what the kinetic cells do.
        cell_steps: cells of steps so far, and of these kinetic ones.
    """

    def __init__(
        self, solver: Solver, closure: LearnedKind, frequency: BGK, threshold: float, dt: float
    ) -> None:
        tableau, scheme = TABLEAUX[solver.scheme.time], solver.scheme
        forward = dt / (tableau.positivity or 1.0)
        self.tableau, self.threshold, self.dt = tableau, threshold, dt
        self.periodic = solver.boundary == "periodic"
        self.transport = Transport(
            solver.grid, solver.space, solver.boundary, scheme.limiter, forward
        )
        knudsen = np.ascontiguousarray(solver.knudsen)
        self.projection = Projection(closure, solver.grid, knudsen, frequency, solver.boundary)
        self.indicator = Indicator(self.projection, self.transport, dt)
        self.collisions = KineticCollisions(
            solver.collision, solver.grid, knudsen, tableau, dt, threshold
        )
        cells, stages = solver.space.cells, len(tableau.explicit)
        self.kinetic: Mask = np.ones(cells, np.bool_)
        self.collisions.choose(np.arange(cells))
        # Kinetic cells whose moments diffuse into those of the closure.
        self._near = np.empty(0, np.int64)
        self.cell_steps = np.zeros(2, np.int64)
        self._stages, self._slopes = np.zeros((2, stages, cells, solver.grid.columns))
        self._decoded = self.projection.nothing()

    def look(self, f: Array, time: float) -> None:
        """Choose anew which cells are kinetic; f of those that are not becomes f_hat, in place.

        `time` is that from the start to the next look.
        """
        if self.threshold <= 0.0:
            return
        indicator, theta = self.indicator(f, self.kinetic, self._decoded.theta, time)
        # Where the next search in these cells begins.
        self._decoded.theta[self.kinetic] = theta[self.kinetic]
        wanted = chosen(indicator, self.kinetic, self.threshold, self.periodic)
        self.turn(f, wanted & (self.threshold < FARTHEST) | ~np.isfinite(indicator))

    def turn(self, f: Array, kinetic: Mask) -> None:
        """Make `kinetic` the kinetic cells; f of those that no longer are becomes f_hat, in place.

        Raises:
            Undecodable: one of these has no f_hat.
        """
        own, rows = self.projection, np.flatnonzero(self.kinetic & ~kinetic)
        if rows.size:
            particles = own.particles(f, rows)
            U = own.conserved(particles)
            frame = own.frame(U)
            m = own.encode(particles, frame)
            decoded, found = own.decode(m, frame, self._decoded.theta[rows])
            if not found.all():
                raise Undecodable(rows[~found])
            decoded = replace(decoded, U=U)
            own.write(decoded, f, rows)
            self._decoded = self._decoded.put(rows, decoded)
        self._choose(kinetic)

    def _choose(self, kinetic: Mask) -> None:
        if not np.array_equal(kinetic, self.kinetic):
            self.kinetic = kinetic
            self.collisions.choose(np.flatnonzero(kinetic))
            reach = ceil(REACH * sqrt(kinetic.size))
            near = widened(~kinetic, self.periodic, min(reach, (kinetic.size - 1) // 2))
            self._near = np.flatnonzero(near & kinetic)

    def step(self, f: Array, time: float) -> None:
        """Advance f in place from `time` by dt.

        A cell whose moments no f_hat has turns kinetic, and the step begins anew.

        Raises:
            NonPhysicalState: a kinetic cell has no equilibrium.
        """
        while True:
            try:
                decoded = self._attempt(f, time)
                break
            except Undecodable as failure:
                kinetic = self.kinetic.copy()
                kinetic[failure.rows] = True
                self._choose(self.kinetic | widened(kinetic & ~self.kinetic, self.periodic))
        f[:] = self._stages[-1]
        self._decoded = decoded
        self.cell_steps += self.kinetic.size, int(self.kinetic.sum())

    def _attempt(self, f: Array, time: float) -> Decoded:
        """Fill the stages of a step; return what closures have made of the last one.

        Raises:
            Undecodable: some cells of the closure have no f_hat.
        """
        alpha, beta = self.tableau.shu_osher
        last, transported = len(alpha) - 1, self.tableau.transported
        decoded = [self._decoded]
        if transported[0]:
            self._slope(f, 0, True, time)
        for i in range(1, len(alpha)):
            stage = self._stages[i]
            if self.kinetic.any():
                # Of all cells: to copy the stages of the kinetic ones side by side takes longer.
                combine(f, self._stages, self._slopes, alpha[i], self.dt * beta[i], stage)
            correction = self.tableau.correction * self.dt**2 if i == last else 0.0
            step = self.dt * self.tableau.implicit_diagonal[i]
            decoded.append(self._relax(i, decoded, step, correction))
            if self.kinetic.any():
                self.collisions.relax(stage, step, correction, time + self.dt)
            if transported[i]:
                self._slope(stage, i, not any(transported[:i]), time + self.dt)
        return decoded[-1]

    def _slope(self, f: Array, i: int, first: bool, time: float) -> None:
        """Write all that is explicit of stage i, f (cells, C)."""
        slope = self._slopes[i]
        self.transport(f, slope)
        if self.kinetic.any():
            self.collisions.add(f, slope, first, time)

    def _relax(self, i: int, before: list[Decoded], step: float, correction: float) -> Decoded:
        """The closure's part of stage i, and what it makes of its cells."""
        rows, other = np.flatnonzero(~self.kinetic), self._near
        if not rows.size:
            return before[-1]
        own, stage = self.projection, self._stages[i]
        alpha, beta = (weights[i, :i] for weights in self.tableau.shu_osher)
        particles = own.particles(stage, other)
        change = own.change(self._slopes, self.dt * beta, rows)
        held = [one.take(rows) for one in before]
        U = own.conserved(change) + np.tensordot(alpha, [one.U for one in held], 1)
        m, frame = np.zeros((len(stage), own.closure.moments)), np.ones((len(stage), 3))
        frame[other], frame[rows] = own.frame(own.conserved(particles)), own.frame(U)
        m[other] = own.encode(particles, frame[other])
        m[rows] = own.transported(alpha, held, change, frame[rows])
        part = own.relax(m, frame, before[-1].theta, rows, step, correction)
        part = replace(part, U=U)
        own.write(part, stage, rows)
        return before[-1].put(rows, part)

    def moments(self, f: Array) -> Array:
        """m of all cells: carried by the closure, encoded from f where that is kinetic."""
        own, particles = self.projection, self.projection.particles(f)
        frame = own.frame(own.conserved(particles))
        m = own.encode(particles, frame)
        rows = np.flatnonzero(~self.kinetic)
        if rows.size:
            nothing = 0.0 * particles[rows]
            m[rows] = own.transported(np.ones(1), [self._decoded.take(rows)], nothing, frame[rows])
        return m


@dataclass(frozen=True)
class HybridSolver:
    """A kinetic solver and a closure, ready to advance any f.

    Args:
        solver: the kinetic solver.
        closure: learned.
        frequency: nu(rho, T) of the closure.
        threshold: of `closures.hybrid.indicator`, in int |f - f_hat| dv / rho.
    """

    solver: Solver
    closure: LearnedKind
    frequency: BGK
    threshold: float

    def evolve(
        self, f0: Array, times: Array, progress: bool = False
    ) -> Iterator[tuple[Snapshot, HybridStepper]]:
        """Yield the solution at equidistant times, the first f0 itself, and what has advanced it.

        Raises:
            NonPhysicalState: raised while iterating.
        """
        keep_freed_memory()
        count, dt = self.solver.steps_per((times[-1] - times[0]) / (times.size - 1))
        stepper = HybridStepper(self.solver, self.closure, self.frequency, self.threshold, dt)
        f, total = np.array(f0, order="C"), count * (times.size - 1)
        with ProgressBar(progress) as bar:
            stepper.look(f, LOOK * dt)
            yield Snapshot(float(times[0]), f0, stepper.kinetic, stepper.moments(f)), stepper
            for n in range(total):
                if n % LOOK == 0 and n > 0:
                    stepper.look(f, (n + LOOK) * dt)
                stepper.step(f, float(times[n // count]) + n % count * dt)
                bar.update(n + 1, total)
                if (n + 1) % count == 0:
                    time = float(times[(n + 1) // count])
                    yield Snapshot(time, f.copy(), stepper.kinetic, stepper.moments(f)), stepper
