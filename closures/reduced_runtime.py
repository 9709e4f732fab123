"""Compiled kernels of the closed equations in two and three velocity dimensions.

The equations, the discretisation and the order of the stages are those of
`closures.finite_volume.FiniteVolume` with a `closures.reduced.ReducedClosure`; one call, `march`,
takes a trajectory through all its steps to the next snapshot. What makes it fast beside what
`closures.runtime` says of splines, parities and depositions:

- Velocities are the same in all cells, those of a midpoint rule, which converges exponentially for
  what is smooth. f_hat of a cell serves five faces at either side, and what crosses both faces of a
  cell, and in all stages of a step, is of the same velocities and enters as one.
- Newton's method keeps the factors of its Hessian from stage to stage and step to step as long as
  they reduce the residual well (the chord method).
- Its first step costs no density: the averages that the last theta of the cell has are known.
- What is left of the residual is not lost: `_encode` takes from the moments what f_hat holds of it,
  so that tolerances need not add up over the steps.

In every knot interval alpha(c) + log of the scale, and kappa(c), are cubics in t (see
`closures.reduced`); f_hat at a velocity is a look-up, two cubics, an exponential and a quotient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from closures.runtime import (
    DAMPED,
    FINE,
    FLAT,
    GROWTH,
    HALVINGS,
    MAX_EXPONENT,
    SUFFICIENT,
    UNDECODED,
    WHOLE_STEPS,
    Array,
    _compiled,
    _eliminate,
    _exp,
    _faster,
    _newton_step,
    _sped_up,
    _strict,
)
from kinetic.limiters import LIMITERS, Limiter

PENDING = -1
"""Of a cell whose theta is to be found, beside what `closures.runtime` says of how that ends."""

DONE, NONPHYSICAL, NO_DENSITY, UNLIKE = 0, 1, 2, 3
"""How `march` ends: at the time asked for, or at a cell without frame, or without f_hat, or at one
too cold beside the others."""

SLOW = 0.2
"""A chord step that leaves more than this part of the residual is the last with its factors."""

LANES = 8
"""Velocities, and nodes of the dual problem, are padded to a multiple of this."""

MOST = 4096
"""Velocities; more are asked for where temperatures differ by a factor of 10^4 and more."""

FIRST, SECOND = np.int64(0), np.int64(1)
"""Numbers with a type: for each literal among its arguments a kernel is compiled anew."""

HOTTEST, WALL, TRACE, STRAINED = 0.99, 0.95, 1e-7, 1.0
"""As in `closures.reduced`, `closures.reduced_dual` and `closures.finite_volume`."""


class Dual(NamedTuple):
    """The dual problem; h nodes c >= 0, P functions, even ones first.

    across: d; even: how many functions are. phi: a, then b, at the nodes (P, 2 h); weights:
    Mc(c) dc, halved at c = 0 (h,); trace: TRACE, likewise (h,).
    """

    across: int
    even: int
    phi: Array
    weights: Array
    trace: Array
    tolerance: float
    gamma: float
    iterations: int


class Tables(NamedTuple):
    """What does not change while a closure is used; P functions, J intervals.

    across: d. order: place in theta of the functions, even ones first (P,); nodes: c >= 0
        (h,), of which the last may be padding, without mass.
    powers: of t in each interval, of a and b by turns, of w (K, 8 J). exponents: likewise, of
        alpha and kappa of all functions, even ones first, and of -c^2/2 and 0, (P + 1, 8 J).
    extent: L; density: of knots;
        norm: 1/sqrt(2 d). Given, as a compiler may divide anew by what is divided by here.
    spacing: of velocities, in units of the least sqrt T.
    rates, modes: of `closures.response` (K,) and (K, K); none for the collisions of BGK.
    """

    across: int
    order: NDArray[np.int64]
    nodes: Array
    powers: Array
    exponents: Array
    extent: float
    density: float
    norm: float
    spacing: float
    rates: Array
    modes: Array


class Gas(NamedTuple):
    """One trajectory of N cells: BGK exponents, eps (N,), damping and diffusivity (K, N).

    rows: of the cells in their order and of ghosts around them, N + 6; face k has cells k + 2 and
        k + 3 of them at its sides.
    courant, reach: dt (|u| + reach sqrt T) = courant dx.
    """

    periodic: bool
    exponents: tuple[float, float]
    knudsen: Array
    dissipates: bool
    damping: Array
    diffusivity: Array
    rows: NDArray[np.int64]
    courant: float
    reach: float


class Space(NamedTuple):
    """Of s stages of N cells: stage i is in slot (base + i) % s, its last one the next's first.

    U (s, N, 3), theta (s, N, P) in `order`, f: masses, then 1/(1 - kappa), at +c and -c
    (s, N, 2, 2 h), rest: of the residual (s, N, K), frame: u, sqrt T, 1/sqrt T (s, N, 3);
    m (N, K), mean: <phi> (N, P), factors (N, P, P) and whether they hold (N,), pieces: cubics of
    alpha and kappa by turns (N, 8 J), flux (s, N+1, 3), status (N,).
    """

    U: Array
    theta: Array
    f: Array
    rest: Array
    frame: Array
    m: Array
    mean: Array
    factors: Array
    holds: NDArray[np.bool_]
    pieces: Array
    flux: Array
    status: NDArray[np.int64]


class Velocities(NamedTuple):
    """Those at which f_hat is known in a step, and room for them.

    v (n,), f: g, and h = d T/(1 - kappa) g, in the cells (2, N, n), rate: what crosses each face
    per unit time, of g and h (s, 2, N+1, n). x, g, s and place: of particles (most,).
    """

    v: Array
    f: Array
    rate: Array
    x: Array
    g: Array
    s: Array
    place: NDArray[np.int64]


class Problem(NamedTuple):
    """Dual problems of N cells: moments mu, residual and step (N, P), sizes of the residual before
    and after the step and whether that is by a Hessian of its own (N,); and space for one cell.
    """

    mu: Array
    residual: Array
    step: Array
    size: Array
    after: Array
    renewed: NDArray[np.bool_]
    sums: Array
    weights: Array
    rows: Array


def _inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like `_compiled`, as a part of what calls it: what is passed to it need not be copied."""
    flags = {"contract", "reassoc", "nsz"}
    return njit(nogil=True, error_model="numpy", fastmath=flags, forceinline=True)(function)


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like `_compiled`, but not in a file of its own, which no argument may be a function for."""
    flags = {"contract", "reassoc", "nsz"}
    return njit(nogil=True, error_model="numpy", fastmath=flags)(function)


@intrinsic
def _add_powers(typing: Any, flat: Any, place: Any, t: Any, p: Any, q: Any) -> Any:
    """Add (p, q, p t, q t, p t^2, q t^2, p t^3, q t^3) to flat[place : place + 8].

    By one operation on eight numbers, which compilers do not make of eight operations. It pays if
    `flat` begins at a multiple of 32 bytes, as arrays of kernels do, and `place` is one of eight.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place, t, p, q = arguments
        eight = ir.VectorType(ir.DoubleType(), 8)
        nothing, one = ir.Constant(eight, ir.Undefined), ir.Constant(eight, [1.0] * 8)
        first, all_first = ir.Constant(ir.IntType(32), 0), ir.Constant(_Numbers, [0] * 8)

        def spread(number: Any) -> Any:
            return builder.shuffle_vector(
                builder.insert_element(nothing, number, first), nothing, all_first
            )

        def choose(places: list[int], yes: Any, no: Any) -> Any:
            return builder.select(ir.Constant(_Flags, places), yes, no)

        power = choose([0, 0, 1, 1] * 2, spread(t), one)
        square = choose([0] * 4 + [1] * 4, spread(builder.fmul(t, t)), one)
        added = builder.fmul(choose([0, 1] * 4, spread(q), spread(p)), builder.fmul(power, square))
        data = context.make_array(signature.args[0])(context, builder, array).data
        target = builder.bitcast(builder.gep(data, [place]), eight.as_pointer())
        builder.store(builder.fadd(builder.load(target, align=8), added), target, align=8)
        return context.get_dummy_value()

    return types.void(flat, place, t, p, q), generate


