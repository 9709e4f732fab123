"""The networks that close the equations: F~, the flux of energy, and G~, the flux of W.

Both are fluxes beyond those of the Maxwellian of the same U. Mass and momentum have none in D = 1,
and homogeneity in rho is exact, so with m = W/rho, c' = (v-u)/sqrt T and delta g = (f - M)/rho

    F~ = (0, 0, q),                          q = rho T^(3/2) <c'^3 delta g>/2
    G~ = rho (u A + sqrt(T) B),              A = <w(c_j) delta g>,  B = <c' w(c_j) delta g>,

c_j the velocity in the frame U_j of the cell that is updated. Every network returns matrices that
multiply the deviation of m from equilibrium, so that F~ and G~ vanish there. In the Galilean frame

    q/(rho T^(3/2)) = r(m; eps).m                       (u, T enter in no other way)
    A = m + (d K_1 + s K_2) m,   B = (K_0(m) + d K_3 + s K_4) m,   K_i(m, d, s) networks,
    d = (u-u_j)/sqrt T_j,  s = log sqrt(T/T_j),

so that A is exactly m in the cell's own frame. In the fixed frame

    q/rho = r(m, u, T; eps).n,   A = n exactly,   B sqrt T = K_0(m, u, T) n,

n = m - m_M(U), m_M of the Maxwellian. A is also what W becomes when the frame of a cell moves.

With D > 1, in the Galilean frame alone, momentum has a flux too, the stress, and q counts |v|^2:

    F~ = (0, sigma, u sigma + q),       sigma/(rho T) = <c_1'^2 delta g> = r_s(m; eps).m.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from closures.network.perceptron import Perceptron

GAIN = 0.1
"""Of the last layer at the start: the closures begin small."""

CHANGES = 4
"""K_1 to K_4: how A and B change with the frame."""


class _Networks(nn.Module):
    """What both frames share: the networks r and K_0, and the scale of m.

    Attributes:
        scale: standard deviations of m on the training data, (K,).
    """

    scale: Tensor

    def __init__(self, count: int, known: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.count = count
        self.register_buffer("scale", torch.ones(count, dtype=torch.float64))
        hidden = (width, width)
        self.of_heat = Perceptron((count + known + 1, *hidden, count), generator, GAIN)
        self.of_flux = Perceptron((count + known, *hidden, count * count), generator, GAIN)
        self.of_stress: Perceptron | None = None

    def stress(self, m: Tensor, n: Tensor, T: Tensor, knudsen: Tensor) -> Tensor:
        """sigma/rho (M,) of moments m, n beyond equilibrium; none in one dimension."""
        if self.of_stress is None:
            return torch.zeros_like(T)
        return T * self._scalar(self.of_stress, m, n, _decade(knudsen))

    def _heat(self, m: Tensor, n: Tensor, *context: Tensor) -> Tensor:
        return self._scalar(self.of_heat, m, n, *context)

    def _scalar(self, network: Perceptron, m: Tensor, n: Tensor, *context: Tensor) -> Tensor:
        value: Tensor = (network(self._inputs(m, *context)) * (n / self.scale)).sum(1)
        return value

    def _matrices(
        self, network: Perceptron, m: Tensor, n: Tensor, *context: Tensor
    ) -> tuple[Tensor, ...]:
        """K_i n for each matrix of a network, (M, K)."""
        K = network(self._inputs(m, *context)).view(len(m), -1, self.count, self.count)
        product = torch.einsum("mikl,ml->mik", K, n / self.scale) * self.scale
        return product.unbind(dim=1)

    def _inputs(self, m: Tensor, *context: Tensor) -> Tensor:
        return torch.cat((m / self.scale, *(known[:, None] for known in context)), dim=1)


def _decade(knudsen: Tensor) -> Tensor:
    """log10 eps, scaled to about [-1, 1] between 1e-3 and 10."""
    return (torch.log10(knudsen) + 1.0) / 2.0


class GalileanFluxes(_Networks):
    """F~ and G~ that know of u and T only how they differ from those of the frame."""

    def __init__(
        self, count: int, width: int, generator: torch.Generator, dimension: int = 1
    ) -> None:
        super().__init__(count, 0, width, generator)
        sizes = (count + 2, width, width, CHANGES * count * count)
        self.of_change = Perceptron(sizes, generator, GAIN)
        if dimension > 1:
            self.of_stress = Perceptron((count + 1, width, width, count), generator, GAIN)

    def heat(self, m: Tensor, n: Tensor, u: Tensor, T: Tensor, knudsen: Tensor) -> Tensor:
        """q/rho (M,) of moments m, n beyond equilibrium."""
        return T**1.5 * self._heat(m, n, _decade(knudsen))

    def own(self, m: Tensor, n: Tensor, u: Tensor, T: Tensor) -> Tensor:
        """sqrt(T) B in the frame of the gas itself, (M, K)."""
        (B,) = self._matrices(self.of_flux, m, n)
        return T.sqrt()[:, None] * B

    def beyond(
        self, m: Tensor, n: Tensor, u: Tensor, T: Tensor, shift: Tensor, width: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A and sqrt(T) B of the gas that the frame sees at `shift` and `width`, (M, K) each."""
        stretch = width.log()
        K_1, K_2, K_3, K_4 = self._matrices(self.of_change, m, n, shift, stretch)
        d, s = shift[:, None], stretch[:, None]
        A = n + d * K_1 + s * K_2
        return A, self.own(m, n, u, T) + T.sqrt()[:, None] * (d * K_3 + s * K_4)


class FixedFluxes(_Networks):
    """F~ and G~ as functions of U and W in a frame that never moves."""

    def __init__(self, count: int, width: int, generator: torch.Generator) -> None:
        super().__init__(count, 2, width, generator)

    def heat(self, m: Tensor, n: Tensor, u: Tensor, T: Tensor, knudsen: Tensor) -> Tensor:
        """q/rho (M,) of moments m, n beyond equilibrium."""
        return self._heat(m, n, u, T.log(), _decade(knudsen))

    def own(self, m: Tensor, n: Tensor, u: Tensor, T: Tensor) -> Tensor:
        """sqrt(T) B, (M, K)."""
        (B,) = self._matrices(self.of_flux, m, n, u, T.log())
        return B

    def beyond(
        self, m: Tensor, n: Tensor, u: Tensor, T: Tensor, shift: Tensor, width: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A and sqrt(T) B, (M, K) each; `shift` and `width` are u and sqrt T again."""
        return n, self.own(m, n, u, T)
