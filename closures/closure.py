"""What a closure is: the small protocol the finite-volume solver talks to, and its kinetic form.

A state is one row per cell: U = (rho, rho u, E) and the normalised moments m = <w(c)> in the cell's
own frame (u, T), c = (v-u)/sqrt(T). A closure decodes m to coefficients theta and with them to a
distribution. `MomentClosure` takes

    f_hat(v) = rho T^(-1/2) Mc(c) r(theta.phi(c)) for |c| <= L, else 0,
    phi = (1, c, (c^2-1)/sqrt 2, w)

with r(s) = exp(s) for maximum entropy and r(s) = 1 + s for Grad's method. A closure of another kind
need only be a `Closure`. Everything is dimensionless, D = 1.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from closures.dissipation import Dissipation, turn
from closures.dual import DualSolver
from closures.features import (
    EXTENT,
    INVARIANTS,
    NODES,
    Features,
    invariants,
    trapezoid,
    unit_maxwellian,
)
from closures.friction import Friction, friction_matrix
from closures.response import Response


@dataclass(frozen=True)
class Frame:
    """rho, u, T of cells, each (M,)."""

    rho: Tensor
    u: Tensor
    T: Tensor

    @classmethod
    def of(cls, U: Tensor, dimension: int = 1) -> Frame:
        """From conserved variables (M, 3) of a gas with velocities in `dimension` dimensions."""
        rho, u = U[:, 0], U[:, 1] / U[:, 0]
        return cls(rho, u, (2.0 * U[:, 2] / rho - u * u) / dimension)

    def take(self, rows: Tensor) -> Frame:
        """The frames of the cells `rows`."""
        return Frame(self.rho[rows], self.u[rows], self.T[rows])

    def scaled(self, v: Tensor) -> Tensor:
        """c = (v-u)/sqrt(T) of velocities (M, n)."""
        return (v - self.u[:, None]) / self.T.sqrt()[:, None]


class Distribution(Protocol):
    """f_hat of M cells as a function of v."""

    def take(self, rows: Tensor) -> Distribution:
        """f_hat of the cells `rows`."""
        ...

    def __call__(self, v: Tensor) -> Tensor:
        """f_hat at velocities v (M, n) along x: (M, n), or (2, M, n), see `Closure`."""
        ...


class Closure(Protocol):
    """What closes the moment equations: all that `FiniteVolume` and `run_batch` use of it.

    Its functions act on rows of cells, return tensors where their arguments are, and are
    differentiable if a solution is to be. m (M, K) and theta (M, P) mean what the closure makes of
    them, but m must be averages over f, so that they are linear in f, and m = 0 in equilibrium:
    collisions divide m by 1 + a and leave U alone.

    Where velocities have more than one dimension, values of f and masses are those of the reduced
    distributions (int f dv_perp, int |v_perp|^2 f dv_perp): for (M, n) read (2, M, n) there.

    Attributes:
        name: what it is called.
        dimension: D, of the velocities.
        moments: K, the number of moments beyond rho, rho u and E.
        extent: L, where f_hat ends: f_hat(v) = 0 for |v-u| > L sqrt(T).
        c: uniform nodes (n,) on [-L, L] that resolve f_hat.
        conductivity: whether heat is conducted as well, by Chapman and Enskog's law.
        dissipation: what acts on the moments beside transport and collisions, or None.
    """

    @property
    def name(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    @property
    def moments(self) -> int: ...
    @property
    def extent(self) -> float: ...
    @property
    def c(self) -> Tensor: ...
    @property
    def conductivity(self) -> bool: ...
    @property
    def dissipation(self) -> Dissipation | None: ...

    def to(self, device: torch.device) -> Closure:
        """The same closure with its tensors on `device`."""
        ...

    def decode(
        self, m: Tensor, knudsen: Tensor, start: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """theta (M, P) of moments m (M, K) at eps (M,), and which cells have one (bool, (M,)).

        `start` is the theta of a nearby state, or None: a guess that must not change the result
        beyond a tolerance.
        """
        ...

    def distribution(self, frame: Frame, theta: Tensor) -> Distribution:
        """f_hat of cells."""
        ...

    def particles(self, frame: Frame, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Velocities and masses of a quadrature of f_hat, (M, n) each.

        The velocities depend on the frame alone.
        """
        ...

    def encode(self, frame: Frame, v: Tensor, g: Tensor) -> Tensor:
        """m (M, K) of particles of velocities v and masses g (M, n), in the frame of the cells."""
        ...


@dataclass(frozen=True)
class Decoded:
    """f_hat of a `MomentClosure`: rho T^(-1/2) Mc(c) r(a.(1, c, (c^2-1)/sqrt 2) + w part)."""

    closure: MomentClosure
    frame: Frame
    invariant: Tensor
    combined: Tensor

    def take(self, rows: Tensor) -> Decoded:
        """f_hat of the cells `rows`."""
        return Decoded(
            self.closure, self.frame.take(rows), self.invariant[rows], self.combined[rows]
        )

    def __call__(self, v: Tensor) -> Tensor:
        """f_hat at velocities v (M, n)."""
        L = self.closure.extent
        scaled = self.frame.scaled(v)
        # Far outside r overflows, and zero times its derivative would be no number.
        c = scaled.clamp(-L, L)
        a = self.invariant[:, :, None]
        s = a[:, 0] + a[:, 1] * c + a[:, 2] * ((c * c - 1.0) * math.sqrt(0.5))
        s = s + self.closure.features.evaluate(self.combined, c)
        scale = self.frame.rho / self.frame.T.sqrt() / math.sqrt(2 * math.pi)
        f = scale[:, None] * self.closure.weighted(-0.5 * c * c, s)
        return torch.where(scaled.abs() <= L, f, 0.0)


