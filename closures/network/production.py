"""What Boltzmann's collisions do to the moments of a closure of networks.

    d_t W = (rho^2/eps) R(m),      R = -A(m) m,      A = L L^T        (Maxwell molecules)

A mixes w of one parity only and does not change when m is reflected, so a reflected gas has the
reflected R. L is a constant, that of the linear response of the operator, plus a small network of m
that vanishes in equilibrium: so viscosity and heat conduction are those of the operator.

Labels are the collision operator's own (`closures.network.collisions`). They are learned relative
to their size, as nearly equilibrium and far from it both matter.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

WIDTH, SHARPNESS = 4, 5.0
"""Of the hidden layers, for each moment; and how much larger than usual the weights of moments are
to start with, which are so small that the network would hardly bend between them."""

FLOOR = 1e-4
"""An R below which it need not be right relative to itself."""


class Production(nn.Module):
    """A (M, K, K) of moments m (M, K), symmetric and positive semidefinite.

    Args:
        parity: of w, (K,).
    """

    parity: Tensor
    places: Tensor

    def __init__(self, parity: Tensor) -> None:
        super().__init__()
        K = len(parity)
        same = parity[:, None] == parity
        places = torch.nonzero(torch.tril(same)).T
        self.register_buffer("parity", parity.double(), persistent=False)
        self.register_buffer("places", places, persistent=False)
        start = (places[0] == places[1]).double() * math.sqrt(0.5)
        self.constant = nn.Parameter(start)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # training is a pure function of data and configuration
            self.first = nn.Linear(K, WIDTH * K, dtype=torch.float64)
            self.second = nn.Linear(WIDTH * K, WIDTH * K, dtype=torch.float64)
            self.last = nn.Linear(WIDTH * K, places.shape[1], dtype=torch.float64)
        with torch.no_grad():
            self.first.weight *= SHARPNESS
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @property
    def network(self) -> list[nn.Module]:
        """What is learned when the linear response is known."""
        return [self.first, self.second, self.last]

    @torch.no_grad()
    def set_response(self, A: Tensor) -> None:
        """Let A (K, K), which mixes no parities, be that of equilibrium."""
        same = self.parity[:, None] == self.parity
        L = torch.linalg.cholesky(torch.where(same, A, 0.0))
        self.constant.copy_(L[self.places[0], self.places[1]])

    def forward(self, m: Tensor) -> Tensor:
        """A of m."""
        entries = self.constant + self.even(m) - self.even(torch.zeros_like(m[:1]))
        K = len(self.parity)
        L = m.new_zeros((len(m), K, K))
        L[:, self.places[0], self.places[1]] = entries
        return L @ L.transpose(1, 2)

    def even(self, m: Tensor) -> Tensor:
        """What the network adds to the entries of L, and does not change when m is reflected."""
        return 0.5 * (self._perceptron(m) + self._perceptron(self.parity * m))

    def _perceptron(self, m: Tensor) -> Tensor:
        out: Tensor = self.last(torch.tanh(self.second(torch.tanh(self.first(m)))))
        return out


def relative_error(production: Production, m: Tensor, R: Tensor) -> Tensor:
    """Mean of |R + A m|^2 / (|R|^2 + FLOOR^2) over samples (n, K)."""
    predicted = -(production(m) @ m[:, :, None])[:, :, 0]
    return (((predicted - R) ** 2).sum(1) / ((R**2).sum(1) + FLOOR**2)).mean()
