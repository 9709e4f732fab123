"""The loss of the moments: what they fail to say of f.

With the maximum-entropy decoder, KL(f || f_hat) = eta(f) - eta(f_hat) >= 0 is both the error of the
reconstruction and the entropy that it has too much. For a sample in its own frame

    KL(g || g_hat) = KL(g || Mc) - 1 + min_theta D(theta),    D the dual function (`closures.dual`),

and the loss is a mean of the share that is lost of the information that Mc does not hold,

    < [KL(g || g_hat) / (KL(g || Mc) + floor)]^POWER >,

so that a weak wave counts as much as a shock, and badly held samples count most. At the minimum,
dD/dw needs theta but not its derivative (envelope theorem), so the dual is solved without a graph.
"""

from __future__ import annotations

import torch
from torch import Tensor

from closures.dual import MAX_EXPONENT, DualSolver
from closures.encoder import Encoder
from closures.features import EXTENT, INVARIANTS, NODES, invariants, trapezoid, unit_maxwellian
from closures.samples import Samples

POWER = 1.5
"""Of the loss: the larger, the more it looks at the samples that are held worst."""

DUAL = DualSolver(tolerance=1e-6, regularization=1e-7)


class Objective:
    """The loss of a batch of samples for an encoder."""

    def __init__(self, floor: float) -> None:
        c, h = trapezoid(EXTENT, NODES)
        self.c, self.measure, self.floor = c, unit_maxwellian(c) * h, floor

    def __call__(self, encoder: Encoder, samples: Samples) -> Tensor:
        """Mean of (KL(g || g_hat)/(KL(g || Mc) + floor))^POWER."""
        features = encoder.features()
        phi = torch.cat((invariants(self.c), features.matrix(self.c)), dim=1)
        m = samples.averages @ features.coefficients
        mu = torch.cat((torch.ones(len(m), 1), torch.zeros(len(m), INVARIANTS - 1)), dim=1)
        mu = torch.cat((mu.to(m), m), dim=1)
        with torch.no_grad():
            theta, _ = DUAL.solve(phi, self.measure, mu, torch.zeros_like(mu))
        density = torch.exp((theta @ phi.T).clamp(max=MAX_EXPONENT)) @ self.measure
        lost = samples.divergence - 1.0 + density - (theta * mu).sum(1)
        return (lost.clamp(min=0.0) / (samples.divergence + self.floor)).pow(POWER).mean()
