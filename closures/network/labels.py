"""Samples of a data set in the coordinates of a frame, and the labels of the flux networks.

A sample is a distribution f of one cell at one time, per mass; in the Galilean frame in its own
coordinates c = (v-u)/sqrt T, with the frame (u_j, T_j) of a neighbour, as the finite volumes will
ask for it. Labels are integrals over f with the Maxwellian's subtracted under the integral,

    q/rho = int (v-u)^3 (f-M)/2 dv / rho,   A = int w(c_j) (f-M) dv / rho,
    sqrt(T) B = int (v-u) w(c_j) (f-M) dv / rho,

by the trapezoid rule; also sqrt(T) B in the gas's own frame, from which its change is learned.
With D > 1 f is its g and the average of s (`closures.network.moments`), and there is the stress

    sigma/rho = int (v_1-u)^2 (f-M) dv / rho.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from closures.features import trapezoid
from closures.network.moments import EXTENT, NODES, seen_from
from closures.reduced_samples import reduce, reduced_frame
from closures.samples import local_frame
from kinetic.dataset import Trajectory, TrajectorySet

Array = NDArray[np.float64]

NEIGHBOURS = 2
"""Frames are those of cells at most so far away."""


@dataclass(frozen=True)
class Samples:
    """n samples at nodes c (n',) a distance h apart.

    Attributes:
        f: distributions per mass, (n, n'), or (n, 2 n') with D > 1.
        u, T: velocity and temperature in the coordinates c, (n,); 0 and 1 in the Galilean frame.
        shift, width: (u-u_j)/sqrt(T_j) and sqrt(T/T_j) of a neighbour's frame, (n,); of the fixed
            frame u and sqrt T.
        knudsen: eps, (n,).
    """

    c: Tensor
    f: Tensor
    u: Tensor
    T: Tensor
    shift: Tensor
    width: Tensor
    knudsen: Tensor

    def __len__(self) -> int:
        return len(self.f)

    @property
    def h(self) -> float:
        """Distance of the nodes."""
        return float(self.c[1] - self.c[0])

    def take(self, rows: Tensor) -> Samples:
        """The samples `rows`."""
        own = (getattr(self, item.name)[rows] for item in fields(self) if item.name != "c")
        return Samples(self.c, *own)

    @property
    def maxwellian(self) -> Tensor:
        """M of the same mass, u and T at the nodes, of the shape of f."""
        width = self.T.sqrt()[:, None]
        c = (self.c - self.u[:, None]) / width
        M = torch.exp(-0.5 * c * c) / (math.sqrt(2 * math.pi) * width)
        return nn.functional.pad(M, (0, self.f.shape[1] - len(self.c)))


@dataclass(frozen=True)
class Labels:
    """q/rho and sigma/rho (n,); sqrt(T) B in the gas's own frame, A and sqrt(T) B in a neighbour's,
    (n, K)."""

    heat: Tensor
    stress: Tensor
    own: Tensor
    A: Tensor
    B: Tensor

    def take(self, rows: Tensor) -> Labels:
        """The labels `rows`."""
        return Labels(*(value[rows] for value in vars(self).values()))


def label(
    samples: Samples, w: Callable[[Tensor], Tensor], fixed: bool, dimension: int = 1
) -> Labels:
    """The labels of `samples` for the functions w."""
    excess = (samples.f - samples.maxwellian) * samples.h
    c = samples.c - samples.u[:, None]
    heat, stress = own_fluxes(excess, c, dimension)
    values = w(samples.c)
    c = c.repeat(1, min(dimension, 2))
    own = (excess * c) @ values
    if fixed:
        return Labels(heat, stress, own, excess @ values, own)
    values = w(samples.shift[:, None] + samples.width[:, None] * samples.c)
    excess = seen_from(excess, samples.width, dimension)
    A = torch.einsum("nv,nvk->nk", excess, values)
    return Labels(heat, stress, own, A, torch.einsum("nv,nvk->nk", excess * c, values))


def own_fluxes(excess: Tensor, c: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """q/rho and sigma/rho (n,) of masses f - M at velocities c = v - u (n, n')."""
    if dimension == 1:
        return 0.5 * (excess * c**3).sum(1), torch.zeros_like(c[:, 0])
    (g, s), d = excess.chunk(2, dim=1), dimension - 1
    across = d * g + math.sqrt(2.0 * d) * s
    return 0.5 * (g * c**3 + across * c).sum(1), (g * c**2).sum(1)


def read_samples(data: TrajectorySet, fixed: bool, most: int, seed: int) -> Samples:
    """Read at most `most` samples, drawn evenly from all trajectories, times and cells."""
    each = max(1, most // len(data))
    parts = [
        _sample(data[index], fixed, each, np.random.default_rng([seed, index]))
        for index in range(len(data))
    ]
    whole = (
        torch.cat([getattr(part, item.name) for part in parts]) for item in fields(Samples)[1:]
    )
    return Samples(parts[0].c, *whole)


def _sample(data: Trajectory, fixed: bool, count: int, rng: np.random.Generator) -> Samples:
    v = np.asarray(data.v)
    times, cells = data.distribution.shape[:2]
    rows = np.sort(rng.choice(times * cells, min(count, times * cells), replace=False))
    time, cell = rows // cells, rows % cells
    f = np.asarray(data.distribution[time, cell], np.float64)
    _, u, T = _moments(f, v, data.dim)
    c, values = per_mass(f, v, fixed, data.dim)
    if fixed:
        own = (u, T, u, np.sqrt(T))
    else:
        offset = rng.integers(-NEIGHBOURS, NEIGHBOURS + 1, len(rows))
        near = np.asarray(data.distribution[time, (cell + offset) % cells], np.float64)
        _, u_near, T_near = _moments(near, v, data.dim)
        shift, width = (u - u_near) / np.sqrt(T_near), np.sqrt(T / T_near)
        own = (np.zeros_like(u), np.ones_like(T), shift, width)
    eps = np.asarray(data.knudsen, np.float64)[cell]
    return Samples(*map(torch.as_tensor, (c, values, *own, eps)))


def per_mass(f: Array, v: Array, fixed: bool, dimension: int = 1) -> tuple[Array, Array]:
    """Nodes c (n',) and distributions per mass there, as `Samples` has them.

    Args:
        f: distributions (n, ...) as a data set of that dimension has them.
        v: nodes of each axis.
        fixed: in the fixed frame, D = 1 only.
        dimension: D.
    """
    if fixed:
        return v, f / _moments(f, v, dimension)[0][:, None]
    c = trapezoid(EXTENT, NODES)[0].numpy()
    if dimension == 1:
        return c, local_frame(f, v, c)
    g, tau = reduced_frame(reduce(f, v, dimension), v, c, dimension)
    return c, np.concatenate((g, math.sqrt(0.5 * (dimension - 1)) * g * (tau - 1.0)), axis=1)


def _moments(f: Array, v: Array, dimension: int) -> tuple[Array, Array, Array]:
    """rho, u, T of distributions (n, ...)."""
    dv = v[1] - v[0]
    g, *h = f[None] if dimension == 1 else reduce(f, v, dimension)
    rho = g.sum(1) * dv
    u = (g @ v) * dv / rho
    square = g @ v**2 + sum(one.sum(1) for one in h)
    return rho, u, (square * dv / rho - u**2) / dimension
