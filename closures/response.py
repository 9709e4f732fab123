"""What collisions do to the moments, if not what BGK's do: the linear response of the operator.

    d_t W = (rho nu/eps) R,      R = -Lambda m

Lambda (K, K), symmetric and positive definite, is what the operator does near equilibrium
(`closures.linear_response`). Written for moments it is right far from it too. Of Maxwell molecules,
nu = rho, polynomials of c decay each at a rate of its own, the stress at 1/2 and the heat flux at
1/4 exactly, and those of higher degree have products of lower ones beside that. A law linear in
theta, R = -A theta, needs an A of m that has to be learned, and was five times less right about
stress and heat flux. Shakhov's operator is linear in f but for its Maxwellian, so the law is exact
if w holds the heat flux; es_bgk has products of the stress beside it, of the second order.

Each eigenvector of Lambda relaxes as BGK's moments do, at its own rate. m and m' before and after
an implicit step lower the entropy, eta(m') <= eta(m), if theta'.(m - m') >= 0, as eta is convex and
theta its gradient. Where that does not hold all moments relax at the slowest rate, for which it
always does, theta'.m' being positive. So there is a symmetric positive definite A with
R = -A theta in either case: the H-theorem.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Response:
    """Lambda (K, K), symmetric and positive definite, of moments of either parity."""

    matrix: Tensor

    def to(self, device: torch.device) -> Response:
        """The same on `device`."""
        return Response(self.matrix.to(device))

    @cached_property
    def modes(self) -> tuple[Tensor, Tensor]:
        """Rates (K,), rising, and the eigenvectors, one a column (K, K)."""
        rates, vectors = torch.linalg.eigh(self.matrix)
        return rates, vectors

    def relaxed(self, m: Tensor, slowing: Tensor) -> Tensor:
        """m (M, K) with each eigenvector divided by its `slowing` (M, K)."""
        _, vectors = self.modes
        return ((m @ vectors) / slowing) @ vectors.T
