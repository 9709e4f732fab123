"""A learned closure on the velocity grid of the kinetic solver: encode, relax, decode, write.

Cells are rows; U (cells, 3), frames (rho, u, T) (cells, 3), moments m (cells, K), theta (cells,
3+K), f (cells, C). Everything is dimensionless.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from closures.closure import MomentClosure
from closures.features import INVARIANTS, SplineFeatures
from closures.finite_volume import STRAINED
from closures.hybrid import runtime
from closures.hybrid.runtime import Array, Grid, Tables
from closures.learned import DUAL
from closures.reduced import ReducedClosure
from closures.reduced_dual import TRACE
from closures.reduced_features import ReducedSplineFeatures
from closures.response import Response
from closures.runtime import turned
from kinetic.collisions import BGK
from kinetic.errors import InvalidInput
from kinetic.moments import conserved, primitive
from kinetic.velocity import VelocityGrid

LearnedKind = MomentClosure | ReducedClosure
Rows = NDArray[np.int64]


class Undecodable(ArithmeticError):  # noqa: N818 - a result, not a programming error
    """Some cells have no f_hat; `rows` are their numbers."""

    def __init__(self, rows: Rows) -> None:
        super().__init__("no distribution of the closure has these moments")
        self.rows = rows


@dataclass(frozen=True)
class Decoded:
    """What a closure makes of cells: U, frames, theta, and masses g and h of f_hat at its nodes c.

    U, frame (cells, 3), theta (cells, 3+K), masses (cells, 2, n).
    """

    U: Array
    frame: Array
    theta: Array
    masses: Array

    def take(self, rows: Rows) -> Decoded:
        """That of the cells `rows`."""
        return Decoded(*(part[rows] for part in self.parts()))

    def parts(self) -> tuple[Array, Array, Array, Array]:
        """Its arrays."""
        return self.U, self.frame, self.theta, self.masses

    def put(self, rows: Rows, new: Decoded) -> Decoded:
        """This one with that of the cells `rows` replaced."""
        whole = Decoded(*(part.copy() for part in self.parts()))
        for old, values in zip(whole.parts(), new.parts(), strict=True):
            old[rows] = values
        return whole


@dataclass(frozen=True)
class Projection:
    """A closure on a velocity grid, for all the cells of a problem.

    Args:
        closure: learned, with splines for functions.
        grid: velocity grid.
        knudsen: eps (cells,).
        frequency: nu(rho, T).
        boundary: of the moments' diffusion.

    Raises:
        InvalidInput: the closure is of another kind.
    """

    closure: LearnedKind
    grid: VelocityGrid
    knudsen: Array
    frequency: BGK
    boundary: str

    @cached_property
    def tables(self) -> Tables:
        """The closure as the kernels take it."""
        return tables_of(self.closure)

    @cached_property
    def columns(self) -> Grid:
        """The grid as the kernels take it."""
        grid = self.grid
        per_node = grid.columns // grid.points
        return Grid(grid.nodes, grid.mass[:per_node], grid.transverse[:per_node], grid.volume)

    @property
    def response(self) -> Response | None:
        """What collisions do to the moments, if not what BGK's do."""
        return getattr(self.closure, "response", None)

    @cached_property
    def _dissipation(self) -> tuple[Array, Array]:
        """Damping and diffusivity of the moments, (K, cells) each."""
        assert self.closure.dissipation is not None
        with torch.no_grad():
            a, d = self.closure.dissipation(torch.from_numpy(self.knudsen))
        return a.numpy(), d.numpy()

    def nothing(self) -> Decoded:
        """What is known before anything is decoded: where to start from."""
        cells, n = len(self.knudsen), self.tables.c.size
        theta = np.zeros((cells, INVARIANTS + self.closure.moments))
        U, frame = np.zeros((2, cells, 3))
        return Decoded(U, frame, theta, np.zeros((cells, 2, n)))

    def particles(self, f: Array, rows: Rows | None = None) -> Array:
        """Masses of g and h at the nodes along x, of `rows` of f or all of them, (., 2, points)."""
        rows = np.arange(len(f)) if rows is None else rows
        out = np.empty((rows.size, 2, self.grid.points))
        runtime.reduce(f, rows, self.columns, out)
        return out

    def change(self, slopes: Array, weights: Array, rows: Rows) -> Array:
        """The same of sum_j weights_j slopes_j (s, cells, C) of the cells `rows`."""
        out = np.empty((rows.size, 2, self.grid.points))
        runtime.reduce_change(slopes, weights, rows, self.columns, out)
        return out

    def conserved(self, particles: Array) -> Array:
        """U of particles at the nodes."""
        v, (g, h) = self.grid.nodes, particles.swapaxes(0, 1)
        return np.stack((g.sum(1), g @ v, 0.5 * (g @ v**2 + h.sum(1))), axis=-1)

    def frame(self, U: Array) -> Array:
        """rho, u, T of U."""
        with np.errstate(all="ignore"):  # what is not physical has no f_hat, and is reported so
            return np.ascontiguousarray(np.stack(primitive(U, self.grid.dim), axis=-1))

    def encode(self, particles: Array, frame: Array) -> Array:
        """m of particles at the nodes."""
        m = np.empty((len(frame), self.closure.moments))
        runtime.encode(particles, self.columns, frame, self.tables, m)
        return m

    def transported(
        self, alpha: Array, stages: list[Decoded], change: Array, frame: Array
    ) -> Array:
        """m of sum_j alpha_j f_hat_j and the particles `change`, in a new frame.

        What cells hold is integrated at the nodes of the closure, on which it is exact: at those of
        the grid each step would add its error.
        """
        m = np.empty((len(frame), self.closure.moments))
        frames = np.stack([stage.frame for stage in stages])
        masses = np.stack([stage.masses for stage in stages])
        runtime.encode_held(alpha, frames, masses, change, self.columns, frame, self.tables, m)
        return m

    def rate(self, frame: Array) -> Array:
        """nu/eps of the cells."""
        return self.frequency.nu(frame[:, 0], frame[:, 2]) / self.knudsen

    def relax(
        self,
        m: Array,
        frame: Array,
        start: Array,
        rows: Rows,
        step: float,
        correction: float,
    ) -> Decoded:
        """The closure's implicit step of collisions and dissipation, of the cells `rows`.

        Args:
            m: moments of every cell, those of the neighbours of `rows` among them.
            frame: of every cell.
            start: theta of every cell, from where the search begins.
            rows: cells whose moments are relaxed.
            step, correction: a_ii dt, and what multiplies (nu/eps)^2 at the end of a time step.

        Raises:
            Undecodable: some cells have no f_hat.
        """
        rate = self.rate(frame)
        # BGK's collisions act with the dissipation, others on what it has left.
        before = step * rate * (self.response is None)
        damped = self._dissipated(m, frame, 1.0 + before, step)[rows]
        plain = m[rows] / (1.0 + before[rows])[:, None]
        part, rates = frame[rows], (step * rate[rows], correction * rate[rows] ** 2)
        decoded, found = self._collided(damped, part, start[rows], *rates)
        with np.errstate(invalid="ignore"):
            calm = np.abs(decoded.theta[:, INVARIANTS:]).max(axis=1) <= STRAINED
        strained = np.flatnonzero(~(found & calm))
        if strained.size:
            again, found[strained] = self._collided(
                plain[strained],
                part[strained],
                0.0 * start[rows][strained],
                *(one[strained] for one in rates),
            )
            decoded.theta[strained], decoded.masses[strained] = again.theta, again.masses
        if not found.all():
            raise Undecodable(rows[~found])
        return decoded

    def _dissipated(self, m: Array, frame: Array, excess: Array, step: float) -> Array:
        """m after an implicit step of its damping and diffusion, `excess` times smaller besides."""
        (a, d), (rho, u, T) = self._dissipation, np.ascontiguousarray(frame.T)
        new, periodic = np.empty_like(m), self.boundary == "periodic"
        beside = np.zeros(m.T.shape)
        if isinstance(self.closure, MomentClosure):
            turned(m, u, T, self.closure.turn.detach().numpy(), beside)
        runtime.dissipate(m, beside, excess, step * a, step * d, rho * T, rho, periodic, new)
        return new

    def _collided(
        self, m: Array, frame: Array, start: Array, a: Array, b: Array
    ) -> tuple[Decoded, NDArray[np.bool_]]:
        """theta after the collisions of `closures.response`, or after the last of BGK's."""
        if self.response is None:
            return self.decode(m / (1.0 + b)[:, None], frame, start)
        rates = self.response.modes[0].numpy()
        slowing = (1.0 + np.outer(a, rates)) * (1.0 + np.outer(b, rates**2))
        new = self.response.relaxed(torch.from_numpy(m), torch.from_numpy(slowing)).numpy()
        decoded, found = self.decode(np.ascontiguousarray(new), frame, start)
        rises = np.flatnonzero((decoded.theta[:, INVARIANTS:] * (m - new)).sum(1) < 0.0)
        if rises.size:
            slowest = m[rises] / slowing[rises, :1]
            again, found[rises] = self.decode(slowest, frame[rises], decoded.theta[rises])
            decoded.theta[rises], decoded.masses[rises] = again.theta, again.masses
        return decoded, found

    def decode(self, m: Array, frame: Array, start: Array) -> tuple[Decoded, NDArray[np.bool_]]:
        """f_hat of m, and which cells have one."""
        theta, found = start.copy(), np.zeros(len(m), np.bool_)
        masses = np.empty((len(m), 2, self.tables.c.size))
        runtime.decode(m, theta, self.tables, frame, masses, found)
        U = conserved(frame[:, 0], frame[:, 1], frame[:, 2], self.grid.dim)
        return Decoded(U, frame, theta, masses), found

    def write(self, decoded: Decoded, f: Array, rows: Rows) -> None:
        """Write f_hat into `rows` of f (cells, C), with exactly the moments U.

        Raises:
            Undecodable: a cell has none on these velocities.
        """
        U, frame, theta, _ = decoded.parts()
        runtime.fill(theta, U, frame, self.tables, self.columns, rows, f)
        missed = np.isnan(f[rows, 0])
        if missed.any():
            raise Undecodable(rows[missed])

    def written(self, decoded: Decoded) -> Array:
        """f_hat of all cells with exactly the moments U (cells, C); NaN where there is none."""
        U, frame, theta, _ = decoded.parts()
        f = np.empty((len(U), self.grid.columns))
        runtime.fill(theta, U, frame, self.tables, self.columns, np.arange(len(U)), f)
        return f

    def distance(self, f: Array, g: Array, frame: Array) -> Array:
        """int |f - g| dv / rho of cells."""
        out = np.empty(len(f))
        runtime.distances(f, g, self.columns, np.ascontiguousarray(frame[:, 0]), out)
        return out


def tables_of(closure: LearnedKind) -> Tables:
    """What the kernels need of a closure.

    Raises:
        InvalidInput: it is not a learned one whose splines end where f_hat does.
    """
    features, dual = getattr(closure, "features", None), getattr(closure, "dual", None)
    learned = isinstance(features, SplineFeatures | ReducedSplineFeatures) and features
    if not learned or learned.basis.extent != closure.extent or closure.dissipation is None:
        allowed = "hybrid.threshold needs closure=entropy or a model of it"
        raise InvalidInput("closure", closure.name, allowed)
    assert dual is not None
    coefficients = learned.coefficients
    phi, splines = (
        np.ascontiguousarray(one.detach().numpy()) for one in (closure.phi, coefficients)
    )
    if closure.dimension == 1:
        phi, splines = (np.stack((one, 0.0 * one)) for one in (phi, splines))
    return Tables(
        dimension=closure.dimension,
        c=closure.c.numpy(),
        phi=phi,
        measure=closure.measure.numpy(),
        trace=TRACE if closure.dimension > 1 else 0.0,
        splines=splines,
        extent=float(closure.extent),
        tolerance=DUAL.tolerance,
        gamma=dual.regularization,
        iterations=dual.iterations,
    )
