"""Time loop of the kinetic solver: d_t f + v_1 d_x f = Q(f) / eps(x) on [0, 1]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil, isfinite

import numpy as np

from kinetic.alignment import aligned
from kinetic.collisions import BGK, Collision
from kinetic.errors import InvalidInput, check_choice
from kinetic.imex import TABLEAUX, ImexStepper
from kinetic.limiters import LIMITERS
from kinetic.maxwellian import without_maxwellian
from kinetic.moments import Array, moments_of, primitive
from kinetic.moments_first import MaxwellianRelaxation, MomentsFirstStepper
from kinetic.progress import ProgressBar
from kinetic.space import BOUNDARIES, SpaceGrid
from kinetic.transport import Transport
from kinetic.velocity import VelocityGrid

MAX_CFL = 0.5
# Intervals and step counts are rounded to this many digits, so that a restart, which reaches the
# same interval by other arithmetic, takes the same steps bit for bit.
DIGITS = 12


@dataclass(frozen=True)
class Scheme:
    """Choices of the discretisation.

    Args:
        time: a key of `kinetic.imex.TABLEAUX`.
        limiter: a key of `kinetic.limiters.LIMITERS`.
        cfl: largest dt extent / dx, in (0, 0.5], where `hsz2` keeps f >= 0.

    Raises:
        InvalidInput: unknown name or `cfl` out of range.
    """

    time: str = "hsz2"
    limiter: str = "third"
    cfl: float = 0.4

    def __post_init__(self) -> None:
        check_choice("scheme.time", self.time, TABLEAUX)
        check_choice("scheme.limiter", self.limiter, LIMITERS)
        if not 0.0 < self.cfl <= MAX_CFL:
            raise InvalidInput("scheme.cfl", self.cfl, f"must be positive and at most {MAX_CFL}")


@dataclass(frozen=True)
class Snapshot:
    """The solution at one time: f of shape (cells, columns), and the steps taken to reach it."""

    time: float
    f: Array
    steps: int


@dataclass(frozen=True)
class Solver:
    """A discretised kinetic equation, ready to advance any f of shape (cells, columns).

    Args:
        grid, space: velocity and space grids.
        knudsen: eps at the cell centres, positive, shape (cells,).
        collision: collision operator.
        boundary: a key of `kinetic.space.BOUNDARIES`.
        scheme: time method, limiter and time step.

    Raises:
        InvalidInput: unknown boundary, or eps of the wrong shape, not finite or not positive.

    Example:
        >>> grid, space = VelocityGrid(), SpaceGrid(100)
        >>> f0 = maxwellian(1 + 0.2 * np.sin(2 * np.pi * space.centers)[:, None], 0, 1, grid.nodes)
        >>> solver = Solver(grid, space, knudsen=np.full(100, 0.1))
        >>> for snapshot in solver.evolve(f0, end=0.1, snapshots=11):
        ...     print(snapshot.time, moments_of(snapshot.f, grid))
    """

    grid: VelocityGrid
    space: SpaceGrid
    knudsen: Array
    collision: Collision = field(default_factory=BGK)
    boundary: str = "periodic"
    scheme: Scheme = field(default_factory=Scheme)

    def __post_init__(self) -> None:
        check_choice("boundary", self.boundary, BOUNDARIES)
        if self.knudsen.shape != (self.space.cells,):
            raise InvalidInput("knudsen", self.knudsen.shape, "must have one value per cell")
        bad = ~(np.isfinite(self.knudsen) & (self.knudsen > 0.0))
        if np.any(bad):
            raise InvalidInput("knudsen", self.knudsen[bad][0], "must be positive and finite")

    def steps_per(self, interval: float) -> tuple[int, float]:
        """Return the number of equal steps that cover `interval` at most `cfl` long, and dt."""
        interval = float(f"{interval:.{DIGITS}g}")
        steps = interval * self.grid.extent / (self.scheme.cfl * self.space.dx)
        count = max(1, ceil(round(steps, DIGITS - 3)))
        return count, interval / count

    def evolve(
        self, f0: Array, *, end: float, snapshots: int, start: float = 0.0, progress: bool = False
    ) -> Iterator[Snapshot]:
        """Yield the solution at `snapshots` equidistant times, the first f0 itself at `start`.

        The time step divides the interval of the snapshots, so going on from any snapshot gives
        the later ones bit for bit.

        Args:
            f0: initial f, shape (cells, columns), finite; not negative if the method keeps it so.
            end: last time, after `start`.
            snapshots: number of times, at least 2.
            start: time of f0.
            progress: show a progress bar on a terminal if the run takes more than two seconds.

        Raises:
            InvalidInput: f0 or a time is not allowed.
            NonPhysicalState: a cell lost rho > 0, T > 0 or a finite value; raised while iterating.
        """
        if not (isfinite(start) and isfinite(end) and end > start):
            raise InvalidInput("time.end", end, f"must be finite and after the start, {start:g}")
        if snapshots < 2:
            raise InvalidInput("time.snapshots", snapshots, "must be at least 2")
        f = self._checked(f0, start)
        times = np.linspace(start, end, snapshots)
        return self._snapshots(f, times, ProgressBar(enabled=progress))

    def _snapshots(self, f: Array, times: Array, bar: ProgressBar) -> Iterator[Snapshot]:
        count, dt = self.steps_per((times[-1] - times[0]) / (times.size - 1))
        stepper = self.stepper(dt)
        total = count * (times.size - 1)
        yield Snapshot(float(times[0]), f.copy(), 0)
        with bar:
            for n, time in enumerate(times[:-1]):
                for taken in stepper.steps(f, float(time), dt, count):
                    bar.update(n * count + taken, total)
                yield Snapshot(float(times[n + 1]), f.copy(), (n + 1) * count)

    def stepper(self, dt: float) -> ImexStepper:
        """Return what advances f by steps of at most dt."""
        tableau = TABLEAUX[self.scheme.time]
        # A method that does not keep f >= 0 is still clamped as if dt were a forward Euler step.
        forward = dt / (tableau.positivity or 1.0)
        transport = Transport(self.grid, self.space, self.boundary, self.scheme.limiter, forward)
        knudsen = np.ascontiguousarray(self.knudsen)
        relaxation, explicit = self.collision.parts(self.grid, knudsen, tableau, dt)
        shape = self.space.cells, self.grid.columns
        if isinstance(relaxation, MaxwellianRelaxation):
            return MomentsFirstStepper(tableau, transport, relaxation, shape, explicit)
        return ImexStepper(tableau, transport, relaxation, shape, explicit)

    def _checked(self, f0: Array, time: float) -> Array:
        """Return an aligned copy of `f0`; raise if it is not a distribution on the grids."""
        f = np.asarray(f0, dtype=float)
        shape = (self.space.cells, self.grid.columns)
        if f.shape != shape:
            raise InvalidInput("distribution", f.shape, f"must have the shape {shape}")
        if not np.all(np.isfinite(f)):
            raise InvalidInput("distribution", float(f[~np.isfinite(f)][0]), "must be finite")
        # A method that does not keep f >= 0 must be able to go on from its own solution.
        keeps = TABLEAUX[self.scheme.time].positivity > 0.0 and self.collision.keeps_positive
        if keeps and np.any(f < 0.0):
            raise InvalidInput("distribution", float(np.min(f)), "must not be negative")
        with np.errstate(all="ignore"):  # an empty cell is found by its T, which is not a number
            rho, _, T = primitive(U := moments_of(f, self.grid), self.grid.dim)
        bad = np.flatnonzero(~((rho > 0.0) & (T > 0.0)))
        if bad.size:
            raise without_maxwellian(U[bad[0]], self.grid, time, int(bad[0]))
        return aligned(f)
