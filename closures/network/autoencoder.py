"""The autoencoder that finds the moments: W = Psi(f), f ~ Phi(U, W), eta(f) ~ h_eta(U, W).

    loss = < [ ||f - Phi(Psi f)||^2 + lambda (eta(f) - h_eta)^2 ] / [ ||f - M||^2 + floor ] >,

||.|| the norm of L^2(c), f and eta = int f log f dc in the coordinates c of the frame, per mass.
That is the loss of Han, Ma, Ma and E, PNAS 116 (2019) 21983, but for the weight 1/[...], which lets
a weak wave count as much as a shock. The decoder keeps f positive and returns the Maxwellian M in
equilibrium,

    Phi(c) = M(c) exp(s),   s = sum_p [b_p(m, U) - b_p(m_M, U)] a_p(c),

a and b perceptrons, m_M the moments of M; h_eta is likewise eta(M) plus what a perceptron has more
at m than at m_M.

In more than one dimension f is its g and the average of s, see `closures.network.moments`; Phi is
Gaussian across the flow, of temperature tau T, and g/M and tau are both of that form.
"""

from __future__ import annotations

import math
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

MAX_WIDTH = 2.0
"""Likewise the logarithm of tau."""


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

    def __init__(
        self, count: int, known: int, width: int, generator: torch.Generator, dimension: int = 1
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.register_buffer("scale", torch.ones(count, dtype=torch.float64))
        self.of_velocity = Perceptron((1, width, width, RANK * min(dimension, 2)), generator)
        self.of_moments = Perceptron((count + known, width, width, RANK), generator)
        self.of_entropy = Perceptron((count + known, width, 1), generator)

    def coefficients(self, state: Encoded) -> Tensor:
        """b(m) - b(m_M), (n, RANK)."""
        return self._beyond(self.of_moments, state)

    def ratio(self, b: Tensor, c: Tensor) -> Tensor:
        """Phi/M of coefficients (n, RANK) at nodes (n', ) or (n, n'): (n, n').

        With D > 1 (n, 2 n'): of g, and of the average of s.
        """
        a = torch.cat(self.of_velocity(c[..., None]).split(RANK, dim=-1), dim=-2)
        s = b @ a.T if c.dim() == 1 else torch.einsum("np,nvp->nv", b, a)
        if self.dimension == 1:
            return _bounded(s, MAX_EXPONENT)
        of_g, of_tau = s.chunk(2, dim=-1)
        g, tau = _bounded(of_g, MAX_EXPONENT), _bounded(of_tau, MAX_WIDTH)
        return torch.cat((g, math.sqrt(0.5 * (self.dimension - 1)) * g * (tau - 1.0)), dim=-1)

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
    D = decoder.dimension
    gaussian = M if D == 1 else M[:, : len(c)].repeat(1, 2)
    misfit = (f - gaussian * decoder.ratio(b, c)).square().sum(1) * h
    eta = (_entropy(f, D) - _entropy(M, D)).sum(1) * h
    of_entropy = LAMBDA * (eta - decoder.entropy(state)).square()
    weight = (f - M).square().sum(1) * h + floor
    return ((misfit + of_entropy) / weight).mean()


def _bounded(s: Tensor, most: float) -> Tensor:
    """exp(s) where s is small."""
    return torch.exp(most * torch.tanh(s / most))


def _entropy(f: Tensor, dimension: int) -> Tensor:
    """f log f at the nodes, integrated across the flow up to a multiple of f: (n, n')."""
    if dimension == 1:
        return torch.special.xlogy(f, f)
    (g, s), d = f.chunk(2, dim=1), dimension - 1
    some = g > 0.0
    tau = 1.0 + torch.where(some, s, 0.0) / torch.where(some, g, 1.0) * math.sqrt(2.0 / d)
    return torch.special.xlogy(g, g) - 0.5 * d * torch.special.xlogy(g, tau)
