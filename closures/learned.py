"""What is learned of the closure `entropy`: the moments w, and their damping and diffusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from closures.closure import MomentClosure
from closures.dissipation import Dissipation
from closures.dual import DualSolver
from closures.encoder import Encoder
from closures.features import EXTENT, NODES, HermiteFeatures, trapezoid, unit_maxwellian
from closures.splines import SplineBasis

BASIS = SplineBasis(extent=6.0, intervals=24)

DUAL = DualSolver(regularization=1e-6)
"""Its gamma draws back moments that the error of a step has put where no density has them; it damps
theta by that much a decoding, which no other state notices."""

RESOLVED = 0.05
"""Part of a Hermite function that w must hold to be ordered by it."""


class Learned(nn.Module):
    """K functions w(c), half of them odd (the larger half), and their dissipation."""

    def __init__(self, moments: int) -> None:
        super().__init__()
        odd, even = (moments + 1) // 2, moments // 2
        self.encoder = Encoder(odd, even, BASIS)
        degrees = [*range(3, 3 + 2 * odd, 2), *range(4, 4 + 2 * even, 2)]
        self.dissipation = Dissipation(torch.tensor(degrees))

    def closure(self) -> MomentClosure:
        """The closure of the present parameters (differentiable)."""
        features = self.encoder.features()
        return MomentClosure("entropy", features, DUAL, dissipation=self.dissipation)

    @torch.no_grad()
    def order_by_degree(self) -> None:
        """Rotate w of either parity so that its functions resemble He_3, He_5, ... and He_4, ....

        A closure depends on their span alone, their dissipation on the functions themselves.
        """
        features = self.encoder.features()
        c, h = trapezoid(EXTENT, NODES)
        measure = unit_maxwellian(c) * h
        hermite = HermiteFeatures(2 * features.parity.numel()).matrix(c)
        overlap = features.matrix(c).T @ (measure[:, None] * hermite)
        odd = self.encoder.odd
        Q = torch.block_diag(_rotation(overlap[:odd, ::2]), _rotation(overlap[odd:, 1::2]))
        self.encoder.set_coefficients(features.coefficients @ Q)


def _rotation(overlap: Tensor) -> Tensor:
    """Orthogonal (n, n) of columns made from those of `overlap` (n, N) in their order."""
    columns: list[Tensor] = []
    for column in overlap.T:
        rest = column - sum((q @ column * q for q in columns), torch.zeros_like(column))
        if rest.norm() > RESOLVED and len(columns) < len(overlap):
            columns.append(rest / rest.norm())
    return torch.stack(columns, dim=1)
