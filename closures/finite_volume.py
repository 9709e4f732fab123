"""Finite volumes for a closed moment system: the kinetic scheme without its velocity grid.

    d_t f + v d_x f = nu/eps (M[f] - f),       f -> f_hat(U, m) in every cell, at every stage

Each stage of the IMEX method of `kinetic.imex`, f* = sum_j alpha_j f_j + beta_j dt L(f_j), is
integrated against (1, v, v^2/2), which gives the new U, and then against w(c) in the frame of that
new U, which gives the new moments m: so neighbours enter in the frame of the updated cell, and what
the cell itself holds is re-encoded when its frame moves. L is upwind transport with reconstructed,
positive face values, as in `kinetic.transport`, evaluated on half-range Gauss nodes of the cell
that the particles leave:

    F_(j+1/2) = int_(v>0) v f_j^+ (1, v, v^2/2) dv + int_(v<0) v f_(j+1)^- (1, v, v^2/2) dv.

Relaxation leaves U alone and divides m by 1 + a_ii dt nu/eps, so no time step depends on eps; the
dissipation and friction that a closure has learned (`closures.dissipation`, `closures.friction`)
are part of this implicit step. U is conserved to round-off, as each face has one flux; a uniform
state is a solution to round-off. A step is differentiable (torch) in U and m, and runs where
`knudsen` is. Shapes: B trajectories of N cells are rows of one batch of M = B N cells. Everything
is dimensionless.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from closures.closure import Closure, Distribution, Frame, MomentClosure
from closures.conduction import conduct, conducted_heat
from closures.dissipation import dissipate, turned
from closures.features import FEW, INVARIANTS
from closures.friction import Friction
from closures.limiters import LIMITERS
from closures.response import Response
from closures.stiffness import sped_up
from closures.viscosity import rub
from kinetic.collisions import BGK
from kinetic.config import SchemeConfig
from kinetic.imex import TABLEAUX, ImexTableau
from kinetic.space import GHOSTS, ghosted_rows

UNDECODABLE = "no distribution of the closure has these moments"
"""Why decoding fails, unless the closure's `undecodable` says more."""

NONPHYSICAL = "density or temperature is not positive"
"""Why a state has no frame."""


STRAINED = 1.0
"""A coefficient of w in f_hat beyond which dissipated moments are taken for those of no density."""


@dataclass(frozen=True)
class Scheme:
    """How the equations are discretised: names of `kinetic.imex.TABLEAUX` and `LIMITERS`.

    cfl: dt (|u| + reach sqrt T) / dx, the reach being at most the extent of f_hat.
    nodes: of the Gauss-Legendre rule between v = 0 and the edge of the support of f_hat.
    overdraw: more than the share of its particles at a velocity, by this factor, that leaves a cell
        no f_hat < 0 for sure, does not leave it in a step. Faster ones are slowed down at the
        faces: none of a Maxwellian if cfl is of all its reach and the factor is one.
    """

    time: str = "hsz2"
    limiter: str = "third"
    cfl: float = 0.4
    nodes: int = 32
    reach: float = math.inf
    overdraw: float = 1.0

    @classmethod
    def of(cls, config: SchemeConfig, dimension: int, moments: int) -> Scheme:
        """That of a configuration, as fine as a closure with so many moments deserves.

        In one dimension steps leave an error in time, of smooth flows near equilibrium, below what
        so many moments leave where the gas is rarefied: with 14 and more they are short enough for
        all particles. In more dimensions they are longer: with few moments, those faster than 3.3
        sqrt T are slowed, where a factor of 1 would slow those beyond 2.3 sqrt T and double the
        error; with more, those beyond 3.9 sqrt T. What the rule leaves of a flux becomes an error
        of theta the larger, the more moments there are: in one dimension 32 nodes are as good as 48
        with nine of them, and with sixteen double the error of smooth gases; in more, 12 are as
        good as 20 with nine, and with sixteen treble it.
        """
        names = config.time, config.limiter, config.cfl
        if dimension == 1:
            return cls(*names, nodes=32 if moments <= FEW else 48, reach=1.3 + max(moments, 6) / 3)
        if moments <= FEW:
            return cls(*names, nodes=12, reach=1.6, overdraw=1.55)
        return cls(*names, nodes=20, reach=3.0)

    @property
    def tableau(self) -> ImexTableau:
        """The IMEX Runge-Kutta method."""
        return TABLEAUX[self.time]


