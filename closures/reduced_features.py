"""Functions w(c) = a(c_1) + b(c_1) s of the reduced distributions: see `closures.reduced`.

By degree in c they begin with the stress; the heat flux and the one function beside it; then
He_n(c_1)/sqrt(n!) and He_(n-2)(c_1)/sqrt((n-2)!) s for n = 4, 5, ... .
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from closures.splines import SplineBasis


def degrees(count: int) -> list[int]:
    """Of the first `count` functions: 2, 3, 3, 4, 4, ..."""
    return [2 + (k + 1) // 2 for k in range(count)]


@dataclass(frozen=True)
class ReducedSplineFeatures:
    """a and b are cubic splines: coefficients (2, basis.size, K), constant beyond [-L, L]."""

    basis: SplineBasis
    coefficients: Tensor
    parity: Tensor

    def to(self, device: torch.device) -> ReducedSplineFeatures:
        coefficients = self.coefficients.to(device)
        return ReducedSplineFeatures(self.basis, coefficients, self.parity.to(device))

    @property
    def table(self) -> Tensor:
        """What turns averages of the basis, and of it times s, into those of w: (2 J, K)."""
        return self.coefficients.flatten(0, 1)

    def matrix(self, c: Tensor) -> Tensor:
        return self.basis.matrix(c) @ self.coefficients

    def integrate(self, c: Tensor, g: Tensor) -> Tensor:
        parts = zip(g, self.coefficients, strict=True)
        a, b = (self.basis.integrate(c, mass) @ coefficients for mass, coefficients in parts)
        return a + b

    def combine(self, theta: Tensor) -> Tensor:
        return theta @ self.coefficients.transpose(1, 2)

    def evaluate(self, combined: Tensor, c: Tensor) -> Tensor:
        return torch.stack([self.basis.evaluate(one, c) for one in combined])


@dataclass(frozen=True)
class ReducedHermiteFeatures:
    """Orthonormal polynomials, `count` of them in the order of their degrees (not bounded)."""

    dimension: int
    count: int

    def to(self, device: torch.device) -> ReducedHermiteFeatures:
        return self

    @property
    def parity(self) -> Tensor:
        return 1.0 - 2.0 * (torch.tensor(degrees(self.count), dtype=torch.float64) % 2)

    @cached_property
    def coefficients(self) -> Tensor:
        """Of He_n/sqrt(n!), n = 0, 1, ...: (2, highest degree + 1, K)."""
        D, d = self.dimension, self.dimension - 1
        C = torch.zeros((2, max([3, *degrees(self.count)]) + 1, max(self.count, 3)))
        C = C.double()
        # |c|^2 is a collision invariant: the stress is what is left of degree two.
        C[0, 2, 0], C[1, 0, 0] = math.sqrt(d / D), -math.sqrt(1.0 / D)
        # c_1 (|c|^2 - D - 2) = He_3 + sqrt(2 d) He_1 s, the heat flux, and what is orthogonal.
        p, q = (math.sqrt(n / (2 * D + 4)) for n in (6, 2 * d))
        C[0, 3, 1], C[1, 1, 1] = p, q
        C[0, 3, 2], C[1, 1, 2] = q, -p
        for k, n in enumerate(degrees(self.count)):
            if n > 3:
                across = int(k % 2 == 0)
                C[across, n - 2 * across, k] = 1.0
        return C[:, :, : self.count]

    def matrix(self, c: Tensor) -> Tensor:
        return self._polynomials(c) @ self.coefficients.to(c)

    def integrate(self, c: Tensor, g: Tensor) -> Tensor:
        if not self.count:
            return c.new_zeros((len(c), 0))
        sums = (g[..., None] * self._polynomials(c)).sum(-2)
        return (sums @ self.coefficients.to(c)).sum(0)

    def combine(self, theta: Tensor) -> Tensor:
        return theta @ self.coefficients.transpose(1, 2).to(theta)

    def evaluate(self, combined: Tensor, c: Tensor) -> Tensor:
        if not self.count:
            return c.new_zeros((2, *c.shape))
        return (self._polynomials(c) * combined[:, :, None, :]).sum(-1)

    def _polynomials(self, c: Tensor) -> Tensor:
        """He_n/sqrt(n!) at nodes of any shape: (..., highest degree + 1)."""
        h = [torch.ones_like(c), c]
        for n in range(1, self.coefficients.shape[1] - 1):
            h.append((c * h[n] - math.sqrt(n) * h[n - 1]) / math.sqrt(n + 1))
        return torch.stack(h, dim=-1)
