"""Friction: what keeps the tails of f_hat from straying, given in form and learned in strength.

Where hardly any particles are, moments say little of f, and what free streaming leaves there is
finer than K moments resolve. Friction draws log f to a Maxwellian:

    d_t W_k + d_x G_k = ... - rho b(eps) (A theta_w)_k,      b >= 0,
    A_kl = int w'_k w'_l omega dc,      omega = Mc(c)^(1/4),

w' being w less its projection on 1, c, c^2 under omega, so that U is left alone. A theta_w are the
moments of omega log(f_hat/M). A is symmetric and positive and theta the derivative of the entropy
of f_hat, which therefore falls, at the rate b theta_w.A theta_w. It damps a moment the more, the
more of it is in the tails: omega = Mc would damp all alike, omega = 1 those of the tails alone, and
measured between 0 and 1 the power 1/4 leaves the smallest errors. A stage of the time step takes it
implicitly, as a quadratic term of the dual function (`closures.dual`), whose minimum it bounds: so
there is an f_hat for moments too which the error of a step has put where no density has them. b, a
rate, is softplus of a function linear in log10 eps between the decades.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from closures.dissipation import DECADES, at_knudsen, inverse_softplus
from closures.features import Features, invariants, unit_maxwellian

STRENGTH, LEAST = 2.0, 1e-3
"""To start from b = STRENGTH/K^3 or LEAST: the more moments there are, the more of the tails they
hold, but with sixteen less than 7e-4 loses a rough gas now and then."""

POWER = 0.25
"""Of Mc in omega."""


class Friction(nn.Module):
    """b of a closure with K moments as a function of the Knudsen number."""

    def __init__(self, moments: int) -> None:
        super().__init__()
        strength = max(STRENGTH / moments**3, LEAST)
        start = torch.full((1, DECADES[1] - DECADES[0] + 1), strength)
        self.raw = nn.Parameter(inverse_softplus(start.double()))

    def forward(self, knudsen: Tensor) -> Tensor:
        """b at eps, of its shape."""
        return at_knudsen(knudsen, self.raw)[0]


def friction_matrix(features: Features, c: Tensor) -> Tensor:
    """A of functions w whose f_hat lives on the uniform nodes c (n,), (K, K)."""
    omega = (c[1] - c[0]) * unit_maxwellian(c) ** POWER
    w, one = features.matrix(c), invariants(c)
    weighted = omega[:, None] * one
    w = w - one @ torch.linalg.solve(one.T @ weighted, weighted.T @ w)
    return w.T @ (omega[:, None] * w)
