"""Compiled kernels that take a learned closure to the velocity grid of the kinetic solver and back.

One row is one cell. Functions are pairs (a, b) as in `closures.reduced`, of which one dimension is
the case b = 0: phi = a(c) + b(c) s. f has C columns, those of a node v_1 side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from closures.runtime import _dissipate

Array = NDArray[np.float64]

FLAT = 1e-10
"""A slope of the dual below which Newton's step needs no shortening: see `closures.dual`."""
SUFFICIENT, HALVINGS, MAX_EXPONENT = 0.25, 40, 60.0
WHOLE_STEPS, SLOW = 12, 0.1
"""Newton steps before they are damped; and what one with old factors may leave of the residual."""
HOTTEST, WALL, TRACE = 0.99, 0.95, 1e-7
"""As in `closures.reduced` and `closures.reduced_dual`."""


class Tables(NamedTuple):
    """What does not change while a closure is used.

    dimension: D. phi: (a, b) of the 3 + K functions at the n nodes c (2, n, 3+K), measure: Mc(c) dc
    (n,), trace: weight of the barrier of the dual. splines: coefficients of w (2, J+3, K) on
    [-extent, extent]. tolerance, gamma, iterations: of the dual.
    """

    dimension: int
    c: Array
    phi: Array
    measure: Array
    trace: float
    splines: Array
    extent: float
    tolerance: float
    gamma: float
    iterations: int


class Work(NamedTuple):
    """Space for the search in one cell: masses and kappa at the nodes, derivatives of the dual."""

    mass: Array
    kappa: Array
    gradient: Array
    step: Array
    rows: Array
    factor: Array


class Grid(NamedTuple):
    """Nodes v_1 (points,), and of the columns of each node: weight in the mass, square of the
    velocity across x as a column counts in the energy (per node,); and the volume of a column."""

    nodes: Array
    mass: Array
    transverse: Array
    volume: float


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})(
        function
    )


@_compiled
def reduce(f, rows, grid, out):  # type: ignore[no-untyped-def]
    """Write masses g dv and h dv of `rows` of f (cells, C) at the nodes v_1 into `out`."""
    per_node = grid.mass.size
    for i in range(rows.size):
        for p in range(grid.nodes.size):
            g = h = 0.0
            for q in range(per_node):
                value = f[rows[i], p * per_node + q]
                g += grid.mass[q] * value
                h += grid.transverse[q] * value
            out[i, 0, p], out[i, 1, p] = g * grid.volume, h * grid.volume


@_compiled
def add_rows(source, rows, out):  # type: ignore[no-untyped-def]
    """Add `rows` of `source` to those of `out`, both (cells, C)."""
    for i in range(rows.size):
        for k in range(out.shape[1]):
            out[rows[i], k] += source[rows[i], k]


@_compiled
def reduce_change(slopes, weights, rows, grid, out):  # type: ignore[no-untyped-def]
    """The same of sum_j weights_j slopes_j (s, cells, C), of the cells `rows` only."""
    per_node = grid.mass.size
    out[:] = 0.0
    for j in range(weights.size):
        if weights[j] == 0.0:
            continue
        factor = weights[j] * grid.volume
        for i in range(rows.size):
            slope = slopes[j, rows[i]]
            for p in range(grid.nodes.size):
                g = h = 0.0
                for q in range(per_node):
                    value = slope[p * per_node + q]
                    g += grid.mass[q] * value
                    h += grid.transverse[q] * value
                out[i, 0, p] += factor * g
                out[i, 1, p] += factor * h


