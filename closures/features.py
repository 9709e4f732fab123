"""Functions w(c) of the scaled peculiar velocity c = (v-u)/sqrt(T): their averages are carried.

    W = int f w(c) dv = rho m,      m = <w>,      <.> the average over f/rho        (dimensionless)

All are orthonormal to each other and to 1, c, c^2 under the unit Maxwellian
Mc(c) = exp(-c^2/2)/sqrt(2 pi), learned ones on the nodes of their decoder, so m = 0 in equilibrium,
and each has a parity under c -> -c, so a reflected gas has reflected moments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from closures.splines import SplineBasis

EXTENT, NODES = 6.0, 49
"""Where a decoded f_hat ends, and the nodes of the trapezoid rule there that resolve it."""

REDUCED_NODES = 47
"""Those of learned functions in more dimensions than one. Half of them fill three registers of
eight numbers; with 31 errors are the same, but 3 of 100 rough gases are lost."""

FEW = 9
"""So many moments or less do with fewer nodes between cells and longer steps."""

GAUSS = 12
"""Nodes of the Gauss rule on a knot interval with which splines times Mc are integrated."""

INVARIANTS = 3
"""1, c and (c^2-1)/sqrt(2): the orthonormal collision invariants in D = 1."""


def unit_maxwellian(c: Tensor) -> Tensor:
    """Mc(c) = exp(-c^2/2)/sqrt(2 pi)."""
    return torch.exp(-0.5 * c * c) / math.sqrt(2 * math.pi)


def invariants(c: Tensor) -> Tensor:
    """(1, c, (c^2-1)/sqrt 2) at nodes of any shape: (..., 3)."""
    return torch.stack((torch.ones_like(c), c, (c * c - 1.0) * math.sqrt(0.5)), dim=-1)


def trapezoid(extent: float, points: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of the trapezoid rule on [-extent, extent], float64.

    For a Gaussian times a smooth function its error falls faster than any power of the spacing
    (Trefethen and Weideman, SIAM Review 56 (2014) 385).
    """
    c = torch.linspace(-extent, extent, points, dtype=torch.float64, device="cpu")
    return c, torch.full_like(c, 2 * extent / (points - 1))


def decoder_rule(basis: SplineBasis, dimension: int) -> tuple[Tensor, Tensor]:
    """Nodes of the decoder of learned functions, and weights for integrals over Mc dc, (n,)."""
    if dimension > 1:
        return spline_rule(basis, REDUCED_NODES)
    c, h = trapezoid(EXTENT, NODES)
    return c, unit_maxwellian(c) * h


def spline_rule(basis: SplineBasis, nodes: int) -> tuple[Tensor, Tensor]:
    """Nodes of the trapezoid rule where `basis` lives, and weights for integrals over Mc dc.

    The weights W are those that integrate every spline of the basis exactly and are closest to the
    trapezoid rule's W_0: sum_n (W - W_0)^2/W_0 is the least. A Maxwellian has no moments then,
    where the trapezoid rule's error at the knots would give it some of 1e-4.
    """
    c, h = trapezoid(basis.extent, nodes)
    first, B = unit_maxwellian(c) * h, basis.matrix(c)
    missing = (_maxwellian_integrals(basis) - B.T @ first)[:, None]
    change = torch.linalg.lstsq(B.T * first.sqrt(), missing, driver="gels").solution[:, 0]
    weights = first + first.sqrt() * change
    return c, 0.5 * (weights + weights.flip(0))


def _maxwellian_integrals(basis: SplineBasis) -> Tensor:
    """int B_b Mc dc of all splines (size,), by a Gauss rule in each knot interval; flat tails."""
    x, weights = (torch.from_numpy(one) for one in np.polynomial.legendre.leggauss(GAUSS))
    half = 0.5 / basis.density
    middles = half * (2 * torch.arange(basis.intervals) + 1) - basis.extent
    c = (middles[:, None] + half * x).flatten()
    inside = basis.matrix(c).T @ (unit_maxwellian(c) * half * weights.repeat(basis.intervals))
    ends = torch.tensor([-basis.extent, basis.extent], dtype=torch.float64)
    return inside + 0.5 * math.erfc(basis.extent / math.sqrt(2.0)) * basis.matrix(ends).sum(0)


