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

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from closures.dual import Dual, DualSolver, ExponentialDual
from closures.encoder import Encoder
from closures.features import INVARIANTS, SplineFeatures, invariants
from closures.reduced import reduced_invariants
from closures.reduced_dual import ReducedDual
from closures.reduced_features import ReducedSplineFeatures
from closures.samples import Samples

POWER = 1.5
"""Of the loss: the larger, the more it looks at the samples that are held worst."""

DUAL = DualSolver(tolerance=1e-6, regularization=1e-7)


class Objective:
    """The loss of a batch of samples for an encoder."""

    def __init__(self, floor: float) -> None:
        self.floor = floor

    def __call__(self, encoder: Encoder, samples: Samples) -> Tensor:
        """Mean of (KL(g || g_hat)/(KL(g || Mc) + floor))^POWER."""
        features = encoder.features()
        m = samples.averages @ features.table
        mu = torch.cat((torch.ones(len(m), 1), torch.zeros(len(m), INVARIANTS - 1)), dim=1)
        mu = torch.cat((mu.to(m), m), dim=1)
        dual_of, phi = self._dual(encoder, features)
        with torch.no_grad():
            inputs = phi, encoder.measure
            theta, _ = DUAL.minimise(dual_of, inputs, mu, torch.zeros_like(mu))
        dual = dual_of(phi, encoder.measure)
        lost = samples.divergence - 1.0 + dual.value(mu, theta, dual.density(theta))
        return (lost.clamp(min=0.0) / (samples.divergence + self.floor)).pow(POWER).mean()

    def _dual(
        self, encoder: Encoder, features: SplineFeatures | ReducedSplineFeatures
    ) -> tuple[Callable[..., Dual], Tensor]:
        """What makes the dual function of functions at the nodes, and these functions."""
        gamma, c, dimension = DUAL.regularization, encoder.c, encoder.dimension
        if dimension == 1:
            phi = torch.cat((invariants(c), features.matrix(c)), dim=-1)
            return partial(ExponentialDual, gamma=gamma), phi
        phi = torch.cat((reduced_invariants(c, dimension), features.matrix(c)), dim=-1)
        return partial(ReducedDual, gamma=gamma, across=dimension - 1), phi
