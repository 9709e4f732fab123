"""Finite volumes for moment equations closed by networks, which have no distribution to transport.

Each stage of the IMEX method of `kinetic.imex` is

    U* = sum_j alpha_j U_j - beta_j dt/dx [F],   W* = sum_j alpha_j W_j|* - beta_j dt/dx [G|*],

[.] the difference of the fluxes of the two faces of a cell. |* says that W is that in the frame of
the new U*: what the cell held is carried over when its frame moves (A of `closures.network.fluxes`:
exact for the Maxwellian part, learned for the rest), and G is evaluated for the two states of each
face as that frame sees them. In a fixed frame |* changes nothing. Then W relaxes implicitly,
without iteration since U stays, so no step depends on eps.

Faces: (log rho, u, log T, m) by a limited reconstruction, m in the frame of the face's own state,
and

    F = int_(v>0) v M_left (1, v, v^2/2) dv + int_(v<0) v M_right (1, v, v^2/2) dv + mean of F~,
    G = (G_left + G_right)/2 - lambda/2 (W_right - W_left),   lambda = max(|u| + L sqrt T):

F_0 is split as a kinetic scheme does, so that for eps -> 0 the scheme is that of `FiniteVolume` for
Euler's equations; G has the flux of Rusanov, L the `speed` of the closure: the largest
characteristic speed that the learned equations have on their training data; it is not known beyond.
Nor are they known to be hyperbolic (`closures.network.speeds`). A face has one F, so U is conserved
to round-off, W in the fixed frame as well. Positivity of rho and T of the cells is not guaranteed,
but checked. Shapes: B trajectories of N cells are rows of one batch of M = B N cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from closures.closure import Closure, Frame
from closures.finite_volume import Failure, Scheme, State, physical
from closures.limiters import LIMITERS
from closures.network.closure import NetworkClosure
from kinetic.collisions import BGK
from kinetic.space import GHOSTS, ghosted_rows


@dataclass(frozen=True)
class Side:
    """The states on one side of the N+1 faces of each trajectory: (B, N+1) rows each."""

    frame: Frame
    m: Tensor

    def take(self, rows: Tensor) -> Side:
        """The states at the faces `rows`."""
        return Side(self.frame.take(rows), self.m[rows])


@dataclass(frozen=True)
class Faces:
    """The two states at each face, the speed lambda (B (N+1),) and the flux F (B, N+1, 3)."""

    left: Side
    right: Side
    speed: Tensor
    flux: Tensor


@dataclass(frozen=True)
class _Stage:
    """A stage of the method, and its faces if the method transports it."""

    state: State
    faces: Faces | None


class NetworkSolver:
    """One step of the equations for B trajectories of N cells.

    Args:
        closure: what closes them.
        knudsen: eps(x), (B, N); the solver works on its device.
        collision: BGK frequency nu(rho, T).
        boundary: "periodic" or "outflow".
        scheme: discretisation.
    """

    closure: Closure

    def __init__(
        self,
        closure: NetworkClosure,
        knudsen: Tensor,
        collision: BGK,
        boundary: str,
        scheme: Scheme,
    ) -> None:
        self._network = closure.to(knudsen.device)
        self.closure = self._network
        self.knudsen, self.collision = knudsen, collision
        self.boundary, self.scheme = boundary, scheme
        self.batch, self.cells = knudsen.shape
        self.dx = 1.0 / self.cells

    def take(self, trajectories: Tensor) -> NetworkSolver:
        """The solver of some of the trajectories."""
        knudsen = self.knudsen[trajectories]
        return NetworkSolver(self._network, knudsen, self.collision, self.boundary, self.scheme)

    def rows(self, trajectories: Tensor) -> Tensor:
        """The cells of some of the trajectories, as rows of the batch."""
        cells = torch.arange(self.cells, device=trajectories.device)
        return (self.cells * trajectories[:, None] + cells).flatten()

    def largest_step(self, state: State) -> Tensor:
        """cfl dx / max(|u| + L sqrt T) of each trajectory, (B,)."""
        return self.scheme.cfl * self.dx / self._speed(state.frame).view(self.batch, -1).amax(1)

    def decode(self, U: Tensor, m: Tensor, start: Tensor | None) -> State:
        """The state of U and m.

        Raises:
            Failure: density or temperature is not positive, or a moment is not finite.
        """
        theta, found = self._network.decode(m, self.knudsen.flatten(), start)
        state = State(U, m, theta, self.closure.dimension)
        frame = physical(state.frame)
        if not found.all():
            raise Failure(torch.nonzero(~found)[:, 0], frame, "the moments are not finite")
        return state

    def heat_flux(self, state: State) -> Tensor:
        """q of the cells (M,): what F~ says."""
        return self._network.heat(state.frame, state.m, self.knudsen.flatten())

    def step(self, state: State, dt: Tensor) -> State:
        """Advance by dt (B,), positive.

        Raises:
            Failure: density or temperature is not positive, or a moment is not finite.
        """
        tableau = self.scheme.tableau
        alpha, beta = tableau.shu_osher
        last, transported = len(alpha) - 1, np.any(beta, axis=0)
        stages = [_Stage(state, self._faces(state) if transported[0] else None)]
        for i in range(1, len(alpha)):
            mixed = self._combine(stages, alpha[i], beta[i], dt)
            correction = tableau.correction if i == last else 0.0
            relaxed = self._relax(mixed, dt, tableau.matrices[1][i, i], correction)
            stages.append(_Stage(relaxed, self._faces(relaxed) if transported[i] else None))
        return stages[-1].state

    def _combine(
        self,
        stages: list[_Stage],
        alpha: NDArray[np.float64],
        beta: NDArray[np.float64],
        dt: Tensor,
    ) -> State:
        """U* and W* of the module's docstring."""
        if alpha[0] == 1.0 and not beta.any():
            return stages[0].state
        used = list(zip(alpha, beta, stages, strict=False))
        U = torch.zeros_like(stages[0].state.U)
        for a, b, stage in used:
            if a != 0.0:
                U = U + a * stage.state.U
            if b != 0.0 and stage.faces is not None:
                r = (b / self.dx) * dt[:, None, None]
                U = U - (r * stage.faces.flux.diff(dim=1)).flatten(0, 1)
        to = physical(Frame.of(U, self.closure.dimension))
        W = torch.zeros_like(stages[0].state.m)
        for a, b, stage in used:
            if a != 0.0:
                W = W + a * self._network.carried(stage.state.frame, stage.state.m, to)[0]
            if b != 0.0 and stage.faces is not None:
                r = (b / self.dx * dt).repeat_interleave(self.cells)
                W = W - r[:, None] * self._outflow(stage.faces, to)
        m = W / U[:, :1]
        return State(U, m, m, self.closure.dimension)

    def _outflow(self, faces: Faces, to: Frame) -> Tensor:
        """Flux G of the right face of each cell less the left one's, in the frames `to`, (M, K)."""
        left, right = self._sides
        return self._flux(faces, right, to) - self._flux(faces, left, to)

    def _flux(self, faces: Faces, rows: Tensor, to: Frame) -> Tensor:
        """Rusanov's G of the faces `rows` in the frames `to`, (M, K)."""
        (W_left, G_left), (W_right, G_right) = (
            self._network.carried(side.frame, side.m, to)
            for side in (faces.left.take(rows), faces.right.take(rows))
        )
        return 0.5 * (G_left + G_right - faces.speed[rows, None] * (W_right - W_left))

    def _relax(self, state: State, dt: Tensor, weight: float, correction: float) -> State:
        """Implicit relaxation of m to its equilibrium, exact as U does not change."""
        p, q = self.collision.exponents
        frame = state.frame
        step = dt.repeat_interleave(self.cells)
        rate = step * frame.rho**p * frame.T**q / self.knudsen.flatten()
        if self._network.networks.production is not None:
            m = self._network.collide(state.m, weight * rate, correction * rate**2)
            return self.decode(state.U, m, None)
        decay = (1.0 + weight * rate) * (1.0 + correction * rate**2)
        equilibrium = self._network.equilibrium(frame)
        m = equilibrium + (state.m - equilibrium) / decay[:, None]
        return self.decode(state.U, m, None)

    def _speed(self, frame: Frame) -> Tensor:
        return frame.u.abs() + self._network.speed * frame.T.sqrt()

    def _faces(self, state: State) -> Faces:
        frame = state.frame
        fields = torch.stack((frame.rho.log(), frame.u, frame.T.log()), dim=1)
        fields = torch.cat((fields, state.m), dim=1)
        left, right = (self._side(fields, rows) for rows in self._stencils)
        speed = torch.maximum(self._speed(left.frame), self._speed(right.frame))
        D, eps = self.closure.dimension, self.knudsen.flatten()
        flux = half_range_flux(left.frame, 1.0, D) + half_range_flux(right.frame, -1.0, D)
        sides = zip((left, right), self._stencils, strict=True)
        beyond = [self._network.flux(side.frame, side.m, eps[rows[2]]) for side, rows in sides]
        flux = flux + 0.5 * (beyond[0] + beyond[1])
        return Faces(left, right, speed, flux.view(self.batch, self.cells + 1, 3))

    def _side(self, fields: Tensor, rows: list[Tensor]) -> Side:
        """Reconstruction from the five cells of a stencil at its downstream face."""
        f0, f1, f2, f3, f4 = (fields[cells] for cells in rows)
        behind, ahead = f2 - f1, f3 - f2
        limit = LIMITERS[self.scheme.limiter]
        face = f2 + limit(behind, ahead, behind - (f1 - f0), (f4 - f3) - ahead)
        return Side(Frame(face[:, 0].exp(), face[:, 1], face[:, 2].exp()), face[:, 3:])

    @cached_property
    def _sides(self) -> tuple[Tensor, Tensor]:
        """The left and the right face of each cell, as rows of the batch of faces."""
        cells = torch.arange(self.cells, device=self.knudsen.device)
        first = (self.cells + 1) * torch.arange(self.batch, device=self.knudsen.device)[:, None]
        left = (first + cells).flatten()
        return left, left + 1

    @cached_property
    def _stencils(self) -> tuple[list[Tensor], list[Tensor]]:
        """Rows of the five cells around the left, and around the right cell of every face.

        They are in the order in which that cell looks at the face: the third is the cell itself.
        """
        device = self.knudsen.device
        ghosted = torch.as_tensor(ghosted_rows(self.cells, self.boundary), device=device)
        offset = self.cells * torch.arange(self.batch, device=device)[:, None]
        left = torch.arange(GHOSTS - 1, GHOSTS + self.cells, device=device)

        def rows(position: Tensor) -> Tensor:
            return (ghosted[position] + offset).flatten()

        return (
            [rows(left + d) for d in (-2, -1, 0, 1, 2)],
            [rows(left + 1 - d) for d in (-2, -1, 0, 1, 2)],
        )


def half_range_flux(frame: Frame, sign: float, dimension: int = 1) -> Tensor:
    """int v_1 (1, v_1, |v|^2/2) M dv over the velocities v_1 of one sign: (M, 3)."""
    rho, u, T = frame.rho, frame.u, frame.T
    P = 0.5 * (1.0 + sign * torch.erf(u / (2.0 * T).sqrt()))
    Q = sign * (T / (2.0 * math.pi)).sqrt() * torch.exp(-0.5 * u * u / T)
    mass, momentum = u * P + Q, (u * u + T) * P + u * Q
    energy = 0.5 * (u * (u * u + 3.0 * T) * P + (u * u + 2.0 * T) * Q)
    energy = energy + 0.5 * (dimension - 1) * T * mass
    return rho[:, None] * torch.stack((mass, momentum, energy), dim=1)
