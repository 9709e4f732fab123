"""What Boltzmann's collisions of Maxwell molecules do to Hermite moments, D = 2: exact and closed.

    d_t W = (rho/eps) rho R(m),      R_k = -(A m)_k + sum_lp B_klp m_l m_p

is the production of Grad's f_hat = M (1 + m.w) itself. In Fourier space the operator multiplies
values (Bobylev, Sov. Sci. Rev. C 7 (1988) 111), and a Hermite function He_a(c_1) He_b(c_2) Mc is
(-i k_1)^a (-i k_2)^b exp(-|k|^2/2). As |k_+|^2 + |k_-|^2 = |k|^2, the Gaussian drops out of

    Q(P)(k) = <P(k_+) P(k_-)> - P(k) P(0),      k_+- = (k +- |k| sigma)/2, <> the mean over sigma,

and polynomials P are left. With k = (cos t, sin t) and a the half of the angle from sigma to k,

    k_+ = cos(a) (cos(t - a), sin(t - a)),      k_- = sin(a) (-sin(t - a), cos(t - a)).

A product of homogeneous polynomials has the sum of their degrees, so A mixes moments of one degree
only, B_klp is zero unless those of l and p add up to that of k, and an implicit step is solved
degree by degree, without iteration. Stress and heat flux have no B: their rates, 1/2 and 1/4, hold
far from equilibrium too. Everything is dimensionless.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from closures.reduced_features import ReducedHermiteFeatures, degrees


@dataclass(frozen=True)
class MaxwellCollisions:
    """R of K moments by degree, in a basis `turn` of moments that are eigenfunctions of A.

    Args:
        degrees: of the moments, rising.
        turn: orthogonal (K, K), A = turn diag(rates) turn^T.
        rates: (K,), positive.
        pairs: B between moments in that basis, (K, K, K).
    """

    degrees: tuple[int, ...]
    turn: Tensor
    rates: Tensor
    pairs: Tensor

    @classmethod
    def of(cls, features: ReducedHermiteFeatures) -> MaxwellCollisions:
        """Those of the moments of Grad's method; D = 2."""
        n = torch.tensor([0, *degrees(features.count)])
        both = _products(features, n)
        A = torch.eye(features.count).double() - both[1:, 0, 1:] - both[1:, 1:, 0]
        blocks = [torch.linalg.eigh(A[n[1:] == one][:, n[1:] == one]) for one in n[1:].unique()]
        turn = torch.block_diag(*(vectors for _, vectors in blocks))
        pairs = torch.einsum("klp,ka,lb,pc->abc", both[1:, 1:, 1:], turn, turn, turn)
        return cls(tuple(n[1:].tolist()), turn, torch.cat([rates for rates, _ in blocks]), pairs)

    def to(self, device: torch.device) -> MaxwellCollisions:
        """The same with tensors on `device`."""
        tensors = (tensor.to(device) for tensor in (self.turn, self.rates, self.pairs))
        return MaxwellCollisions(self.degrees, *tensors)

    @property
    def response(self) -> Tensor:
        """A (K, K) in the basis of the moments m."""
        return (self.turn * self.rates) @ self.turn.T

    def __call__(self, m: Tensor) -> Tensor:
        """R of moments m, (M, K) each."""
        y = m @ self.turn
        R = torch.einsum("klp,nl,np->nk", self.pairs, y, y) - self.rates * y
        return R @ self.turn.T

    def relaxed(self, m: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """new of new - a R(new) = first, and first of first = m - b R'(new) R(new), for a, b (M,).

        That is, with b = 0 the implicit step of Euler's method with a step a. The other one is the
        correction of `closures.finite_volume`'s last stage: without B both divide by
        (1 + a A)(1 + b A^2), as the relaxation of BGK does by (1 + a)(1 + b).
        """
        return self._corrected(self._implicit(m @ self.turn, a[:, None]), b[:, None]) @ self.turn.T

    @cached_property
    def _by_degree(self) -> list[slice]:
        """The moments of each degree."""
        first = [self.degrees.index(n) for n in sorted(set(self.degrees))]
        return [slice(*ends) for ends in zip(first, [*first[1:], None], strict=True)]

    def _implicit(self, y: Tensor, a: Tensor) -> Tensor:
        """new of new - a R(new) = y."""
        new = y[:, :0]
        for rows in self._by_degree:
            gained = y[:, rows] + a * self._paired(rows, new, new)
            new = torch.cat((new, gained / (1.0 + a * self.rates[rows])), dim=1)
        return new

    def _corrected(self, y: Tensor, b: Tensor) -> Tensor:
        """new of new + b R'(new) R(new) = y, where R' R = -A R + 2 B(new, R)."""
        new = R = y[:, :0]
        for rows in self._by_degree:
            rates, paired = self.rates[rows], self._paired(rows, new, new)
            known = y[:, rows] + b * (rates * paired - 2.0 * self._paired(rows, new, R))
            added = known / (1.0 + b * rates**2)
            new = torch.cat((new, added), dim=1)
            R = torch.cat((R, paired - rates * added), dim=1)
        return new

    def _paired(self, rows: slice, x: Tensor, y: Tensor) -> Tensor:
        """B of moments x and y of all lower degrees, (M, number of rows)."""
        lower = slice(0, rows.start)
        return torch.einsum("klp,nl,np->nk", self.pairs[rows, lower, lower], x, y)


def _products(features: ReducedHermiteFeatures, degree: Tensor) -> Tensor:
    """w_k (k = 0: the constant) of the gain of w_l and w_p, (K+1, K+1, K+1), symmetric in l and p.

    Polynomials of the degrees `degree` are known by their values on the circle |k| = 1. They have
    the scalar product in which monomials k_1^a k_2^b are orthogonal and a! b! long, as Hermite
    polynomials have: in terms of exp(i mu t) its weight is 2^n ((n-mu)/2)! ((n+mu)/2)!.
    """
    count = 4 * int(degree.max())  # more than twice the highest frequency: sums are exact
    t = (2.0 * math.pi / count) * torch.arange(count, dtype=torch.float64)
    a = t[:, None]
    n = degree[:, None, None]
    plus = a.cos() ** n * _on_circle(features, t - a)
    minus = a.sin() ** n * _on_circle(features, t - a + 0.5 * math.pi)
    gain = torch.einsum("lat,pat->lpt", plus, minus) / count
    tested = torch.fft.fft(_on_circle(features, t)) / count * _lengths(degree, count)
    both = torch.einsum("km,lpm->klp", tested.conj(), torch.fft.fft(gain) / count).real
    same = degree[:, None, None] == degree[:, None] + degree
    return torch.where(same, 0.5 * (both + both.transpose(1, 2)), 0.0)


def _on_circle(features: ReducedHermiteFeatures, t: Tensor) -> Tensor:
    """The constant and all w as polynomials of k = (cos t, sin t): (K+1, ...)."""
    C = features.coefficients
    n = torch.arange(C.shape[1])
    powers = t.cos()[..., None] ** n / torch.exp(0.5 * torch.lgamma(n.double() + 1.0))
    w = powers @ C[0] + (t.sin() ** 2 * math.sqrt(0.5))[..., None] * (powers @ C[1])
    return torch.cat((torch.ones_like(t)[None], w.movedim(-1, 0)))


def _lengths(degree: Tensor, count: int) -> Tensor:
    """2^n ((n-mu)/2)! ((n+mu)/2)! of degrees n and the frequencies mu of an FFT."""
    mu = torch.fft.fftfreq(count, 1.0 / count, dtype=torch.float64)
    low, high = (0.5 * (degree[:, None] + sign * mu) for sign in (-1.0, 1.0))
    lengths = torch.exp(torch.lgamma(low + 1.0) + torch.lgamma(high + 1.0)) * 2.0 ** degree[:, None]
    return torch.where((low >= 0) & (high >= 0), lengths, 0.0)
