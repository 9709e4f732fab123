"""The functions w of the generalised moments W = int f w(c) dv, learned or Hermite.

The frame says what c is. In the `galilean` one c = (v-u_j)/sqrt(T_j) belongs to the gas of the cell
that carries W, in the `fixed` one c = v: the frame u_j = 0, T_j = 1 for every cell.

A learned w is a perceptron r(c) in coordinates in which it is orthonormal to itself and to the
collision invariants under the unit Maxwellian Mc,

    w = (r - sum_i <r phi_i> phi_i) L^(-T),   phi = (1, c, (c^2-1)/sqrt 2),   L L^T = Gram matrix,

<.> the average under Mc. That changes no information, since the averages of phi are known from U,
and in the Galilean frame it makes W = 0 in equilibrium.

In more than one dimension w = a(c_1) + b(c_1) s and f is its g and the average of s, as in
`closures.reduced`. Values of a stand above those of b at the same nodes, so that sums over 2 n' of
them are what sums over n' nodes are in one dimension.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from closures.closure import Frame
from closures.encoder import hermite_features
from closures.features import invariants, trapezoid, unit_maxwellian
from closures.network.perceptron import Perceptron
from closures.reduced import reduced_invariants

FRAMES = ("galilean", "fixed")
EXTENT, NODES = 12.0, 97
"""Quadrature of a Maxwellian against w in a frame c: trapezoid rule on |c| <= EXTENT."""

CENTERS, SLOPES = 4.0, (0.5, 2.0)
"""Where and how steeply the first layer of r varies at the start of training."""


def stacked(pair: Tensor) -> Tensor:
    """(..., 2 n', K) of values of a and b (2, ..., n', K)."""
    return torch.cat(pair.unbind(), dim=-2)


class HermiteMoments(nn.Module):
    """The first K of Grad's moments, in one dimension w_k = He_n/sqrt(n!), n = 3 .. 2+K."""

    def __init__(self, count: int, dimension: int = 1) -> None:
        super().__init__()
        self.count, self.dimension = count, dimension
        self._features = hermite_features(count, dimension)

    def forward(self, c: Tensor) -> Tensor:
        if self.dimension == 1:
            return self._features.matrix(c)
        return stacked(self._features.matrix(c.flatten()).unflatten(1, c.shape))


class LearnedMoments(nn.Module):
    """w of a perceptron r, or of r = (a, b), with two hidden layers of `width`."""

    def __init__(
        self, count: int, width: int, generator: torch.Generator, dimension: int = 1
    ) -> None:
        super().__init__()
        self.count, self.dimension = count, dimension
        outputs = count * min(dimension, 2)
        self.raw = Perceptron((1, width, width, outputs), generator)
        self._spread(self.raw.layers[0], generator)

    def forward(self, c: Tensor) -> Tensor:
        against, factor = self._coordinates()
        r = self._raw(c) - self._invariants(c) @ against
        w = torch.linalg.solve_triangular(factor, r.flatten(0, -2).T, upper=False).T
        return w.view(r.shape)

    def _raw(self, c: Tensor) -> Tensor:
        return torch.cat(self.raw(c[..., None]).split(self.count, dim=-1), dim=-2)

    def _invariants(self, c: Tensor) -> Tensor:
        if self.dimension == 1:
            return invariants(c)
        return stacked(reduced_invariants(c, self.dimension))

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
        c, h = (one.to(next(self.parameters())) for one in trapezoid(EXTENT, NODES))
        measure = (unit_maxwellian(c) * h).repeat(min(self.dimension, 2))[:, None]
        phi, r = self._invariants(c), self._raw(c)
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


def seen_from(f: Tensor, width: Tensor, dimension: int) -> Tensor:
    """Values f (n, ...) of a gas in a frame whose temperature is 1/`width`^2 of its own."""
    if dimension == 1:
        return f
    g, s = f.chunk(2, dim=1)
    square = (width * width)[:, None]
    return torch.cat((g, square * s + math.sqrt(0.5 * (dimension - 1)) * (square - 1.0) * g), dim=1)


def maxwellian_moments(
    w: Tensor, shift: Tensor, width: Tensor, dimension: int = 1
) -> tuple[Tensor, Tensor]:
    """int M w dc and int c' M w dc of Maxwellians of velocity `shift` and temperature `width`^2.

    c' = (c-shift)/width is what the gas itself sees.

    Args:
        w: the functions at the nodes of trapezoid(EXTENT, NODES), (n, K).
        shift, width: (M,).
        dimension: D.

    Returns:
        (M, K) each.
    """
    nodes, h = trapezoid(EXTENT, NODES)
    c = (nodes.to(w) - shift[:, None]) / width[:, None]
    M = torch.exp(-0.5 * c * c) * (h[0].item() / math.sqrt(2 * math.pi) / width)[:, None]
    if dimension > 1:
        c, M = (
            c.repeat(1, 2),
            seen_from(torch.cat((M, torch.zeros_like(M)), dim=1), width, dimension),
        )
    return M @ w, (c * M) @ w
