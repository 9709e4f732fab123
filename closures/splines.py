"""Uniform cubic B-splines on [-L, L], continued by constants: bounded functions to be learned.

    S(c) = sum_b s_b B_b(c),   B_b the cubic B-spline centred on c_b = -L + (b-1) h  (dimensionless)

At each c four basis functions are non-zero, with the weights (t in [0,1] the place inside the knot
interval) (1-t)^3/6, (3t^3-6t^2+4)/6, (-3t^3+3t^2+3t+1)/6, t^3/6 (de Boor, A Practical Guide to
Splines, ch. IX). Two operations are all that the solver needs, and neither grows with the number of
learned functions: `integrate` deposits weighted nodes on the basis (the adjoint), `evaluate` reads
a spline off at given nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SplineBasis:
    """Cubic B-splines with `intervals` equal knot intervals on [-extent, extent].

    Arguments beyond the interval are moved to its nearest end, so every spline is bounded by its
    largest coefficient.
    """

    extent: float = 6.0
    intervals: int = 48

    @property
    def size(self) -> int:
        """Number of basis functions, intervals + 3."""
        return self.intervals + 3

    @property
    def density(self) -> float:
        """Knots per unit of c."""
        return self.intervals / (2 * self.extent)

    def locate(self, c: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
        """First of the four active basis functions at `c`, and their weights; shapes of `c`."""
        first, t = self._place(c)
        r = 1.0 - t
        t2, r2 = t * t, r * r
        w0, w3 = r2 * r / 6.0, t2 * t / 6.0
        w1 = 2.0 / 3.0 - t2 * (1.0 - 0.5 * t)
        return first, (w0, w1, 1.0 - w0 - w1 - w3, w3)

    def _place(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """The knot interval of `c`, and the place t inside it."""
        s = (c.clamp(-self.extent, self.extent) + self.extent) * self.density
        first = s.detach().floor().clamp_(max=self.intervals - 1)
        return first.long(), s - first

    def matrix(self, c: Tensor) -> Tensor:
        """B_b(c_n) for nodes `c` (n,): dense (n, size)."""
        return self.integrate(c[:, None], torch.ones_like(c)[:, None])

    def derivative(self, c: Tensor) -> Tensor:
        """B_b'(c_n) for nodes `c` (n,) on [-L, L]: dense (n, size)."""
        first, t = self._place(c)
        w0, w1, w3 = -0.5 * (1.0 - t) ** 2, t * (1.5 * t - 2.0), 0.5 * t * t
        slopes = self.density * torch.stack((w0, w1, -w0 - w1 - w3, w3), dim=1)
        columns = first[:, None] + torch.arange(4, device=c.device)
        return c.new_zeros((len(c), self.size)).scatter(1, columns, slopes)

    def integrate(self, c: Tensor, g: Tensor) -> Tensor:
        """sum_n g_n B_b(c_n): from nodes and masses (M, n) to (M, size)."""
        first, weights = self.locate(c)
        out = g.new_zeros((c.shape[0], self.size))
        for p, w in enumerate(weights):
            out = out.scatter_add(1, first + p, g * w)
        return out

    def evaluate(self, s: Tensor, c: Tensor) -> Tensor:
        """S(c) of the splines with coefficients `s` (M, size) at nodes (M, n)."""
        first, weights = self.locate(c)
        out = torch.zeros_like(c)
        for p, w in enumerate(weights):
            out = out + torch.gather(s, 1, first + p) * w
        return out
