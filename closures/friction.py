"""Friction: what keeps the tails of f_hat from straying, learned in strength, given in form.

Where hardly any particles are, moments say little of f, and what free streaming leaves there is
finer than K moments resolve. Friction draws log f towards a Maxwellian, evenly but for a weight:

    d_t W_k + d_x G_k = ... - rho b(eps) (A theta_w)_k,      b >= 0,
    A_kl = int w_k' w_l' omega dc,      omega = Mc(c)^(1/4),

w' being w less its projection on 1, c, c^2 under omega, so that A theta_w = <w'> of omega log f_hat.
A is symmetric and positive: the force is theta, which the entropy is the potential of, and the
entropy of f_hat falls at the rate b theta_w.A theta_w (an Onsager matrix; Levermore, J. Stat. Phys.
83 (1996) 1021, sec. 6). Near equilibrium it damps a moment the more, the more of it is in the tails;
beyond, the weight decides: with omega = Mc moments of the bulk would be damped as much, with omega
= 1 the tails alone. A stage of the time step takes it implicitly as a quadratic term of the dual
function (`closures.dual`), whose minimum it bounds: so moments that are those of no density, by an
error of the step, have one too. b, a rate, is linear in log10 eps between the decades, after softplus.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from closures.dissipation import DECADES, at_knudsen, inverse_softplus
from closures.features import Features, invariants, unit_maxwellian

STRENGTH = 2.0
"""To start from b = STRENGTH/K^3: the more moments there are, the more of the tails they hold."""

POWER = 0.25
"""Of Mc in omega."""


class Friction(nn.Module):
    """b of a closure with K moments as a function of the Knudsen number."""

    def __init__(self, moments: int) -> None:
        super().__init__()
        start = torch.full((1, DECADES[1] - DECADES[0] + 1), STRENGTH / moments**3)
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
