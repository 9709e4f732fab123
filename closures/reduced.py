"""The closure where velocities have two or three dimensions, by the reduced distributions of f.

In flow along x, f depends on v_1 and |v_perp|, and transport, collisions of BGK type and the
moments carried see of it (Chu, Phys. Fluids 8 (1965) 12)

    g(v_1) = int f dv_perp,     h(v_1) = int |v_perp|^2 f dv_perp        (dimensionless).

Moments are averages of functions w(c) = a(c_1) + b(c_1) s with s = (|c_perp|^2 - d)/sqrt(2 d),
d = D - 1, which has mean 0 and variance 1 under the unit Maxwellian; the energy is one of them. Of
all densities with given moments

    f_hat = rho T^(-D/2) Mc(c) exp(alpha(c_1) + beta(c_1) s),    (alpha, beta) = theta.phi,

has the largest entropy. It is Gaussian across the flow, with a temperature T/(1 - kappa) that
depends on c_1, kappa = beta sqrt(2/d), so its g and h are known:

    g = rho T^(-1/2) Mc(c_1) exp(alpha) Z,    Z = exp(-kappa d/2) (1 - kappa)^(-d/2),
    h = g T d/(1 - kappa),

and a solution costs what it costs in one dimension, twice. Grad's method has 1 + alpha + beta s
in place of the exponential.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Protocol

import torch
from torch import Tensor

from closures.closure import Frame, OnNodes
from closures.dissipation import Dissipation
from closures.dual import DualSolver
from closures.features import EXTENT, INVARIANTS, NODES, spline_rule
from closures.reduced_dual import ReducedDual, log_partition
from closures.reduced_features import ReducedSplineFeatures
from closures.response import Response

HOTTEST = 0.99
"""Largest kappa of f_hat between nodes."""


class ReducedFeatures(Protocol):
    """K functions w = a + b s, as pairs (a, b) stacked in front."""

    @property
    def parity(self) -> Tensor:
        """+1 (even in c_1) or -1 (odd) for each function, (K,)."""

    def to(self, device: torch.device) -> ReducedFeatures:
        """The same on `device`."""
        ...

    def matrix(self, c: Tensor) -> Tensor:
        """a_k(c_n) and b_k(c_n) at nodes (n,): (2, n, K)."""

    def integrate(self, c: Tensor, g: Tensor) -> Tensor:
        """sum_n g_n a_k(c_n) + s_n b_k(c_n) of nodes (M, n) and masses (g, s) (2, M, n): (M, K)."""

    def combine(self, theta: Tensor) -> Tensor:
        """sum_k theta_k w_k of coefficients (M, K), in whatever form `evaluate` reads."""

    def evaluate(self, combined: Tensor, c: Tensor) -> Tensor:
        """alpha and beta of what `combine` returns, at nodes (M, n): (2, M, n)."""


def reduced_invariants(c: Tensor, dimension: int) -> Tensor:
    """(a, b) of 1, c_1 and (|c|^2 - D)/sqrt(2 D) at nodes of any shape: (2, ..., 3)."""
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    share = 1.0 / math.sqrt(dimension)
    along = torch.stack((one, c, (c * c - 1.0) * (share * math.sqrt(0.5))), dim=-1)
    across = torch.stack((zero, zero, one * (share * math.sqrt(dimension - 1.0))), dim=-1)
    return torch.stack((along, across))


@dataclass(frozen=True)
class ReducedDecoded:
    """(g, h) of f_hat as functions of v."""

    closure: ReducedClosure
    frame: Frame
    invariant: Tensor
    combined: Tensor

    def take(self, rows: Tensor) -> ReducedDecoded:
        """f_hat of the cells `rows`."""
        combined = self.combined[:, rows]
        return ReducedDecoded(self.closure, self.frame.take(rows), self.invariant[rows], combined)

    def __call__(self, v: Tensor) -> Tensor:
        """g and h at velocities v (M, n) along x: (2, M, n)."""
        inside, c, s = self._exponents(v)
        scale = self.frame.rho / self.frame.T.sqrt() / math.sqrt(2 * math.pi)
        f = self.closure.weighted(-0.5 * c * c, s, self.frame.T) * scale[:, None]
        return torch.where(inside, f, 0.0)

    def plane(self, v: Tensor) -> Tensor:
        """f_hat of D = 2 at the nodes v (M, n) of both axes, v_1 first: (M, n, n)."""
        inside, c, s = self._exponents(v)
        alpha, beta = s[..., None]
        squared = (v * v / self.frame.T[:, None])[:, None]
        gaussian = -0.5 * (c[..., None] ** 2 + squared)
        across = (squared - 1.0) * math.sqrt(0.5)
        if self.closure.dual is None:
            f = torch.exp(gaussian) * (1.0 + alpha + beta * across)
        else:
            hottest = HOTTEST * math.sqrt(0.5)
            f = torch.exp(gaussian + alpha + beta.clamp(max=hottest) * across)
        scale = self.frame.rho / (2 * math.pi * self.frame.T)
        return torch.where(inside[..., None], scale[:, None, None] * f, 0.0)

    def _exponents(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where v (M, n) is in the support of f_hat, c_1 there, and alpha and beta (2, M, n)."""
        L, closure = self.closure.extent, self.closure
        scaled = self.frame.scaled(v)
        # Far outside the exponential overflows, and zero times its derivative would be no number.
        c = scaled.clamp(-L, L)
        phi = reduced_invariants(c, closure.dimension)
        s = (phi * self.invariant[:, None, :]).sum(-1) + closure.features.evaluate(self.combined, c)
        return scaled.abs() <= L, c, s