class OnNodes:
    """What closures of averages of functions share: the quadrature along x of their f_hat.

    Attributes:
        extent, nodes: L, and the number of nodes on [-L, L].
        device: where the tensors are.
    """

    extent: float
    nodes: int
    device: torch.device

    @cached_property
    def c(self) -> Tensor:
        """Quadrature nodes (n,)."""
        return trapezoid(self.extent, self.nodes)[0].to(self.device)

    @cached_property
    def measure(self) -> Tensor:
        """Mc(c_1) dc_1 at the nodes (n,)."""
        c, h = trapezoid(self.extent, self.nodes)
        return (unit_maxwellian(c) * h).to(self.device)

    @property
    def weights(self) -> Tensor:
        """dc_1 at the nodes (n,)."""
        return self.measure / unit_maxwellian(self.c)


def spacing(closure: Closure) -> Tensor:
    """dc of its quadrature: that of the nodes (n,), or one number of nodes all alike."""
    return closure.weights if isinstance(closure, OnNodes) else closure.c[1] - closure.c[0]


@dataclass(frozen=True)
class MomentClosure(OnNodes):
    """A closure made of features w and a decoder r; see `Closure` for its members.

    Args:
        name: what it is called.
        features: w.
        dual: the solver of the maximum-entropy problem; None for r(s) = 1 + s, Grad's method.
        extent: L.
        nodes: number of quadrature nodes on [-L, L].
        conductivity: whether heat is conducted as well (Navier-Stokes).
        dissipation: learned damping and diffusion of the moments.
        friction: of f_hat in its tails, which needs a dual.
        response: what collisions do to the moments; None for those of BGK.
        device: where the tensors are.
        slower: how much slower than by nu/eps stress and heat flux relax, for Navier-Stokes.
    """

    name: str
    features: Features
    dual: DualSolver | None
    extent: float = EXTENT
    nodes: int = NODES
    conductivity: bool = False
    dissipation: Dissipation | None = None
    friction: Friction | None = None
    response: Response | None = None
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    slower: tuple[float, float] = (1.0, 1.0)

    def to(self, device: torch.device) -> MomentClosure:
        if device == self.device:
            return self
        return replace(
            self,
            features=self.features.to(device),
            dissipation=self.dissipation and copy.deepcopy(self.dissipation).to(device),
            friction=self.friction and copy.deepcopy(self.friction).to(device),
            response=self.response and self.response.to(device),
            device=device,
        )

    @property
    def dimension(self) -> int:
        return 1

    @property
    def moments(self) -> int:
        return int(self.features.parity.numel())

    @cached_property
    def phi(self) -> Tensor:
        """(1, c, (c^2-1)/sqrt 2, w(c)) at the nodes: (n, 3+K)."""
        return torch.cat((invariants(self.c), self.features.matrix(self.c)), dim=1)

    def weighted(self, log_measure: Tensor, s: Tensor) -> Tensor:
        """exp(log_measure) r(s)."""
        if self.dual is None:
            return torch.exp(log_measure) * (1.0 + s)
        return torch.exp(log_measure + s)

    def decode(
        self, m: Tensor, knudsen: Tensor, start: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The coefficients of phi; those of 1, c and c^2 are zero in Grad's method."""
        if self.dual is None:
            zeros = m.new_zeros((m.shape[0], INVARIANTS))
            return torch.cat((zeros, m), dim=1), torch.isfinite(m).all(1)
        mu, begin = self._asked(m, start)
        return self.dual.solve(self.phi, self.measure, mu, begin)

    def settle(
        self, m: Tensor, strength: Tensor, start: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """m, theta and which cells have one after implicit friction of s = `strength` (M,).

        m' = m - s A theta_w(m'), by one dual problem.
        """
        assert self.dual is not None
        mu, begin = self._asked(m, start)
        theta, found = self.dual.solve_with_friction(
            self.phi, self.measure, self.friction_matrix, strength, mu, begin
        )
        force = (theta @ self.friction_matrix)[:, INVARIANTS:]
        return m - strength[:, None] * force, theta, found

    @cached_property
    def friction_matrix(self) -> Tensor:
        """A of `closures.friction` for all of theta, (P, P): zero for the invariants."""
        A = friction_matrix(self.features, self.c)
        return torch.nn.functional.pad(A, (INVARIANTS, 0, INVARIANTS, 0))

    @cached_property
    def turn(self) -> Tensor:
        """B of `closures.dissipation.turned`, (2, K, K)."""
        return turn(self.features, self.c)

    @staticmethod
    def _asked(m: Tensor, start: Tensor | None) -> tuple[Tensor, Tensor]:
        """mu, and where the search for theta begins."""
        one = torch.ones_like(m[:, :1])
        mu = torch.cat((one, torch.zeros_like(one).expand(-1, INVARIANTS - 1), m), dim=1)
        return mu, torch.zeros_like(mu) if start is None else start

    def distribution(self, frame: Frame, theta: Tensor) -> Decoded:
        combined = self.features.combine(theta[:, INVARIANTS:])
        return Decoded(self, frame, theta[:, :INVARIANTS], combined)

    def particles(self, frame: Frame, theta: Tensor) -> tuple[Tensor, Tensor]:
        s = theta @ self.phi.T
        ratio = 1.0 + s if self.dual is None else torch.exp(s)
        v = frame.u[:, None] + frame.T.sqrt()[:, None] * self.c
        return v, frame.rho[:, None] * self.measure * ratio

    def encode(self, frame: Frame, v: Tensor, g: Tensor) -> Tensor:
        """m = sum_n g_n w(c_n)/rho."""
        return self.features.integrate(frame.scaled(v), g) / frame.rho[:, None]
