"""The autoencoder that finds the moments: W = Psi(f), f ~ Phi(U, W), eta(f) ~ h_eta(U, W).

    loss = < [ ||f - Phi(Psi f)||^2 + lambda (eta(f) - h_eta)^2 ] / [ ||f - M||^2 + floor ] >,

||.|| the norm of L^2(c), f and eta = int f log f dc in the coordinates c of the frame, per mass.
That is the loss of Han, Ma, Ma and E, PNAS 116 (2019) 21983, but for the weight 1/[...], which lets
a weak wave count as much as a shock. The decoder keeps f positive and returns the Maxwellian M in
equilibrium,

    Phi(c) = M(c) exp(s),   s = sum_p [b_p(m, U) - b_p(m_M, U)] a_p(c),

a and b perceptrons, m_M the moments of M; h_eta is likewise eta(M) plus what a perceptron has more
at m than at m_M.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from closures.network.perceptron import Perceptron

LAMBDA = 1.0
"""Weight of the entropy."""

RANK = 32
"""Products b_p a_p of the decoder."""

MAX_EXPONENT = 8.0
"""s ends here: it is bounded, and smooth where it is small."""


@dataclass(frozen=True)
class Encoded:
    """Moments of n states: m, those of the Maxwellian m_M (n, K), and what is known of U (n, P)."""

    m: Tensor
    equilibrium: Tensor
    context: Tensor


class Decoder(nn.Module):
    """Phi/M, and eta beyond eta(M), as functions of the moments.

    Attributes:
        scale: standard deviations of m at the start of training, (K,).
    """

    scale: Tensor

    def __init__(self, count: int, known: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(count, dtype=torch.float64))
        self.of_velocity = Perceptron((1, width, width, RANK), generator)
        self.of_moments = Perceptron((count + known, width, width, RANK), generator)
        self.of_entropy = Perceptron((count + known, width, 1), generator)

    def coefficients(self, state: Encoded) -> Tensor:
        """b(m) - b(m_M), (n, RANK)."""
        return self._beyond(self.of_moments, state)

    def ratio(self, b: Tensor, c: Tensor) -> Tensor:
        """Phi/M of coefficients (n, RANK) at nodes (n', ) or (n, n'): (n, n')."""
        a = self.of_velocity(c[..., None])
        s = b @ a.T if c.dim() == 1 else torch.einsum("np,nvp->nv", b, a)
        return torch.exp(MAX_EXPONENT * torch.tanh(s / MAX_EXPONENT))

    def entropy(self, state: Encoded) -> Tensor:
        """h_eta - eta(M), (n,)."""
        return self._beyond(self.of_entropy, state)[:, 0]

    def _beyond(self, network: Perceptron, state: Encoded) -> Tensor:
        at, equilibrium = (
            network(torch.cat((m / self.scale, state.context), dim=1))
            for m in (state.m, state.equilibrium)
        )
        difference: Tensor = at - equilibrium
        return difference


def loss(
    decoder: Decoder, state: Encoded, f: Tensor, M: Tensor, c: Tensor, h: float, floor: float
) -> Tensor:
    """The loss of states with distributions f and Maxwellians M (n, n') at nodes c (n',)."""
    b = decoder.coefficients(state)
    misfit = (f - M * decoder.ratio(b, c)).square().sum(1) * h
    eta = (torch.special.xlogy(f, f) - torch.special.xlogy(M, M)).sum(1) * h
    of_entropy = LAMBDA * (eta - decoder.entropy(state)).square()
    weight = (f - M).square().sum(1) * h + floor
    return ((misfit + of_entropy) / weight).mean()
