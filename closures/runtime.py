"""Compiled kernels of the finite-volume step of a maximum-entropy closure on splines.

The equations, the discretisation and the order of the stages are those of
`closures.finite_volume.FiniteVolume`; a stage is a few calls, so that 100 cells cost what their
arithmetic costs. What makes it fast beside that:

- log f_hat is a cubic in every knot interval: s(c) = sum_p a_jp t^p, c = -L + (j+t) h. Its a_jp are
  computed once a cell, and f_hat at a velocity is a look-up, three products and an exponential.
- what particles deposit on splines needs sum g t^p of each interval alone: `_deposit`.
- phi has a parity. With E, O the even and odd part of theta.phi, f_hat(+-c) = Mc exp(E +- O), the
  dual and its derivatives need the nodes c >= 0 only: sums f(c) + f(-c) with products of
  functions of one parity, differences f(c) - f(-c) with products of an even and an odd one.
- Newton's method starts near its solution: its first steps are taken whole, and keep one Hessian
  as long as that does, also from stage to stage of a step.

Kernels with `first` and `last` do the cells or faces between, so that threads can share them; they
return or note what went wrong, and `closures.fast` raises it. Indices are unsigned where a loop is
to be vectorised. This is the only module of the package that imports numba; as a cached kernel is
compiled anew only when its own file changes, those that call each other stand together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from kinetic.limiters import LIMITERS, Limiter

Array = NDArray[np.float64]

FINE, DAMPED, UNDECODED = 0, 1, 2
"""How the search for theta of a cell ends: by whole steps, by the damped method, not at all."""

WHOLE_STEPS = 8
"""Newton steps tried at full length before a cell is given to the damped method."""

GROWTH = 3.0
"""By more than this a whole step must not increase the residual."""

WELL = 0.05
"""A step that reduces the residual to this part of it is worth another one with its Hessian."""

MAX_EXPONENT, SUFFICIENT, FLAT, HALVINGS = 60.0, 0.25, 1e-10, 40
"""Safeguards of the damped method: see `closures.dual`."""

NEGLIGIBLE = 1e-18
"""Weight of the neighbours at which a tridiagonal system counts as solved."""

LOG2E, LN2_HIGH, LN2_LOW = (
    1.4426950408889634,
    6.93147180369123816490e-01,
    1.90821492927058770002e-10,
)
LOWEST, HIGHEST = -708.0, 709.0
"""Arguments between which exp is a normal number."""

COPIES = 4
"""Of the sums that particles are deposited on."""

OUTSIDE = 1e3
"""Marks places beyond the last knot."""


class Tables(NamedTuple):
    """What does not change while a closure is used; h nodes c >= 0, P functions, J intervals.

    order: place in theta of the functions, even ones first (P,); even: how many are even.
    phi: their values (P, h); weights: Mc(c) dc, halved at c = 0 (h,); nodes: c (h,).
    same, cross: products phi_i phi_j, i >= j, of one parity and of two (h, n); their i and j are
        the columns of `same_pairs` and `cross_pairs` (2, n).
    splines: coefficients (K, J+3); powers: of t in each interval, (K, 4 J); extent: L.
    xi, xi_weights: half-range Gauss rule on [0, 1].
    gamma, friction: of the dual function, the latter (P, P), see `closures.dual`.
    turn: B of `closures.dissipation` (2, K, K).
    """

    order: NDArray[np.int64]
    even: int
    phi: Array
    weights: Array
    nodes: Array
    same: Array
    cross: Array
    same_pairs: NDArray[np.int64]
    cross_pairs: NDArray[np.int64]
    splines: Array
    powers: Array
    extent: float
    xi: Array
    xi_weights: Array
    tolerance: float
    gamma: float
    friction: Array
    iterations: int
    turn: Array


class Gas(NamedTuple):
    """The problem: BGK exponents, and eps (M,), damping and diffusivity (K, M) of the cells.

    order: rows of the five cells upwind first of each face, for both directions (2, F, 5).
    dissipates: whether damping and diffusivity are to be used.
    friction: b of the cells (M,).
    """

    batch: int
    cells: int
    periodic: bool
    exponents: tuple[float, float]
    knudsen: Array
    dissipates: bool
    damping: Array
    diffusivity: Array
    friction: Array
    order: NDArray[np.uint64]


class Method(NamedTuple):
    """alpha, beta (s, s), a_ii (s,), the final correction and the bound of positivity.

    speed_up: of collisions at log2(dt nu/eps) = slowest + n/density, see `closures.stiffness`.
    """

    alpha: Array
    beta: Array
    diagonal: Array
    correction: float
    positivity: float
    speed_up: Array
    slowest: float
    density: int


class Stages(NamedTuple):
    """Space for s stages of M cells and F faces.

    U (s, M, 3), theta (s, M, P), density: at +c and -c (s, M, 2, h), edge: largest speeds
    (s, F, 2), rate (s, F, 2, q), flux (s, F, 3), owner: first stage with the same U (s,),
    m (M, K), strength: of friction (M,), pieces: a_jp (M, J, 4), frame: u, sqrt T, 1/sqrt T (M, 3),
    status: how the search for theta ended (M,), factors: of the last Hessian of a step (M, P, P),
    held: whether there is one (M,).
    """

    U: Array
    theta: Array
    density: Array
    edge: Array
    rate: Array
    flux: Array
    owner: NDArray[np.int64]
    m: Array
    strength: Array
    pieces: Array
    frame: Array
    status: NDArray[np.int64]
    factors: Array
    held: NDArray[np.bool_]


@intrinsic
def _as_float(typing: Any, bits: Any) -> Any:
    """The float64 of the bits of an int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float64))

    return types.float64(types.int64), generate


