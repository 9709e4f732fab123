"""The dual function of maximum entropy for reduced distributions: see `closures.reduced`.

    D(theta) = sum_n [w_n exp(alpha_n) Z(beta_n) + TRACE B(kappa_n/WALL)]
               - theta.mu + gamma/2 |theta|^2,
    log Z = -(d/2) (kappa + log(1 - kappa)),     kappa = beta sqrt(2/d) < 1,

with w_n = Mc(c_n) dc_n and (alpha, beta) = theta.phi. Across the flow the density is Gaussian of
mean <s> = sqrt(d/2) kappa/(1 - kappa) and variance 1/(1 - kappa)^2 of s. D is convex.

Where hardly any mass is left nothing holds kappa, and between two nodes it would pass 1. The
barrier B(x) = -x - log(1 - x) keeps it below WALL at the nodes, as a trace of gas there would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from closures.dual import MAX_EXPONENT

WALL, TRACE = 0.95, 1e-7
"""Largest kappa at a node, at which the gas across the flow is 20 times as hot as the rest; and the
weight of the barrier before it, small beside what 1e-6 of the gas weighs."""


def log_partition(kappa: Tensor, across: int) -> Tensor:
    """log Z; no number where kappa > 1."""
    return -0.5 * across * (torch.log1p(-kappa) + kappa)


@dataclass(frozen=True)
class ReducedDual:
    """D and its derivatives; `density` is (mass, kappa) at the nodes, (M, 2, n).

    Args:
        phi: (a, b) of all functions at the nodes (2, n, P).
        measure: w (n,).
        gamma: regularisation.
        across: d.
    """

    phi: Tensor
    measure: Tensor
    gamma: float = 0.0
    across: int = 1

    @property
    def equilibrium(self) -> tuple[Tensor, Tensor]:
        return self.measure.sum(), torch.stack((self.measure, torch.zeros_like(self.measure)))

    def take(self, rows: Tensor) -> ReducedDual:
        return self

    @cached_property
    def products(self) -> tuple[Tensor, Tensor]:
        """a_i a_j, a_i b_j + b_i a_j and b_i b_j, i <= j, one below the other (3 n, P(P+1)/2), and
        where each (i, j) of P^2 is among them."""
        a, b = self.phi
        P = a.shape[1]
        i, j = torch.triu_indices(P, P, device=a.device)
        place = torch.zeros((P, P), dtype=torch.long, device=a.device)
        place[i, j] = place[j, i] = torch.arange(len(i), device=a.device)
        mixed = a[:, i] * b[:, j] + b[:, i] * a[:, j]
        return torch.cat((a[:, i] * a[:, j], mixed, b[:, i] * b[:, j])), place.flatten()

    def density(self, theta: Tensor) -> Tensor:
        alpha, beta = theta @ self.phi.transpose(1, 2)
        kappa = beta * math.sqrt(2.0 / self.across)
        exponent = (alpha + log_partition(kappa, self.across)).clamp(max=MAX_EXPONENT)
        mass = torch.where(kappa < WALL, torch.exp(exponent) * self.measure, math.inf)
        return torch.stack((mass, kappa), dim=1)

    def value(self, mu: Tensor, theta: Tensor, density: Tensor) -> Tensor:
        x = density[:, 1] / WALL
        barrier = -TRACE * (x + torch.log1p(-x)).sum(1)
        value = density[:, 0].sum(1) + barrier - (theta * mu).sum(1)
        return value + 0.5 * self.gamma * (theta * theta).sum(1)

    def gradient(self, mu: Tensor, theta: Tensor, density: Tensor) -> Tensor:
        mass, kappa = density.unbind(1)
        push = TRACE * math.sqrt(2.0 / self.across) / WALL * (kappa / (WALL - kappa))
        moments = mass @ self.phi[0] + (mass * self._mean(kappa) + push) @ self.phi[1]
        return moments - mu + self.gamma * theta

    def newton_step(self, density: Tensor, gradient: Tensor) -> Tensor:
        mass, kappa = density.unbind(1)
        mean, P = self._mean(kappa), self.phi.shape[2]
        square = mass * (mean**2 + (1.0 - kappa) ** -2)
        square = square + TRACE * (2.0 / self.across) * (WALL - kappa) ** -2
        products, place = self.products
        weights = torch.cat((mass, mass * mean, square), dim=1)
        hessian = (weights @ products)[:, place].view(-1, P, P)
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        # Round-off of the sum, not physics: a density that is all but a delta has a singular H.
        diagonal += self.gamma + 1e-14 * diagonal.amax(1, keepdim=True)
        L, _ = torch.linalg.cholesky_ex(hessian)
        return -torch.cholesky_solve(gradient[:, :, None], L)[:, :, 0]

    def _mean(self, kappa: Tensor) -> Tensor:
        return math.sqrt(0.5 * self.across) * kappa / (1.0 - kappa)
