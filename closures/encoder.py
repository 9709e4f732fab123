"""The encoder: learned bounded functions w(c), their parity and orthonormality built in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from closures.features import (
    INVARIANTS,
    HermiteFeatures,
    SplineFeatures,
    decoder_rule,
    invariants,
)
from closures.reduced import reduced_invariants
from closures.reduced_features import ReducedHermiteFeatures, ReducedSplineFeatures, degrees
from closures.splines import SplineBasis

TAIL = 1e-3
"""Weight of a flat measure beside Mc: the scale of the parameters where few particles are."""


class Encoder(nn.Module):
    """`odd` odd and `even` even splines w(c), orthonormal to each other and to 1, c, c^2 under Mc.

    The parameters live in the space of splines of the right parity that are orthogonal to the
    invariants, in a basis orthonormal under Mc + TAIL; `features` then orthonormalises under Mc
    (Cholesky of the Gram matrix). So parity, orthonormality and bound hold for every value of the
    parameters. What a maximum-entropy closure can represent depends on the span of w alone, so the
    last step is a choice of coordinates, not a constraint.

    In more than one dimension w is a pair of splines (`closures.reduced`), in one a single spline:
    coefficients of the first stand above those of the second.

    c, measure: the nodes of the decoder, and Mc there times their weights (n,).
    """

    c: Tensor
    measure: Tensor
    space_odd: Tensor
    space_even: Tensor
    gram: Tensor
    weight_odd: nn.Parameter
    weight_even: nn.Parameter

    def __init__(
        self, odd: int, even: int, basis: SplineBasis | None = None, dimension: int = 1
    ) -> None:
        super().__init__()
        self.basis = basis or SplineBasis()
        self.odd, self.even, self.dimension = odd, even, dimension
        c, measure = decoder_rule(self.basis, dimension)
        self.register_buffer("c", c, persistent=False)
        self.register_buffer("measure", measure, persistent=False)
        B = self.basis.matrix(c)
        gram = B.T @ (measure[:, None] * B)
        of_invariants = invariants(c)[None] if dimension == 1 else reduced_invariants(c, dimension)
        self.register_buffer("gram", torch.block_diag(*[gram for _ in of_invariants]), False)
        against = torch.cat([(B.T @ (measure[:, None] * one)).T for one in of_invariants], dim=1)
        start, parity = self._bounded_hermite()
        for name, sign, count in (("odd", -1.0, odd), ("even", 1.0, even)):
            columns = torch.nonzero(parity == sign)[:count, 0]
            space = self._admissible(sign, against)
            self.register_buffer(f"space_{name}", space, persistent=False)
            weight = torch.linalg.lstsq(
                space, start[:, columns], driver="gels"
            ).solution.contiguous()
            setattr(self, f"weight_{name}", nn.Parameter(weight))

    def _admissible(self, sign: float, against: Tensor) -> Tensor:
        """Splines of parity `sign` orthogonal to the rows of `against`, as columns.

        A null space has no natural basis: that of a factorisation by Householder's reflections is
        the same on every machine, so that parameters mean the same there.
        """
        eye = torch.eye(self.basis.size, dtype=against.dtype)
        pairs = (eye + sign * eye.flip(0))[:, : (len(eye) + 1) // 2]
        pairs = pairs[:, pairs.any(0)]
        alike = torch.block_diag(*[pairs] * (len(self.gram) // len(eye)))
        rows = against @ alike
        rows = rows[rows.norm(dim=1) > 1e-10]
        null = alike @ torch.linalg.qr(rows.T, mode="complete")[0][:, len(rows) :]
        eye = torch.eye(len(self.gram), dtype=against.dtype)
        L = torch.linalg.cholesky(null.T @ (self.gram + TAIL * eye) @ null)
        return torch.linalg.solve_triangular(L, null.T, upper=False).T.contiguous()

    def _bounded_hermite(self) -> tuple[Tensor, Tensor]:
        """Splines close to polynomials times exp(-c_1^2/8), by degree, and their parity: the start
        of training."""
        L, count = self.basis.extent, 2 * max(self.odd, self.even) + 1
        c = torch.linspace(-L, L, 4 * self.basis.size, dtype=torch.float64)
        polynomials = hermite_features(count, self.dimension)
        target = polynomials.matrix(c) * torch.exp(-c * c / 8)[:, None]
        rows = target if target.dim() == 3 else target[None]
        B = self.basis.matrix(c).expand(len(rows), -1, -1)
        splines = torch.linalg.lstsq(B, rows, driver="gels").solution
        return splines.flatten(0, 1), polynomials.parity

    @torch.no_grad()
    def set_coefficients(self, coefficients: Tensor) -> None:
        """Take over the functions with spline coefficients (size, K), odd ones first."""
        for space, weight, columns in (
            (self.space_odd, self.weight_odd, coefficients[:, : self.odd]),
            (self.space_even, self.weight_even, coefficients[:, self.odd :]),
        ):
            weight.copy_(torch.linalg.lstsq(space, columns, driver="gels").solution)

    def features(self) -> SplineFeatures | ReducedSplineFeatures:
        """The orthonormal w of the present parameters (differentiable)."""
        blocks = []
        for space, weight in (
            (self.space_odd, self.weight_odd),
            (self.space_even, self.weight_even),
        ):
            raw = space @ weight
            L = torch.linalg.cholesky(raw.T @ self.gram @ raw)
            blocks.append(torch.linalg.solve_triangular(L, raw.T, upper=False).T)
        parity = torch.cat((-torch.ones(self.odd), torch.ones(self.even))).to(self.gram)
        coefficients = torch.cat(blocks, dim=1)
        if self.dimension == 1:
            return SplineFeatures(self.basis, coefficients, parity)
        pairs = coefficients.unflatten(0, (2, self.basis.size))
        return ReducedSplineFeatures(self.basis, pairs, parity)


def hermite_features(count: int, dimension: int) -> HermiteFeatures | ReducedHermiteFeatures:
    """The first `count` orthonormal polynomials that are no collision invariants."""
    if dimension == 1:
        return HermiteFeatures(count)
    return ReducedHermiteFeatures(dimension, count)


def hermite_degrees(count: int, dimension: int) -> list[int]:
    """Their degrees."""
    return list(range(INVARIANTS, INVARIANTS + count)) if dimension == 1 else degrees(count)
