"""The encoder: learned bounded functions w(c), their parity and orthonormality built in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from closures.features import (
    EXTENT,
    NODES,
    HermiteFeatures,
    SplineFeatures,
    invariants,
    trapezoid,
    unit_maxwellian,
)
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
    """

    space_odd: Tensor
    space_even: Tensor
    gram: Tensor
    weight_odd: nn.Parameter
    weight_even: nn.Parameter

    def __init__(self, odd: int, even: int, basis: SplineBasis | None = None) -> None:
        super().__init__()
        self.basis = basis or SplineBasis()
        self.odd, self.even = odd, even
        c, h = trapezoid(EXTENT, NODES)
        measure = unit_maxwellian(c) * h
        B = self.basis.matrix(c)
        self.register_buffer("gram", B.T @ (measure[:, None] * B), persistent=False)
        against = (B.T @ (measure[:, None] * invariants(c))).T
        start = self._bounded_hermite()
        for name, sign, columns in (
            ("odd", -1.0, slice(0, 2 * odd, 2)),
            ("even", 1.0, slice(1, 2 * even, 2)),
        ):
            space = self._admissible(sign, against)
            self.register_buffer(f"space_{name}", space, persistent=False)
            weight = torch.linalg.lstsq(
                space, start[:, columns], driver="gels"
            ).solution.contiguous()
            setattr(self, f"weight_{name}", nn.Parameter(weight))

    def _admissible(self, sign: float, against: Tensor) -> Tensor:
        """Splines of parity `sign` orthogonal to the rows of `against`, as columns."""
        eye = torch.eye(self.basis.size, dtype=against.dtype)
        constraints = torch.cat((eye - sign * eye.flip(0), against))
        _, s, Vt = torch.linalg.svd(constraints)
        null = Vt[int((s > 1e-10 * s[0]).sum()) :].T
        L = torch.linalg.cholesky(null.T @ (self.gram + TAIL * eye) @ null)
        return torch.linalg.solve_triangular(L, null.T, upper=False).T.contiguous()

    def _bounded_hermite(self) -> Tensor:
        """Splines close to He_n(c) exp(-c^2/8), n = 3, 4, ...: the start of training."""
        L = self.basis.extent
        c = torch.linspace(-L, L, 4 * self.basis.size, dtype=torch.float64)
        target = HermiteFeatures(2 * max(self.odd, self.even)).matrix(c)
        target = target * torch.exp(-c * c / 8)[:, None]
        return torch.linalg.lstsq(self.basis.matrix(c), target, driver="gels").solution

    @torch.no_grad()
    def set_coefficients(self, coefficients: Tensor) -> None:
        """Take over the functions with spline coefficients (size, K), odd ones first."""
        for space, weight, columns in (
            (self.space_odd, self.weight_odd, coefficients[:, : self.odd]),
            (self.space_even, self.weight_even, coefficients[:, self.odd :]),
        ):
            weight.copy_(torch.linalg.lstsq(space, columns, driver="gels").solution)

    def features(self) -> SplineFeatures:
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
        return SplineFeatures(self.basis, torch.cat(blocks, dim=1), parity)