# Sums may be reordered to be vectorised; what is not finite stays so.
REORDER: set[str] = {"contract", "reassoc", "nsz"}


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return njit(cache=True, nogil=True, error_model="numpy", fastmath=REORDER)(function)


def _part(function: Callable[..., Any], fastmath: set[str] = REORDER) -> Callable[..., Any]:
    """Like `_compiled`, of kernels alone: wrappers and a file for it take long to make."""
    wrappers: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(nogil=True, error_model="numpy", fastmath=fastmath, **wrappers)(function)


def _merged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like `_part`, as lines of what calls it: a call counts references to all its arguments."""
    return njit(nogil=True, error_model="numpy", fastmath=REORDER, inline="always")(function)


def _strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """Sums stay in their order: where that is part of the method, or they are short."""
    return _part(function, {"contract"})


@_strict
def _exp(x):  # type: ignore[no-untyped-def]
    """exp(x) within 1e-14, constant beyond [LOWEST, HIGHEST]; unlike that of libm it vectorises.

    x = k log 2 + r, |r| < 0.35 (Cody and Waite, Software Manual for the Elementary Functions,
    1980, ch. 6); Taylor's polynomial of degree 11 for exp r.
    """
    x = min(max(x, LOWEST), HIGHEST)
    k = np.floor(x * LOG2E + 0.5)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    p = 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * _as_float((np.int64(k) + np.int64(1023)) << np.int64(52))  # type: ignore[call-arg]


@_merged
def _density(theta, phi, even, weights, plus, minus):  # type: ignore[no-untyped-def]
    """Write w exp(theta.phi) at +c and -c, theta with the even functions first."""
    h = plus.size
    for n in range(h):
        plus[n] = 0.0
        minus[n] = 0.0
    for k in range(even):
        for n in range(h):
            plus[n] += theta[k] * phi[k, n]
    for k in range(even, theta.size):
        for n in range(h):
            minus[n] += theta[k] * phi[k, n]
    for n in range(h):
        e, o = plus[n], minus[n]
        plus[n] = weights[n] * _exp(min(e + o, MAX_EXPONENT))
        minus[n] = weights[n] * _exp(min(e - o, MAX_EXPONENT))


@_merged
def _draw(theta, even, gamma, friction, strength, force):  # type: ignore[no-untyped-def]
    """Write (gamma + s F) theta; F does not mix even functions with odd ones."""
    for k in range(theta.size):
        force[k] = gamma * theta[k]
    if strength > 0.0:
        for k in range(theta.size):
            first, last = (0, even) if k < even else (even, theta.size)
            total = 0.0
            for j in range(first, last):
                total += friction[k, j] * theta[j]
            force[k] += strength * total


@_merged
def _gradient(mu, theta, phi, even, force, plus, minus, residual):  # type: ignore[no-untyped-def]
    """Write <phi> - mu + `force`; return its largest entry, NaN if one is."""
    largest = 0.0
    for k in range(theta.size):
        total, sign = 0.0, 1.0 if k < even else -1.0
        for n in range(plus.size):
            total += (plus[n] + sign * minus[n]) * phi[k, n]
        residual[k] = total - mu[k] + force[k]
        if not abs(residual[k]) <= largest:
            largest = abs(residual[k])
    return largest


@_part
def _assemble(values, pairs, density, products, hessian):  # type: ignore[no-untyped-def]
    """Write sum_n density_n products_n into the entries `pairs` of the lower triangle.

    Five nodes at a time, so that sums are read and written less often; h is a multiple of five.
    """
    for p in range(values.size):
        values[p] = 0.0
    for n in range(0, density.size, 5):
        d0, d1, d2 = density[n], density[n + 1], density[n + 2]
        d3, d4 = density[n + 3], density[n + 4]
        for p in range(values.size):
            one = d0 * products[n, p] + d1 * products[n + 1, p] + d2 * products[n + 2, p]
            values[p] += one + d3 * products[n + 3, p] + d4 * products[n + 4, p]
    for p in range(values.size):
        hessian[pairs[0, p], pairs[1, p]] = values[p]


@_part
def _factorise(tables, strength, plus, minus, work):  # type: ignore[no-untyped-def]
    """Write Hessian + floor = L D L^T: L, and 1/D in its diagonal."""
    hessian, values, sums = work
    same, cross = tables.same, tables.cross
    for n in range(plus.size):
        sums[n] = plus[n] + minus[n]
    _assemble(values[: same.shape[1]], tables.same_pairs, sums, same, hessian)
    for n in range(plus.size):
        sums[n] = plus[n] - minus[n]
    _assemble(values[: cross.shape[1]], tables.cross_pairs, sums, cross, hessian)
    if strength > 0.0:
        for i in range(hessian.shape[0]):
            for j in range(i + 1):
                hessian[i, j] += strength * tables.friction[i, j]
    _eliminate(hessian, tables.gamma)


@_strict
def _eliminate(hessian, gamma):  # type: ignore[no-untyped-def]
    P, largest = hessian.shape[0], 0.0
    for i in range(P):
        largest = max(largest, hessian[i, i])
    for j in range(P):
        # Row j holds L_jk D_k until its diagonal is known.
        d = hessian[j, j] + gamma + 1e-14 * largest
        for k in range(j):
            product = hessian[j, k]
            hessian[j, k] = product * hessian[k, k]
            d -= product * hessian[j, k]
        hessian[j, j] = 1.0 / d
        for i in range(j + 1, P):
            product = hessian[i, j]
            for k in range(j):
                product -= hessian[i, k] * hessian[j, k]
            hessian[i, j] = product


@_strict
def _newton_step(factors, residual, step):  # type: ignore[no-untyped-def]
    """Write -(H + floor)^-1 residual, the factors known."""
    P = residual.size
    for i in range(P):
        d = -residual[i]
        for k in range(i):
            d -= factors[i, k] * step[k]
        step[i] = d
    for i in range(P):
        step[i] *= factors[i, i]
    for i in range(P - 1, 0, -1):
        # Sums that need not wait for each other, of factors that are neighbours.
        for k in range(i):
            step[k] -= factors[i, k] * step[i]


@_part
def _value(mu, theta, force, plus, minus):  # type: ignore[no-untyped-def]
    """D(theta) of `closures.dual`, `force` being that of `_draw`."""
    total = 0.0
    for n in range(plus.size):
        total += plus[n] + minus[n]
    for k in range(theta.size):
        total += theta[k] * (0.5 * force[k] - mu[k])
    return total


@_merged
def _evaluate(theta, strength, tables, plus, minus, force):  # type: ignore[no-untyped-def]
    """Write the density of theta and what regularisation and friction add to its moments."""
    _density(theta, tables.phi, tables.even, tables.weights, plus, minus)
    _draw(theta, tables.even, tables.gamma, tables.friction, strength, force)


@_part
def _evaluate_apart(theta, strength, tables, plus, minus, force):  # type: ignore[no-untyped-def]
    """`_evaluate` as a call where it is rare: its lines take half a second to compile."""
    _evaluate(theta, strength, tables, plus, minus, force)


@_part
def _gradient_apart(mu, theta, tables, force, plus, minus, residual):  # type: ignore[no-untyped-def]
    """`_gradient` as a call."""
    return _gradient(mu, theta, tables.phi, tables.even, force, plus, minus, residual)


@_part
def _whole_steps(mu, theta, strength, tables, plus, minus, vectors, work, held):  # type: ignore[no-untyped-def]
    """Newton's method from `theta`, undamped; return whether it converged.

    The Hessian is kept as long as that reduces the residual well (the chord method), the first one
    if it is `held`: its factors are given. A step by these that fails is taken back.
    """
    residual, step, force = vectors
    before, keeps, own = np.inf, held, not held
    for _ in range(WHOLE_STEPS):
        _evaluate(theta, strength, tables, plus, minus, force)
        size = _gradient(mu, theta, tables.phi, tables.even, force, plus, minus, residual)
        if size <= tables.tolerance:
            return True
        if not size <= GROWTH * before:
            if own:
                return False
            for k in range(theta.size):
                theta[k] -= step[k]
            _evaluate_apart(theta, strength, tables, plus, minus, force)
            size = _gradient_apart(mu, theta, tables, force, plus, minus, residual)
            keeps = False
        elif before < np.inf:
            keeps = size <= WELL * before
        if not keeps:
            _factorise(tables, strength, plus, minus, work)
            own = True
        before = size
        _newton_step(work[0], residual, step)
        for k in range(theta.size):
            theta[k] += step[k]
    return False


@_part
def _damped_steps(mu, theta, strength, tables, plus, minus, vectors, work):  # type: ignore[no-untyped-def]
    """`closures.dual.DualSolver` for one cell; return whether it converged."""
    tolerance = tables.tolerance
    residual, step, force = vectors
    old, maxwellian = np.empty(theta.size), 0.0
    for n in range(tables.weights.size):
        maxwellian += 2.0 * tables.weights[n]
    _evaluate_apart(theta, strength, tables, plus, minus, force)
    if not _value(mu, theta, force, plus, minus) <= maxwellian:
        for k in range(theta.size):
            theta[k] = 0.0
        _evaluate_apart(theta, strength, tables, plus, minus, force)
    for _ in range(tables.iterations):
        if _gradient_apart(mu, theta, tables, force, plus, minus, residual) <= tolerance:
            return True
        bound = _value(mu, theta, force, plus, minus)
        _factorise(tables, strength, plus, minus, work)
        _newton_step(work[0], residual, step)
        slope, length = 0.0, 1.0
        # By elements: operations on whole arrays take two seconds more to compile.
        for k in range(theta.size):
            slope += residual[k] * step[k]
            old[k] = theta[k]
        for _ in range(HALVINGS + 1):
            for k in range(theta.size):
                theta[k] = old[k] + length * step[k]
            _evaluate_apart(theta, strength, tables, plus, minus, force)
            value = _value(mu, theta, force, plus, minus)
            if abs(slope) < FLAT or value <= bound + SUFFICIENT * length * slope:
                break
            length *= 0.5
    return _gradient_apart(mu, theta, tables, force, plus, minus, residual) <= tolerance


@_compiled
def decode(m, theta, strength, tables, density, factors, held, status, first, last):  # type: ignore[no-untyped-def]
    """Replace theta (M, P) of cells by that of moments m (M, K); write the densities at the nodes.

    strength: of the friction that is taken with it (M,), see `MomentClosure.settle`.
    factors, held: of a Hessian nearby, (M, P, P), where there is one (M,); both are written.
    status: FINE where whole steps converged, DAMPED where the damped method did, or UNDECODED.
    """
    P = theta.shape[1]
    mu, found, vectors = np.empty(P), np.empty(P), (np.empty(P), np.empty(P), np.empty(P))
    size = max(tables.same.shape[1], tables.cross.shape[1])
    values, sums = np.empty(size), np.empty(tables.weights.size)
    for cell in range(first, last):
        plus, minus, work = density[cell, 0], density[cell, 1], (factors[cell], values, sums)
        for k in range(P):
            place = tables.order[k]
            found[k] = theta[cell, place]
            mu[k] = m[cell, place - 3] if place >= 3 else max(1.0 - place, 0.0)
        status[cell] = FINE
        s = strength[cell]
        if not _whole_steps(mu, found, s, tables, plus, minus, vectors, work, held[cell]):
            for k in range(P):
                found[k] = theta[cell, tables.order[k]]
            good = _damped_steps(mu, found, s, tables, plus, minus, vectors, work)
            status[cell] = DAMPED if good else UNDECODED
        held[cell] = True
        for k in range(P):
            theta[cell, tables.order[k]] = found[k]


@_compiled
def settle(m, theta, strength, tables, first, last):  # type: ignore[no-untyped-def]
    """Take from m (M, K) what friction takes, theta being known: see `MomentClosure.settle`."""
    P = theta.shape[1]
    ordered, force = np.empty(P), np.empty(P)
    for cell in range(first, last):
        for k in range(P):
            ordered[k] = theta[cell, tables.order[k]]
        _draw(ordered, tables.even, 0.0, tables.friction, strength[cell], force)
        for k in range(P):
            place = tables.order[k]
            if place >= 3:
                m[cell, place - 3] -= force[k]


@_compiled
def particles(theta, tables, density, first, last):  # type: ignore[no-untyped-def]
    """Write the densities at the nodes of theta (M, P)."""
    ordered = np.empty(theta.shape[1])
    for cell in range(first, last):
        for k in range(ordered.size):
            ordered[k] = theta[cell, tables.order[k]]
        plus, minus = density[cell, 0], density[cell, 1]
        _density(ordered, tables.phi, tables.even, tables.weights, plus, minus)


@_part
def _pieces(theta, scale, tables, combined, out):  # type: ignore[no-untyped-def]
    """Write a_jp of scale exp(theta.phi(c) - c^2/2): (J, 4)."""
    J = out.shape[0]
    for b in range(combined.size):
        combined[b] = 0.0
    for k in range(tables.splines.shape[0]):
        for b in range(combined.size):
            combined[b] += theta[3 + k] * tables.splines[k, b]
    width, half = 2.0 * tables.extent / J, np.sqrt(0.5)
    q0 = theta[0] - half * theta[2] + np.log(scale)
    q1, q2 = theta[1], half * theta[2] - 0.5
    for j in range(J):
        s0, s1, s2, s3 = combined[j], combined[j + 1], combined[j + 2], combined[j + 3]
        c = j * width - tables.extent
        out[j, 0] = (s0 + 4.0 * s1 + s2) / 6.0 + q0 + (q1 + q2 * c) * c
        out[j, 1] = 0.5 * (s2 - s0) + (q1 + 2.0 * q2 * c) * width
        out[j, 2] = 0.5 * (s0 - 2.0 * s1 + s2) + q2 * width * width
        out[j, 3] = (s3 - 3.0 * s2 + 3.0 * s1 - s0) / 6.0


@_part
def _locate(v, u, inverse, extent, intervals, place, t):  # type: ignore[no-untyped-def]
    """Write the knot intervals of velocities, and where in them; t = OUTSIDE where f_hat ends."""
    per_width = 0.5 * intervals / extent
    for n in range(v.size):
        s = ((v[n] - u) * inverse + extent) * per_width
        place[n] = np.int64(min(max(s, 0.0), intervals - 0.5))
        t[n] = s - place[n] if 0.0 <= s <= intervals else OUTSIDE


@_part
def _read(pieces, place, t, out):  # type: ignore[no-untyped-def]
    """Write log f_hat. This loop, which alone does not vectorise, is kept apart."""
    for n in range(t.size):
        j, x = np.uint64(place[n]), t[n]
        out[n] = ((pieces[j, 3] * x + pieces[j, 2]) * x + pieces[j, 1]) * x + pieces[j, 0]


@_part
def _exponential(t, out):  # type: ignore[no-untyped-def]
    """Replace log f_hat by f_hat."""
    for n in range(t.size):
        f = _exp(out[n])
        out[n] = f if t[n] != OUTSIDE else 0.0


@_part
def _deposit(sums, count, v, g, u, inverse, extent, place, t):  # type: ignore[no-untyped-def]
    """Write sum g t^p, p = 0..3, of particles v of each knot interval into sums[0] (COPIES, 4 J).

    Neighbours in `v` go to different copies of the sums, which need not wait for each other.
    """
    J = sums.shape[1] // 4
    per_width = 0.5 * J / extent
    for n in range(count):
        s = ((v[n] - u) * inverse + extent) * per_width
        s = min(max(s, 0.0), float(J))
        j = min(np.int64(s), J - 1)
        t[n] = s - j
        place[n] = 4 * ((n % COPIES) * J + j)
    flat = sums.reshape(COPIES * 4 * J)
    for n in range(flat.size):
        flat[n] = 0.0
    for n in range(count):
        j, x, p = np.uint64(place[n]), t[n], g[n]
        flat[j] += p
        flat[j + np.uint64(1)] += p * x
        flat[j + np.uint64(2)] += p * (x * x)
        flat[j + np.uint64(3)] += p * (x * x * x)
    for c in range(1, COPIES):
        for n in range(4 * J):
            flat[n] += flat[c * 4 * J + n]


@_part
def _hold(density, alpha, rho, drift, width, nodes, v, g, count):  # type: ignore[no-untyped-def]
    """Add alpha times the particles of a density (2, h) at v = drift +- width c."""
    h = nodes.size
    for n in range(h):
        v[count + n] = drift + width * nodes[n]
        v[count + h + n] = drift - width * nodes[n]
        g[count + n] += alpha * rho * density[0, n]
        g[count + h + n] += alpha * rho * density[1, n]


@_part
def _enter(edge, rate, factor, xi, v, g, count):  # type: ignore[no-untyped-def]
    """Append `factor` times what crosses a face; return how many particles there are then."""
    q = xi.size
    for n in range(q):
        v[count + n] = edge[0] * xi[n]
        v[count + q + n] = -edge[1] * xi[n]
        g[count + n] = factor * rate[0, n]
        g[count + q + n] = factor * rate[1, n]
    return count + 2 * q


@_compiled
def frames(U, frame, first, last):  # type: ignore[no-untyped-def]
    """Write u, sqrt T, 1/sqrt T (M, 3); return whether rho, T > 0 and all is finite everywhere."""
    good = True
    for cell in range(first, last):
        rho = U[cell, 0]
        u = U[cell, 1] / rho
        T = 2.0 * U[cell, 2] / rho - u * u
        good = good and 0.0 < rho < np.inf and 0.0 < T < np.inf and abs(u) < np.inf
        frame[cell, 0], frame[cell, 1] = u, np.sqrt(T)
        frame[cell, 2] = 1.0 / frame[cell, 1]
    return good


@_part
def _update(stages, i, method, gas, dt, first, last):  # type: ignore[no-untyped-def]
    """Write U of sum_j alpha_j f_j + beta_j dt L(f_j) of stage i."""
    for cell in range(first, last):
        b = cell // gas.cells
        for k in range(3):
            total = 0.0
            for j in range(i):
                total += method.alpha[i, j] * stages.U[j, cell, k]
                if method.beta[i, j] != 0.0:
                    r = method.beta[i, j] * gas.cells * dt[b]
                    left, right = stages.flux[j, cell + b, k], stages.flux[j, cell + b + 1, k]
                    total -= r * (right - left)
            stages.U[i, cell, k] = total


@_part
def _encode(stages, i, method, gas, tables, dt, first, last):  # type: ignore[no-untyped-def]
    """Write m of stage i, in the frames of its own U."""
    U, density, edge, rate = stages.U, stages.density, stages.edge, stages.rate
    owner, frame, out = stages.owner, stages.frame, stages.m
    nodes, xi, powers, extent = tables.nodes, tables.xi, tables.powers, tables.extent
    alpha, beta, N = method.alpha[i], method.beta[i], gas.cells
    most = i * (2 * nodes.size + 4 * xi.size)
    v, g, t = np.empty(most), np.empty(most), np.empty(most)
    place, sums = np.empty(most, np.int64), np.empty((COPIES, powers.shape[1]))
    for cell in range(first, last):
        # Not 0, a type of its own, for which what takes it would be compiled once more.
        b, count = cell // N, np.int64(0)
        for own in range(i):
            # Stages of one U have one set of velocities.
            begun = False
            for j in range(own, i):
                if owner[j] == own and owner[own] == own and alpha[j] != 0.0:
                    if not begun:
                        begun = True
                        rho = U[own, cell, 0]
                        drift = U[own, cell, 1] / rho
                        width = np.sqrt(2.0 * U[own, cell, 2] / rho - drift * drift)
                        for n in range(count, count + 2 * nodes.size):
                            g[n] = 0.0
                    _hold(density[j, cell], alpha[j], rho, drift, width, nodes, v, g, count)
            count += 2 * nodes.size * begun
        for j in range(i):
            if beta[j] != 0.0:
                r, face = beta[j] * N * dt[b], cell + b
                count = _enter(edge[j, face], rate[j, face], r, xi, v, g, count)
                count = _enter(edge[j, face + 1], rate[j, face + 1], -r, xi, v, g, count)
        _deposit(sums, count, v, g, frame[cell, 0], frame[cell, 2], extent, place, t)
        for k in range(powers.shape[0]):
            total = 0.0
            for n in range(powers.shape[1]):
                total += sums[0, n] * powers[k, n]
            out[cell, k] = total / U[i, cell, 0]


@_part
def _dissipate(m, beside, excess, before, after):  # type: ignore[no-untyped-def]
    """End `closures.dissipation.dissipate` for one moment of a row of cells, in place in m."""
    N, distance = m.size, 1
    rows = np.empty((4, N))
    for j in range(N):
        c = (j + 1) % N
        m[j] += after[j] * beside[j]
        m[c] -= before[c] * beside[j]
    while True:
        share = 0.0
        for j in range(N):
            diagonal = excess[j] + before[j] + after[j]
            share = max(share, (before[j] + after[j]) / diagonal)
            inverse = 1.0 / diagonal
            rows[0, j], rows[1, j] = excess[j] * inverse, before[j] * inverse
            rows[2, j], rows[3, j] = after[j] * inverse, m[j] * inverse
        if share <= NEGLIGIBLE or not share <= 1.0:
            for j in range(N):
                m[j] = rows[3, j]
            return
        for j in range(N):
            # Not the remainder, which takes as long as all the rest.
            a, b = j - distance, j + distance
            a, b = a + N * (a < 0), b - N * (b >= N)
            excess[j] += before[j] * rows[0, a] + after[j] * rows[0, b]
            m[j] += before[j] * rows[3, a] + after[j] * rows[3, b]
            before[j] *= rows[1, a]
            after[j] *= rows[2, b]
        distance = 2 * distance % N


@_compiled
def _sped_up(rate, method):  # type: ignore[no-untyped-def]
    """`closures.stiffness.sped_up`."""
    return _faster(rate, np.log2(rate), method)


@_part
def _faster(rate, logarithm, method):  # type: ignore[no-untyped-def]
    """`_sped_up` of a rate whose logarithm to the base of two is known."""
    table = method.speed_up
    place = (logarithm - method.slowest) * method.density
    place = min(max(place, 0.0), table.size - 1.0)
    left = min(np.int64(place), table.size - 2)
    return rate * (table[left] + (place - left) * (table[left + 1] - table[left]))


@_part
def _collisions(U, frame, gas, dt, cell):  # type: ignore[no-untyped-def]
    """dt nu/eps of a cell."""
    nu = 1.0
    if gas.exponents[0] != 0.0 or gas.exponents[1] != 0.0:
        nu = U[cell, 0] ** gas.exponents[0] * (frame[cell, 1] ** 2) ** gas.exponents[1]
    return dt[cell // gas.cells] * nu / gas.knudsen[cell]


@_compiled
def respond(U, m, frame, gas, rates, modes, dt, method, weight, correction, slowing):  # type: ignore[no-untyped-def]
    """Collisions of m by `closures.response`, implicit; what divides the slowest mode: slowing."""
    K = m.shape[1]
    mode = np.empty(K)
    for cell in range(m.shape[0]):
        z = _collisions(U, frame, gas, dt, cell)
        for k in range(K):
            mode[k] = 0.0
        for j in range(K):
            for k in range(K):
                mode[k] += m[cell, j] * modes[j, k]
        for k in range(K):
            rate = _sped_up(z * rates[k], method)
            divisor = (1.0 + weight * rate) * (1.0 + correction * rate * rate)
            mode[k] /= divisor
            if k == 0:
                slowing[cell] = divisor
        for j in range(K):
            m[cell, j] = 0.0
            for k in range(K):
                m[cell, j] += modes[j, k] * mode[k]


@_compiled
def turned(m, u, T, turn, out):  # type: ignore[no-untyped-def]
    """Write `closures.dissipation.turned` of moments m (N, K) of one row of cells: (K, N)."""
    N, K = m.shape
    for j in range(N):
        c = (j + 1) % N
        mean = 0.5 * (T[j] + T[c])
        by_u, by_T = 0.5 * (u[c] - u[j]) / np.sqrt(mean), 0.25 * (T[c] - T[j]) / mean
        for k in range(K):
            out[k, j] = 0.0
        for ell in range(K):
            both = m[j, ell] + m[c, ell]
            for k in range(K):
                out[k, j] += both * (turn[0, ell, k] * by_u + turn[1, ell, k] * by_T)


@_compiled
def relax(U, m, frame, gas, turn, dt, method, weight, correction, collides, dissipates):  # type: ignore[no-untyped-def]
    """Collisions of BGK and dissipation of m, or one of them, implicit: `FiniteVolume._relax`."""
    N, dx = gas.cells, 1.0 / gas.cells
    rows, beside = np.empty((7, N)), np.empty((m.shape[1], N))
    rate, row, excess, before, after, u, T = rows
    for b in range(gas.batch):
        first = b * N
        for j in range(N):
            rate[j] = 0.0
            if collides:
                rate[j] = _sped_up(_collisions(U, frame, gas, dt, first + j), method)
        if not dissipates:
            for j in range(N):
                for k in range(m.shape[1]):
                    m[first + j, k] /= 1.0 + weight * rate[j]
        else:
            scale = weight * dt[b]
            for j in range(N):
                u[j], T[j] = frame[first + j, 0], frame[first + j, 1] ** 2
            turned(m[first : first + N], u, T, turn, beside)
            for k in range(m.shape[1]):
                for j in range(N):
                    row[j] = m[first + j, k]
                    excess[j] = 1.0 + weight * rate[j] + scale * gas.damping[k, first + j]
                for j in range(N):
                    a, c = first + j, first + (j + 1) % N
                    g = U[a, 0] * frame[a, 1] ** 2 * gas.diffusivity[k, a]
                    g += U[c, 0] * frame[c, 1] ** 2 * gas.diffusivity[k, c]
                    g *= 0.5 * scale / dx**2
                    if not gas.periodic and j == N - 1:
                        g = 0.0
                    after[j] = g / U[a, 0]
                    before[(j + 1) % N] = g / U[c, 0]
                _dissipate(row, beside[k], excess, before, after)
                for j in range(N):
                    m[first + j, k] = row[j]
        if correction != 0.0:
            for j in range(N):
                for k in range(m.shape[1]):
                    m[first + j, k] /= 1.0 + correction * rate[j] ** 2


@_compiled
def transport(stages, i, method, gas, tables, dt, first, last):  # type: ignore[no-untyped-def]
    """Write U and m of sum_j alpha_j f_j + beta_j dt L(f_j); return whether U is physical."""
    _update(stages, i, method, gas, dt, first, last)
    if not frames(stages.U[i], stages.frame, first, last):
        return False
    _encode(stages, i, method, gas, tables, dt, first, last)
    return True


@_compiled
def pieces(stages, i, tables, first, last):  # type: ignore[no-untyped-def]
    """Write log f_hat of stage i as cubics."""
    combined = np.empty(tables.splines.shape[1])
    for cell in range(first, last):
        scale = stages.U[i, cell, 0] * stages.frame[cell, 2] / np.sqrt(2.0 * np.pi)
        _pieces(stages.theta[i, cell], scale, tables, combined, stages.pieces[cell])


def _compile(limiter: Limiter) -> Callable[..., None]:
    """Return the kernel of the faces that reconstructs with `limiter`."""

    def faces(stages, i, method, gas, tables, dt, first, last):  # type: ignore[no-untyped-def]
        """Write what crosses the faces of stage i: `FiniteVolume._faces`."""
        N, q = gas.cells, tables.xi.size
        J, place = stages.pieces.shape[1], np.empty(q, np.int64)
        v, t, f = np.empty(q), np.empty((5, q)), np.empty((5, q))
        for face in range(first, last):
            r = dt[face // (N + 1)] * N
            flux0, flux1, flux2 = 0.0, 0.0, 0.0
            for side in range(2):
                sign = 1.0 - 2.0 * side
                upwind = gas.order[side, face, 2]
                width = stages.frame[upwind, 1]
                edge = sign * stages.frame[upwind, 0] + tables.extent * width
                edge = max(edge, 0.5 * width)
                for n in range(q):
                    v[n] = sign * edge * tables.xi[n]
                for c in range(5):
                    row = gas.order[side, face, c]
                    u, inverse = stages.frame[row, 0], stages.frame[row, 2]
                    _locate(v, u, inverse, tables.extent, J, place, t[c])
                    _read(stages.pieces[row], place, t[c], f[c])
                _exponential(t.ravel(), f.ravel())
                rate = stages.rate[i, face, side]
                for n in range(q):
                    behind, ahead = f[2, n] - f[1, n], f[3, n] - f[2, n]
                    d_behind, d_ahead = behind - (f[1, n] - f[0, n]), (f[4, n] - f[3, n]) - ahead
                    value = max(f[2, n] + limiter(behind, ahead, d_behind, d_ahead), 0.0)
                    speed = edge * tables.xi[n]
                    if method.positivity > 0.0:
                        value = min(value, f[2, n] * (method.positivity / (speed * r)))
                    g = value * v[n] * (edge * tables.xi_weights[n])
                    rate[n] = g
                    flux0 += g
                    flux1 += g * v[n]
                    flux2 += 0.5 * (g * v[n] * v[n])
                stages.edge[i, face, side] = edge
            stages.flux[i, face, 0] = flux0
            stages.flux[i, face, 1] = flux1
            stages.flux[i, face, 2] = flux2

    # The symbols of a cached kernel derive from this name: kernels of one name would be mixed up.
    faces.__qualname__ = f"faces_{limiter.__name__}"
    return _compiled(faces)


FACES: Mapping[str, Callable[..., None]] = MappingProxyType(
    {name: _compile(limiter) for name, limiter in LIMITERS.items()}
)
"""Kernels of the faces by their limiter."""