class Features(Protocol):
    """K functions w(c), in the two forms that the solver needs: integrated and combined."""

    @property
    def parity(self) -> Tensor:
        """+1 (even) or -1 (odd) for each function, (K,)."""

    def matrix(self, c: Tensor) -> Tensor:
        """w_k(c_n) at nodes (n,): (n, K)."""

    def derivative(self, c: Tensor) -> Tensor:
        """w_k'(c_n) at nodes (n,): (n, K)."""

    def integrate(self, c: Tensor, g: Tensor) -> Tensor:
        """sum_n g_n w_k(c_n): from nodes and masses (M, n) to (M, K)."""

    def combine(self, a: Tensor) -> Tensor:
        """sum_k a_k w_k of coefficients (M, K), in whatever form `evaluate` reads: (M, J)."""

    def evaluate(self, combined: Tensor, c: Tensor) -> Tensor:
        """Values of combined functions (M, J) at nodes (M, n)."""

    def to(self, device: torch.device) -> Features:
        """The same functions with their tensors on `device`."""


@dataclass(frozen=True)
class HermiteFeatures:
    """w_k = He_n / sqrt(n!), n = 3 .. 2+K: the moments of Grad's method (not bounded).

    He are the probabilists' Hermite polynomials (Grad, Comm. Pure Appl. Math. 2 (1949) 331).
    """

    count: int

    def to(self, device: torch.device) -> HermiteFeatures:
        return self

    @property
    def parity(self) -> Tensor:
        degrees = torch.arange(INVARIANTS, INVARIANTS + self.count)
        return 1.0 - 2.0 * (degrees % 2).double()

    def matrix(self, c: Tensor) -> Tensor:
        return torch.stack([*self._polynomials(c), c], dim=-1)[..., :-1]

    def derivative(self, c: Tensor) -> Tensor:
        """By He_n' = n He_(n-1)."""
        lower = torch.cat((invariants(c)[:, -1:], self.matrix(c)), dim=1)[:, : self.count]
        return lower * torch.arange(INVARIANTS, INVARIANTS + self.count).to(c).sqrt()

    def integrate(self, c: Tensor, g: Tensor) -> Tensor:
        sums = [(g * h).sum(1) for h in self._polynomials(c)]
        return torch.stack(sums, dim=1) if sums else g.new_zeros((g.shape[0], 0))

    def combine(self, a: Tensor) -> Tensor:
        return a

    def evaluate(self, combined: Tensor, c: Tensor) -> Tensor:
        out = torch.zeros_like(c)
        for k, h in enumerate(self._polynomials(c)):
            out = out + combined[:, k : k + 1] * h
        return out

    def _polynomials(self, c: Tensor) -> list[Tensor]:
        """h_n = He_n/sqrt(n!) by h_{n+1} = (c h_n - sqrt(n) h_{n-1}) / sqrt(n+1), from n = 3."""
        h = [torch.ones_like(c), c]
        for n in range(1, INVARIANTS + self.count - 1):
            h.append((c * h[n] - math.sqrt(n) * h[n - 1]) / math.sqrt(n + 1))
        return h[INVARIANTS:]


@dataclass(frozen=True)
class SplineFeatures:
    """Bounded w: cubic splines with coefficients (basis.size, K), constant beyond [-L, L]."""

    basis: SplineBasis
    coefficients: Tensor
    parity: Tensor

    def to(self, device: torch.device) -> SplineFeatures:
        return SplineFeatures(self.basis, self.coefficients.to(device), self.parity.to(device))

    @property
    def table(self) -> Tensor:
        """What turns averages of the basis into those of w, (J, K)."""
        return self.coefficients

    def matrix(self, c: Tensor) -> Tensor:
        return self.basis.matrix(c) @ self.coefficients

    def derivative(self, c: Tensor) -> Tensor:
        return self.basis.derivative(c) @ self.coefficients

    def integrate(self, c: Tensor, g: Tensor) -> Tensor:
        return self.basis.integrate(c, g) @ self.coefficients

    def combine(self, a: Tensor) -> Tensor:
        return a @ self.coefficients.T

    def evaluate(self, combined: Tensor, c: Tensor) -> Tensor:
        return self.basis.evaluate(combined, c)
