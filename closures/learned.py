"""What is learned of the closure `entropy`: the moments w, and what is done to them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from closures.closure import MomentClosure
from closures.dissipation import Dissipation
from closures.dual import DualSolver
from closures.encoder import Encoder, hermite_degrees, hermite_features
from closures.features import SplineFeatures
from closures.friction import Friction
from closures.gas import BGK_GAS, Gas
from closures.linear_response import linear_response
from closures.reduced import ReducedClosure
from closures.reduced_features import ReducedSplineFeatures
from closures.response import Response
from closures.splines import SplineBasis
from kinetic.boltzmann import BoltzmannOperator

BASIS = SplineBasis(extent=6.0, intervals=24)

DUAL = DualSolver(regularization=1e-8, iterations=200)
"""Its gamma draws back moments that the error of a step has put where no density has them; it damps
theta by that much a decoding, which no other state notices. As it acts once a step, it is also what
a boost changes however fine the cells are: with 1e-6 it was 3e-7 of the solution. With sixteen
moments Newton's method needs more than 60 steps now and then, where a gas comes out of a jump."""

REDUCED_DUAL = DualSolver(regularization=1e-6, iterations=200)
"""That of more dimensions, whose tails are held by the barrier of `closures.reduced_dual` only:
along it Newton's method can go 60 steps and more before it finds a minimum that is nowhere near."""

RESOLVED = 0.05
"""Part of a Hermite function that w must hold to be ordered by it."""


class Learned(nn.Module):
    """K functions w(c), their dissipation and, for Boltzmann's collisions, their response.

    In one dimension half of w is odd (the larger half), and f_hat has friction; in more they have
    the parities of the first polynomials (`closures.reduced_features`).
    """

    response: Tensor

    def __init__(self, moments: int, gas: Gas = BGK_GAS) -> None:
        super().__init__()
        dimension = gas.dimension
        parity = hermite_features(moments, dimension).parity
        odd, even = int((parity < 0).sum()), int((parity > 0).sum())
        self.dimension = dimension
        self.encoder = Encoder(odd, even, BASIS, dimension)
        degrees = hermite_degrees(moments, dimension)
        order = torch.argsort(parity, stable=True)
        self.dissipation = Dissipation(torch.tensor(degrees)[order])
        self.friction = Friction(moments) if dimension == 1 else None
        self.collides = gas.collision == "boltzmann"
        # Before it is known: all moments relax like the stress.
        self.register_buffer("response", 0.5 * torch.eye(moments * self.collides).double())

    def closure(self) -> MomentClosure | ReducedClosure:
        """The closure of the present parameters (differentiable)."""
        features, dissipation = self.encoder.features(), self.dissipation
        if isinstance(features, SplineFeatures):
            return MomentClosure(
                "entropy",
                features,
                DUAL,
                dissipation=dissipation,
                friction=self.friction,
                device=features.coefficients.device,
            )
        return ReducedClosure(
            "entropy",
            self.dimension,
            features,
            REDUCED_DUAL,
            nodes=len(self.encoder.c),
            dissipation=dissipation,
            response=Response(self.response) if self.collides else None,
            device=features.coefficients.device,
        )

    @torch.no_grad()
    def respond_to(self, operator: BoltzmannOperator) -> None:
        """Let collisions do to the moments what the operator does near equilibrium."""
        features = self.encoder.features()
        assert isinstance(features, ReducedSplineFeatures)
        same = features.parity[:, None] == features.parity
        self.response.copy_(torch.where(same, linear_response(features, operator), 0.0))

    @torch.no_grad()
    def order_by_degree(self) -> None:
        """Rotate w of either parity so that its functions resemble polynomials of rising degree.

        A closure depends on their span alone, their dissipation on the functions themselves.
        """
        features = self.encoder.features()
        c, measure = self.encoder.c, self.encoder.measure
        hermite = hermite_features(2 * features.parity.numel(), self.dimension)
        w, polynomials = features.matrix(c), hermite.matrix(c)
        overlap = w.transpose(-1, -2) @ (measure[:, None] * polynomials)
        overlap = overlap if self.dimension == 1 else overlap.sum(0)
        odd = self.encoder.odd
        columns = hermite.parity < 0
        turned = _rotation(overlap[:odd, columns]), _rotation(overlap[odd:, ~columns])
        self.encoder.set_coefficients(features.table @ torch.block_diag(*turned))


def _rotation(overlap: Tensor) -> Tensor:
    """Orthogonal (n, n) of columns made from those of `overlap` (n, N) in their order."""
    columns: list[Tensor] = []
    for column in overlap.T:
        rest = column - sum((q @ column * q for q in columns), torch.zeros_like(column))
        if rest.norm() > RESOLVED and len(columns) < len(overlap):
            columns.append(rest / rest.norm())
    return torch.stack(columns, dim=1)
