"""How far the closures of an ensemble are from labels that they did not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from closures.batch import Batch, Record, Task
from closures.closure import Closure, Frame
from closures.features import SplineFeatures
from closures.finite_volume import Scheme
from closures.gas import frequency
from closures.learn.ensemble import FAILED_ERROR, Member
from closures.learn.explore import BATCH_CELLS
from closures.learn.space import DECADES
from closures.learn.store import LabelSet
from closures.learned import BASIS
from closures.metrics import relative_errors
from closures.reduced_features import ReducedSplineFeatures
from closures.samples import basis_averages
from kinetic.config import CollisionConfig
from kinetic.trajectories import Trajectory

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Start:
    """Where the window of a label begins; see `closures.batch.Start`."""

    x: Array
    knudsen: Array
    time: float = 0.0


def validation_errors(members: Sequence[Member], labels: LabelSet) -> dict[int, float | None]:
    """The mean error by decade of the labels that were left out, of the member that left them."""
    errors: list[float] = []
    decades: list[int] = []
    for member in members:
        _, left_out = member.split(labels)
        errors += label_errors(member.closure(), left_out)
        decades += left_out.decades()
    each, where = np.array(errors), np.array(decades)
    return {d: float(each[where == d].mean()) if (where == d).any() else None for d in DECADES}


def label_errors(closure: Closure, labels: LabelSet) -> list[float]:
    """The mean of the relative errors of rho, rho u and E at the end of the window of each."""
    size = max(1, BATCH_CELLS // len(labels.x))
    errors: list[float] = []
    for first in range(0, len(labels), size):
        part = labels.take(range(first, min(first + size, len(labels))))
        errors += map(record_error, _rolled_out(closure, part), (one.conserved[-1] for one in part))
    return errors


def record_error(record: Record, reference: Array) -> float:
    """The mean relative L2 error of rho, rho u and E at the last time of a rollout.

    Args:
        record: of the rollout; one that failed has the error `FAILED_ERROR`.
        reference: U (N, 3).
    """
    if record.error is not None:
        return FAILED_ERROR
    U = record.fields["conserved"][-1]
    return float(np.mean(relative_errors(U.T, reference.T)))


@torch.no_grad()
def _rolled_out(closure: Closure, labels: LabelSet) -> list[Record]:
    """The closed equations from the beginning to the end of windows."""
    recipe = labels.configuration
    collision = frequency(CollisionConfig.from_mapping(recipe["collision"]))
    task = Task(closure, collision, "periodic", Scheme(**recipe["scheme"]))
    starts = [Start(one.x, one.knudsen) for one in labels]
    U, W = zip(*(_encoded(closure, one) for one in labels), strict=True)
    batch = Batch(task, starts, torch.cat(U), torch.cat(W))
    batch.advance(float(labels.time[-1]))
    return batch.records


def _encoded(closure: Closure, one: Trajectory) -> tuple[torch.Tensor, torch.Tensor]:
    """U (N, 3) and W (N, K) of the first f of a window."""
    features = getattr(closure, "features", None)
    assert isinstance(features, SplineFeatures | ReducedSplineFeatures)
    averages, _ = basis_averages(one.distribution[0], one.v, BASIS, one.dim)
    U = torch.as_tensor(one.conserved[0])
    return U, Frame.of(U, one.dim).rho[:, None] * (averages @ features.table)
