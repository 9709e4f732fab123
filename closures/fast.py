"""The closure `entropy` with a compiled solver.

`FastClosure` is a maximum-entropy closure on splines whose solver makes each stage of a step in a
few compiled calls (`closures.runtime`). The discretisation is that of `FiniteVolume`, and so is the
solution, to the tolerance of the dual problem. The search for theta starts from the last theta of
the cell, which is ten to a hundred times closer than the guess of a network (`closures.start`);
that is asked where there is no last one: at the start and after a snapshot. Where whole Newton
steps do not converge from there, as outside the range of the data, the damped method takes over,
and is counted. On a device other than the processor, and where derivatives are asked for, the
solver is `FiniteVolume` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from closures import runtime
from closures.closure import Frame
from closures.features import INVARIANTS, SplineFeatures
from closures.finite_volume import (
    NONPHYSICAL,
    UNDECODABLE,
    Failure,
    FiniteVolume,
    Scheme,
    State,
    half_range,
    physical,
)
from closures.learned import Learned
from closures.library import LearnedClosure
from closures.runtime import Array, Gas, Method, Stages, Tables
from closures.stiffness import DENSITY, LOWEST, speed_up
from kinetic.collisions import BGK
from kinetic.imex import ImexTableau
from kinetic.threads import share

SHARE = 512
"""Cells or faces that are worth a thread."""


@dataclass(frozen=True)
class FastClosure(LearnedClosure):
    """A learned closure that brings a compiled solver."""

    @classmethod
    def of(cls, closure: LearnedClosure) -> FastClosure:
        """`closure` with a compiled solver."""
        return cls(**{one.name: getattr(closure, one.name) for one in fields(closure)})

    def solver(
        self, knudsen: Tensor, collision: BGK, boundary: str, scheme: Scheme
    ) -> FiniteVolume:
        """The compiled solver, or the other one where there is none."""
        compiled = knudsen.device.type == "cpu" and _has_tables(self)
        kind = CompiledVolume if compiled else FiniteVolume
        return kind(self, knudsen, collision, boundary, scheme)


def _has_tables(closure: LearnedClosure) -> bool:
    """Whether f_hat ends where its splines do, and c = 0 is a node."""
    features, whole = closure.features, closure.nodes % 2 == 1
    splines = isinstance(features, SplineFeatures) and features.basis.extent == closure.extent
    return splines and whole and closure.dual is not None


def tables(closure: LearnedClosure, nodes: int) -> Tables:
    """What the kernels need of a closure, with `nodes` Gauss nodes on a half range."""
    features, dual = closure.features, closure.dual
    assert isinstance(features, SplineFeatures)
    assert dual is not None
    parity = np.concatenate(([1.0, -1.0, 1.0], features.parity.numpy()))
    order = np.argsort(-parity, kind="stable")
    phi = _upper_half(closure.phi.detach().numpy()[:, order].T)
    weights = _upper_half(closure.measure.numpy())
    weights[0] *= 0.5
    even = int((parity > 0).sum())
    i, j = np.tril_indices(len(parity))
    same = (i < even) == (j < even)
    pairs = np.stack((i, j))
    products = (phi[i] * phi[j]).T
    xi, xi_weights = half_range(nodes)
    coefficients = features.coefficients.detach().numpy()
    return Tables(
        order=order,
        even=even,
        phi=phi,
        weights=weights,
        nodes=_upper_half(closure.c.numpy()),
        same=np.ascontiguousarray(products[:, same]),
        cross=np.ascontiguousarray(products[:, ~same]),
        same_pairs=np.ascontiguousarray(pairs[:, same]),
        cross_pairs=np.ascontiguousarray(pairs[:, ~same]),
        splines=np.ascontiguousarray(coefficients.T),
        powers=cubics(coefficients).reshape(coefficients.shape[1], -1),
        extent=float(closure.extent),
        xi=xi,
        xi_weights=xi_weights,
        tolerance=dual.tolerance,
        gamma=dual.regularization,
        friction=_friction(closure, order),
        iterations=dual.iterations,
        turn=closure.turn.detach().numpy(),
    )


def _friction(closure: LearnedClosure, order: NDArray[np.int64]) -> Array:
    """F of the dual function, the functions in that order; zero if there is none."""
    if closure.friction is None:
        return np.zeros((len(order), len(order)))
    F: Array = closure.friction_matrix.detach().numpy()
    return np.ascontiguousarray(F[np.ix_(order, order)])


def _upper_half(values: Array) -> Array:
    """Values (..., n) at the nodes c >= 0, then zeros up to a multiple of five: (..., h)."""
    upper = values[..., values.shape[-1] // 2 :]
    padding = [(0, 0)] * (upper.ndim - 1) + [(0, -upper.shape[-1] % 5)]
    return np.ascontiguousarray(np.pad(upper, padding))


#: B_b in an interval: coefficients of 1, t, t^2, t^3 (rows) of the four that are not zero there.
CUBICS = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6.0


def cubics(coefficients: Array) -> Array:
    """Coefficients of t^p, p = 0..3, of w in each interval, (K, J, 4)."""
    windows = np.lib.stride_tricks.sliding_window_view(coefficients, 4, axis=0)
    return np.ascontiguousarray(np.einsum("pb,jkb->kjp", CUBICS, windows))


def method(tableau: ImexTableau, overdraw: float) -> Method:
    """What the kernels need of a time-stepping method."""
    alpha, beta = tableau.shu_osher
    diagonal = np.array(tableau.implicit_diagonal)
    return Method(
        alpha,
        beta,
        diagonal,
        tableau.correction,
        overdraw * tableau.positivity,
        speed_up(tableau.name).copy(),
        LOWEST,
        DENSITY,
    )


class CompiledVolume(FiniteVolume):
    """`FiniteVolume` with a compiled step; see there."""

    closure: LearnedClosure

    def take(self, trajectories: Tensor) -> Self:
        """The solver of some of the trajectories, with what is known of the gas and the closure."""
        part = super().take(trajectories)
        part._tables, part._friction = self._tables, self._friction[trajectories]
        if self.closure.dissipation is not None:
            a, d = self._dissipation
            part._dissipation = a[:, trajectories], d[:, trajectories]
        return part

    def take_fallbacks(self) -> list[int]:
        """How many cells of each trajectory needed the damped method since this was last asked."""
        counts = self._fallbacks.tolist()
        self._fallbacks[:] = 0
        return counts

    @cached_property
    def _fallbacks(self) -> NDArray[np.int64]:
        return np.zeros(self.batch, np.int64)

    @cached_property
    def _dissipation(self) -> tuple[Tensor, Tensor]:
        """That of each trajectory alone: what ends an array is rounded otherwise than the rest."""
        assert self.closure.dissipation is not None
        parts = [self.closure.dissipation(knudsen) for knudsen in self.knudsen]
        a, d = (torch.stack(part, dim=1) for part in zip(*parts, strict=True))
        return a, d

    @cached_property
    def _friction(self) -> Tensor:
        """That of each trajectory alone, likewise."""
        if self.closure.friction is None:
            return torch.zeros_like(self.knudsen)
        return torch.stack([self.closure.friction(knudsen) for knudsen in self.knudsen])

    @cached_property
    def _tables(self) -> Tables:
        return tables(self.closure, self.scheme.nodes)

    @cached_property
    def _method(self) -> Method:
        return method(self.scheme.tableau, self.scheme.overdraw)

    @cached_property
    def _gas(self) -> Gas:
        M, (p, q) = self.batch * self.cells, self.collision.exponents
        learned = self.closure.dissipation is not None
        empty = np.zeros((0, M))
        damping, diffusivity = (
            (np.ascontiguousarray(t.detach().numpy()).reshape(-1, M) for t in self._dissipation)
            if learned
            else (empty, empty)
        )
        order = np.stack([torch.stack(rows, dim=1).numpy() for _, rows in self._stencils])
        return Gas(
            batch=self.batch,
            cells=self.cells,
            periodic=self.boundary == "periodic",
            exponents=(float(p), float(q)),
            knudsen=np.ascontiguousarray(self.knudsen.numpy().reshape(M)),
            dissipates=learned,
            damping=damping,
            diffusivity=diffusivity,
            friction=self._friction.detach().numpy().reshape(M),
            order=np.ascontiguousarray(order).astype(np.uint64),
        )

    @cached_property
    def _stages(self) -> Stages:
        t, s = self._tables, len(self._method.alpha)
        M, F, P = self.batch * self.cells, self.batch * (self.cells + 1), len(t.order)
        h, q, J = t.weights.size, t.xi.size, t.powers.shape[1] // 4
        return Stages(
            U=np.empty((s, M, 3)),
            theta=np.empty((s, M, P)),
            density=np.empty((s, M, 2, h)),
            edge=np.empty((s, F, 2)),
            rate=np.empty((s, F, 2, q)),
            flux=np.empty((s, F, 3)),
            owner=np.zeros(s, np.int64),
            m=np.empty((M, P - INVARIANTS)),
            strength=np.zeros(M),
            pieces=np.empty((M, J, 4)),
            frame=np.empty((M, 3)),
            status=np.zeros(M, np.int64),
            factors=np.empty((M, P, P)),
            held=np.zeros(M, np.bool_),
        )

    def _imex_step(self, state: State, dt: Tensor) -> State:
        tensors = (state.U, state.m, state.theta, dt)
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            return super()._imex_step(state, dt)
        stages = self._stages
        stages.U[0], stages.m[:], stages.theta[0] = (tensor.numpy() for tensor in tensors[:3])
        self._advance(dt.numpy())
        last = (stages.U[-1], stages.m, stages.theta[-1])
        U, m, theta = (torch.from_numpy(array.copy()) for array in last)
        return State(U, m, theta)

    def _advance(self, dt: Array) -> None:
        """Fill the stages of a step, the first one given."""
        stages, method, gas, table = self._stages, self._method, self._gas, self._tables
        M, F = self.batch * self.cells, self.batch * (self.cells + 1)
        faces, transported = runtime.FACES[self.scheme.limiter], self.scheme.tableau.transported
        runtime.frames(stages.U[0], stages.frame, 0, M)
        # From step to step they are not held: a solution could not be gone on with to the bit.
        stages.held[:] = False
        _share(runtime.particles, M, stages.theta[0], table, stages.density[0])
        for i, weight in enumerate(method.diagonal):
            if i > 0:
                self._transport(i, dt)
                correction = method.correction if i == len(method.diagonal) - 1 else 0.0
                stages.theta[i] = stages.theta[i - 1]
                stages.strength[:] = weight * np.repeat(dt, gas.cells) * gas.friction
                self._relax_stage(i, dt, weight, correction)
                _share(runtime.settle, M, stages.m, stages.theta[i], stages.strength, table)
            if transported[i]:
                _share(runtime.pieces, M, stages, i, table)
                _share(faces, F, stages, i, method, gas, table, dt)

    def _transport(self, i: int, dt: Array) -> None:
        """U and m of stage i before its relaxation."""
        stages, method = self._stages, self._method
        first = i == 1 and not method.beta[i].any()
        stages.owner[i] = 0 if first else i
        if first:
            stages.U[i] = stages.U[0]
            return
        arguments = (stages, i, method, self._gas, self._tables, dt)
        if not all(_share(runtime.transport, self.batch * self.cells, *arguments)):
            positive = (stages.U[i, :, 0] > 0.0) & (stages.frame[:, 1] > 0.0)
            good = torch.from_numpy(positive & np.isfinite(stages.frame).all(axis=1))
            frame = Frame.of(torch.from_numpy(stages.U[i].copy()))
            raise Failure(torch.nonzero(~good)[:, 0], frame, NONPHYSICAL)

    def _relax_stage(self, i: int, dt: Array, weight: float, correction: float) -> None:
        """Collisions, dissipation and theta of stage i: `FiniteVolume._relax`."""
        stages, gas, U = self._stages, self._gas, torch.from_numpy(self._stages.U[i])
        step = stages.U[i], dt, weight, correction
        given = stages.m.copy()
        before, slowing = self._collisions(stages.m, gas.dissipates, *step)
        self._find(i)
        if gas.dissipates and (rows := self._strained_cells(i)).any():
            alone, _ = self._collisions(given, False, *step)
            stages.m[rows], before[rows], stages.theta[i, rows] = given[rows], alone[rows], 0.0
            stages.held[rows] = False
            self._find(i, rows)
        self._check(i, U)
        rises = (stages.theta[i, :, INVARIANTS:] * (before - stages.m)).sum(axis=1) < 0.0
        if rises.any():
            stages.m[rises] = before[rises] / slowing[rises, None]
            self._decode(i, U)

    def _collisions(
        self, m: Array, dissipates: bool, U: Array, dt: Array, weight: float, correction: float
    ) -> tuple[Array, Array]:
        """Relax m (M, K), in place.

        Returns:
            What collisions of a response were given (M, K), and by what they divide their slowest
            mode (M,); of BGK's, which cannot let the entropy rise, m itself, and ones.
        """
        frame, gas, rule = self._stages.frame, self._gas, (dt, self._method, weight, correction)
        turn = self._tables.turn
        slowing = np.ones(len(m))
        if self.closure.response is None:
            runtime.relax(U, m, frame, gas, turn, *rule, True, dissipates)
            return m, slowing
        if dissipates:
            runtime.relax(U, m, frame, gas, turn, *rule, False, True)
        before = m.copy()
        rates, modes = (np.ascontiguousarray(one) for one in self.closure.response.modes)
        runtime.respond(U, m, frame, gas, rates, modes, *rule, slowing)
        return before, slowing

    def _strained_cells(self, i: int) -> NDArray[np.bool_]:
        """The cells of stage i that dissipation strains, which go without it: `strained`."""
        found = torch.from_numpy(self._stages.status != runtime.UNDECODED)
        theta = torch.from_numpy(self._stages.theta[i])
        rows: NDArray[np.bool_] = self.strained(theta, found).numpy()
        return rows

    def _decode(self, i: int, U: Tensor) -> None:
        """Theta of stage i from the moments; `U` is for the error."""
        self._find(i)
        self._check(i, U)

    def _find(self, i: int, rows: NDArray[np.bool_] | None = None) -> None:
        """Look for theta of stage i, of all cells or of those of `rows`; note how it went."""
        stages = self._stages
        given = stages.m, stages.theta[i], stages.strength, self._tables, stages.density[i]
        arguments = *given, stages.factors, stages.held, stages.status
        if rows is None:
            _share(runtime.decode, len(stages.m), *arguments)
            return
        for row in np.flatnonzero(rows).tolist():
            runtime.decode(*arguments, row, row + 1)

    def _check(self, i: int, U: Tensor) -> None:
        """Count the cells that needed the damped method; refuse those that have no theta."""
        status = self._stages.status
        self._fallbacks += (status != runtime.FINE).reshape(self.batch, self.cells).sum(axis=1)
        undecoded = torch.from_numpy(status == runtime.UNDECODED)
        if undecoded.any():
            frame = physical(Frame.of(U.clone()))
            raise Failure(torch.nonzero(undecoded)[:, 0], frame, UNDECODABLE)

    def decode(self, U: Tensor, m: Tensor, start: Tensor | None) -> State:
        if torch.is_grad_enabled() and (U.requires_grad or m.requires_grad):
            return super().decode(U, m, start)
        stages = self._stages
        stages.m[:] = m.numpy()
        stages.theta[0] = self._begin(m) if start is None else start.numpy()
        physical(Frame.of(U))
        stages.strength[:], stages.held[:] = 0.0, False
        self._decode(0, U)
        return State(U, m, torch.from_numpy(stages.theta[0].copy()))

    def _begin(self, m: Tensor) -> Array:
        """Where to start if there is no earlier theta: the network's guess, or equilibrium."""
        start = getattr(self.closure, "start", None)
        if start is None:
            return np.zeros((len(m), len(self._tables.order)))
        # Products of matrices round otherwise for other numbers of rows: each trajectory alone.
        theta = torch.cat([start(cells) for cells in m.split(self.cells)])
        return np.ascontiguousarray(theta.detach().numpy())


def _share(kernel: Callable[..., Any], size: int, *arguments: Any) -> list[Any]:
    """Call ``kernel(*arguments, first, last)`` on parts of range(size), as many as torch's threads.

    What a kernel writes does not depend on the parts.
    """
    parts = max(1, min(torch.get_num_threads(), size // SHARE))
    return share(lambda first, last: kernel(*arguments, first, last), size, parts)


def warm_up() -> None:
    """Compile the kernels of the default scheme, so that workers find them in the cache."""
    learned = Learned(2).requires_grad_(False).closure()
    closure = FastClosure(**{one.name: getattr(learned, one.name) for one in fields(learned)})
    solver = closure.solver(torch.ones(1, 1, dtype=torch.float64), BGK(), "periodic", Scheme())
    gas = torch.tensor([[1.0, 0.0, 0.5]], dtype=torch.float64)
    state = solver.decode(gas, torch.zeros(1, 2, dtype=torch.float64), None)
    solver.step(state, solver.largest_step(state))