@dataclass(frozen=True)
class State:
    """U (M, 3), moments m (M, K) in the frames of the cells, and their coefficients theta.

    dimension: of the velocities.
    """

    U: Tensor
    m: Tensor
    theta: Tensor
    dimension: int = 1

    @cached_property
    def frame(self) -> Frame:
        """rho, u, T of the cells."""
        return Frame.of(self.U, self.dimension)

    def take(self, rows: Tensor) -> State:
        """The state of the cells `rows`."""
        return State(self.U[rows], self.m[rows], self.theta[rows], self.dimension)

    def put(self, rows: Tensor, new: State) -> State:
        """This state with that of the cells `rows` replaced."""
        pairs = ((self.U, new.U), (self.m, new.m), (self.theta, new.theta))
        U, m, theta = (old.index_copy(0, rows, values) for old, values in pairs)
        return State(U, m, theta, self.dimension)


@dataclass(frozen=True)
class Faces:
    """What crosses the N+1 faces of each trajectory.

    v: velocities (B, N+1, n); rate: masses per unit time at these velocities (..., B, N+1, n).
    """

    v: Tensor
    rate: Tensor

    @cached_property
    def flux(self) -> Tensor:
        """Of (rho, rho u, E): (B, N+1, 3)."""
        return conserved_sums(self.v, self.rate)

    def into_cells(self) -> tuple[Tensor, Tensor]:
        """Velocities and masses that enter each cell per unit time (negative: leave), (M, 2n)."""
        v = torch.cat((self.v[:, :-1], self.v[:, 1:]), dim=-1)
        rate = torch.cat((self.rate[..., :-1, :], -self.rate[..., 1:, :]), dim=-1)
        return v.flatten(0, 1), rate.flatten(-3, -2)


def conserved_sums(v: Tensor, g: Tensor) -> Tensor:
    """Sums of (1, v, |v|^2/2) over masses g (..., n) at velocities v (..., n): (..., 3).

    g may be stacked with the sums of |v_perp|^2 of the masses, which are a part of the energy.
    """
    mass = g if g.dim() == v.dim() else g[0]
    energy = 0.5 * (mass * v * v).sum(-1)
    if g.dim() > v.dim():
        energy = energy + 0.5 * g[1].sum(-1)
    return torch.stack((mass.sum(-1), (mass * v).sum(-1), energy), dim=-1)


class Failure(ArithmeticError):  # noqa: N818 - a result, not a programming error
    """Some trajectories cannot go on.

    Attributes:
        cells: rows of the batch at fault.
        frame: rho, u, T of the whole batch.
        reason: what is wrong.
        time: when, of each trajectory (B,), if not at the beginning of what was asked for.
    """

    def __init__(
        self, cells: Tensor, frame: Frame, reason: str, time: Tensor | None = None
    ) -> None:
        super().__init__(reason)
        self.cells, self.frame, self.reason, self.time = cells, frame, reason, time


@dataclass(frozen=True)
class _Stage:
    """A stage of the method, and what crosses its faces if the method transports it."""

    state: State
    faces: Faces | None


