"""The functions w of the generalised moments W = int f w(c) dv, learned or Hermite.

The frame says what c is. In the `galilean` one c = (v-u_j)/sqrt(T_j) belongs to the gas of the cell
that carries W, in the `fixed` one c = v: the frame u_j = 0, T_j = 1 for every cell.

A learned w is a perceptron r(c) in coordinates in which it is orthonormal to itself and to the
collision invariants under the unit Maxwellian Mc,

    w = (r - sum_i <r phi_i> phi_i) L^(-T),   phi = (1, c, (c^2-1)/sqrt 2),   L L^T = Gram matrix,

<.> the average under Mc. That changes no information, since the averages of phi are known from U,
and in the Galilean frame it makes W = 0 in equilibrium.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from closures.closure import Frame
from closures.features import HermiteFeatures, invariants, trapezoid, unit_maxwellian
from closures.network.perceptron import Perceptron

FRAMES = ("galilean", "fixed")
EXTENT, NODES = 12.0, 97
"""Quadrature of a Maxwellian against w in a frame c: trapezoid rule on |c| <= EXTENT."""

CENTERS, SLOPES = 4.0, (0.5, 2.0)
"""Where and how steeply the first layer of r varies at the start of training."""


class HermiteMoments(nn.Module):
    """w_k = He_n/sqrt(n!), n = 3 .. 2+K: Grad's moments, nothing to learn."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self._features = HermiteFeatures(count)

    def forward(self, c: Tensor) -> Tensor:
        return self._features.matrix(c)


class LearnedMoments(nn.Module):
    """w of a perceptron r with two hidden layers of `width`."""

    def __init__(self, count: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.count = count
        self.raw = Perceptron((1, width, width, count), generator)
        self._spread(self.raw.layers[0], generator)

    def forward(self, c: Tensor) -> Tensor:
        against, factor = self._coordinates()
        r = self.raw(c[..., None]) - invariants(c) @ against
        return torch.linalg.solve_triangular(factor, r.flatten(0, -2).T, upper=False).T.view(
            *c.shape, self.count
        )

    def _spread(self, first: nn.Module, generator: torch.Generator) -> None:
        """Let the first layer vary all over the thermal speeds."""
        weight, bias = first.weight, first.bias
        assert isinstance(weight, Tensor)
        assert isinstance(bias, Tensor)
        with torch.no_grad():
            weight.uniform_(*SLOPES, generator=generator)
            bias.uniform_(-CENTERS, CENTERS, generator=generator).mul_(weight[:, 0])

    def _coordinates(self) -> tuple[Tensor, Tensor]:
        """<phi r> (3, K), and L (K, K) of what is left of r."""
        c, h = trapezoid(EXTENT, NODES)
        measure = (unit_maxwellian(c) * h)[:, None]
        phi, r = invariants(c), self.raw(c[:, None])
        against = phi.T @ (measure * r)
        left = r - phi @ against
        return against, torch.linalg.cholesky(left.T @ (measure * left))


def relative(frame: Frame, to: Frame) -> tuple[Tensor, Tensor]:
    """((u-u_j)/sqrt T_j, sqrt(T/T_j)): the gas of `frame` as the cells `to` see it, (M,) each."""
    width = to.T.sqrt()
    return (frame.u - to.u) / width, frame.T.sqrt() / width


def fixed_frame(like: Frame) -> Frame:
    """The frame u = 0, T = 1, for as many cells as `like` has."""
    one = torch.ones_like(like.rho)
    return Frame(one, torch.zeros_like(one), one)


def maxwellian_moments(w: Tensor, shift: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """int M w dc and int c' M w dc of Maxwellians of velocity `shift` and temperature `width`^2.

    c' = (c-shift)/width is what the gas itself sees.

    Args:
        w: the functions at the nodes of trapezoid(EXTENT, NODES), (n, K).
        shift, width: (M,).

    Returns:
        (M, K) each.
    """
    nodes, h = trapezoid(EXTENT, NODES)
    c = (nodes.to(w) - shift[:, None]) / width[:, None]
    M = torch.exp(-0.5 * c * c) * (h[0].item() / math.sqrt(2 * math.pi) / width)[:, None]
    return M @ w, (c * M) @ w
