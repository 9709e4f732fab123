"""Levermore's closure: maximum entropy on polynomial moments.

    f_hat(v) = rho T^(-1/2) exp(p(c)),      p a polynomial of degree N = 2 + K,   c = (v-u)/sqrt(T)

has the largest entropy of all densities with the moments rho, u, T and m_k = <He_n/sqrt(n!)>,
n = 3..N (Levermore, J. Stat. Phys. 83 (1996) 1021). N must be even, or exp(p) grows without bound
on one side.

Its known defect: on the line some moments have no such density. For N = 4 these are zero heat flux
with <c^4> > 3, a ray that begins at equilibrium itself (Junk, J. Stat. Phys. 93 (1998) 1143); near
it the density is all but a Maxwellian, plus a speck of mass the farther out the nearer it is. On an
interval |c| <= L a maximiser always exists, and there what the line cannot hold piles up at the
ends: its moments, and its fluxes even more, depend on L, a length without physical meaning. So

- `maxent` counts a state as failed when the outermost unit of c at each end holds more than `PILED`
  of the highest moment. Most gases far from equilibrium fail: mixtures of two Maxwellians, as the
  families wave and mix start from, do so in one cell or more of nearly every profile.
- `maxent_truncated` takes the interval at its word and goes on. It is a closure of its own, whose
  solutions depend on L: from L = 8 to 10 the errors of K = 2, 4, 6 change by up to a quarter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from closures.closure import MomentClosure
from closures.dual import DualSolver
from closures.features import HermiteFeatures
from kinetic.errors import InvalidInput

MAXENT = ("maxent", "maxent_truncated")
"""Names of the closures of this module."""

PILED = 1e-3
"""Of int |He_N|/sqrt(N!) f_hat/rho dc over the ends, that a density on the line may have there."""


@dataclass(frozen=True)
class PolynomialDual(DualSolver):
    """The dual of polynomials, which are large where Mc is tiny.

    It is solved relative to dc, not to Mc dc, as `DualSolver` bounds the exponent that is relative
    to the measure: at |c| = 10 that bound would cut off what piles up.

    Args:
        iterations: more than `DualSolver` takes, as steps are short where the exponential of a
            small change of theta is large at the ends.
        piled: the most of the highest moment that the ends may hold.
    """

    iterations: int = 400
    regularization: float = 1e-13
    piled: float = PILED

    def solve(
        self, phi: Tensor, measure: Tensor, mu: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """theta relative to `measure`, Mc dc; what piles up at the ends has not converged."""
        gaussian = _log_maxwellian(phi)
        flat = measure * torch.exp(-(phi @ gaussian))
        with torch.no_grad():
            begin = start + gaussian
            # From a worse guess than equilibrium, exponentials of polynomials lead nowhere.
            better = self.value(phi, flat, mu, begin) <= measure.sum()
            begin = torch.where(better[:, None], begin, gaussian)
        theta, converged = super().solve(phi, flat, mu, begin)
        theta = theta - gaussian
        return theta, converged & (self._at_the_ends(phi, measure, theta) <= self.piled)

    @torch.no_grad()
    def _at_the_ends(self, phi: Tensor, measure: Tensor, theta: Tensor) -> Tensor:
        """sum of |phi_N| f_hat/rho over L-1 < |c| <= L, (M,)."""
        c = phi[:, 1]
        ends = c.abs() > c.max() - 1.0
        share = torch.exp(theta @ phi[ends].T) * measure[ends]
        return share @ phi[ends, -1].abs()


def _log_maxwellian(phi: Tensor) -> Tensor:
    """The coefficients (P,) of log Mc(c) = -c^2/2 - log(2 pi)/2 in (1, c, (c^2-1)/sqrt 2, ...)."""
    coefficients = phi.new_zeros(phi.shape[1])
    coefficients[0] = -0.5 - 0.5 * math.log(2 * math.pi)
    coefficients[2] = -math.sqrt(0.5)
    return coefficients


@dataclass(frozen=True)
class Levermore(MomentClosure):
    """A `MomentClosure` that can say why a state has failed."""

    undecodable: ClassVar[str] = (
        "the maximum-entropy density piles up at the ends of the velocity interval: on the line "
        "there is none with these moments (Junk 1998)"
    )


def maxent(name: str, moments: int, extent: float, nodes: int) -> MomentClosure:
    """Return a closure of `MAXENT` with K = `moments`, on `nodes` of |c| <= `extent`.

    Raises:
        InvalidInput: under ``closure.moments``, when K is odd.
    """
    if moments % 2:
        allowed = f"must be even for {name}: an odd polynomial grows without bound on one side"
        raise InvalidInput("closure.moments", moments, allowed)
    truncated = name == MAXENT[1]
    dual = PolynomialDual(piled=math.inf if truncated else PILED)
    kind = MomentClosure if truncated else Levermore
    return kind(name, HermiteFeatures(moments), dual, extent=extent, nodes=nodes)
