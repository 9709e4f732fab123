"""Exploration: gases rolled out with every closure of an ensemble, and where they disagree.

The indicator of a gas is the ensemble's deviation

    max over (x, t) of sqrt(< |G_i - <G>|^2 >),    G = (rho u, rho u^2 + rho T, u (E + rho T) + q),

G_i being the fluxes of member i of the ensemble, which all start from the same initial data, each
component in units of its scale, the mean over x of rho c, rho c^2 and rho c^3, c^2 = u^2 + T. (In
more than one velocity dimension viscous stress is left out of G.) It is not finite where a member
has no solution. Rollouts are on few cells and with steps that slow the fastest particles down, as
those of training do: what closures disagree about is seen there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from closures.batch import Batch, Record, Task
from closures.closure import Closure
from closures.finite_volume import Scheme
from closures.gas import frequency
from closures.learn.options import LearnConfig
from closures.learn.space import DIMENSION, decade, initial_state
from closures.solution import initial_moments
from closures.unrolling import OVERDRAW, REACH
from kinetic.problems import InitialState

Array = NDArray[np.float64]

BATCH_CELLS = 4096
"""Cells that are advanced together."""

NODES = 16
"""Of the half-range quadrature: the disagreement needs few digits."""


@dataclass(frozen=True)
class Explored:
    """n gases that were rolled out.

    Attributes:
        points: of `closures.learn.space`, (n, DIMENSION).
        indicator: (n,), infinite where a member of the ensemble has no solution.
        peak: the snapshot at which the indicator is taken, (n,); the last one before a failure.
        decade: exponent that the decade of the Knudsen number begins with, (n,).
    """

    points: Array
    indicator: Array
    peak: NDArray[np.int64]
    decade: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.points)

    def check(self) -> None:
        """Refuse arrays of other shapes or types.

        Raises:
            ValueError: they are not as above.
        """
        n = len(self.points) if self.points.ndim == 2 else -1
        kinds = ((self.points, "f"), (self.indicator, "f"), (self.peak, "i"), (self.decade, "i"))
        if self.points.shape != (n, DIMENSION) or not np.isfinite(self.points).all():
            raise ValueError(f"points must be finite, of shape (n, {DIMENSION})")
        if any(len(one) != n or one.dtype.kind != kind for one, kind in kinds):
            raise ValueError(f"there must be an indicator, a peak and a decade of {n} points")

    def take(self, rows: NDArray[np.int64]) -> Explored:
        """Some of the gases."""
        return Explored(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, parts: Sequence[Explored]) -> Explored:
        """All gases of several explorations."""
        return cls(*(np.concatenate([getattr(p, n) for p in parts]) for n in EXPLORED))


EXPLORED = tuple(Explored.__dataclass_fields__)
"""Names of the arrays of `Explored`."""


def explore(closures: Sequence[Closure], points: Array, config: LearnConfig) -> Explored:
    """Roll out gases with the closures of an ensemble.

    Args:
        closures: the ensemble.
        points: of `closures.learn.space`.
        config: times and scheme are those of the labels, cells those of ``learn.cells``.
    """
    states = [initial_state(point, config.learn.cells) for point in points]
    fluxes = np.stack([_fluxes(closure, states, config) for closure in closures])
    indicator, peak = deviation(fluxes[..., :3], fluxes[0, ..., 3:])
    decades = np.array([decade(state.knudsen) for state in states])
    return Explored(points, indicator, peak, decades)


def deviation(fluxes: Array, scale: Array) -> tuple[Array, NDArray[np.int64]]:
    """The indicator of n gases, and the snapshot that it is taken at.

    Args:
        fluxes: G of the members (members, n, S, N, 3); NaN from where a member has no solution.
        scale: of the components, (n, S, N, 3).
    """
    units = scale.mean(axis=2, keepdims=True)
    spread = fluxes - fluxes.mean(axis=0)
    square = (np.mean(spread**2, axis=0) / units**2).sum(axis=-1).max(axis=-1)
    lost = ~np.isfinite(square).all(axis=1)
    known = np.where(np.isfinite(square), square, -1.0)
    indicator = np.where(lost, np.inf, np.sqrt(np.maximum(known.max(axis=1), 0.0)))
    last = np.isfinite(square).sum(axis=1) - 1
    return indicator, np.where(lost, np.maximum(last, 0), known.argmax(axis=1))


def _fluxes(closure: Closure, states: Sequence[InitialState], config: LearnConfig) -> Array:
    """G and the units of its components of all gases, (n, S, N, 6)."""
    times = np.linspace(0.0, config.time.end, config.time.snapshots)[1:]
    scheme = replace(
        scheme_of(closure, config),
        nodes=NODES,
        reach=REACH[closure.dimension],
        overdraw=OVERDRAW,
    )
    records = roll_out(closure, states, config, times.tolist(), scheme)
    shape = (len(states), config.time.snapshots, len(states[0].x), 6)
    found = np.full(shape, np.nan)
    for row, record in zip(found, records, strict=True):
        if record.times:
            U, q = (np.stack(record.fields[name]) for name in ("conserved", "heat_flux"))
            row[: len(U)] = flux_and_units(U, q[..., 0], closure.dimension)
    return found


def scheme_of(closure: Closure, config: LearnConfig) -> Scheme:
    """How the solver discretises the equations of a closure."""
    return Scheme.of(config.scheme, closure.dimension, closure.moments)


@torch.no_grad()
def roll_out(
    closure: Closure,
    states: Sequence[InitialState],
    config: LearnConfig,
    times: Sequence[float],
    scheme: Scheme,
) -> list[Record]:
    """The snapshots of gases at the start and at some times, as far as they have a solution."""
    task = Task(closure, frequency(config.collision), "periodic", scheme)
    size = max(1, BATCH_CELLS // len(states[0].x))
    records: list[Record] = []
    for first in range(0, len(states), size):
        members = states[first : first + size]
        parts = [initial_moments(closure, state) for state in members]
        batch = Batch(task, members, *(torch.cat(part) for part in zip(*parts, strict=True)))
        for until in times:
            batch.advance(until)
        records += batch.records
    return records


def flux_and_units(U: Array, q: Array, dimension: int) -> Array:
    """G, and rho c, rho c^2, rho c^3 with c^2 = u^2 + T, of U (..., 3) and q (...): (..., 6)."""
    rho, u, E = U[..., 0], U[..., 1] / U[..., 0], U[..., 2]
    T = (2.0 * E / rho - u * u) / dimension
    c = np.sqrt(u * u + T)
    G = (rho * u, rho * (u * u + T), u * (E + rho * T) + q)
    return np.stack((*G, rho * c, rho * c**2, rho * c**3), axis=-1)