@_compiled
def _deposit(c, a, b, extent, sums):  # type: ignore[no-untyped-def]
    """Add a and b times the four splines that are not zero at c to `sums` (2, J+3)."""
    intervals = sums.shape[1] - 3
    place = (min(max(c, -extent), extent) + extent) * (intervals / (2.0 * extent))
    first = min(int(place), intervals - 1)
    t = place - first
    r = 1.0 - t
    w0, w3 = r * r * r / 6.0, t * t * t / 6.0
    w1 = 2.0 / 3.0 - t * t * (1.0 - 0.5 * t)
    w2 = 1.0 - w0 - w1 - w3
    for side, value in ((0, a), (1, b)):
        sums[side, first] += value * w0
        sums[side, first + 1] += value * w1
        sums[side, first + 2] += value * w2
        sums[side, first + 3] += value * w3


@_compiled
def _add(v, g, h, u, T, tables, sums):  # type: ignore[no-untyped-def]
    """Add particles of velocities v and masses g, h (n,) to `sums`, in the frame (u, T)."""
    d, scale = tables.dimension - 1, 1.0 / np.sqrt(T)
    for n in range(v.size):
        s = (h[n] / T - d * g[n]) / np.sqrt(2.0 * d) if d else 0.0
        _deposit((v[n] - u) * scale, g[n], s, tables.extent, sums)


@_compiled
def encode(particles, grid, frame, tables, m):  # type: ignore[no-untyped-def]
    """Write moments m (cells, K) of masses at the nodes (cells, 2, points), frame (cells, 3)."""
    sums = np.empty((2, tables.splines.shape[1]))
    for cell in range(m.shape[0]):
        sums[:] = 0.0
        rho, u, T = frame[cell]
        _add(grid.nodes, particles[cell, 0], particles[cell, 1], u, T, tables, sums)
        _contract(sums, rho, tables.splines, m[cell])


@_compiled
def _contract(sums, rho, splines, m):  # type: ignore[no-untyped-def]
    for k in range(m.size):
        total = 0.0
        for b in range(sums.shape[1]):
            total += sums[0, b] * splines[0, b, k] + sums[1, b] * splines[1, b, k]
        m[k] = total / rho


@_compiled
def encode_held(alpha, frames, masses, particles, grid, frame, tables, m):  # type: ignore[no-untyped-def]
    """Write m of sum_j alpha_j f_hat_j and of masses at the nodes, in a new frame.

    Args:
        alpha: weights of the stages so far (s,).
        frames, masses: rho, u, T (s, cells, 3) of these, and their g and h at the nodes c of the
            closure (s, cells, 2, n).
        particles: (cells, 2, points).
        grid, frame, tables, m: as in `encode`.
    """
    sums = np.empty((2, tables.splines.shape[1]))
    v, g, h = np.empty((3, tables.c.size))
    for cell in range(m.shape[0]):
        sums[:] = 0.0
        rho, u, T = frame[cell]
        for j in range(alpha.size):
            if alpha[j] != 0.0:
                width = np.sqrt(frames[j, cell, 2])
                for n in range(v.size):
                    v[n] = frames[j, cell, 1] + width * tables.c[n]
                    g[n] = alpha[j] * masses[j, cell, 0, n]
                    h[n] = alpha[j] * masses[j, cell, 1, n]
                _add(v, g, h, u, T, tables, sums)
        _add(grid.nodes, particles[cell, 0], particles[cell, 1], u, T, tables, sums)
        _contract(sums, rho, tables.splines, m[cell])


@_compiled
def _density(theta, tables, mass, kappa):  # type: ignore[no-untyped-def]
    """Write masses and kappa at the nodes; return whether kappa < WALL everywhere."""
    d, hottest = tables.dimension - 1, -np.inf
    mass[:] = 0.0
    kappa[:] = 0.0
    for n in range(mass.size):
        alpha = beta = 0.0
        for k in range(theta.size):
            alpha += theta[k] * tables.phi[0, n, k]
            beta += theta[k] * tables.phi[1, n, k]
        if d:
            kappa[n] = beta * np.sqrt(2.0 / d)
            hottest = max(hottest, kappa[n])
            alpha -= 0.5 * d * (kappa[n] + np.log(1.0 - min(kappa[n], WALL)))
        mass[n] = np.exp(min(alpha, MAX_EXPONENT)) * tables.measure[n]
    return hottest < WALL


