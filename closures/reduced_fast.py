"""The closure `entropy` in two and three velocity dimensions with a compiled solver.

`CompiledReduced` is `FiniteVolume` with kernels that take each trajectory by itself through all
steps to the next snapshot (`closures.reduced_runtime`). The discretisation is the same, but for the
rule by which fluxes are integrated over v: the midpoint rule on one grid for all cells, as in
`kinetic`, which knows f_hat of a cell once for all the faces it belongs to. theta is found to
`TOLERANCES` only, what is left of the residual being kept with the moments.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from dataclasses import fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from closures import reduced_runtime
from closures.closure import Frame
from closures.fast import cubics, method
from closures.features import FEW, INVARIANTS
from closures.finite_volume import (
    NONPHYSICAL,
    UNDECODABLE,
    Failure,
    FiniteVolume,
    Scheme,
    State,
    physical,
)
from closures.library import LearnedReducedClosure
from closures.reduced import ReducedClosure
from closures.reduced_features import ReducedSplineFeatures
from closures.reduced_runtime import LANES, Dual, Gas, Problem, Space, Tables
from closures.runtime import Array, Method
from kinetic.alignment import aligned, aligned_empty
from kinetic.collisions import BGK
from kinetic.space import ghosted_rows
from kinetic.threads import pool

TOLERANCES = {True: (1e-3, 3e-3), False: (3e-4, 1e-3)}
"""Largest residual of theta, of closures with few moments and with more; and of stages whose f_hat
crosses no face. What is left stays with the moments. With nine moments that changes fields after
t = 0.1 by 0.05 % where eps <= 1 and by 0.07 % in free flight, those of single profiles by 0.15 %;
with sixteen by 0.02 %, those of single profiles by 0.03 %."""

REGULARIZATION = 3e-5
"""gamma of the dual problem, which keeps f_hat of moments that are hardly those of any density from
becoming a few spikes between which it is not known: thirty times that of the solver in torch. It
changes errors by less than 0.002 %."""

SPACING = 1.3
"""Of velocities, in units of the mean distance of the nodes of `Scheme`: 0.65 sqrt T where it is
coldest with nine moments, and 0.39 sqrt T with sixteen."""

TOO_COLD = "it is too cold beside the hottest for closure.fast=true; closure.fast=false solves this"
"""Why the velocities of all cells would be too many."""

REASONS = {
    reduced_runtime.NO_DENSITY: UNDECODABLE,
    reduced_runtime.UNLIKE: TOO_COLD,
    reduced_runtime.NONPHYSICAL: NONPHYSICAL,
}
"""Why a trajectory ended early; where several did, the first of these is said."""


class FastReducedClosure(LearnedReducedClosure):
    """A learned closure that brings a compiled solver."""

    @classmethod
    def of(cls, closure: LearnedReducedClosure) -> FastReducedClosure:
        """`closure` with a compiled solver."""
        return cls(**{one.name: getattr(closure, one.name) for one in fields(closure)})

    def solver(
        self, knudsen: Tensor, collision: BGK, boundary: str, scheme: Scheme
    ) -> FiniteVolume:
        """The compiled solver, or the other one on a device that is not the processor."""
        kind = CompiledReduced if knudsen.device.type == "cpu" else FiniteVolume
        return kind(self, knudsen, collision, boundary, scheme)


def dual(closure: ReducedClosure) -> Dual:
    """What the kernels need of the dual problem of a closure."""
    assert closure.dual is not None
    order = _order(closure)
    both = _padded(_upper(np.moveaxis(closure.phi.detach().numpy()[:, :, order], 1, 2)))
    # The node c = 0 is its own mirror image.
    halves = np.ones((closure.nodes + 1) // 2)
    halves[0] = 0.5
    return Dual(
        across=closure.across,
        even=int((_parity(closure) > 0).sum()),
        phi=aligned(np.concatenate(list(both), axis=1)),
        weights=_padded(halves * _upper(closure.measure.numpy())),
        trace=_padded(halves * reduced_runtime.TRACE),
        tolerance=closure.dual.tolerance,
        gamma=closure.dual.regularization,
        iterations=closure.dual.iterations,
    )


def tables(closure: ReducedClosure, nodes: int) -> Tables:
    """What the kernels need of a closure beside, for as many `nodes` as those of `Scheme`."""
    assert isinstance(closure.features, ReducedSplineFeatures)
    coefficients = closure.features.coefficients.detach().numpy()
    return Tables(
        across=closure.across,
        order=_order(closure),
        nodes=_padded(_upper(closure.c.numpy())),
        powers=_powers(coefficients),
        exponents=_exponents(closure, coefficients),
        extent=float(closure.extent),
        density=(coefficients.shape[1] - INVARIANTS) / (2.0 * closure.extent),
        norm=(2.0 * closure.across) ** -0.5,
        spacing=SPACING * closure.extent / nodes,
        **_collisions(closure),
    )


def _parity(closure: ReducedClosure) -> Array:
    """Of all functions in the order of theta."""
    parity: Array = np.concatenate(([1.0, -1.0, 1.0], closure.features.parity.numpy()))
    return parity


def _order(closure: ReducedClosure) -> NDArray[np.int64]:
    """Places in theta, those of even functions first."""
    return np.argsort(-_parity(closure), kind="stable")


def _upper(values: Array) -> Array:
    """Values (..., n) at the nodes c >= 0."""
    return values[..., values.shape[-1] // 2 :]


def _padded(values: Array) -> Array:
    """Values followed by zeros: (..., h)."""
    padding = [(0, 0)] * (values.ndim - 1) + [(0, -values.shape[-1] % LANES)]
    return aligned(np.pad(values, padding))


def _powers(coefficients: Array) -> Array:
    """Coefficients of t^p of a and of b by turns, in each interval, (K, 8 J)."""
    both = np.stack([cubics(part) for part in coefficients], axis=-1)
    return aligned(both.reshape(len(both), -1))


def _exponents(closure: ReducedClosure, coefficients: Array) -> Array:
    """Those of alpha and kappa of all functions, and of -c^2/2 and 0: see `Tables`."""
    D, d, J = closure.dimension, closure.across, coefficients.shape[1] - INVARIANTS
    width = 2.0 * closure.extent / J
    left, nothing = width * np.arange(J) - closure.extent, np.zeros(J)
    one = np.stack((nothing + 1.0, nothing, nothing, nothing))
    c = np.stack((left, nothing + width, nothing, nothing))
    square = np.stack((left**2, 2.0 * width * left, nothing + width**2, nothing))
    along, across = (square - one) * math.sqrt(0.5 / D), one * math.sqrt(d / D)
    a = [one.T, c.T, along.T, *cubics(coefficients[0]), -0.5 * square.T]
    b = [0.0 * one.T, 0.0 * c.T, across.T, *cubics(coefficients[1]), 0.0 * one.T]
    both = np.stack((np.array(a), math.sqrt(2.0 / d) * np.array(b)), axis=-1)
    rows = np.append(_order(closure), len(a) - 1)
    return aligned(both.reshape(len(a), -1)[rows])


def _collisions(closure: ReducedClosure) -> dict[str, Array]:
    """Rates and modes of a response, or none."""
    if closure.response is None:
        return {"rates": np.zeros(0), "modes": np.zeros((0, 0))}
    rates, modes = (one.numpy() for one in closure.response.modes)
    return {"rates": rates, "modes": np.ascontiguousarray(modes)}


class End(NamedTuple):
    """What a trajectory has come to, of N cells.

    U (N, 3), m (N, K), theta (N, P), its functions in the order of `Tables`: the state in the slot
    `place`, or, where `code` says that it could not go on, in the first one: then `place` is the
    cell. first: U of the first slot. time: where it ended. damped: cells that needed the damped
    method. status: of the search for theta (N,).
    """

    U: Array
    m: Array
    theta: Array
    first: Array
    status: NDArray[np.int64]
    time: float
    code: int
    place: int
    damped: int

    @classmethod
    def of(cls, space: Space, time: float, code: int, place: int, damped: int) -> End:
        """Copy what is asked for of a space, which is used again."""
        slot = place if code == reduced_runtime.DONE else 0
        state = space.U[slot].copy(), space.m.copy(), space.theta[slot].copy()
        return cls(*state, space.U[0].copy(), space.status.copy(), time, code, place, damped)


class CompiledReduced(FiniteVolume):
    """`FiniteVolume` with compiled steps; see there."""

    closure: ReducedClosure

    def take_fallbacks(self) -> list[int]:
        """How many cells of each trajectory needed the damped method since this was last asked."""
        counts, self._fallbacks = self._fallbacks, [0] * self.batch
        return counts

    @cached_property
    def _fallbacks(self) -> list[int]:
        return [0] * self.batch

    @cached_property
    def _tables(self) -> Tables:
        return tables(self.closure, self.scheme.nodes)

    @cached_property
    def _duals(self) -> tuple[Dual, Dual]:
        """The dual problem to each of `TOLERANCES`."""
        exact = dual(self.closure)._replace(gamma=REGULARIZATION)
        close, loose = TOLERANCES[self.closure.moments <= FEW]
        return exact._replace(tolerance=close), exact._replace(tolerance=loose)

    @cached_property
    def _method(self) -> Method:
        return method(self.scheme.tableau, self.scheme.overdraw)

    @cached_property
    def _gases(self) -> list[Gas]:
        """The problem of each trajectory."""
        learned = self.closure.dissipation is not None
        empty = np.zeros((0, self.batch, self.cells))
        damping, diffusivity = (
            (tensor.detach().numpy() for tensor in self._dissipation) if learned else (empty, empty)
        )
        rows = ghosted_rows(self.cells, self.boundary).astype(np.int64)
        p, q = self.collision.exponents
        return [
            Gas(
                periodic=self.boundary == "periodic",
                exponents=(float(p), float(q)),
                knudsen=np.ascontiguousarray(self.knudsen[b].numpy()),
                dissipates=learned,
                damping=np.ascontiguousarray(damping[:, b]),
                diffusivity=np.ascontiguousarray(diffusivity[:, b]),
                rows=rows,
                courant=self.scheme.cfl,
                reach=min(self.scheme.reach, self.closure.extent),
            )
            for b in range(self.batch)
        ]

    def march(self, state: State, time: Tensor, stop: float) -> State:
        """Advance every trajectory from its time (B,) to `stop`, by steps as large as allowed.

        Raises:
            Failure: some cannot go on; its `time` says when.
        """
        marching = reduced_runtime.MARCH[self.scheme.limiter]

        def one(b: int) -> End:
            space, problem = self._begun(state, b)
            rest = self._method, self._gases[b], *self._duals, self._tables
            return End.of(space, *marching(space, problem, *rest, float(time[b]), stop))

        ends = self._each(one)
        for b, end in enumerate(ends):
            self._fallbacks[b] += end.damped
        self._raise(ends)
        return self._read(ends)

    def _each(self, one: Any) -> list[Any]:
        """`one` of every trajectory, on as many threads as torch has."""
        workers = min(torch.get_num_threads(), self.batch)
        numbers: Iterable[int] = range(self.batch)
        return list(map(one, numbers) if workers == 1 else pool(workers).map(one, numbers))

    def _raise(self, ends: list[End]) -> None:
        failed = [b for b, end in enumerate(ends) if end.code != reduced_runtime.DONE]
        if not failed:
            return
        U = torch.from_numpy(np.concatenate([end.first for end in ends]))
        codes = {ends[b].code for b in failed}
        cells = torch.tensor([b * self.cells + ends[b].place for b in failed])
        raise Failure(
            cells,
            Frame.of(U, self.closure.dimension),
            next(reason for code, reason in REASONS.items() if code in codes),
            torch.tensor([end.time for end in ends], dtype=torch.float64),
        )

    @cached_property
    def _spaces(self) -> threading.local:
        """The space of each thread."""
        return threading.local()

    def _begun(self, state: State, b: int) -> tuple[Space, Problem]:
        """The space of this thread with the state of trajectory b in slot 0, all else as new.

        One for each trajectory would have to be fetched from memory for every snapshot.
        """
        held = self._spaces
        if not hasattr(held, "space"):
            held.space, held.problem = self._space(), self._problem()
        space, problem = held.space, held.problem
        for array in (space.rest, space.holds, space.status, problem.residual):
            array[...] = 0
        self._write(space, state, b)
        return space, problem

    def _space(self) -> Space:
        t, s, N = self._tables, len(self._method.alpha), self.cells
        P, h, size = len(t.order), t.nodes.size, t.powers.shape[1]
        K = P - INVARIANTS
        return Space(
            U=aligned_empty(s, N, 3),
            theta=aligned_empty(s, N, P),
            f=aligned_empty(s, N, 2, 2 * h),
            rest=aligned(np.zeros((s, N, K))),
            frame=aligned_empty(s, N, 3),
            m=aligned_empty(N, K),
            mean=aligned_empty(N, P),
            factors=aligned_empty(N, P, P),
            holds=np.zeros(N, np.bool_),
            pieces=aligned_empty(N, size),
            flux=aligned_empty(s, N + 1, 3),
            status=np.zeros(N, np.int64),
        )

    def _problem(self) -> Problem:
        N, P, h = self.cells, len(self._tables.order), self._duals[0].weights.size
        return Problem(
            mu=aligned_empty(N, P),
            residual=aligned(np.zeros((N, P))),
            step=aligned_empty(N, P),
            size=aligned_empty(N),
            after=aligned_empty(N),
            renewed=np.zeros(N, np.bool_),
            sums=aligned_empty(2, 2 * h),
            weights=aligned_empty(2, 3, h),
            rows=aligned_empty(P, 2 * h),
        )

    def _write(self, space: Space, state: State, b: int) -> None:
        """Put the state of trajectory b into slot 0."""
        rows = slice(b * self.cells, (b + 1) * self.cells)
        space.U[0], space.m[:] = state.U[rows].numpy(), state.m[rows].numpy()
        space.theta[0] = state.theta[rows].numpy()[:, self._tables.order]

    def _read(self, ends: list[End]) -> State:
        """The state where trajectories have ended."""
        order = np.argsort(self._tables.order)
        parts = ([e.U for e in ends], [e.m for e in ends], [e.theta[:, order] for e in ends])
        U, m, theta = (torch.from_numpy(np.concatenate(part)) for part in parts)
        return State(U, m, theta, self.closure.dimension)

    def decode(self, U: Tensor, m: Tensor, start: Tensor | None) -> State:
        if start is not None or (torch.is_grad_enabled() and (U.requires_grad or m.requires_grad)):
            return super().decode(U, m, start)
        frame = physical(Frame.of(U, self.closure.dimension))
        unknown = torch.zeros((len(m), len(self._tables.order)), dtype=U.dtype)
        state = State(U, m, unknown, self.closure.dimension)

        def one(b: int) -> End:
            space, problem = self._begun(state, b)
            reduced_runtime.decode(space, problem, self._duals[0], self._tables.order)
            return End.of(space, 0.0, reduced_runtime.DONE, 0, 0)

        ends = self._each(one)
        status = np.concatenate([end.status for end in ends])
        undecoded = torch.from_numpy(status == reduced_runtime.UNDECODED)
        if undecoded.any():
            raise Failure(torch.nonzero(undecoded)[:, 0], frame, UNDECODABLE)
        return self._read(ends)
