"""A small network m -> theta: where the search for the maximum-entropy coefficients starts.

    g(m) = (n(m) + S n(s m))/2,    theta = scale (g(m) - g(0)),

n a perceptron, s and S the parities of w and of (1, c, (c^2-1)/sqrt 2, w): a reflected gas has the
reflected coefficients, and equilibrium has theta = 0, both to round-off. Newton's method goes on
from there, so the network decides how long the search is and not where it ends. Dimensionless.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from closures.features import INVARIANTS

WIDTH = 64


class StartNetwork(nn.Module):
    """theta (M, 3+K) of moments m (M, K), roughly.

    Args:
        parity: of w, (K,).
    """

    parity: Tensor
    scale: Tensor

    def __init__(self, parity: Tensor) -> None:
        super().__init__()
        K = len(parity)
        invariant = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
        whole = torch.cat((invariant, parity.double()))
        self.register_buffer("parity", whole, persistent=False)
        self.register_buffer("scale", torch.ones_like(whole))
        self.first = nn.Linear(K, WIDTH, dtype=torch.float64)
        self.second = nn.Linear(WIDTH, WIDTH, dtype=torch.float64)
        self.last = nn.Linear(WIDTH, INVARIANTS + K, dtype=torch.float64)

    def forward(self, m: Tensor) -> Tensor:
        zero = torch.zeros_like(m[:1])
        return self.scale * (self._symmetric(m) - self._symmetric(zero))

    def _symmetric(self, m: Tensor) -> Tensor:
        mirrored = self._perceptron(self.parity[INVARIANTS:] * m)
        return 0.5 * (self._perceptron(m) + self.parity * mirrored)

    def _perceptron(self, m: Tensor) -> Tensor:
        hidden = torch.tanh(self.second(torch.tanh(self.first(m))))
        out: Tensor = self.last(hidden)
        return out


def from_tensors(parity: Tensor, tensors: Mapping[str, Tensor]) -> StartNetwork:
    """The network of stored tensors.

    Raises:
        ValueError: names, shapes or types are others, or a number is not finite.
    """
    network = StartNetwork(parity).requires_grad_(False)
    own = network.state_dict()
    if set(own) != set(tensors) or any(own[n].shape != t.shape for n, t in tensors.items()):
        raise ValueError("of the wrong shapes")
    real = (torch.float32, torch.float64)
    if not all(t.dtype in real and bool(torch.isfinite(t).all()) for t in tensors.values()):
        raise ValueError("that does not hold real numbers")
    network.load_state_dict(dict(tensors))
    return network