@_compiled
def _value(mu, theta, tables, work):  # type: ignore[no-untyped-def]
    """D(theta) of `closures.reduced_dual`."""
    total, mass, kappa = 0.0, work.mass, work.kappa
    for n in range(mass.size):
        x = kappa[n] / WALL
        total += mass[n] - tables.trace * (x + np.log(1.0 - x))
    for k in range(theta.size):
        total += theta[k] * (0.5 * tables.gamma * theta[k] - mu[k])
    return total


@_compiled
def _gradient(mu, theta, tables, work):  # type: ignore[no-untyped-def]
    """Write dD/dtheta and return its largest entry, NaN if there is one."""
    d, mass, kappa, gradient = tables.dimension - 1, work.mass, work.kappa, work.gradient
    for k in range(theta.size):
        gradient[k] = tables.gamma * theta[k] - mu[k]
    for n in range(mass.size):
        mean = 0.0
        if d:
            mean = mass[n] * np.sqrt(0.5 * d) * kappa[n] / (1.0 - kappa[n])
            mean += tables.trace * np.sqrt(2.0 / d) / WALL * (kappa[n] / (WALL - kappa[n]))
        for k in range(theta.size):
            gradient[k] += mass[n] * tables.phi[0, n, k] + mean * tables.phi[1, n, k]
    largest = 0.0
    for k in range(theta.size):
        if not abs(gradient[k]) <= largest:
            largest = abs(gradient[k])
    return largest


