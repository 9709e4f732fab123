"""Training samples: distributions of a data set, seen from their own frames.

    g(c) = f(u + sqrt(T) c) sqrt(T)/rho,    c = (v-u)/sqrt(T)

so that g has density 1, velocity 0 and temperature 1. Since w(c) will be splines, all that training
needs of g is its averages of the basis functions, and its distance from equilibrium
KL(g || Mc) = int g log(g/Mc) dc.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from torch import Tensor

from closures.features import trapezoid, unit_maxwellian
from closures.reduced_samples import reduce, reduced_averages
from closures.splines import SplineBasis
from kinetic.dataset import TrajectorySet

Array = NDArray[np.float64]

EXTENT, NODES = 12.0, 97
"""g is sampled on |c| <= EXTENT: nothing that a velocity grid holds lies beyond."""

FINER_NODES = 289
"""In more dimensions, where the decoder has no node at every knot to make the same error there."""

SMALLEST = float(np.finfo(np.float32).tiny)
"""f below this is a zero of the file's float32."""


@dataclass(frozen=True)
class Samples:
    """n samples: averages of the basis functions (n, J) and KL(g || Mc) (n,)."""

    averages: Tensor
    divergence: Tensor

    def __len__(self) -> int:
        return len(self.divergence)

    def take(self, rows: Tensor) -> Samples:
        """The samples `rows`."""
        return Samples(self.averages[rows], self.divergence[rows])


def read_samples(data: TrajectorySet, basis: SplineBasis, most: int, seed: int) -> Samples:
    """Read at most `most` samples, drawn evenly from all trajectories, times and cells."""
    averages, divergences = [], []
    for f, v in drawn(data, most, seed):
        average, divergence = basis_averages(f, v, basis, data.dim)
        averages.append(average)
        divergences.append(divergence)
    return Samples(torch.cat(averages), torch.cat(divergences))


def drawn(data: TrajectorySet, most: int, seed: int) -> Iterator[tuple[NDArray[Any], Array]]:
    """Yield f (n, ...) and the nodes v of each trajectory, its share of `most` distributions."""
    each = max(1, most // len(data))
    for index in range(len(data)):
        trajectory = data[index]
        f = np.asarray(trajectory.distribution)
        f = f.reshape(-1, *f.shape[2:])
        rng = np.random.default_rng([seed, index])
        rows = np.sort(rng.choice(len(f), min(each, len(f)), replace=False))
        yield f[rows], np.asarray(trajectory.v)


def basis_averages(
    f: NDArray[Any], v: Array, basis: SplineBasis, dimension: int = 1
) -> tuple[Tensor, Tensor]:
    """Averages of the basis functions over distributions, and their KL (n,).

    Args:
        f: distributions, the first axis being theirs, as a data set of that dimension has them.
        v: nodes of each axis (N,).
        basis: of w(c), or of both functions that w consists of.
        dimension: of the velocities; the averages are (n, basis.size) in one, else twice as wide.
    """
    f = f.astype(np.float64)
    if dimension > 1:
        return reduced_averages(reduce(f, v, dimension), v, basis, dimension, EXTENT, FINER_NODES)
    c, h = trapezoid(EXTENT, NODES)
    g = torch.as_tensor(local_frame(f, v, c.numpy()))
    lost = torch.special.xlogy(g, g) - torch.special.xlogy(g, unit_maxwellian(c))
    return g @ (basis.matrix(c) * h[:, None]), (lost @ h).clamp(min=0.0)


def local_frame(f: Array, v: Array, c: Array) -> Array:
    """g (n, c.size) of distributions f (n, v.size) on the uniform nodes v.

    log f is interpolated by a cubic spline, exact for a Maxwellian however few nodes hold it.
    """
    dv = v[1] - v[0]
    rho = f.sum(1) * dv
    u = (f @ v) * dv / rho
    T = (f @ v**2) * dv / rho - u**2
    nodes = u[:, None] + np.sqrt(T)[:, None] * c
    pieces = CubicSpline(v, np.log(np.maximum(f, SMALLEST)), axis=1).c
    interval = np.clip(((nodes - v[0]) / dv).astype(int), 0, len(v) - 2)
    inside = (nodes >= v[0]) & (nodes <= v[-1])
    t = np.where(inside, nodes - v[interval], 0.0)
    a3, a2, a1, a0 = pieces[:, interval, np.arange(len(f))[:, None]]
    values = np.exp(((a3 * t + a2) * t + a1) * t + a0)
    return np.where(inside, values, 0.0) * (np.sqrt(T) / rho)[:, None]