@dataclass(frozen=True)
class ReducedClosure(OnNodes):
    """A closure of the reduced distributions; see `closures.closure.Closure` for its members.

    Args:
        name: what it is called.
        dimension: D, 2 or 3.
        features: w.
        dual: the solver of the maximum-entropy problem; None for Grad's method.
        extent: L, where f_hat ends along x.
        nodes: number of quadrature nodes on [-L, L].
        conductivity: whether heat is conducted and momentum diffused as well (Navier-Stokes).
        dissipation: learned damping and diffusion of the moments.
        response: what collisions do to the moments; None for those of BGK.
        device: where the tensors are.
        slower: how much slower than by nu/eps stress and heat flux relax, for Navier-Stokes.
    """

    name: str
    dimension: int
    features: ReducedFeatures
    dual: DualSolver | None
    extent: float = EXTENT
    nodes: int = NODES
    conductivity: bool = False
    dissipation: Dissipation | None = None
    response: Response | None = None
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    slower: tuple[float, float] = (1.0, 1.0)

    def to(self, device: torch.device) -> ReducedClosure:
        if device == self.device:
            return self
        dissipation = self.dissipation and copy.deepcopy(self.dissipation).to(device)
        response = self.response and self.response.to(device)
        return replace(
            self,
            features=self.features.to(device),
            dissipation=dissipation,
            response=response,
            device=device,
        )

    @cached_property
    def measure(self) -> Tensor:
        """Mc(c_1) dc_1 at the nodes (n,), of a rule that is exact for w if they are splines."""
        if not isinstance(self.features, ReducedSplineFeatures):
            return super().measure
        return spline_rule(self.features.basis, self.nodes)[1].to(self.device)

    @property
    def moments(self) -> int:
        return int(self.features.parity.numel())

    @property
    def across(self) -> int:
        """d = D - 1, the number of dimensions across the flow."""
        return self.dimension - 1

    @cached_property
    def phi(self) -> Tensor:
        """(a, b) of the invariants and of w at the nodes: (2, n, 3+K)."""
        invariants = reduced_invariants(self.c, self.dimension)
        return torch.cat((invariants, self.features.matrix(self.c)), dim=-1)

    def weighted(self, log_measure: Tensor, s: Tensor, T: Tensor) -> Tensor:
        """g and h of exp(log_measure) times the decoder at (alpha, beta) = s (2, M, n)."""
        alpha, beta = s
        d, width = self.across, T[:, None]
        if self.dual is None:
            measure = torch.exp(log_measure)
            g = measure * (1.0 + alpha)
            return torch.stack((g, width * (d * g + math.sqrt(2 * d) * measure * beta)))
        # Nodes are below WALL; between them splines may overshoot where there is hardly any gas.
        kappa = (beta * math.sqrt(2.0 / d)).clamp(max=HOTTEST)
        g = torch.exp(log_measure + alpha + log_partition(kappa, d))
        return torch.stack((g, g * (width * d / (1.0 - kappa))))

    def decode(
        self, m: Tensor, knudsen: Tensor, start: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The coefficients of phi; those of the invariants are zero in Grad's method."""
        zeros = m.new_zeros((m.shape[0], INVARIANTS))
        if self.dual is None:
            return torch.cat((zeros, m), dim=1), torch.isfinite(m).all(1)
        mu = torch.cat((torch.ones_like(zeros[:, :1]), zeros[:, 1:], m), dim=1)
        begin = torch.zeros_like(mu) if start is None else start
        make = partial(ReducedDual, gamma=self.dual.regularization, across=self.across)
        return self.dual.minimise(make, (self.phi, self.measure), mu, begin)

    def distribution(self, frame: Frame, theta: Tensor) -> ReducedDecoded:
        combined = self.features.combine(theta[:, INVARIANTS:])
        return ReducedDecoded(self, frame, theta[:, :INVARIANTS], combined)

    def particles(self, frame: Frame, theta: Tensor) -> tuple[Tensor, Tensor]:
        s = (theta @ self.phi.transpose(1, 2)).unbind(0)
        masses = self.weighted(torch.log(self.measure), torch.stack(s), frame.T)
        v = frame.u[:, None] + frame.T.sqrt()[:, None] * self.c
        return v, frame.rho[:, None] * masses

    def encode(self, frame: Frame, v: Tensor, g: Tensor) -> Tensor:
        """m = sum_n (g_n a(c_n) + s_n b(c_n))/rho, s_n = (h_n/T - d g_n)/sqrt(2 d)."""
        d = self.across
        s = (g[1] / frame.T[:, None] - d * g[0]) / math.sqrt(2 * d)
        masses = torch.stack((g[0], s))
        return self.features.integrate(frame.scaled(v), masses) / frame.rho[:, None]
