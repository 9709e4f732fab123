"""Training through the solver: windows of kinetic solutions, and the error of the closed equations.

From a snapshot of f, encoded, the solver of a closure advances the closed equations over the
snapshots that follow, and

    E = < sum_j j ||q_j - q_ref,j|| / ||q_ref,j|| > / sum_j j,    q = rho, rho u, E,

is the mean over trajectories, fields and snapshots j of the relative error that `closures.metrics`
states, later ones counting more. The gradient passes through every step; each step is computed
again on the way back, so memory does not grow with the window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from closures.closure import Closure, MomentClosure
from closures.features import FEW, SplineFeatures
from closures.finite_volume import Scheme, State
from closures.gas import frequency
from closures.metrics import ROUND_OFF, squared_scale
from closures.reduced import ReducedClosure
from closures.reduced_features import ReducedSplineFeatures
from closures.samples import basis_averages
from closures.solvers import Solver, solver_of
from closures.splines import SplineBasis
from kinetic.collisions import BGK
from kinetic.config import CollisionConfig
from kinetic.dataset import TrajectorySet

Array = NDArray[np.float64]

NODES, OVERDRAW = 24, 1.4
"""Of the discretisation, see `closures.finite_volume.Scheme`: a gradient needs fewer digits than a
solution has."""

MORE_NODES = 48
"""Where more than `FEW` moments are carried in one dimension, whose errors fewer would hide."""

REACH = {1: 4.0, 2: 2.0, 3: 2.0}
"""Likewise, by dimension: steps as long as leave errors in time below those of closures."""

NOISE = 1e-4
"""A relative error below which a trajectory is taken to be right."""


@dataclass(frozen=True)
class Windows:
    """n trajectories, ready to be started from some of their S snapshots.

    Attributes:
        averages: over f at the starts, (n, starts, N, J): of the spline basis, see
            `basis_averages`, which know one start, the beginning; or of w itself.
        conserved: U, (n, S, N, 3).
        knudsen: eps, (n, N).
        starts: snapshots that windows begin at.
        time: of the snapshots, (S,).
        collision, boundary, scheme: those of the data.
    """

    averages: Tensor
    conserved: Tensor
    knudsen: Tensor
    starts: tuple[int, ...]
    time: Array
    collision: BGK
    boundary: str
    scheme: Scheme

    def __len__(self) -> int:
        return len(self.knudsen)


def read_windows(data: TrajectorySet, basis: SplineBasis, most: int) -> Windows:
    """Read the first `most` trajectories, with the averages of a spline basis where they begin."""

    def average(f: NDArray[Any], v: Array) -> Tensor:
        return basis_averages(f, v, basis, data.dim)[0]

    return collect_windows(data, average, most, (0.0,))


def collect_windows(
    data: TrajectorySet,
    average: Callable[[NDArray[Any], Array], Tensor],
    most: int,
    starts: Sequence[float],
) -> Windows:
    """Read the first `most` trajectories.

    Args:
        data: kinetic solutions.
        average: of J functions over distributions f (n, ...) at the nodes v, (n, J).
        most: number of trajectories.
        starts: where windows begin, as fractions of the time of a trajectory.
    """
    time, recipe = np.asarray(data.time), data.configuration
    first = tuple(dict.fromkeys(int(s * (len(time) - 1)) for s in starts))
    averages, conserved, knudsen = [], [], []
    for index in range(min(most, len(data))):
        trajectory = data[index]
        f = np.asarray(trajectory.distribution[list(first)])
        f = f.reshape(-1, *f.shape[2:])
        flat = average(f, np.asarray(trajectory.v))
        averages.append(flat.unflatten(0, (len(first), -1)))
        conserved.append(torch.as_tensor(np.asarray(trajectory.conserved)))
        knudsen.append(torch.as_tensor(np.asarray(trajectory.knudsen)))
    return Windows(
        torch.stack(averages),
        torch.stack(conserved),
        torch.stack(knudsen),
        first,
        time,
        frequency(CollisionConfig.from_mapping(recipe["collision"])),
        recipe["boundary"] or "periodic",
        Scheme(**recipe["scheme"], nodes=NODES, reach=REACH[data.dim], overdraw=OVERDRAW),
    )


def rollout_error(
    closure: MomentClosure | ReducedClosure, windows: Windows, rows: Tensor, length: int
) -> Tensor:
    """E of a closure whose moments are those of splines, from the beginning on; see
    `unrolled_error`."""
    if not isinstance(closure.features, SplineFeatures | ReducedSplineFeatures):
        raise TypeError("only moments of splines are averages of what windows hold")
    m = windows.averages[rows, 0] @ closure.features.table
    return unrolled_error(closure, m, windows, rows, 0, length)


def unrolled_error(
    closure: Closure, m: Tensor, windows: Windows, rows: Tensor, start: int, length: int
) -> Tensor:
    """E of the trajectories `rows` over `length` snapshots from the start of that number.

    Args:
        closure: what closes the equations.
        m: its moments at the start, (rows, N, K).
        windows, rows, start, length: what is solved.

    Raises:
        Failure: a trajectory became non-physical.
    """
    first, knudsen = windows.starts[start], windows.knudsen[rows]
    scheme = windows.scheme
    if closure.dimension == 1 and closure.moments > FEW:
        scheme = replace(scheme, nodes=MORE_NODES)
    solver = solver_of(closure, knudsen, windows.collision, windows.boundary, scheme)
    state = solver.decode(windows.conserved[rows, first].flatten(0, 1), m.flatten(0, 1), None)
    errors = []
    for j in range(first, min(first + length, len(windows.time) - 1)):
        state = _advance(solver, state, windows.time[j + 1] - windows.time[j])
        errors.append(relative_error(state.U, windows.conserved[rows, j + 1]))
    weights = torch.arange(1.0, len(errors) + 1.0, dtype=m.dtype, device=m.device)
    return torch.stack(errors) @ weights / weights.sum()


def _advance(solver: Solver, state: State, duration: float) -> State:
    """The state after `duration`, in equal steps, each computed again for its gradient.

    But for the first, which computes what all steps share.
    """
    with torch.no_grad():
        largest = solver.largest_step(state)
    count = int(torch.ceil(duration / largest).max())
    dt = torch.full_like(largest, duration / count)

    def step(U: Tensor, m: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        new = solver.step(State(U, m, theta, state.dimension), dt)
        return new.U, new.m, new.theta

    parts = step(state.U, state.m, state.theta)
    for _ in range(count - 1):
        parts = checkpoint(step, *parts, use_reentrant=False, preserve_rng_state=False)
    return State(*parts, state.dimension)


def relative_error(U: Tensor, reference: Tensor) -> Tensor:
    """Mean of the relative errors of the fields of trajectories, (n, N, 3), but for `NOISE`."""
    square = ((U.view_as(reference) - reference) ** 2).sum(1) / _squared_norms(reference)
    return (square + NOISE**2).sqrt().mean()


def _squared_norms(reference: Tensor) -> Tensor:
    """What squared errors of the fields are relative to, (n, 3); see `closures.metrics`."""
    density, momentum, energy = (reference**2).sum(1).unbind(-1)
    scale = squared_scale(reference[..., 0], reference[..., 2])
    momentum = torch.where(momentum < ROUND_OFF**2 * scale, scale, momentum)
    return torch.stack((density, momentum, energy), -1)