@_compiled
def _factorise(tables, mass, kappa, rows, factor):  # type: ignore[no-untyped-def]
    """Write the Cholesky factor of the Hessian into the lower half of `factor` (P, P).

    Of a node with mass g, and of s with mean mu and variance v, sums of products are those of
    sqrt(g) (a + mu b) and sqrt(g v) b.
    """
    d, N, P = tables.dimension - 1, mass.size, factor.shape[0]
    for n in range(N):
        root, shift, spread = np.sqrt(mass[n]), 0.0, 0.0
        if d:
            shift = np.sqrt(0.5 * d) * kappa[n] / (1.0 - kappa[n])
            variance = mass[n] * (1.0 - kappa[n]) ** -2
            spread = np.sqrt(variance + tables.trace * (2.0 / d) * (WALL - kappa[n]) ** -2)
        for k in range(P):
            a, b = tables.phi[0, n, k], tables.phi[1, n, k]
            rows[k, n], rows[k, N + n] = root * (a + shift * b), spread * b
    largest, width = 0.0, 2 * N if d else N
    for i in range(P):
        for j in range(i + 1):
            total = 0.0
            for n in range(width):
                total += rows[i, n] * rows[j, n]
            factor[i, j] = total
        largest = max(largest, factor[i, i])
    for i in range(P):
        # Round-off of the sum, not physics: a density that is all but a delta has a singular H.
        factor[i, i] += tables.gamma + 1e-14 * largest
    for i in range(P):
        for j in range(i + 1):
            total = factor[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            factor[i, j] = np.sqrt(total) if i == j else total / factor[j, j]


@_compiled
def _newton_step(factor, gradient, step):  # type: ignore[no-untyped-def]
    """Write minus the inverse of the factorised Hessian times the gradient."""
    P = step.size
    for i in range(P):
        total = -gradient[i]
        for k in range(i):
            total -= factor[i, k] * step[k]
        step[i] = total / factor[i, i]
    for i in range(P - 1, -1, -1):
        total = step[i]
        for k in range(i + 1, P):
            total -= factor[k, i] * step[k]
        step[i] = total / factor[i, i]


@_compiled
def decode(m, theta, tables, frame, masses, found):  # type: ignore[no-untyped-def]
    """Find theta (cells, 3+K) of m (cells, K) from the theta given, by the damped Newton method.

    Args:
        m: moments.
        theta: where to start from; equilibrium where that is better.
        tables: of the closure.
        frame: rho, u, T (cells, 3).
        masses: g and h of f_hat at the nodes c, (cells, 2, n), written.
        found: whether a cell has a theta (cells,), written.
    """
    P, N = theta.shape[1], tables.c.size
    mu, new = np.zeros(P), np.empty(P)
    work = Work(
        np.empty(N), np.empty(N), np.empty(P), np.empty(P), np.empty((P, 2 * N)), np.empty((P, P))
    )
    mu[0] = 1.0
    for cell in range(m.shape[0]):
        mu[3:] = m[cell]
        new[:] = theta[cell]
        found[cell] = _whole_steps(mu, new, tables, work)
        if not found[cell]:
            new[:] = theta[cell]
            found[cell] = _damped_steps(mu, new, tables, work)
        theta[cell] = new
        rho, T, d = frame[cell, 0], frame[cell, 2], tables.dimension - 1
        for n in range(N):
            masses[cell, 0, n] = rho * work.mass[n]
            masses[cell, 1, n] = rho * work.mass[n] * (T * d / (1.0 - work.kappa[n]))


@_compiled
def _whole_steps(mu, theta, tables, work):  # type: ignore[no-untyped-def]
    """Newton's method, undamped, with factors kept as long as they serve; whether it converged."""
    inside = _density(theta, tables, work.mass, work.kappa)
    before = _gradient(mu, theta, tables, work)
    holds = False
    for _ in range(WHOLE_STEPS):
        if inside and before <= tables.tolerance:
            return True
        if not (inside and before < np.inf):
            return False
        if not holds:
            _factorise(tables, work.mass, work.kappa, work.rows, work.factor)
        _newton_step(work.factor, work.gradient, work.step)
        for k in range(theta.size):
            theta[k] += work.step[k]
        inside = _density(theta, tables, work.mass, work.kappa)
        size = _gradient(mu, theta, tables, work)
        if not size <= before:
            return False
        holds, before = size <= SLOW * before, size
    return inside and before <= tables.tolerance


@_compiled
def _damped_steps(mu, theta, tables, work):  # type: ignore[no-untyped-def]
    """Minimise D from `theta`, which is written, by `closures.dual`; whether it converged."""
    inside = _density(theta, tables, work.mass, work.kappa)
    if not (inside and _value(mu, theta, tables, work) <= tables.measure.sum()):
        theta[:] = 0.0
        _density(theta, tables, work.mass, work.kappa)
    old = np.empty(theta.size)
    for _ in range(tables.iterations):
        size = _gradient(mu, theta, tables, work)
        if size <= tables.tolerance:
            return True
        if not size < np.inf:
            return False
        bound = _value(mu, theta, tables, work)
        _factorise(tables, work.mass, work.kappa, work.rows, work.factor)
        _newton_step(work.factor, work.gradient, work.step)
        slope, length = (work.gradient * work.step).sum(), 1.0
        old[:] = theta
        for _ in range(HALVINGS + 1):
            theta[:] = old + length * work.step
            if _density(theta, tables, work.mass, work.kappa):
                value = _value(mu, theta, tables, work)
                if abs(slope) < FLAT or value <= bound + SUFFICIENT * length * slope:
                    break
            length *= 0.5
    return _gradient(mu, theta, tables, work) <= tables.tolerance


@_compiled
def _spline(c, coefficients, extent):  # type: ignore[no-untyped-def]
    """The two splines with coefficients (2, J+3) at c."""
    intervals = coefficients.shape[1] - 3
    place = (c + extent) * (intervals / (2.0 * extent))
    first = min(int(place), intervals - 1)
    t = place - first
    r = 1.0 - t
    w0, w3 = r * r * r / 6.0, t * t * t / 6.0
    w1 = 2.0 / 3.0 - t * t * (1.0 - 0.5 * t)
    w2 = 1.0 - w0 - w1 - w3
    a, b = coefficients[0, first : first + 4], coefficients[1, first : first + 4]
    alpha = w0 * a[0] + w1 * a[1] + w2 * a[2] + w3 * a[3]
    return alpha, w0 * b[0] + w1 * b[1] + w2 * b[2] + w3 * b[3]


@_compiled
def fill(theta, U, frame, tables, grid, rows, f):  # type: ignore[no-untyped-def]
    """Write f_hat into `rows` of f (cells, C), with exactly the mass, momentum and energy U.

    f_hat on the nodes has them to the error of a sum over velocities; f_hat (x_0 + x_1 v + x_2
    |v|^2/2) is added to it, of all corrections the smallest in the norm weighted by 1/f_hat. NaN if
    there is none, f_hat being so narrow that the velocities miss it.
    """
    D, K, per_node = tables.dimension, tables.splines.shape[2], grid.mass.size
    invariant, combined = np.empty((2, 3)), np.empty((2, tables.splines.shape[1]))
    share = 1.0 / np.sqrt(D)
    sums = np.empty((3, 3))
    for cell in range(rows.size):
        rho, u, T = frame[cell]
        for b in range(combined.shape[1]):
            alpha = beta = 0.0
            for k in range(K):
                alpha += tables.splines[0, b, k] * theta[cell, 3 + k]
                beta += tables.splines[1, b, k] * theta[cell, 3 + k]
            combined[0, b], combined[1, b] = alpha, beta
        invariant[0] = theta[cell, 0], theta[cell, 1], theta[cell, 2] * share * np.sqrt(0.5)
        invariant[1] = 0.0, 0.0, theta[cell, 2] * share * np.sqrt(D - 1.0)
        sums[:] = 0.0
        for p in range(grid.nodes.size):
            v = grid.nodes[p]
            row = f[rows[cell], p * per_node : (p + 1) * per_node]
            g, heat = _at(v, rho, u, T, invariant, combined, tables)
            _across(g, heat, D, grid, row)
            _tally(v, row, grid, sums)
        _adjust(U[cell], sums, grid, f[rows[cell]])


@_compiled
def _at(v, rho, u, T, invariant, combined, tables):  # type: ignore[no-untyped-def]
    """g of f_hat at v, and the temperature across."""
    d, c = tables.dimension - 1, (v - u) / np.sqrt(T)
    if abs(c) > tables.extent:
        return 0.0, T
    alpha, beta = _spline(c, combined, tables.extent)
    alpha += invariant[0, 0] + invariant[0, 1] * c + invariant[0, 2] * (c * c - 1.0)
    beta += invariant[1, 2]
    kappa = 0.0
    if d:
        kappa = min(beta * np.sqrt(2.0 / d), HOTTEST)
        alpha -= 0.5 * d * (kappa + np.log(1.0 - kappa))
    return rho / np.sqrt(2.0 * np.pi * T) * np.exp(alpha - 0.5 * c * c), T / (1.0 - kappa)


@_compiled
def _across(g, heat, D, grid, row):  # type: ignore[no-untyped-def]
    """Write the columns of a node."""
    if D == 1:
        row[0] = g
    elif D == 3:
        row[0], row[1] = g, 2.0 * heat * g
    else:
        # Outwards from the middle of symmetric nodes, whose ratios are a geometric sequence.
        half, spacing = row.size // 2, grid.nodes[1] - grid.nodes[0]
        first = grid.nodes[row.size - half]
        value = g / np.sqrt(2.0 * np.pi * heat) * np.exp(-0.5 * first * first / heat)
        ratio = np.exp(-(first + 0.5 * spacing) * spacing / heat)
        factor = np.exp(-spacing * spacing / heat)
        if row.size % 2:
            row[half] = g / np.sqrt(2.0 * np.pi * heat)
        for k in range(half):
            row[row.size - half + k], row[half - 1 - k] = value, value
            value *= ratio
            ratio *= factor


@_compiled
def _tally(v, row, grid, sums):  # type: ignore[no-untyped-def]
    """Add to sum_k f_k p_i q_j, p = what U counts and q = what the correction is made of."""
    m0 = e0 = m2 = e2 = 0.0
    whole = grid.mass.size != 2
    for q in range(row.size):
        mass, energy = grid.mass[q] * row[q], grid.transverse[q] * row[q]
        m0 += mass
        e0 += energy
        if whole:
            m2 += grid.transverse[q] * mass
            e2 += grid.transverse[q] * energy
    p0, p2 = m0 * grid.volume, 0.5 * (v * v * m0 + e0) * grid.volume
    tail0, tail2 = 0.5 * m2 * grid.volume, 0.25 * (v * v * m2 + e2) * grid.volume
    h = 0.5 * v * v
    sums[0, 0] += p0
    sums[0, 1] += p0 * v
    sums[0, 2] += p0 * h + tail0
    sums[1, 1] += p0 * v * v
    sums[1, 2] += v * (p0 * h + tail0)
    sums[2, 0] += p2
    sums[2, 1] += p2 * v
    sums[2, 2] += p2 * h + tail2


@_compiled
def _adjust(U, sums, grid, f):  # type: ignore[no-untyped-def]
    """Multiply f (C,) by 1 + x_0 + x_1 v + x_2 |v|^2/2 so that its moments are U."""
    sums[1, 0] = sums[0, 1]
    rest = np.array([U[0] - sums[0, 0], U[1] - sums[1, 0], U[2] - sums[2, 0]])
    if not (np.isfinite(sums.sum() + rest.sum()) and np.linalg.det(sums) > 0.0):
        f[:] = np.nan
        return
    x = np.linalg.solve(sums, rest)
    per_node = grid.mass.size
    for p in range(grid.nodes.size):
        v = grid.nodes[p]
        along = x[0] + v * (x[1] + 0.5 * v * x[2])
        for q in range(per_node):
            across = 0.5 * x[2] * grid.transverse[q] if per_node != 2 else 0.0
            f[p * per_node + q] += f[p * per_node + q] * (along + across)


@_compiled
def distances(f, g, grid, rho, out):  # type: ignore[no-untyped-def]
    """Write int |f - g| dv / rho of the rows of f and g (cells, C)."""
    per_node = grid.mass.size
    for cell in range(f.shape[0]):
        total = 0.0
        for p in range(grid.nodes.size):
            for q in range(per_node):
                k = p * per_node + q
                total += grid.mass[q] * abs(f[cell, k] - g[cell, k])
        out[cell] = total * grid.volume / rho[cell]


@_compiled
def dissipate(m, beside, excess, damping, diffusivity, pressure, rho, periodic, out):  # type: ignore[no-untyped-def]
    """Write New of rho excess New - d_x (p d D_x New) = rho m into `out`: `closures.dissipation`.

    Args:
        m, out: moments (cells, K), and New.
        beside: what D_x has beside d_x at the right faces, times dx (K, cells).
        excess: 1 + what collisions damp them by in the step (cells,).
        damping, diffusivity: dt a and dt d (K, cells).
        pressure, rho: p and rho of the cells.
        periodic: if not, nothing diffuses through the boundary.
    """
    N, K = m.shape
    row, total, before, after = np.empty((4, N))
    for k in range(K):
        for j in range(N):
            c = (j + 1) % N
            flux = 0.5 * (pressure[j] * diffusivity[k, j] + pressure[c] * diffusivity[k, c]) * N**2
            if not periodic and j == N - 1:
                flux = 0.0
            row[j], total[j] = m[j, k], excess[j] + damping[k, j]
            after[j], before[c] = flux / rho[j], flux / rho[c]
        _dissipate(row, beside[k], total, before, after)
        out[:, k] = row
