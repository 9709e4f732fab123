"""What a closure is: the small protocol the finite-volume solver talks to, and its kinetic form.

A state is one row per cell: U = (rho, rho u, E) and the normalised moments m = <w(c)> in the cell's own
frame (u, T), c = (v-u)/sqrt(T). A closure decodes them to coefficients theta and with them to a distribution

    f_hat(v) = rho T^(-1/2) Mc(c) r(theta.phi(c)) for |c| <= L, else 0,   phi = (1, c, (c^2-1)/sqrt 2, w)

with r(s) = exp(s) for maximum entropy and r(s) = 1 + s for Grad's method. Everything is dimensionless, D = 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from closures.dual import DualSolver
from closures.features import INVARIANTS, Features, invariants, trapezoid, unit_maxwellian


@dataclass(frozen=True)
class Frame:
    """rho, u, T of cells, each (M,)."""

    rho: Tensor
    u: Tensor
    T: Tensor

    @classmethod
    def of(cls, U: Tensor) -> Frame:
        """From conserved variables (M, 3)."""
        rho, u = U[:, 0], U[:, 1] / U[:, 0]
        return cls(rho, u, 2.0 * U[:, 2] / rho - u * u)

    def take(self, rows: Tensor) -> Frame:
        """The frames of the cells `rows`."""
        return Frame(self.rho[rows], self.u[rows], self.T[rows])

    def scaled(self, v: Tensor) -> Tensor:
        """c = (v-u)/sqrt(T) of velocities (M, n)."""
        return (v - self.u[:, None]) / self.T.sqrt()[:, None]


@dataclass(frozen=True)
class Distribution:
    """f_hat of M cells as a function of v."""

    closure: MomentClosure
    frame: Frame
    invariant: Tensor
    combined: Tensor

    def take(self, rows: Tensor) -> Distribution:
        """f_hat of the cells `rows`."""
        return Distribution(
            self.closure, self.frame.take(rows), self.invariant[rows], self.combined[rows]
        )

    def __call__(self, v: Tensor) -> Tensor:
        """f_hat at velocities v (M, n)."""
        c = self.frame.scaled(v)
        a = self.invariant[:, :, None]
        s = a[:, 0] + a[:, 1] * c + a[:, 2] * ((c * c - 1.0) * math.sqrt(0.5))
        s = s + self.closure.features.evaluate(self.combined, c)
        scale = self.frame.rho / self.frame.T.sqrt() / math.sqrt(2 * math.pi)
        f = scale[:, None] * self.closure.weighted(-0.5 * c * c, s)
        return torch.where(c.abs() <= self.closure.extent, f, 0.0)


@dataclass(frozen=True)
class MomentClosure:
    """A closure made of features w and a decoder r; extent L, and the number of nodes on [-L, L].

    conductivity: whether heat is conducted as well, by Chapman and Enskog's law (Navier-Stokes).
    """

    name: str
    features: Features
    dual: DualSolver | None
    extent: float = 6.0
    nodes: int = 49
    conductivity: bool = False

    @property
    def moments(self) -> int:
        return int(self.features.parity.numel())

    @cached_property
    def c(self) -> Tensor:
        """Quadrature nodes (n,)."""
        return trapezoid(self.extent, self.nodes)[0]

    @cached_property
    def measure(self) -> Tensor:
        """Mc(c) dc at the nodes (n,)."""
        c, h = trapezoid(self.extent, self.nodes)
        return unit_maxwellian(c) * h

    @cached_property
    def phi(self) -> Tensor:
        """(1, c, (c^2-1)/sqrt 2, w(c)) at the nodes: (n, 3+K)."""
        return torch.cat((invariants(self.c), self.features.matrix(self.c)), dim=1)

    def weighted(self, log_measure: Tensor, s: Tensor) -> Tensor:
        """exp(log_measure) r(s)."""
        if self.dual is None:
            return torch.exp(log_measure) * (1.0 + s)
        return torch.exp(log_measure + s)

    def decode(self, m: Tensor, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
        zeros = m.new_zeros((m.shape[0], INVARIANTS))
        mu = torch.cat((zeros, m), dim=1)
        if self.dual is None:
            return mu, torch.isfinite(m).all(1)
        mu[:, 0] = 1.0
        begin = torch.zeros_like(mu) if start is None else start
        return self.dual.solve(self.phi, self.measure, mu, begin)

    def distribution(self, frame: Frame, theta: Tensor) -> Distribution:
        combined = self.features.combine(theta[:, INVARIANTS:])
        return Distribution(self, frame, theta[:, :INVARIANTS], combined)

    def particles(self, frame: Frame, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes v and masses f_hat dv of whole cells, (M, n) each."""
        s = theta @ self.phi.T
        ratio = 1.0 + s if self.dual is None else torch.exp(s)
        v = frame.u[:, None] + frame.T.sqrt()[:, None] * self.c
        return v, frame.rho[:, None] * self.measure * ratio

    def encode(self, frame: Frame, v: Tensor, g: Tensor) -> Tensor:
        """m = sum_n g_n w(c_n)/rho of velocities v with masses g (M, n), in `frame`."""
        return self.features.integrate(frame.scaled(v), g) / frame.rho[:, None]