class FiniteVolume:
    """One step of the closed equations for B trajectories of N cells.

    Args:
        closure: what closes them.
        knudsen: eps(x), (B, N); the solver works on its device.
        collision: BGK frequency nu(rho, T).
        boundary: "periodic" or "outflow".
        scheme: discretisation.
    """

    def __init__(
        self, closure: Closure, knudsen: Tensor, collision: BGK, boundary: str, scheme: Scheme
    ) -> None:
        self.closure = closure.to(knudsen.device)
        self.knudsen, self.collision = knudsen, collision
        self.boundary, self.scheme = boundary, scheme
        self.batch, self.cells = knudsen.shape
        self.dx = 1.0 / self.cells
        self.xi, self.xi_weights = knudsen.new_tensor(half_range(scheme.nodes))

    def take(self, trajectories: Tensor) -> Self:
        """The solver of some of the trajectories."""
        knudsen = self.knudsen[trajectories]
        return type(self)(self.closure, knudsen, self.collision, self.boundary, self.scheme)

    def rows(self, trajectories: Tensor) -> Tensor:
        """The cells of some of the trajectories, as rows of the batch."""
        cells = torch.arange(self.cells, device=trajectories.device)
        return (self.cells * trajectories[:, None] + cells).flatten()

    @cached_property
    def _stencils(self) -> tuple[tuple[float, list[Tensor]], ...]:
        """For each direction of flow, the rows of the five cells around every face's upwind cell.

        They are in the order in which the flow meets them, the third being the upwind cell.
        """
        device = self.knudsen.device
        ghosted = torch.as_tensor(ghosted_rows(self.cells, self.boundary), device=device)
        offset = self.cells * torch.arange(self.batch, device=device)[:, None]
        left = torch.arange(GHOSTS - 1, GHOSTS + self.cells, device=device)

        def rows(position: Tensor) -> Tensor:
            return (ghosted[position] + offset).flatten()

        rightward = [rows(left + d) for d in (-2, -1, 0, 1, 2)]
        leftward = [rows(left + 1 - d) for d in (-2, -1, 0, 1, 2)]
        return (1.0, rightward), (-1.0, leftward)

    def largest_step(self, state: State) -> Tensor:
        """cfl dx / max(|u| + reach sqrt T) of each trajectory, (B,); see `Scheme`."""
        reach = min(self.scheme.reach, self.closure.extent)
        speed = state.frame.u.abs() + reach * state.frame.T.sqrt()
        return self.scheme.cfl * self.dx / speed.view(self.batch, -1).amax(1)

    def step(self, state: State, dt: Tensor) -> State:
        """Advance by dt (B,), positive.

        Raises:
            Failure: density or temperature is not positive, or no f_hat has the moments.
        """
        if self.closure.conductivity:
            return self._conduct(self._imex_step(self._conduct(state, 0.5 * dt), dt), 0.5 * dt)
        return self._imex_step(state, dt)

    def decode(self, U: Tensor, m: Tensor, start: Tensor | None) -> State:
        """The state of U and m.

        Raises:
            Failure: density or temperature is not positive, or no f_hat has these moments.
        """
        theta, converged = self.closure.decode(m, self.knudsen.flatten(), start)
        return self._checked(State(U, m, theta, self.closure.dimension), converged)

    def _checked(self, state: State, converged: Tensor) -> State:
        """`state`, or `Failure` if it is not physical or has cells that are not `converged`."""
        frame = physical(state.frame)
        if not converged.all():
            cells = torch.nonzero(~converged)[:, 0]
            reason = getattr(self.closure, "undecodable", UNDECODABLE)
            raise Failure(cells, frame, reason)
        return state

    def heat_flux(self, state: State) -> Tensor:
        """q = 1/2 int (v_1-u) |v-u|^2 f dv of the cells (M,), conducted heat included."""
        frame = state.frame
        v, mass = self.closure.particles(frame, state.theta)
        drift = v - frame.u[:, None]
        if mass.dim() == v.dim():
            q = 0.5 * (mass * drift**3).sum(1)
        else:
            q = 0.5 * (mass[0] * drift**3 + mass[1] * drift).sum(1)
        if self.closure.conductivity:
            shape = self.knudsen.shape
            rho, T = frame.rho.view(shape), frame.T.view(shape)
            conducted = conducted_heat(self._conductivity(rho, T), T, self.dx, self.boundary)
            q = q + (0.5 * (conducted[:, 1:] + conducted[:, :-1])).flatten()
        return q

    def _mean_free_time(self, rho: Tensor, T: Tensor) -> Tensor:
        """eps/nu of the cells (B, N)."""
        p, q = self.collision.exponents
        return self.knudsen / (rho**p * T**q)

    def _conductivity(self, rho: Tensor, T: Tensor) -> Tensor:
        """kappa = (D+2)/2 rho T eps/nu of the cells (B, N); see `_slower`."""
        degrees = 0.5 * (self.closure.dimension + 2)
        return degrees * self._slower[1] * rho * T * self._mean_free_time(rho, T)

    def _viscosity(self, rho: Tensor, T: Tensor) -> Tensor:
        """mu* = 2 (1 - 1/D) rho T eps/nu of the cells (B, N); see `_slower`."""
        share = 2.0 - 2.0 / self.closure.dimension
        return share * self._slower[0] * rho * T * self._mean_free_time(rho, T)

    @property
    def _slower(self) -> tuple[float, float]:
        """How much slower than by nu/eps stress and heat flux relax."""
        return getattr(self.closure, "slower", (1.0, 1.0))

    def _conduct(self, state: State, dt: Tensor) -> State:
        U = state.U.view(self.batch, self.cells, 3)
        dimension = self.closure.dimension
        if dimension > 1:
            U = rub(U, self._viscosity, dt, self.dx, self.boundary, dimension)
        U = conduct(U, self._conductivity, dt, self.dx, self.boundary, dimension)
        return replace(state, U=U.flatten(0, 1))

    def _imex_step(self, state: State, dt: Tensor) -> State:
        tableau = self.scheme.tableau
        alpha, beta = tableau.shu_osher
        last, transported = len(alpha) - 1, np.any(beta, axis=0)
        stages = [_Stage(state, self._faces(state, dt) if transported[0] else None)]
        for i in range(1, len(alpha)):
            mixed = self._combine(stages, alpha[i], beta[i], dt)
            correction = tableau.correction if i == last else 0.0
            relaxed = self._relax(mixed, dt, tableau.matrices[1][i, i], correction)
            stages.append(_Stage(relaxed, self._faces(relaxed, dt) if transported[i] else None))
        return stages[-1].state

    def _combine(
        self,
        stages: list[_Stage],
        alpha: NDArray[np.float64],
        beta: NDArray[np.float64],
        dt: Tensor,
    ) -> State:
        """The state of f* = sum_j alpha_j f_j + beta_j dt L(f_j), with the newest theta so far."""
        if alpha[0] == 1.0 and not beta.any():
            return stages[0].state
        U = torch.zeros_like(stages[0].state.U)
        v, g = self._held(stages, alpha)
        for a, b, stage in zip(alpha, beta, stages, strict=False):
            if a != 0.0:
                U = U + a * stage.state.U
            if b != 0.0 and stage.faces is not None:
                r = (b / self.dx) * dt[:, None, None]
                U = U - (r * stage.faces.flux.diff(dim=1)).flatten(0, 1)
                velocities, rate = stage.faces.into_cells()
                v.append(velocities)
                g.append(r.expand(-1, self.cells, -1).reshape(-1, 1) * rate)
        frame = physical(Frame.of(U, self.closure.dimension))
        m = self.closure.encode(frame, torch.cat(v, -1), torch.cat(g, -1))
        return State(U, m, stages[-1].state.theta, self.closure.dimension)

    def _held(
        self, stages: list[_Stage], alpha: NDArray[np.float64]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Velocities and masses of what the cells hold, sum_j alpha_j f_j.

        A stage and its relaxed copy have one U and so one set of velocities.
        """
        v: list[Tensor] = []
        g: list[Tensor] = []
        owner = None
        for a, stage in zip(alpha, stages, strict=False):
            if a == 0.0:
                continue
            velocities, mass = self.closure.particles(stage.state.frame, stage.state.theta)
            if stage.state.U is owner:
                g[-1] = g[-1] + a * mass
            else:
                v.append(velocities)
                g.append(a * mass)
            owner = stage.state.U
        return v, g

    def _relax(self, state: State, dt: Tensor, weight: float, correction: float) -> State:
        """Implicit relaxation of m, exact and without iteration as U does not change; decode."""
        rho, T = (field.view_as(self.knudsen) for field in (state.frame.rho, state.frame.T))
        z = dt[:, None] / self._mean_free_time(rho, T)
        response = getattr(self.closure, "response", None)
        if response is not None:
            return self._collide(state, response, dt, z, weight, correction)
        rate = sped_up(z, self.scheme.time)
        plain = state.m / self._slowing(rate, weight, correction)
        m = plain
        if self.closure.dissipation is not None:
            m = self._damp(state, weight * rate, weight * dt)
            m = m / (1.0 + correction * rate.flatten() ** 2)[:, None]
        settled, theta, found = self._settle(m, weight * dt, state.theta)
        if self.closure.dissipation is not None:
            strained = self.strained(theta, found)[:, None]
            if strained.any():
                start = torch.where(strained, torch.zeros_like(theta), theta)
                m = torch.where(strained, plain, m)
                settled, theta, found = self._settle(m, weight * dt, start)
        return self._checked(State(state.U, settled, theta, self.closure.dimension), found)

    def _settle(self, m: Tensor, dt: Tensor, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """m, theta and which cells have one after dt (B,) of friction, if the closure has any."""
        if getattr(self.closure, "friction", None) is None:
            return m, *self.closure.decode(m, self.knudsen.flatten(), start)
        assert isinstance(self.closure, MomentClosure)
        return self.closure.settle(m, (dt[:, None] * self._friction).flatten(), start)

    def _collide(
        self,
        state: State,
        response: Response,
        dt: Tensor,
        z: Tensor,
        weight: float,
        correction: float,
    ) -> State:
        """Implicit collisions of `closures.response`, after dissipation.

        Cells whose entropy would rise relax at the slowest rate.
        """
        rate = sped_up(z.view(-1, 1) * response.modes[0], self.scheme.time)
        slowing = (1.0 + weight * rate) * (1.0 + correction * rate**2)
        m, theta = state.m, state.theta
        if self.closure.dissipation is not None:
            m = self._damp(state, torch.zeros_like(z), weight * dt)
        new = response.relaxed(m, slowing)
        settled, theta, found = self._settle(new, weight * dt, theta)
        if self.closure.dissipation is not None:
            strained = self.strained(theta, found)[:, None]
            if strained.any():
                m = torch.where(strained, state.m, m)
                new = torch.where(strained, response.relaxed(state.m, slowing), new)
                start = torch.where(strained, torch.zeros_like(theta), theta)
                settled, theta, found = self._settle(new, weight * dt, start)
        rises = (theta[:, INVARIANTS:] * (m - new)).sum(1) < 0.0
        if rises.any():
            new = torch.where(rises[:, None], m / slowing[:, :1], new)
            settled, theta, found = self._settle(new, weight * dt, theta)
        return self._checked(State(state.U, settled, theta, self.closure.dimension), found)

    @staticmethod
    def _slowing(rate: Tensor, weight: float, correction: float) -> Tensor:
        """What collisions divide m by, (M, 1)."""
        return ((1.0 + weight * rate) * (1.0 + correction * rate**2)).view(-1, 1)

    @staticmethod
    def strained(theta: Tensor, found: Tensor) -> Tensor:
        """Cells whose dissipated moments hardly any density has: they go without dissipation.

        Moments diffuse each at its own rate, so beside a strong jump their mean need not be that of
        any density.
        """
        return ~found | ~(theta[:, INVARIANTS:].abs().amax(1) <= STRAINED)

    def _damp(self, state: State, rate: Tensor, dt: Tensor) -> Tensor:
        """m after an implicit step: collisions at `rate` dt nu/eps (B, N), and dissipation."""
        a, d = self._dissipation
        frame = state.frame
        rho, u, T = (field.view_as(self.knudsen) for field in (frame.rho, frame.u, frame.T))
        excess = 1.0 + rate + dt[:, None] * a
        diffusion = dt[:, None] * rho * T * d
        m = state.m.T.reshape(a.shape)
        turn = getattr(self.closure, "turn", None)
        beside = torch.zeros_like(m) if turn is None else turned(m, turn, u, T)
        new = dissipate(m, beside, excess, diffusion, rho, self.dx, self.boundary)
        return new.flatten(1).T

    @cached_property
    def _dissipation(self) -> tuple[Tensor, Tensor]:
        """Damping and diffusivity of the moments in the cells, (K, B, N) each."""
        assert self.closure.dissipation is not None
        a, d = self.closure.dissipation(self.knudsen)
        return a, d

    @cached_property
    def _friction(self) -> Tensor:
        """b of `closures.friction` in the cells (B, N); zero of a closure without."""
        friction: Friction | None = getattr(self.closure, "friction", None)
        return torch.zeros_like(self.knudsen) if friction is None else friction(self.knudsen)

    def _faces(self, state: State, dt: Tensor) -> Faces:
        """Rightward particles of the left cell and leftward ones of the right cell of each face."""
        f = self.closure.distribution(state.frame, state.theta)
        r = (dt / self.dx).repeat_interleave(self.cells + 1)[:, None]
        v, rate = [], []
        for sign, rows in self._stencils:
            frame = state.frame.take(rows[2])
            edge = sign * frame.u + self.closure.extent * frame.T.sqrt()
            # Where all of f_hat moves the other way its far tail is integrated: zero, and smooth.
            speed = torch.maximum(edge, 0.5 * frame.T.sqrt())[:, None] * self.xi
            face = self._face_value(f, rows, sign * speed, speed * r)
            v.append(sign * speed)
            rate.append(face * v[-1] * speed * (self.xi_weights / self.xi))
        shape = (self.batch, self.cells + 1)
        velocities, rates = torch.cat(v, -1), torch.cat(rate, -1)
        return Faces(velocities.unflatten(0, shape), rates.unflatten(-2, shape))

    def _face_value(
        self, f: Distribution, rows: list[Tensor], v: Tensor, courant: Tensor
    ) -> Tensor:
        """Limited value at the face, between 0 and what a positive update of the cell allows.

        Where f_hat of the cell is negative, as Grad's can be, nothing leaves it.
        """
        f0, f1, f2, f3, f4 = (f.take(cells)(v) for cells in rows)
        behind, ahead = f2 - f1, f3 - f2
        limit = LIMITERS[self.scheme.limiter]
        face = f2 + limit(behind, ahead, behind - (f1 - f0), (f4 - f3) - ahead)
        positivity = self.scheme.overdraw * self.scheme.tableau.positivity
        face = face.clamp(min=0.0)
        if not positivity:
            return face
        return torch.minimum(face, f2.clamp(min=0.0) * (positivity / courant))


@cache
def half_range(count: int) -> NDArray[np.float64]:
    """Gauss-Legendre nodes and weights on [0, 1], (2, n)."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return np.stack((0.5 * (nodes + 1.0), 0.5 * weights))


def physical(frame: Frame) -> Frame:
    """Raise `Failure` unless rho > 0, T > 0 and all is finite."""
    finite = torch.isfinite(frame.rho) & torch.isfinite(frame.u) & torch.isfinite(frame.T)
    good = (frame.rho > 0) & (frame.T > 0) & finite
    if not good.all():
        cells = torch.nonzero(~good)[:, 0]
        raise Failure(cells, frame, NONPHYSICAL)
    return frame
