"""What the collision operator does to moments near equilibrium, and to distributions of data.

    R_k = int w_k(c) Q(f) dv / rho^2,    c = (v-u)/sqrt(T)        (Maxwell molecules, dimensionless)

Near equilibrium, f = M (1 + m.w), it is R = -Lambda m with Lambda of `linear_response`. That of
collisions of relaxation type is known: `relaxation_response`.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from closures.closure import MomentClosure
from closures.encoder import hermite_features
from closures.reduced import ReducedClosure
from closures.reduced_samples import reduce
from kinetic.boltzmann import BoltzmannOperator, boltzmann_operator
from kinetic.dataset import TrajectorySet

Array = NDArray[np.float64]

STEP = 1e-2
"""m of the differences of `linear_response`, of which they do not depend."""

HELD = 0.5
"""Part of stress or heat flux that w must hold for it to relax at a rate of its own."""

FINER = 4
"""Q is interpolated to nodes so many times as dense, as those of f do not resolve w."""


def operator_of(data: TrajectorySet) -> BoltzmannOperator:
    """The collision operator of a data set of D = 2."""
    v = np.asarray(data[0].v)
    return boltzmann_operator(len(v), float(-v[0]), data.configuration["collision"]["angles"])


class Integrable(Protocol):
    """What the linear response needs of `closures.reduced.ReducedFeatures`."""

    def matrix(self, c: Tensor) -> Tensor: ...
    def integrate(self, c: Tensor, g: Tensor) -> Tensor: ...


def linear_response(features: Integrable, operator: BoltzmannOperator) -> Tensor:
    """Lambda_kl = -d R_k/d m_l at equilibrium, symmetric, of moments of D = 2: (K, K).

    By central differences of Q(M (1 + m.w)), M the unit Maxwellian: exact, as Q is quadratic.
    """
    v = operator.velocities[0][:, 0]
    a, b = features.matrix(torch.as_tensor(v)).detach().numpy()
    s = (v**2 - 1.0) / math.sqrt(2.0)
    w = a[:, None] + b[:, None] * s[:, None]
    M = np.exp(-0.5 * (v[:, None] ** 2 + v**2)) / (2 * math.pi)
    up, down = (np.moveaxis(M[..., None] * (1.0 + step * w), -1, 0) for step in (STEP, -STEP))
    Q = (operator(up) - operator(down)) / (2.0 * STEP)
    gh = reduce(np.repeat(M[None], len(Q), axis=0), v, 2)
    A = -features.integrate(*in_frame(reduce(Q, v, 2), gh, v, 2)).detach()
    return 0.5 * (A + A.T)


def relaxation_response(
    closure: MomentClosure | ReducedClosure, rates: tuple[float, float, float]
) -> Tensor:
    """Lambda (K, K) of collisions that relax stress and heat flux at rates of their own.

        Lambda = r I + (r_s - r) p p^T + (r_q - r) q q^T

    Near equilibrium the target of `kinetic.collisions` has a share of what f has of the polynomials
    of stress (D > 1) and heat flux, and nothing of others. p and q are the projections of these on
    w, as unit vectors: what f_hat has of either decays exactly at its rate, and what conducts heat
    falls short by as much as with the collisions of BGK.

    Args:
        closure: that has the moments w.
        rates: of collisions, r, stress and heat flux, over nu.
    """
    others, shear, heat = rates
    own = (heat,) if closure.dimension == 1 else (shear, heat)
    polynomials = hermite_features(len(own), closure.dimension).matrix(closure.c)
    overlap = closure.features.matrix(closure.c).mT @ (closure.measure[:, None] * polynomials)
    overlap = overlap if closure.dimension == 1 else overlap.sum(0)
    A = others * torch.eye(closure.moments).double()
    for rate, p in zip(own, overlap.T, strict=True):
        if p.norm() > HELD:
            A += (rate - others) / (p @ p) * torch.outer(p, p)
    return A


def in_frame(q: Array, gh: Array, v: Array, dimension: int) -> tuple[Tensor, Tensor]:
    """Velocities c (n, N') in the frame of a gas and masses of Q, its sum and that of s (2, n, N').

    Args:
        q: reduced parts of Q (2, n, N) at the nodes v.
        gh: those of the gas.
        v, dimension: of the velocities.
    """
    dv, (g, h), d = v[1] - v[0], gh, dimension - 1
    rho = g.sum(1) * dv
    u = (g @ v) * dv / rho
    T = ((g @ v**2 + h.sum(1)) * dv / rho - u**2) / dimension
    fine, finer = _interpolated(q, v)
    c = torch.as_tensor((finer - u[:, None]) / np.sqrt(T)[:, None])
    weight = (dv / FINER) / rho[:, None] ** 2
    along = torch.as_tensor(fine[0] * weight)
    across = torch.as_tensor(fine[1] * weight / T[:, None])
    s = (across - d * along) / math.sqrt(2 * d)
    return c, torch.stack((along, s))


def _interpolated(q: Array, v: Array) -> tuple[Array, Array]:
    """q (2, n, N), which is periodic, on FINER N nodes, and these."""
    N = len(v)
    modes = np.fft.rfft(q, axis=-1)
    modes[..., N // 2] *= 0.5
    fine = np.fft.irfft(modes, FINER * N, axis=-1) * FINER
    return fine, v[0] + (v[1] - v[0]) / FINER * np.arange(FINER * N)
