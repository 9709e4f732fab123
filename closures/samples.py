"""Training samples: distributions of a data set, seen from their own frames.

    g(c) = f(u + sqrt(T) c) sqrt(T)/rho,    c = (v-u)/sqrt(T)

so that g has density 1, velocity 0 and temperature 1. Since w(c) will be splines, all that training
needs of g is its averages of the basis functions, and its distance from equilibrium
KL(g || Mc) = int g log(g/Mc) dc.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from torch import Tensor

from closures.features import trapezoid, unit_maxwellian
from closures.splines import SplineBasis
from kinetic.dataset import TrajectorySet

Array = NDArray[np.float64]

EXTENT, NODES = 12.0, 97
"""g is sampled on |c| <= EXTENT: nothing that a velocity grid holds lies beyond."""

SMALLEST = float(np.finfo(np.float32).tiny)
"""f below this is a zero of the file's float32."""


@dataclass(frozen=True)
class Samples:
    """n samples: averages of the basis functions (n, basis.size) and KL(g || Mc) (n,)."""

    averages: Tensor
    divergence: Tensor

    def __len__(self) -> int:
        return len(self.divergence)

    def take(self, rows: Tensor) -> Samples:
        """The samples `rows`."""
        return Samples(self.averages[rows], self.divergence[rows])


def read_samples(data: TrajectorySet, basis: SplineBasis, most: int, seed: int) -> Samples:
    """Read at most `most` samples, drawn evenly from all trajectories, times and cells."""
    c, h = trapezoid(EXTENT, NODES)
    B = basis.matrix(c) * h[:, None]
    each = max(1, most // len(data))
    averages, divergences = [], []
    for index in range(len(data)):
        trajectory = data[index]
        f = np.asarray(trajectory.distribution, np.float64).reshape(-1, len(trajectory.v))
        rng = np.random.default_rng([seed, index])
        if len(f) > each:
            f = f[np.sort(rng.choice(len(f), each, replace=False))]
        g = torch.as_tensor(local_frame(f, np.asarray(trajectory.v), c.numpy()))
        averages.append(g @ B)
        divergences.append(_divergence(g, c) @ h)
    return Samples(torch.cat(averages), torch.cat(divergences).clamp(min=0.0))


def basis_averages(f: Array, v: Array, basis: SplineBasis) -> Tensor:
    """Averages of the basis functions (n, basis.size) over distributions f (n, v.size)."""
    c, h = trapezoid(EXTENT, NODES)
    return torch.as_tensor(local_frame(f, v, c.numpy())) @ (basis.matrix(c) * h[:, None])


def _divergence(g: Tensor, c: Tensor) -> Tensor:
    """g log(g/Mc) at the nodes."""
    return torch.special.xlogy(g, g) - torch.special.xlogy(g, unit_maxwellian(c))


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
