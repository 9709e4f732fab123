"""Training samples where velocities have two or three dimensions: see `closures.samples`.

All that closures see of f are its reduced distributions (`closures.reduced`); of all densities with
the same g and h the one that is Gaussian across the flow is the nearest to the Maxwellian,

    KL = int g [log(g/Mc) + d/2 (tau - 1 - log tau)] dc_1,    tau = h/(d g T).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from torch import Tensor

from closures.features import trapezoid, unit_maxwellian
from closures.splines import SplineBasis

Array = NDArray[np.float64]

SMALLEST = 1e-9
"""Of the largest g: below it the round-off of files, and of operators that do not keep f positive,
is all there is."""


def reduce(f: Array, v: Array, dimension: int) -> Array:
    """g and h (2, n, N) of distributions on the nodes v (N,) of each axis.

    In two dimensions f is (n, N, N), v_1 first; in three g and h stand on its last axis (n, N, 2).
    """
    if dimension == 3:
        return np.moveaxis(f, -1, 0)
    dv = v[1] - v[0]
    return np.stack((f.sum(-1) * dv, (f @ v**2) * dv))


def reduced_averages(
    gh: Array, v: Array, basis: SplineBasis, dimension: int, extent: float, nodes: int
) -> tuple[Tensor, Tensor]:
    """Averages of the basis functions, those with s below (n, 2 basis.size), and KL (n,)."""
    c, weight = trapezoid(extent, nodes)
    d = dimension - 1
    g, tau = (torch.as_tensor(one) for one in reduced_frame(gh, v, c.numpy(), dimension))
    B = basis.matrix(c) * weight[:, None]
    s = g * (tau - 1.0) * math.sqrt(0.5 * d)
    lost = torch.special.xlogy(g, g) - torch.special.xlogy(g, unit_maxwellian(c))
    lost = lost + g * (0.5 * d) * (tau - 1.0 - tau.log())
    return torch.cat((g @ B, s @ B), dim=1), (lost @ weight).clamp(min=0.0)


def reduced_frame(gh: Array, v: Array, c: Array, dimension: int) -> tuple[Array, Array]:
    """g in its own units and tau = h/(d g T) at the nodes c: (n, c.size) each.

    The logarithms of g and h are interpolated by cubic splines, exact for a Maxwellian.
    """
    dv, (g, h) = v[1] - v[0], gh
    d = dimension - 1
    rho = g.sum(1) * dv
    u = (g @ v) * dv / rho
    T = (((g @ v**2) + h.sum(1)) * dv / rho - u**2) / dimension
    floor = SMALLEST * g.max(1, keepdims=True)
    tail = (g <= floor) | (h <= floor)
    # Where nothing is left the gas is taken to be isotropic.
    logs = np.log(np.where(tail, floor, g)), np.log(np.where(tail, d * T[:, None] * floor, h))
    nodes = u[:, None] + np.sqrt(T)[:, None] * c
    interval = np.clip(((nodes - v[0]) / dv).astype(int), 0, len(v) - 2)
    inside = (nodes >= v[0]) & (nodes <= v[-1])
    t = np.where(inside, nodes - v[interval], 0.0)
    values = []
    for log in logs:
        a3, a2, a1, a0 = CubicSpline(v, log, axis=1).c[:, interval, np.arange(len(g))[:, None]]
        values.append(np.exp(((a3 * t + a2) * t + a1) * t + a0))
    there = np.where(inside, values[0], 0.0) * (np.sqrt(T) / rho)[:, None]
    tau = np.where(inside, values[1] / values[0] / (d * T[:, None]), 1.0)
    return there, tau