_Numbers, _Flags = (ir.VectorType(ir.IntType(bits), 8) for bits in (32, 1))


@_inlined
def _clear(values):  # type: ignore[no-untyped-def]
    """Set the numbers of a row to zero."""
    for n in range(values.size):
        values[n] = 0.0


@_inlined
def _copy(source, target):  # type: ignore[no-untyped-def]
    """Copy a table, by loops: assignments of arrays take a second each to compile."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@_inlined
def _copy_all(source, target):  # type: ignore[no-untyped-def]
    """Copy tables, without slices, for which references would be counted."""
    for cell in range(source.shape[0]):
        for i in range(source.shape[1]):
            for j in range(source.shape[2]):
                target[cell, i, j] = source[cell, i, j]


@_inlined
def _combine(cell, theta, first, last, phi, f, side):  # type: ignore[no-untyped-def]
    """Write sum_k theta_k phi_k, first <= k < last, into f[cell, side], four terms at a time."""
    size, k = f.shape[2], first
    for n in range(size):
        f[cell, side, n] = 0.0
    while k + 4 <= last:
        t0, t1 = theta[cell, k], theta[cell, k + 1]
        t2, t3 = theta[cell, k + 2], theta[cell, k + 3]
        for n in range(size):
            one = t0 * phi[k, n] + t1 * phi[k + 1, n]
            f[cell, side, n] += one + t2 * phi[k + 2, n] + t3 * phi[k + 3, n]
        k += 4
    while k < last:
        t0 = theta[cell, k]
        for n in range(size):
            f[cell, side, n] += t0 * phi[k, n]
        k += 1


@_inlined
def _density(cell, theta, dual, f):  # type: ignore[no-untyped-def]
    """Write masses and 1/(1 - kappa) at +c and -c; return whether no kappa is at the wall."""
    h, d = np.uint64(f.shape[2] // 2), dual.across
    factor, outside = np.sqrt(2.0 / d), 0
    _combine(cell, theta, FIRST, dual.even, dual.phi, f, FIRST)
    _combine(cell, theta, dual.even, theta.shape[1], dual.phi, f, SECOND)
    for n in range(h):
        e, o = f[cell, 0, n], f[cell, 1, n]
        p, q = f[cell, 0, h + n] * factor, f[cell, 1, h + n] * factor
        plus, minus = p + q, p - q
        outside += (plus >= WALL) + (minus >= WALL)
        plus, minus = min(plus, WALL), min(minus, WALL)
        f[cell, 0, n] = min(e + o - 0.5 * d * plus, MAX_EXPONENT)
        f[cell, 1, n] = min(e - o - 0.5 * d * minus, MAX_EXPONENT)
        f[cell, 0, h + n] = 1.0 / (1.0 - plus)
        f[cell, 1, h + n] = 1.0 / (1.0 - minus)
    for side in range(2):
        for n in range(h):
            hot = f[cell, side, h + n]
            spread = hot if d == 2 else np.sqrt(hot)
            f[cell, side, n] = dual.weights[n] * _exp(f[cell, side, n]) * spread
    return outside == 0


@_inlined
def _averages(cell, dual, f, sums, mean):  # type: ignore[no-untyped-def]
    """Write <phi>, with what the barrier adds to it."""
    h, d, P = np.uint64(f.shape[2] // 2), dual.across, mean.shape[1]
    scale, push, t = np.sqrt(0.5 * d), np.sqrt(2.0 / d) / WALL, WALL - 1.0
    for n in range(h):
        r = dual.trace[n] * push
        # kappa/(WALL - kappa), kappa = 1 - 1/heat
        hot, cold = f[cell, 0, h + n], f[cell, 1, h + n]
        plus = (hot - 1.0) * (f[cell, 0, n] * scale + r / (t * hot + 1.0))
        minus = (cold - 1.0) * (f[cell, 1, n] * scale + r / (t * cold + 1.0))
        sums[0, n], sums[1, n] = f[cell, 0, n] + f[cell, 1, n], f[cell, 0, n] - f[cell, 1, n]
        sums[0, h + n], sums[1, h + n] = plus + minus, plus - minus
    _project(cell, sums, FIRST, FIRST, dual.even, dual.phi, mean)
    _project(cell, sums, SECOND, dual.even, P, dual.phi, mean)


@_inlined
def _project(cell, sums, side, first, last, phi, mean):  # type: ignore[no-untyped-def]
    """Write the sums of phi_k, first <= k < last, four at a time."""
    size, k = sums.shape[1], first
    while k + 4 <= last:
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for n in range(size):
            g = sums[side, n]
            s0 += g * phi[k, n]
            s1 += g * phi[k + 1, n]
            s2 += g * phi[k + 2, n]
            s3 += g * phi[k + 3, n]
        mean[cell, k], mean[cell, k + 1] = s0, s1
        mean[cell, k + 2], mean[cell, k + 3] = s2, s3
        k += 4
    while k < last:
        s0 = 0.0
        for n in range(size):
            s0 += sums[side, n] * phi[k, n]
        mean[cell, k] = s0
        k += 1


@_inlined
def _residual(cell, mu, theta, mean, gamma, residual):  # type: ignore[no-untyped-def]
    """Write <phi> - mu + gamma theta of a cell; return its largest entry, NaN if one is."""
    largest, P = 0.0, theta.shape[1]
    for k in range(P):
        total = mean[cell, k] - mu[cell, k] + gamma * theta[cell, k]
        residual[cell, k] = total
        if not abs(total) <= largest:
            largest = abs(total)
    return largest


@_compiled
def _try(cell, theta, dual, f):  # type: ignore[no-untyped-def]
    """`_density` of a cell as a call: as a part of its callers it takes long to compile."""
    return _density(cell, theta, dual, f)


@_compiled
def _look(first, last, theta, f, mean, dual, problem, status):  # type: ignore[no-untyped-def]
    """Write what belongs to theta of the cells that are `PENDING`, first <= cell < last.

    The size of the residual is infinite where a kappa is at the wall.
    """
    for cell in range(first, last):
        if status[cell] == PENDING:
            inside = _density(cell, theta, dual, f)
            _averages(cell, dual, f, problem.sums, mean)
            after = _residual(cell, problem.mu, theta, mean, dual.gamma, problem.residual)
            problem.after[cell] = after if inside else np.inf


@_compiled
def _factorise(dual, f, weights, rows, factors):  # type: ignore[no-untyped-def]
    """Write Hessian + floor = L D L^T: L, and 1/D in its diagonal.

    Of masses g and of s with mean mu and variance v, the product of a + s b and a' + s b' is
    g a a' + g mu (a b' + b a') + g (mu^2 + v) b b'. Products of functions of one parity have the
    same at -c as at +c, those of two the opposite. `weights` (2, 3, h), rows (P, 2 h): space.
    """
    phi, P, even = dual.phi, factors.shape[0], dual.even
    _second_moments(dual, f, weights)
    _weighted(weights[1], phi, even, P, rows)
    _products(rows, phi, even, P, FIRST, even, factors)
    _weighted(weights[0], phi, FIRST, P, rows)
    _products(rows, phi, FIRST, even, FIRST, even, factors)
    _products(rows, phi, even, P, even, P, factors)
    _eliminate(factors, dual.gamma)


@_inlined
def _second_moments(dual, f, weights):  # type: ignore[no-untyped-def]
    """Write g, g mu and g (mu^2 + v), at +c and -c together, and the first less the second."""
    h, d = np.uint64(f.shape[1] // 2), dual.across
    scale = np.sqrt(0.5 * d)
    for n in range(h):
        g, hot, other, cold = f[0, n], f[0, h + n], f[1, n], f[1, h + n]
        gap, opening = hot / ((WALL - 1.0) * hot + 1.0), cold / ((WALL - 1.0) * cold + 1.0)
        shift, push = scale * (hot - 1.0), scale * (cold - 1.0)
        barrier = dual.trace[n] * (2.0 / d)
        one = g * (shift * shift + hot * hot) + barrier * gap * gap
        two = other * (push * push + cold * cold) + barrier * opening * opening
        weights[0, 0, n], weights[1, 0, n] = g + other, g - other
        weights[0, 1, n], weights[1, 1, n] = g * shift + other * push, g * shift - other * push
        weights[0, 2, n], weights[1, 2, n] = one + two, one - two


@_inlined
def _weighted(weights, phi, first, last, rows):  # type: ignore[no-untyped-def]
    """Write what functions, first <= k < last, are to be multiplied with at the nodes."""
    h = np.uint64(weights.shape[1])
    for k in range(first, last):
        for n in range(h):
            rows[k, n] = weights[0, n] * phi[k, n] + weights[1, n] * phi[k, h + n]
        for n in range(h):
            rows[k, h + n] = weights[1, n] * phi[k, n] + weights[2, n] * phi[k, h + n]


@_inlined
def _products(rows, phi, first, last, begin, end, out):  # type: ignore[no-untyped-def]
    """Write rows_i . phi_j, first <= i < last, begin <= j < end, where j <= i.

    Four sums at a time, which read each row half as often; a row without neighbour is its own.
    """
    for i in range(first, last, 2):
        k = min(i + 1, last - 1)
        for j in range(begin, min(end, i + 1), 2):
            m = min(j + 1, end - 1)
            s00, s01, s10, s11 = 0.0, 0.0, 0.0, 0.0
            for n in range(phi.shape[1]):
                a, b, c, d = rows[i, n], rows[k, n], phi[j, n], phi[m, n]
                s00 += a * c
                s01 += a * d
                s10 += b * c
                s11 += b * d
            out[i, j], out[i, m], out[k, j], out[k, m] = s00, s01, s10, s11


@_strict
def _newton_steps(factors, residual, step, theta, status):  # type: ignore[no-untyped-def]
    """`_newton_step` of the cells that are `PENDING`, added to theta.

    Of all cells in one call, and without slices, for which references would be counted.
    """
    P = theta.shape[1]
    for cell in range(theta.shape[0]):
        if status[cell] == PENDING:
            for i in range(P):
                d = -residual[cell, i]
                for k in range(i):
                    d -= factors[cell, i, k] * step[cell, k]
                step[cell, i] = d
            for i in range(P):
                step[cell, i] *= factors[cell, i, i]
            for i in range(P - 1, 0, -1):
                for k in range(i):
                    step[cell, k] -= factors[cell, i, k] * step[cell, i]
            for k in range(P):
                theta[cell, k] += step[cell, k]


@_compiled
def _whole_steps(theta, f, mean, factors, holds, dual, problem, status):  # type: ignore[no-untyped-def]
    """Newton's method, undamped, of the cells that are `PENDING`, which become `FINE`.

    `mean` and `f` are those of theta. A step that fails with old factors is taken back
    and done again with new ones; where it fails with these they become `UNDECODED`. Cells go
    through it side by side, as calls for each would cost more than their arithmetic.
    """
    residual, step, size, after = problem.residual, problem.step, problem.size, problem.after
    N, P = theta.shape
    for _ in range(WHOLE_STEPS):
        left = 0
        for cell in range(N):
            if status[cell] == PENDING:
                left += 1
                problem.renewed[cell] = not holds[cell]
                if not holds[cell]:
                    _factorise(dual, f[cell], problem.weights, problem.rows, factors[cell])
        if left == 0:
            return
        _newton_steps(factors, residual, step, theta, status)
        _look(FIRST, N, theta, f, mean, dual, problem, status)
        for cell in range(N):
            if status[cell] == PENDING:
                holds[cell] = after[cell] <= SLOW * size[cell]
                if after[cell] <= dual.tolerance:
                    status[cell] = FINE
                elif not after[cell] <= GROWTH * size[cell] or after[cell] == np.inf:
                    for k in range(P):
                        theta[cell, k] -= step[cell, k]
                    _look(cell, cell + 1, theta, f, mean, dual, problem, status)
                    holds[cell] = False
                    if problem.renewed[cell]:
                        status[cell] = UNDECODED
                size[cell] = after[cell]


@_compiled
def _value(cell, theta, dual, f, problem):  # type: ignore[no-untyped-def]
    """D(theta) of `closures.reduced_dual` for a cell, kappa below WALL."""
    total, P, h = 0.0, theta.shape[1], f.shape[2] // 2
    for side in range(2):
        for n in range(h):
            x = (1.0 - 1.0 / f[cell, side, h + n]) / WALL
            total += f[cell, side, n] - dual.trace[n] * (x + np.log1p(-x))
    for k in range(P):
        total += theta[cell, k] * (0.5 * dual.gamma * theta[cell, k] - problem.mu[cell, k])
    return total


@_compiled
def _damped_steps(cell, theta, f, mean, factors, dual, problem, status):  # type: ignore[no-untyped-def]
    """`closures.dual.DualSolver` for one cell; return whether it converged."""
    residual, step, after = problem.residual, problem.step, problem.after
    status[cell] = PENDING
    inside = _try(cell, theta, dual, f)
    start = 0.0
    for n in range(dual.weights.size):
        start += 2.0 * dual.weights[n]
    if not inside or not _value(cell, theta, dual, f, problem) <= start:
        _clear(theta[cell])
    old = np.empty(theta.shape[1])
    for _ in range(dual.iterations):
        _look(cell, cell + 1, theta, f, mean, dual, problem, status)
        if after[cell] <= dual.tolerance:
            return True
        bound = _value(cell, theta, dual, f, problem)
        _factorise(dual, f[cell], problem.weights, problem.rows, factors[cell])
        _newton_step(factors[cell], residual[cell], step[cell])
        slope, length = 0.0, 1.0
        for k in range(old.size):
            slope += residual[cell, k] * step[cell, k]
            old[k] = theta[cell, k]
        for _ in range(HALVINGS + 1):
            for k in range(old.size):
                theta[cell, k] = old[k] + length * step[cell, k]
            if _try(cell, theta, dual, f):
                value = _value(cell, theta, dual, f, problem)
                if abs(slope) < FLAT or value <= bound + SUFFICIENT * length * slope:
                    break
            length *= 0.5
    _look(cell, cell + 1, theta, f, mean, dual, problem, status)
    return after[cell] <= dual.tolerance


@_compiled
def _search(theta, f, mean, factors, holds, dual, problem, status):  # type: ignore[no-untyped-def]
    """Find theta of problem.mu from the theta of the cells that are `PENDING`.

    They become `FINE`, `DAMPED` or `UNDECODED`. `f` and `mean` are those of theta,
    before as afterwards.
    """
    mu, residual, size = problem.mu, problem.residual, problem.size
    for cell in range(theta.shape[0]):
        if status[cell] == PENDING:
            size[cell] = _residual(cell, mu, theta, mean, dual.gamma, residual)
            status[cell] = FINE if size[cell] <= dual.tolerance else PENDING
    _whole_steps(theta, f, mean, factors, holds, dual, problem, status)
    for cell in range(theta.shape[0]):
        if status[cell] in (PENDING, UNDECODED):
            good = _damped_steps(cell, theta, f, mean, factors, dual, problem, status)
            status[cell] = DAMPED if good else UNDECODED
            holds[cell] = False


@_compiled
def _ask(m, order, mu):  # type: ignore[no-untyped-def]
    """Write the mu of moments m (N, K)."""
    for cell in range(m.shape[0]):
        for k in range(order.size):
            place = order[k]
            mu[cell, k] = m[cell, place - 3] if place >= 3 else max(1.0 - place, 0.0)


@_compiled
def _settle(order, problem, m, rest):  # type: ignore[no-untyped-def]
    """Write the m that theta was asked for, and the residual."""
    for cell in range(m.shape[0]):
        for k in range(order.size):
            place = order[k] - 3
            if place >= 0:
                m[cell, place] = problem.mu[cell, k]
                rest[cell, place] = problem.residual[cell, k]


@_compiled
def _rest(cell, theta, dual, f, mean, holds, problem, status):  # type: ignore[no-untyped-def]
    """Let a cell begin at equilibrium."""
    _clear(theta[cell])
    status[cell], holds[cell] = PENDING, False
    _look(cell, cell + 1, theta, f, mean, dual, problem, status)


@_compiled
def _strained(theta, order, dual, f, mean, holds, problem, status):  # type: ignore[no-untyped-def]
    """Put the cells that dissipation strains to equilibrium, to be searched again.

    See `FiniteVolume.strained`. Return whether there are any.
    """
    found = False
    for cell in range(theta.shape[0]):
        largest = 0.0
        for k in range(order.size):
            if order[k] >= 3:
                largest = max(largest, abs(theta[cell, k]))
        if status[cell] == UNDECODED or not largest <= STRAINED:
            _rest(cell, theta, dual, f, mean, holds, problem, status)
            found = True
    return found


@_compiled
def _decode(space, slot, plain, dissipated, lost, slowest, dissipates, order, dual, problem):  # type: ignore[no-untyped-def]
    """Theta, in place of the last one, of moments after collisions and dissipation (N, K).

    Where hardly any density has them, those without dissipation are taken; where collisions would
    raise the entropy, `slowest`. `lost`: what collisions took away, of either kind
    (2, N, K), or nothing. Return how many cells were not `FINE`.
    """
    theta, f, mean = space.theta[slot], space.f[slot], space.mean
    held, holds, status = space.factors, space.holds, space.status
    N = plain.shape[0]
    _ask(dissipated if dissipates else plain, order, problem.mu)
    kind = np.full(N, 1 if dissipates else 0)
    for cell in range(N):
        status[cell] = PENDING
    _search(theta, f, mean, held, holds, dual, problem, status)
    if dissipates and _strained(theta, order, dual, f, mean, holds, problem, status):
        for cell in range(N):
            if status[cell] == PENDING:
                kind[cell] = 0
                for k in range(order.size):
                    if order[k] >= 3:
                        problem.mu[cell, k] = plain[cell, order[k] - 3]
        _search(theta, f, mean, held, holds, dual, problem, status)
    if lost.shape[1] and _rises(theta, order, lost, kind, status):
        for cell in range(N):
            if status[cell] == PENDING:
                for k in range(order.size):
                    if order[k] >= 3:
                        problem.mu[cell, k] = slowest[kind[cell], cell, order[k] - 3]
        _search(theta, f, mean, held, holds, dual, problem, status)
    _settle(order, problem, space.m, space.rest[slot])
    damped = 0
    for cell in range(N):
        damped += status[cell] != FINE
    return damped


@_compiled
def _rises(theta, order, lost, kind, status):  # type: ignore[no-untyped-def]
    """Mark the cells where collisions raised the entropy, theta.lost < 0; whether there are any.

    See `closures.response`.
    """
    found = False
    for cell in range(theta.shape[0]):
        fall = 0.0
        for k in range(order.size):
            if order[k] >= 3:
                fall += theta[cell, k] * lost[kind[cell], cell, order[k] - 3]
        if fall < 0.0 and status[cell] != UNDECODED:
            status[cell], found = PENDING, True
    return found


@_compiled
def _resume(space, problem, dual, order):  # type: ignore[no-untyped-def]
    """Prepare slot 0 for its first step: what belongs to theta, and what it leaves of m."""
    N, status = space.m.shape[0], space.status
    _ask(space.m, order, problem.mu)
    for cell in range(N):
        status[cell] = PENDING
    _look(FIRST, N, space.theta[0], space.f[0], space.mean, dual, problem, status)
    _settle(order, problem, space.m, space.rest[0])


@_compiled
def _frames(space, slot, dimension):  # type: ignore[no-untyped-def]
    """Write u, sqrt T, 1/sqrt T; return the first cell without rho, T > 0 and finite, or -1."""
    U, frame = space.U[slot], space.frame[slot]
    for cell in range(U.shape[0]):
        rho = U[cell, 0]
        u = U[cell, 1] / rho
        T = (2.0 * U[cell, 2] / rho - u * u) / dimension
        if not (0.0 < rho < np.inf and 0.0 < T < np.inf and abs(u) < np.inf):
            return cell
        frame[cell, 0], frame[cell, 1] = u, np.sqrt(T)
        frame[cell, 2] = 1.0 / frame[cell, 1]
    return -1


@_compiled
def _update(space, slots, i, method, r):  # type: ignore[no-untyped-def]
    """Write U of sum_j alpha_j f_j + beta_j dt L(f_j) of stage i, r = dt/dx."""
    U, flux, slot = space.U, space.flux, slots[i]
    for cell in range(U.shape[1]):
        for k in range(3):
            U[slot, cell, k] = 0.0
    for j in range(i):
        a, b, held = method.alpha[i, j], method.beta[i, j] * r, slots[j]
        if a != 0.0:
            for cell in range(U.shape[1]):
                for k in range(3):
                    U[slot, cell, k] += a * U[held, cell, k]
        if b != 0.0:
            for cell in range(U.shape[1]):
                for k in range(3):
                    U[slot, cell, k] -= b * (flux[j, cell + 1, k] - flux[j, cell, k])


@_inlined
def _hold(space, one, two, a, b, cell, tables, slope, origin, cold, velocities, begin):  # type: ignore[no-untyped-def]
    """Put particles a f_one + b f_two of a cell at u +- sqrt(T) c, the frame of both slots.

    cold: 1/T of the frame that is asked for.
    """
    frame, f, nodes, d = space.frame, space.f, tables.nodes, tables.across
    x, g, s, rho = velocities.x, velocities.g, velocities.s, space.U[one, cell, 0]
    middle, width = frame[one, cell, 0] * slope + origin, frame[one, cell, 1] * slope
    per_mass = d * tables.norm
    per_heat = per_mass * (frame[one, cell, 1] ** 2 * cold)
    # Loops of few arrays, which are vectorised after a test that they do not overlap.
    count = np.uint64(nodes.size)
    plus, minus, first, second = np.uint64(begin), np.uint64(begin) + count, a * rho, b * rho
    for n in range(count):
        x[plus + n] = middle + width * nodes[n]
    for n in range(count):
        x[minus + n] = middle - width * nodes[n]
    for side in range(2):
        here = minus if side else plus
        for n in range(count):
            g[here + n] = first * f[one, cell, side, n] + second * f[two, cell, side, n]
        for n in range(count):
            heat = f[one, cell, side, count + n] * per_heat - per_mass
            other = f[two, cell, side, count + n] * per_heat - per_mass
            mass = first * f[one, cell, side, n]
            s[here + n] = mass * heat + second * f[two, cell, side, n] * other


@_inlined
def _enter(velocities, j, cell, factor, count, begin):  # type: ignore[no-untyped-def]
    """Add `factor` times what enters a cell at stage j, less what leaves it, of g and h."""
    rate, g, s, begin = velocities.rate, velocities.g, velocities.s, np.uint64(begin)
    for n in range(np.uint64(count)):
        g[begin + n] += factor * (rate[j, 0, cell, n] - rate[j, 0, cell + 1, n])
    for n in range(np.uint64(count)):
        s[begin + n] += factor * (rate[j, 1, cell, n] - rate[j, 1, cell + 1, n])


@_inlined
def _deposit(flat, J, count, x, g, s, place):  # type: ignore[no-untyped-def]
    """Write sums of g t^p and s t^p, p = 0..3, of each knot interval into flat[: 8 J].

    x: in intervals from the first knot, which becomes t.
    """
    for n in range(count):
        y = min(max(x[n], 0.0), float(J))
        j = min(np.int64(y), J - 1)
        x[n] = y - j
        place[n] = 8 * j
    for n in range(8 * J):
        flat[n] = 0.0
    for n in range(count):
        _add_powers(flat, place[n], x[n], g[n], s[n])  # type: ignore[call-arg]


@_compiled
def _encode(space, slots, i, method, resting, tables, r, velocities, count, flat):  # type: ignore[no-untyped-def]
    """Write m of stage i, in the frames of its own U.

    resting: whether nothing is transported before the first relaxation. Particles: where they are
    in knots, their mass g, and s = g (|v_perp|^2/T - d)/sqrt(2 d).
    """
    x, g, s, v = velocities.x, velocities.g, velocities.s, velocities.v
    U, frame, rest, m = space.U, space.frame, space.rest, space.m
    powers, alpha, beta = tables.powers, method.alpha, method.beta
    J, slot, pair = powers.shape[1] // 8, slots[i], 2 * tables.nodes.size
    deposits = flat.reshape((1, flat.size))
    for cell in range(m.shape[0]):
        cold = frame[slot, cell, 2] ** 2
        slope = frame[slot, cell, 2] * tables.density
        origin = tables.extent * tables.density - frame[slot, cell, 0] * slope
        end, j = int(FIRST), int(FIRST)
        while j < i:
            # The first two stages may have one U, and so one set of velocities.
            both = j == 0 and i > 1 and resting
            one, two, a = slots[j], slots[j + 1] if both else slots[j], alpha[i, j]
            b = alpha[i, j + 1] if both else 0.0
            if a != 0.0 or b != 0.0:
                _hold(space, one, two, a, b, cell, tables, slope, origin, cold, velocities, end)
                end += pair
            j += 2 if both else 1
        first = np.uint64(end)
        per_mass, per_energy = tables.across * tables.norm, cold * tables.norm
        for n in range(np.uint64(count)):
            x[first + n] = v[n] * slope + origin
            g[first + n] = 0.0
            s[first + n] = 0.0
        for j in range(i):
            if beta[i, j] != 0.0:
                _enter(velocities, j, cell, beta[i, j] * r, count, end)
        for n in range(np.uint64(count)):
            s[first + n] = per_energy * s[first + n] - per_mass * g[first + n]
        _deposit(flat, J, end + count, x, g, s, velocities.place)
        _project(cell, deposits, FIRST, FIRST, powers.shape[0], powers, m)
        for j in range(i):
            share = alpha[i, j] * U[slots[j], cell, 0]
            for k in range(powers.shape[0]):
                m[cell, k] -= share * rest[slots[j], cell, k]
        lightness = 1.0 / U[slot, cell, 0]
        for k in range(powers.shape[0]):
            m[cell, k] *= lightness


@_compiled
def _collisions(space, slot, gas, dt, z):  # type: ignore[no-untyped-def]
    """Write dt nu/eps of the cells."""
    for cell in range(space.m.shape[0]):
        nu, (p, q) = 1.0, gas.exponents
        if p != 0.0 or q != 0.0:
            T = space.frame[slot, cell, 1] ** 2
            nu = space.U[slot, cell, 0] ** p * T**q
        z[cell] = dt * nu / gas.knudsen[cell]


@_compiled
def _relax(space, slot, gas, method, scale, weight, correction, z, plain, dissipated):  # type: ignore[no-untyped-def]
    """Write m after BGK collisions, without and with dissipation over the time `scale`."""
    m = space.m
    N, K = m.shape
    slow, last = np.empty(N), np.empty(N)
    for cell in range(N):
        rate = _sped_up(z[cell], method)
        slow[cell], last[cell] = weight * rate, 1.0 + correction * rate * rate
        for k in range(K):
            plain[cell, k] = m[cell, k] / ((1.0 + slow[cell]) * last[cell])
    if gas.dissipates:
        _dissipate(space, slot, gas, scale, slow, dissipated)
        for cell in range(N):
            for k in range(K):
                dissipated[cell, k] /= last[cell]


@_compiled
def _respond(space, slot, gas, method, tables, scale, weight, correction, z, both, lost, slowest):  # type: ignore[no-untyped-def]
    """Write m after the collisions of `closures.response`, without and with dissipation before.

    Of `both` (2, N, K): what collisions take away is `lost`, and m were all rates the slowest.
    """
    m, modes = space.m, tables.modes
    N, K = m.shape
    logarithms, transposed, slowing = np.log2(tables.rates), np.empty((K, K)), np.empty((N, K))
    mode, new = np.empty((N, 1, K)), np.empty((N, 1, K))
    slowed = mode.reshape((N, K))
    for j in range(K):
        for k in range(K):
            transposed[k, j] = modes[j, k]
    _copy(m, both[0])
    if gas.dissipates:
        _dissipate(space, slot, gas, scale, np.zeros(N), both[1])
    for cell in range(N):
        logarithm = np.log2(z[cell])
        for k in range(K):
            rate = z[cell] * tables.rates[k]
            slowing[cell, k] = _faster(rate, logarithm + logarithms[k], method)
        for k in range(K):
            rate = slowing[cell, k]
            slowing[cell, k] = 1.0 / ((1.0 + weight * rate) * (1.0 + correction * rate * rate))
    for kind in range(2 if gas.dissipates else 1):
        x = both[kind]
        for cell in range(N):
            _combine(cell, x, FIRST, K, modes, mode, FIRST)
            for k in range(K):
                slowed[cell, k] *= slowing[cell, k]
            _combine(cell, slowed, FIRST, K, transposed, new, FIRST)
            for k in range(K):
                lost[kind, cell, k] = x[cell, k] - new[cell, 0, k]
                slowest[kind, cell, k] = x[cell, k] * slowing[cell, 0]
                x[cell, k] = new[cell, 0, k]


@_compiled
def _dissipate(space, slot, gas, scale, slow, x):  # type: ignore[no-untyped-def]
    """Solve `closures.dissipation.dissipate` for x (N, K).

    Row j is (excess_j + before_j + after_j) x_j - before_j x_(j-1) - after_j x_(j+1) = m_j. Two
    sweeps of elimination, all moments side by side, leave x_j = y_j + w_j x_last of the periodic
    problem (Thomas's algorithm); sums of numbers of one sign, as rows are dominant.
    """
    U, frame, m = space.U, space.frame, space.m
    N, K = m.shape
    # x_j = up_j x_(j+1) + y_j + w_j x_last
    up, w, g, h = np.empty((N, K)), np.empty((N, K)), np.zeros(K), np.empty(K)
    if gas.periodic:
        _conductance(U, frame, slot, N - 1, gas, scale, g)
    for j in range(N):
        lightness = 1.0 / U[slot, j, 0]
        if j < N - 1 or gas.periodic:
            _conductance(U, frame, slot, j, gas, scale, h)
        else:
            _clear(h)
        for k in range(K):
            before, after = g[k] * lightness, h[k] * lightness
            excess = 1.0 + slow[j] + scale * gas.damping[k, j]
            if j == 0:
                inverse = 1.0 / (excess + before + after)
                w[j, k], x[j, k] = before * inverse, m[j, k] * inverse
            else:
                # before (1 - up_(j-1)) is a sum of the shares that are not x_j's.
                inverse = 1.0 / (excess + after + before * (1.0 - up[j - 1, k]))
                w[j, k] = before * w[j - 1, k] * inverse
                x[j, k] = (m[j, k] + before * x[j - 1, k]) * inverse
            up[j, k] = after * inverse
            g[k] = h[k]
    if N == 1:
        for k in range(K):
            x[0, k] /= 1.0 - w[0, k] - up[0, k]
        return
    for k in range(K):
        # Of the last row, x_(j+1) is x_0; the shares of x_0 and x_last remain.
        g[k], h[k] = up[N - 1, k], w[N - 1, k]
    for j in range(N - 2, -1, -1):
        for k in range(K):
            w[j, k] += up[j, k] * (w[j + 1, k] if j < N - 2 else 1.0)
            x[j, k] += up[j, k] * x[j + 1, k] if j < N - 2 else 0.0
    for k in range(K):
        x[N - 1, k] = (x[N - 1, k] + g[k] * x[0, k]) / (1.0 - h[k] - g[k] * w[0, k])
    for j in range(N - 1):
        for k in range(K):
            x[j, k] += w[j, k] * x[N - 1, k]


@_inlined
def _conductance(U, frame, slot, j, gas, scale, out):  # type: ignore[no-untyped-def]
    """Write what diffuses through the face after cell j, per difference of m."""
    N = U.shape[1]
    c = j + 1 if j < N - 1 else 0
    here, there = U[slot, j, 0] * frame[slot, j, 1] ** 2, U[slot, c, 0] * frame[slot, c, 1] ** 2
    for k in range(out.size):
        flow = here * gas.diffusivity[k, j] + there * gas.diffusivity[k, c]
        out[k] = 0.5 * scale * N * N * flow


@_compiled
def _pieces(space, slot, tables):  # type: ignore[no-untyped-def]
    """Write alpha(c) - c^2/2 + log of the scale, and kappa(c), of the cells as cubics."""
    U, frame, pieces = space.U, space.frame, space.pieces
    N, size = pieces.shape
    for cell in range(0, N, 2):
        # A last cell alone is its own neighbour.
        _piece_together(cell, min(cell + 1, N - 1), slot, space.theta, tables.exponents, pieces)
    for cell in range(N):
        scale = np.log(U[slot, cell, 0] * frame[slot, cell, 2] / np.sqrt(2.0 * np.pi))
        for n in range(0, size, 8):
            pieces[cell, n] += scale


@_inlined
def _piece_together(one, two, slot, theta, exponents, pieces):  # type: ignore[no-untyped-def]
    """Write sum_k theta_k exponents_k + exponents_P of two cells, for which the table is read once.

    Four terms at a time, as in `_combine`.
    """
    one, two, P = np.uint64(one), np.uint64(two), theta.shape[2]
    size, k = pieces.shape[1], 0
    for n in range(size):
        pieces[one, n] = exponents[P, n]
        pieces[two, n] = exponents[P, n]
    while k + 4 <= P:
        s0, s1, t0, t1 = (
            theta[slot, one, k],
            theta[slot, one, k + 1],
            theta[slot, two, k],
            theta[slot, two, k + 1],
        )
        s2, s3, t2, t3 = (
            theta[slot, one, k + 2],
            theta[slot, one, k + 3],
            theta[slot, two, k + 2],
            theta[slot, two, k + 3],
        )
        for n in range(size):
            e0, e1, e2, e3 = (
                exponents[k, n],
                exponents[k + 1, n],
                exponents[k + 2, n],
                exponents[k + 3, n],
            )
            first, second = s0 * e0 + s1 * e1, t0 * e0 + t1 * e1
            first, second = first + s2 * e2 + s3 * e3, second + t2 * e2 + t3 * e3
            first, second = pieces[one, n] + first, pieces[two, n] + second
            pieces[one, n] = first
            pieces[two, n] = second
        k += 4
    while k < P:
        s0, t0 = theta[slot, one, k], theta[slot, two, k]
        for n in range(size):
            first, second = (
                pieces[one, n] + s0 * exponents[k, n],
                pieces[two, n] + t0 * exponents[k, n],
            )
            pieces[one, n] = first
            pieces[two, n] = second
        k += 1


@_compiled
def _range(space, slot, tables):  # type: ignore[no-untyped-def]
    """Return the spacing of velocities, the number k of the first one, and how many there are.

    v_k = (k + 1/2) spacing: all of f_hat, resolved where it is coldest.
    """
    frame, low, high, cold = space.frame, np.inf, -np.inf, np.inf
    for cell in range(frame.shape[1]):
        u, width = frame[slot, cell, 0], frame[slot, cell, 1]
        low, high = min(low, u - tables.extent * width), max(high, u + tables.extent * width)
        cold = min(cold, width)
    spacing = tables.spacing * cold
    first, last = np.floor(low / spacing), np.ceil(high / spacing)
    count = np.ceil((last - first) / LANES) * LANES
    return spacing, first - np.floor(0.5 * (count - (last - first))), count


@_compiled
def _room(stages, cells, held, count):  # type: ignore[no-untyped-def]
    """Return room for `count` velocities, with `held` particles beside."""
    most = held + count
    return Velocities(
        np.empty(count),
        np.empty((2, cells, count)),
        np.empty((stages, 2, cells + 1, count)),
        np.empty(most),
        np.empty(most),
        np.empty(most),
        np.empty(most, np.int64),
    )


@_compiled
def _sample(space, slot, tables, velocities, count):  # type: ignore[no-untyped-def]
    """Write g and h = d T/(1 - kappa) g of f_hat at the velocities, of all cells."""
    frame, v, f, t, place = space.frame, velocities.v, velocities.f, velocities.x, velocities.place
    N, size, d = space.pieces.shape[0], space.pieces.shape[1], tables.across
    pieces, most, count = space.pieces.reshape(-1), size // 8 - 0.5, np.uint64(count)
    for cell in range(np.uint64(N)):
        slope = frame[slot, cell, 2] * tables.density
        origin = tables.extent * tables.density - frame[slot, cell, 0] * slope
        begin, energy = float(cell * np.uint64(size)), d * frame[slot, cell, 1] ** 2
        for n in range(count):
            x = v[n] * slope + origin
            j = np.floor(min(max(x, 0.0), most))
            t[n], place[n] = x - j, np.int64(begin + 8.0 * j)
        # A loop for look-ups, which are not vectorised.
        for n in range(count):
            at, x = np.uint64(place[n]), t[n]
            alpha = (pieces[at + np.uint64(6)] * x + pieces[at + np.uint64(4)]) * x
            kappa = (pieces[at + np.uint64(7)] * x + pieces[at + np.uint64(5)]) * x
            f[0, cell, n] = (alpha + pieces[at + np.uint64(2)]) * x + pieces[at]
            f[1, cell, n] = (kappa + pieces[at + np.uint64(3)]) * x + pieces[at + np.uint64(1)]
        for n in range(count):
            kappa = min(f[1, cell, n], HOTTEST)
            hot = 1.0 / (1.0 - kappa)
            spread = hot if d == 2 else np.sqrt(hot)
            g = _exp(f[0, cell, n] - 0.5 * d * kappa) * spread
            # t is outside of [0, 1] where f_hat has ended.
            g = g if abs(t[n] - 0.5) <= 0.5 else 0.0
            f[0, cell, n] = g
            f[1, cell, n] = g * (energy * hot)


@_called
def _faces(limiter, space, slot, i, method, gas, tables, r, velocities, spacing, count):  # type: ignore[no-untyped-def]
    """Write what crosses the faces of stage i: `FiniteVolume._faces`, by another rule.

    Values at faces are limited, not negative and as positivity bounds them.
    """
    flux, v, f, rate = space.flux, velocities.v, velocities.f, velocities.rate
    count = np.uint64(count)
    bounded, most, rows = method.positivity > 0.0, method.positivity / r, gas.rows
    _sample(space, slot, tables, velocities, count)
    for k in range(flux.shape[1]):
        r0, r1, r2 = np.uint64(rows[k]), np.uint64(rows[k + 1]), np.uint64(rows[k + 2])
        r3, r4, r5 = np.uint64(rows[k + 3]), np.uint64(rows[k + 4]), np.uint64(rows[k + 5])
        for m in range(np.uint64(2)):
            for n in range(count):
                w = v[n]
                f0, f5 = f[m, r0, n], f[m, r5, n]
                f1, f4 = f[m, r1, n], f[m, r4, n]
                f2, f3 = f[m, r2, n], f[m, r3, n]
                right = w > 0.0
                farther, near = f0 if right else f5, f1 if right else f4
                here, next_, after = f2 if right else f3, f3 if right else f2, f4 if right else f1
                behind, ahead = here - near, next_ - here
                d_behind, d_ahead = behind - (near - farther), (after - next_) - ahead
                value = max(here + limiter(behind, ahead, d_behind, d_ahead), 0.0)
                value = min(value, here * (most / abs(w))) if bounded else value
                rate[i, m, k, n] = value * (spacing * w)
        mass, momentum, energy = 0.0, 0.0, 0.0
        for n in range(count):
            flow, w = rate[i, 0, k, n], v[n]
            mass += flow
            momentum += flow * w
            energy += flow * (w * w) + rate[i, 1, k, n]
        flux[i, k, 0], flux[i, k, 1], flux[i, k, 2] = mass, momentum, 0.5 * energy


def _compile(limiter: Limiter) -> Callable[..., tuple[float, int, int, int]]:
    """Return the kernel `march` that reconstructs with `limiter`."""

    def march(space, problem, method, gas, dual, loose, tables, time, stop):  # type: ignore[no-untyped-def]
        """Advance from `time` to `stop`, the state in slot 0, and back to it.

        loose: the dual problem of stages whose f_hat crosses no face.

        Returns:
            The time reached, how it ends, the cell at fault, and how many were not `FINE`.
        """
        s, N, K = space.U.shape[0], space.m.shape[0], space.m.shape[1]
        dimension, held = tables.across + 1, 2 * s * tables.nodes.size
        velocities, room = _room(s, N, held, 0), 0
        resting, flat = not method.beta[1].any(), np.empty(tables.powers.shape[1])
        z, both = np.empty(N), np.empty((2, N, K))
        collides = tables.rates.size > 0
        told = N if collides else 0
        lost, slowest = np.empty((2, told, K)), np.empty((2, told, K))
        base, damped, slots = 0, 0, np.empty(s, np.int64)
        bad = _frames(space, FIRST, dimension)
        _resume(space, problem, dual, tables.order)
        while time < stop:
            slot = base % s
            fastest = 0.0
            for cell in range(N):
                speed = abs(space.frame[slot, cell, 0]) + gas.reach * space.frame[slot, cell, 1]
                fastest = max(fastest, speed)
            largest = gas.courant / (N * fastest)
            count = max(np.ceil((stop - time) / largest * (1.0 - 1e-12)), 1.0)
            dt = (stop - time) / count
            r = dt * N
            spacing, first, wanted = _range(space, slot, tables)
            if not wanted <= MOST:
                _copy(space.U[slot], space.U[0])
                return time, UNLIKE, np.argmin(space.frame[slot, :, 1]), damped
            c = int(wanted)
            if c > room:
                room = c + LANES
                velocities = _room(s, N, held, room)
            for n in range(c):
                velocities.v[n] = (first + n + 0.5) * spacing
            if method.beta[:, 0].any():
                _pieces(space, slot, tables)
                _faces(limiter, space, slot, FIRST, method, gas, tables, r, velocities, spacing, c)
            for i in range(1, s):
                for j in range(i + 1):
                    slots[j] = (base + j) % s
                slot, last = slots[i], slots[i - 1]
                _copy(space.theta[last], space.theta[slot])
                _copy_all(space.f[last], space.f[slot])
                _update(space, slots, i, method, r)
                bad = _frames(space, slot, dimension)
                if bad >= 0:
                    _copy(space.U[slot], space.U[0])
                    return time, NONPHYSICAL, bad, damped
                if i > 1 or not resting:
                    _encode(space, slots, i, method, resting, tables, r, velocities, c, flat)
                weight = method.diagonal[i]
                correction = method.correction if i == s - 1 else 0.0
                _collisions(space, slot, gas, dt, z)
                rule = weight * dt, weight, correction
                if collides:
                    _respond(space, slot, gas, method, tables, *rule, z, both, lost, slowest)
                else:
                    _relax(space, slot, gas, method, *rule, z, both[0], both[1])
                chosen = both[0], both[1], lost, slowest, gas.dissipates
                crosses = method.beta[:, i].any()
                sought = dual if crosses else loose
                damped += _decode(space, slot, *chosen, tables.order, sought, problem)
                for cell in range(N):
                    if space.status[cell] == UNDECODED:
                        _copy(space.U[slot], space.U[0])
                        return time, NO_DENSITY, cell, damped
                if crosses:
                    _pieces(space, slot, tables)
                    _faces(limiter, space, slot, i, method, gas, tables, r, velocities, spacing, c)
            base = (base + s - 1) % s
            time = stop if count == 1.0 else time + dt
        return time, DONE, base, damped

    march.__qualname__ = f"reduced_march_{limiter.__name__}"
    return _compiled(march)


MARCH: Mapping[str, Callable[..., tuple[float, int, int, int]]] = MappingProxyType(
    {name: _compile(limiter) for name, limiter in LIMITERS.items()}
)
"""Kernels of a trajectory by their limiter."""


@_inlined
def _start(cell, near, theta, f, mean, factors, holds):  # type: ignore[no-untyped-def]
    """Let a cell begin where the cell `near` is, with its factors."""
    for k in range(theta.shape[1]):
        theta[cell, k], mean[cell, k] = theta[near, k], mean[near, k]
    _copy(f[near], f[cell])
    _copy(factors[near], factors[cell])
    holds[cell] = holds[near]


@_compiled
def decode(space, problem, dual, order):  # type: ignore[no-untyped-def]
    """Write theta of the moments in slot 0, found from them alone, and the status of cells.

    Cell 0 begins at equilibrium; then, gaps halved again and again, the cells amid begin at what
    the cells before the gaps have, which are closer than equilibrium.
    """
    theta, f, mean, factors = space.theta[0], space.f[0], space.mean, space.factors
    holds, status, gap = space.holds, space.status, 1
    _ask(space.m, order, problem.mu)
    for cell in range(status.size):
        status[cell] = FINE
    _rest(FIRST, theta, dual, f, mean, holds, problem, status)
    _search(theta, f, mean, factors, holds, dual, problem, status)
    while gap < status.size:
        gap *= 2
    while gap > 1:
        for cell in range(gap // 2, status.size, gap):
            near = cell - gap // 2
            if status[near] == UNDECODED:
                _rest(cell, theta, dual, f, mean, holds, problem, status)
            else:
                _start(cell, near, theta, f, mean, factors, holds)
                status[cell] = PENDING
        _search(theta, f, mean, factors, holds, dual, problem, status)
        gap //= 2
