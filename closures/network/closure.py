"""The closure of Han, Ma, Ma and E: moments of an autoencoder, fluxes from networks.

    d_t U + d_x [F_0(U) + F~(U, W; eps)] = 0
    d_t W_j + d_x [G_0(U; U_j) + G~(U, W; U_j)] = (1/eps) R(U, W)

F_0 and G_0 are fluxes of the Maxwellian, in closed form and by quadrature; F~ and G~ are networks
(`closures.network.fluxes`). For BGK no network is needed for R = nu (W_M(U) - W), W_M the moments
of the Maxwellian: that is exact in either frame, and -nu W in the Galilean one. For Boltzmann's
collisions of Maxwell molecules R = -rho^2 A(m) m, A = L L^T with L a network: nothing grows, and
equilibrium stays. Source: PNAS 116 (2019) 21983. Everything is dimensionless; with D > 1 f is what
`closures.network.moments` says, and only the Galilean frame is known.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from closures.closure import Frame
from closures.features import trapezoid
from closures.gas import BGK_GAS, Gas
from closures.network.autoencoder import Decoder, Encoded
from closures.network.fluxes import FixedFluxes, GalileanFluxes
from closures.network.moments import (
    EXTENT,
    NODES,
    HermiteMoments,
    LearnedMoments,
    fixed_frame,
    maxwellian_moments,
    relative,
)
from closures.network.production import Production

if TYPE_CHECKING:
    from closures.finite_volume import Scheme
    from closures.network.solver import NetworkSolver
    from kinetic.collisions import BGK

SUPPORT, SUPPORT_NODES = 8.0, 65
"""Quadrature of f_hat in its own frame."""


@dataclass(frozen=True)
class Architecture:
    """What the networks are: all that their weights do not say.

    Attributes:
        frame: "galilean" or "fixed".
        features: "learned" or "hermite".
        moments: K.
        encoder, decoder, flux: widths of the two hidden layers of w, of Phi and of F~ and G~.
        gas: the gas that they are for.
    """

    frame: str = "galilean"
    features: str = "learned"
    moments: int = 6
    encoder: int = 32
    decoder: int = 64
    flux: int = 64
    gas: Gas = BGK_GAS

    @property
    def fixed(self) -> bool:
        """Whether the frame is the fixed one."""
        return self.frame == "fixed"


class Networks(nn.Module):
    """All networks of the closure, with initial weights drawn from `seed`."""

    moments: HermiteMoments | LearnedMoments
    decoder: Decoder
    fluxes: GalileanFluxes | FixedFluxes
    production: Production | None

    def __init__(self, kind: Architecture, seed: int = 0) -> None:
        super().__init__()
        self.kind = kind
        draw, D = torch.Generator().manual_seed(seed), kind.gas.dimension
        if kind.features == "hermite":
            self.moments = HermiteMoments(kind.moments, D)
        else:
            self.moments = LearnedMoments(kind.moments, kind.encoder, draw, D)
        self.decoder = Decoder(kind.moments, 2 if kind.fixed else 0, kind.decoder, draw, D)
        if kind.fixed:
            self.fluxes = FixedFluxes(kind.moments, kind.flux, draw)
        else:
            self.fluxes = GalileanFluxes(kind.moments, kind.flux, draw, D)
        # w has no parity, so A mixes all.
        collides = kind.gas.collision == "boltzmann"
        self.production = Production(torch.ones(kind.moments)) if collides else None

    def encoded(self, m: Tensor, shift: Tensor, width: Tensor, w: Tensor) -> Encoded:
        """Moments m of a gas that its frame sees at `shift` and `width`; w at the nodes (n, K)."""
        if not self.kind.fixed:
            return Encoded(m, torch.zeros_like(m), m[:, :0])
        equilibrium, _ = maxwellian_moments(w, shift, width)
        return Encoded(m, equilibrium, torch.stack((shift, 2.0 * width.log()), dim=1))


@dataclass(frozen=True)
class Decoded:
    """f_hat of cells: rho M(c) Phi(c)/M(c) where the Maxwellian is not negligible."""

    closure: NetworkClosure
    frame: Frame
    coefficients: Tensor

    def take(self, rows: Tensor) -> Decoded:
        """f_hat of the cells `rows`."""
        return Decoded(self.closure, self.frame.take(rows), self.coefficients[rows])

    def __call__(self, v: Tensor) -> Tensor:
        """f_hat at velocities v (M, n), or its g and h (2, M, n)."""
        c = self.frame.scaled(v)
        scale = self.frame.rho / self.frame.T.sqrt() / math.sqrt(2 * math.pi)
        seen = self.closure.seen(self.frame)
        ratio = self.closure.networks.decoder.ratio(self.coefficients, seen.scaled(v))
        if d := self.closure.dimension - 1:
            g, s = ratio.chunk(2, dim=1)
            ratio = torch.stack((g, self.frame.T[:, None] * (d * g + math.sqrt(2.0 * d) * s)))
        inside = c.abs() <= self.closure.extent
        return torch.where(inside, scale[:, None] * torch.exp(-0.5 * c * c) * ratio, 0.0)


@dataclass(frozen=True)
class NetworkClosure:
    """A trained closure; its members are those of `closures.closure.Closure`.

    m = W/rho. theta = m: fluxes and f_hat are functions of U and m alone.

    Args:
        networks: the trained networks.
        speed: L, the largest characteristic speed |lambda - u|/sqrt(T) on the training data.
        manifest: what the model's directory says of it.
        device: where the tensors are.
    """

    networks: Networks
    speed: float
    manifest: Mapping[str, Any] | None = None
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    extent: float = SUPPORT
    conductivity: bool = False
    dissipation: None = None

    def to(self, device: torch.device) -> NetworkClosure:
        if device == self.device:
            return self
        networks = copy.deepcopy(self.networks).to(device)
        return replace(self, networks=networks, device=device)

    def solver(
        self, knudsen: Tensor, collision: BGK, boundary: str, scheme: Scheme
    ) -> NetworkSolver:
        """The finite volumes that advance the equations; see `closures.network.solver`."""
        from closures.network.solver import NetworkSolver

        return NetworkSolver(self, knudsen, collision, boundary, scheme)

    @property
    def name(self) -> str:
        return "network"

    @property
    def dimension(self) -> int:
        return self.networks.kind.gas.dimension

    @property
    def moments(self) -> int:
        return self.networks.kind.moments

    @property
    def history(self) -> Mapping[str, list[float]] | None:
        """Training curves of the fluxes: step, train, validation."""
        return (self.manifest or {}).get("history")

    @property
    def rollout(self) -> Mapping[str, list[float]] | None:
        """Training curves of the closed equations: step, train, validation."""
        return (self.manifest or {}).get("rollout")

    @cached_property
    def c(self) -> Tensor:
        """Nodes (n,) on [-extent, extent] that resolve f_hat."""
        return trapezoid(SUPPORT, SUPPORT_NODES)[0].to(self.device)

    @cached_property
    def w(self) -> Tensor:
        """The functions at the nodes of the quadrature of a Maxwellian, (n, K)."""
        return self.networks.moments(trapezoid(EXTENT, NODES)[0].to(self.device)).detach()

    def seen(self, frame: Frame) -> Frame:
        """The frame in which W of cells is measured: their own, or the fixed one."""
        return fixed_frame(frame) if self.networks.kind.fixed else frame

    def equilibrium(self, frame: Frame) -> Tensor:
        """m of the Maxwellian of cells, (M, K)."""
        if not self.networks.kind.fixed:
            return self.w.new_zeros((len(frame.rho), self.moments))
        shift, width = relative(frame, self.seen(frame))
        return maxwellian_moments(self.w, shift, width)[0]

    def heat(self, frame: Frame, m: Tensor, knudsen: Tensor) -> Tensor:
        """q (M,): the flux F~ of energy."""
        n = m - self.equilibrium(frame)
        return frame.rho * self.networks.fluxes.heat(m, n, frame.u, frame.T, knudsen)

    def stress(self, frame: Frame, m: Tensor, knudsen: Tensor) -> Tensor:
        """sigma (M,): the flux F~ of momentum, zero in one dimension."""
        n = m - self.equilibrium(frame)
        return frame.rho * self.networks.fluxes.stress(m, n, frame.T, knudsen)

    def flux(self, frame: Frame, m: Tensor, knudsen: Tensor) -> Tensor:
        """F~ = (0, sigma, u sigma + q), (M, 3)."""
        q, sigma = self.heat(frame, m, knudsen), self.stress(frame, m, knudsen)
        return torch.stack((torch.zeros_like(q), sigma, frame.u * sigma + q), dim=1)

    def collide(self, m: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """new of (1 + a A)(1 + b A^2) new = m, A that of m, for a and b (M,)."""
        assert self.networks.production is not None
        A = self.networks.production(m)
        one = torch.eye(self.moments, dtype=m.dtype, device=m.device)
        a, b = a[:, None, None], b[:, None, None]
        new = torch.linalg.solve(one + a * A, m[:, :, None])
        return torch.linalg.solve(one + b * (A @ A), new)[:, :, 0]

    def carried(self, frame: Frame, m: Tensor, to: Frame) -> tuple[Tensor, Tensor]:
        """W of cells as the cells `to` see it, and its flux G_0 + G~, (M, K) each.

        Args:
            frame, m: the cells, and their moments in their own frames (Galilean) or the fixed one.
            to: the cells that are updated.
        """
        shift, width = relative(frame, self.seen(to))
        A_0, B_0 = maxwellian_moments(self.w, shift, width, self.dimension)
        n = m - A_0 if self.networks.kind.fixed else m
        A, B = self.networks.fluxes.beyond(m, n, frame.u, frame.T, shift, width)
        W = A_0 + A
        G = frame.u[:, None] * W + frame.T.sqrt()[:, None] * B_0 + B
        return frame.rho[:, None] * W, frame.rho[:, None] * G

    def decode(
        self, m: Tensor, knudsen: Tensor, start: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """theta = m, and where it is finite."""
        return m, torch.isfinite(m).all(1)

    def distribution(self, frame: Frame, theta: Tensor) -> Decoded:
        """f_hat of the decoder."""
        shift, width = relative(frame, self.seen(frame))
        state = self.networks.encoded(theta, shift, width, self.w)
        return Decoded(self, frame, self.networks.decoder.coefficients(state))

    def particles(self, frame: Frame, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Velocities and masses of f_hat at the nodes c, (M, n) each."""
        width = frame.T.sqrt()[:, None]
        v = frame.u[:, None] + width * self.c
        mass = self.distribution(frame, theta)(v) * width * (self.c[1] - self.c[0])
        return v, mass

    def encode(self, frame: Frame, v: Tensor, g: Tensor) -> Tensor:
        """m = sum_n g_n w(c_n)/rho; with D > 1 also over s_n = (h_n/T - d g_n)/sqrt(2 d)."""
        if d := self.dimension - 1:
            s = (g[1] / frame.T[:, None] - d * g[0]) / math.sqrt(2.0 * d)
            g = torch.cat((g[0], s), dim=1)
        w = self.networks.moments(self.seen(frame).scaled(v))
        return torch.einsum("mn,mnk->mk", g, w) / frame.rho[:, None]
