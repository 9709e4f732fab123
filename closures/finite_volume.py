"""Finite volumes for a closed moment system: the moments of the kinetic scheme, without its velocity grid.

    d_t f + v d_x f = nu/eps (M[f] - f),       f -> f_hat(U, m) in every cell, at every stage

Each stage of the IMEX method of `kinetic.imex`, f* = sum_j alpha_j f_j + beta_j dt L(f_j), is integrated
against (1, v, v^2/2), which gives the new U, and then against w(c) in the frame of that new U, which gives
the new moments m: so neighbours enter in the frame of the updated cell, and what the cell itself holds is
re-encoded when its frame moves. L is upwind transport with reconstructed, positive face values, as in
`kinetic.transport`, evaluated on half-range Gauss nodes of the cell that the particles leave:

    F_(j+1/2) = int_(v>0) v f_j^+ (1, v, v^2/2) dv + int_(v<0) v f_(j+1)^- (1, v, v^2/2) dv.

Relaxation leaves U alone and divides m by 1 + a_ii dt nu/eps, so no time step depends on eps. U is conserved
to round-off, as each face has one flux; a uniform state is a solution to round-off. Shapes: B trajectories of
N cells are rows of one batch of M = B N cells. Everything is dimensionless.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from closures.closure import Frame, MomentClosure
from closures.conduction import conduct, conducted_heat
from closures.limiters import LIMITERS
from kinetic.collisions import BGK
from kinetic.imex import TABLEAUX, ImexTableau
from kinetic.space import ghosted_rows

HALF_RANGE_NODES = 24
"""Gauss-Legendre nodes between v = 0 and the edge of the support of f_hat."""

SPEED = 4.0
"""The step is bounded by |u| + SPEED sqrt(T)."""


@dataclass(frozen=True)
class Scheme:
    """How the equations are discretised: names of `kinetic.imex.TABLEAUX` and `LIMITERS`.

    cfl: dt (|u| + 4 sqrt T) / dx.
    """

    time: str = "hsz2"
    limiter: str = "third"
    cfl: float = 0.4

    @property
    def tableau(self) -> ImexTableau:
        """The IMEX Runge-Kutta method."""
        return TABLEAUX[self.time]


@dataclass(frozen=True)
class State:
    """U (M, 3), moments m (M, K) in the frames of the cells, and their coefficients theta."""

    U: Tensor
    m: Tensor
    theta: Tensor

    @cached_property
    def frame(self) -> Frame:
        """rho, u, T of the cells."""
        return Frame.of(self.U)

    def take(self, rows: Tensor) -> State:
        """The state of the cells `rows`."""
        return State(self.U[rows], self.m[rows], self.theta[rows])


@dataclass(frozen=True)
class Faces:
    """What crosses the N+1 faces of each trajectory: velocities and masses per unit time (B, N+1, n)."""

    v: Tensor
    rate: Tensor

    @cached_property
    def flux(self) -> Tensor:
        """Of (rho, rho u, E): (B, N+1, 3)."""
        g, v = self.rate, self.v
        return torch.stack((g.sum(-1), (g * v).sum(-1), 0.5 * (g * v * v).sum(-1)), dim=-1)

    def into_cells(self) -> tuple[Tensor, Tensor]:
        """Velocities and masses that enter each cell per unit time (negative: leave), (M, 2n)."""
        v = torch.cat((self.v[:, :-1], self.v[:, 1:]), dim=-1)
        rate = torch.cat((self.rate[:, :-1], -self.rate[:, 1:]), dim=-1)
        return v.flatten(0, 1), rate.flatten(0, 1)


class Failure(ArithmeticError):
    """Some trajectories cannot go on: at `cells` (rows of the batch), with these rho, u, T, for `reason`."""

    def __init__(self, cells: Tensor, frame: Frame, reason: str) -> None:
        super().__init__(reason)
        self.cells, self.frame, self.reason = cells, frame, reason


class FiniteVolume:
    """One step of the closed equations for B trajectories of N cells.

    Args:
        closure: what closes them.
        knudsen: eps(x), (B, N).
        collision: BGK frequency nu(rho, T).
        boundary: "periodic" or "outflow".
        scheme: discretisation.
    """

    def __init__(
        self,
        closure: MomentClosure,
        knudsen: Tensor,
        collision: BGK,
        boundary: str,
        scheme: Scheme,
    ) -> None:
        self.closure, self.collision, self.scheme = closure, collision, scheme
        self.boundary = boundary
        self.knudsen = knudsen
        self.batch, self.cells = knudsen.shape
        self.dx = 1.0 / self.cells
        nodes, weights = np.polynomial.legendre.leggauss(HALF_RANGE_NODES)
        self.xi = torch.as_tensor(0.5 * (nodes + 1.0)).to(knudsen)
        self.xi_weights = torch.as_tensor(0.5 * weights).to(knudsen)
        self._limit = LIMITERS[scheme.limiter]

    @cached_property
    def _stencils(self) -> tuple[tuple[float, list[Tensor]], ...]:
        """For each direction of flow, the rows of the five cells around every face's upwind cell.

        They are in the order in which the flow meets them, the third being the upwind cell.
        """
        ghosted = torch.as_tensor(np.asarray(ghosted_rows(self.cells, self.boundary)))
        ghosts = (len(ghosted) - self.cells) // 2
        offset = self.cells * torch.arange(self.batch)[:, None]
        left = torch.arange(ghosts - 1, ghosts + self.cells)

        def rows(position: Tensor) -> Tensor:
            return (ghosted[position] + offset).flatten().to(self.knudsen.device)

        rightward = [rows(left + d) for d in (-2, -1, 0, 1, 2)]
        leftward = [rows(left + 1 - d) for d in (-2, -1, 0, 1, 2)]
        return (1.0, rightward), (-1.0, leftward)

    def largest_step(self, state: State) -> Tensor:
        """cfl dx / max(|u| + 4 sqrt T) of each trajectory, (B,)."""
        speed = state.frame.u.abs() + SPEED * state.frame.T.sqrt()
        return self.scheme.cfl * self.dx / speed.view(self.batch, -1).amax(1)

    def step(self, state: State, dt: Tensor) -> State:
        """Advance by dt (B,).

        Raises:
            Failure: density or temperature is not positive, or no f_hat has the moments.
        """
        if self.closure.conductivity:
            return self._conduct(self._imex_step(self._conduct(state, 0.5 * dt), dt), 0.5 * dt)
        return self._imex_step(state, dt)

    def _imex_step(self, state: State, dt: Tensor) -> State:
        tableau = self.scheme.tableau
        alpha, beta = tableau.shu_osher
        stages, faces = [state], [self._faces(state, dt) if np.any(beta[:, 0]) else None]
        for i in range(1, len(alpha)):
            correction = tableau.correction if i == len(alpha) - 1 else 0.0
            stage = self._combine(stages, faces, alpha[i], beta[i], dt)
            stages.append(self._relax(stage, dt, tableau.matrices[1][i, i], correction))
            faces.append(self._faces(stages[-1], dt) if np.any(beta[:, i]) else None)
        return stages[-1]

    def _combine(
        self,
        stages: list[State],
        faces: list[Faces | None],
        alpha: np.ndarray,
        beta: np.ndarray,
        dt: Tensor,
    ) -> State:
        """f* = sum_j alpha_j f_j + beta_j dt L(f_j) as a state; theta is the newest, for a start."""
        if alpha[0] == 1.0:
            return stages[0]
        U = torch.zeros_like(stages[0].U)
        v, g = [], []
        for a, b, stage, face in zip(alpha, beta, stages, faces, strict=False):
            if a != 0.0:
                U = U + a * stage.U
                self._add_particles(v, g, stage, a)
            if b != 0.0 and face is not None:
                r = (b / self.dx) * dt[:, None, None]
                U = U - (r * (face.flux[:, 1:] - face.flux[:, :-1])).flatten(0, 1)
                velocities, rate = face.into_cells()
                v.append(velocities)
                g.append(r.expand(-1, self.cells, -1).reshape(-1, 1) * rate)
        frame = self._physical(Frame.of(U))
        m = self.closure.encode(frame, torch.cat(v, 1), torch.cat(g, 1))
        return State(U, m, stages[-1].theta)

    def _add_particles(self, v: list[Tensor], g: list[Tensor], stage: State, a: float) -> None:
        """Append what the cells hold; a relaxed copy of the first stage shares its velocities."""
        velocities, mass = self.closure.particles(stage.frame, stage.theta)
        if len(v) == 1 and torch.equal(velocities, v[0]):
            g[0] = g[0] + a * mass
        else:
            v.append(velocities)
            g.append(a * mass)

    def _relax(self, state: State, dt: Tensor, weight: float, correction: float) -> State:
        """Implicit relaxation of m, exact and without iteration as U does not change; then decode."""
        frame = state.frame
        rate = self._frequency(frame) * (dt[:, None] / self.knudsen).flatten()
        m = state.m / ((1.0 + weight * rate) * (1.0 + correction * rate**2))[:, None]
        return self.decode(state.U, m, state.theta)

    def decode(self, U: Tensor, m: Tensor, start: Tensor | None) -> State:
        """The state of U and m.

        Raises:
            Failure: no f_hat has these moments.
        """
        theta, converged = self.closure.decode(m, start)
        state = State(U, m, theta)
        if not converged.all():
            cells = torch.nonzero(~converged)[:, 0]
            raise Failure(cells, state.frame, "no distribution of the closure has these moments")
        return state

    def _physical(self, frame: Frame) -> Frame:
        good = (frame.rho > 0) & (frame.T > 0) & torch.isfinite(frame.u)
        if not good.all():
            cells = torch.nonzero(~good)[:, 0]
            raise Failure(cells, frame, "density or temperature is not positive")
        return frame

    def _faces(self, state: State, dt: Tensor) -> Faces:
        """Rightward particles of the left cell and leftward ones of the right cell at every face."""
        f = self.closure.distribution(state.frame, state.theta)
        r = (dt / self.dx)[:, None].expand(-1, self.cells + 1).reshape(-1, 1)
        v, rate = [], []
        for sign, rows in self._stencils:
            frame = state.frame.take(rows[2])
            edge = sign * frame.u + self.closure.extent * frame.T.sqrt()
            # Where all of f_hat moves the other way its far tail is integrated: zero, and smooth.
            edge = torch.maximum(edge, 0.5 * frame.T.sqrt())[:, None]
            velocity = sign * edge * self.xi
            values = [f.take(cells)(velocity) for cells in rows]
            face = self._face_value(values, velocity.abs() * r)
            v.append(velocity)
            rate.append(face * velocity * edge * self.xi_weights)
        shape = (self.batch, self.cells + 1, -1)
        return Faces(torch.cat(v, 1).view(shape), torch.cat(rate, 1).view(shape))

    def _face_value(self, f: list[Tensor], courant: Tensor) -> Tensor:
        """Limited value at the face, between 0 and what a positive update of the cell allows."""
        behind, ahead = f[2] - f[1], f[3] - f[2]
        d_behind, d_ahead = behind - (f[1] - f[0]), (f[4] - f[3]) - ahead
        face = (f[2] + self._limit(behind, ahead, d_behind, d_ahead)).clamp(min=0.0)
        positivity = self.scheme.tableau.positivity
        return torch.minimum(face, f[2] * (positivity / courant)) if positivity else face

    def heat_flux(self, state: State) -> Tensor:
        """q = 1/2 int (v-u)^3 f dv of the cells (M, 1), conducted heat included."""
        frame = state.frame
        _, mass = self.closure.particles(frame, state.theta)
        q = 0.5 * frame.T**1.5 * (mass * self.closure.c**3).sum(1)
        if self.closure.conductivity:
            T = frame.T.view_as(self.knudsen)
            mean_free_time = self.knudsen / self._frequency(frame).view_as(self.knudsen)
            conducted = conducted_heat(frame.rho.view_as(T), T, mean_free_time, self.dx, self.boundary)
            q = q + (0.5 * (conducted[:, 1:] + conducted[:, :-1])).flatten()
        return q[:, None]

    def _frequency(self, frame: Frame) -> Tensor:
        p, q = self.collision.exponents
        return frame.rho**p * frame.T**q

    def _conduct(self, state: State, dt: Tensor) -> State:
        U = state.U.view(self.batch, self.cells, 3)
        frame = state.frame
        mean_free_time = self.knudsen / self._frequency(frame).view_as(self.knudsen)
        U = conduct(U, mean_free_time, dt, self.dx, self.boundary)
        return State(U.flatten(0, 1), state.m, state.theta)
