"""What is expected of f beyond its moments: a learned prior for the maximum-entropy closure.

Of all densities with given moments, `entropy` takes the one nearest, in relative entropy, to

    Mc(c) exp(psi(c; m, eps)),    psi a cubic spline in c, |psi| <= BOUND, psi = 0 for m = 0,

so f_hat = Mc exp(psi + theta.phi). On the data f is known better from (m, eps) than the Maxwellian
as a prior says; psi holds the difference. Its coefficients are those of a network N of two hidden
layers,

    s = BOUND tanh(n(m) - n(0)),    n(m) = (N(z, e) + R N(Rz, e))/2,    z = m/scale,

with R the reflection c -> -c: of the moments by their parity, of a spline by the order of its
coefficients; so a reflected gas has a reflected prior. e is log10 eps, held within the range of the
data; since psi is at most linear in m it vanishes with eps, and the hydrodynamic limit stays exact.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from closures.splines import SplineBasis

BOUND = 2.0
"""Largest |psi|."""

DECADES = (-3.0, 1.0)
"""Range of log10 eps that is told apart."""


class Prior(nn.Module):
    """psi as a network of the moments and the Knudsen number.

    Args:
        parity: of the moments, +1 or -1, (K,).
        basis: of the splines, J of them; that of w.
        width: of the hidden layers.
    """

    parity: Tensor
    scale: Tensor

    def __init__(self, parity: Tensor, basis: SplineBasis, width: int) -> None:
        super().__init__()
        K = len(parity)
        self.basis, self.width = basis, width
        self.register_buffer("parity", parity.double())
        self.register_buffer("scale", torch.ones(K, dtype=torch.float64))
        self.hidden = nn.ModuleList([nn.Linear(K + 1, width), nn.Linear(width, width)]).double()
        self.out = nn.Linear(width, basis.size, bias=False).double()

    def forward(self, m: Tensor, knudsen: Tensor) -> Tensor:
        """Spline coefficients of psi, (M, J), of moments m (M, K) and eps (M,)."""
        low, high = DECADES
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        e = ((torch.log10(knudsen).clamp(low, high) - middle) / half)[:, None]
        z = m / self.scale
        raw = self._network(z, e) + self._network(z * self.parity, e).flip(1)
        rest = self._network(torch.zeros_like(z), e)
        return BOUND * torch.tanh(0.5 * (raw - (rest + rest.flip(1))) / BOUND)

    def _network(self, z: Tensor, e: Tensor) -> Tensor:
        h = torch.cat((z, e), dim=1)
        for layer in self.hidden:
            h = nn.functional.silu(layer(h))
        out: Tensor = self.out(h)
        return out
