"""Kernels of the implicit step: relaxation of f towards a discrete equilibrium of its own moments.

Numba looks for changes of a cached kernel in the file of that kernel alone, so all that is compiled
together with the discrete Maxwellian stands here.

Maxwellians, towards which BGK relaxes f, depend on U alone: `fill_equilibria` makes them, and how
far f goes, for `kinetic.moments_first`. `relax_products` is the rest: f has several columns for
each node of v_1, and what it relaxes towards is a product of a factor along x and one across it,

    G = rho X(v_1) Y(v_2, ...),

so that points numbers of each make all columns. X has the temperature T_1, Y the temperature T_2,
with T_1 + (D-1) T_2 = D T. To this comes a multiple of the deviation of unit heat flux

    H = G (a_0 + a_1 c + a_2 |c|^2 + a_3 c |c|^2),   c = (v - u) / sqrt(T),

whose coefficients, near (0, -(D+2), 0, 1) a_3, make it change no mass, momentum or energy on the
grid. BGK has T_1 = T and no H, `es_bgk` has no H (L. H. Holway, Phys. Fluids 9 (1966) 1658), and
`shakhov` has T_1 = T (E. M. Shakhov, Fluid Dyn. 3 (1968) 95). Each keeps the rates at which
p_11 - p and q relax known, whatever f is, so the implicit step needs no iteration: with the rate r
of collisions, a = step r and b = correction r^2,

    p_11 - p  is divided by  (1 + a s) (1 + b s^2),    q  by  (1 + a k) (1 + b k^2),

where s and k are the rates of stress and heat flux over that of collisions. What the mean target of
both halves of the step must have of either follows.
"""

from __future__ import annotations

from functools import partial
from math import exp, isfinite, log, pi, sqrt

import numpy as np
from numba import njit
from numba.extending import register_jitable

from kinetic.moments import Array

MAX_NEWTON_STEPS = 50
# Below this Newton decrement the last step is applied in its linear form M (1 + delta . phi): it
# differs from the exponential by the square, 1e-14, and meets the moments to round-off.
LINEAR_DECREMENT = 1e-7
# Sums over nodes may be reordered so that they vectorise; infinities and NaN keep their meaning.
REORDER: set[str] = {"reassoc", "contract"}
# The unit Maxwellian at its peak.
UNIT = 1.0 / sqrt(2.0 * pi)
# Cells whose Maxwellians are made together; they fit into a first-level cache.
BLOCK = 16
# Rows of the `work` of a block, numbers of each of its factors: the state, what `_seed` returns,
# and the sums over nodes or Newton's step, which is made of them.
RHO, MEAN, TEMPERATURE, SCALE, PEAK, TOP, UP, DOWN, P0, P1, P2, P3, P4, ROWS = range(14)
DA, DB, DC2, DECREMENT2 = P0, P1, P2, P3
# A Gaussian target is kept from being colder in any direction than this share of what f is.
LEAST = 0.5
# Of a kernel. Wrappers and a file for each part would take a fifth of the time of compilation.
_part = partial(
    njit,
    nogil=True,
    error_model="numpy",
    forceinline=True,
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)


@register_jitable
def power_law(rho: Array, T: Array, p: float, q: float) -> Array:
    """Return rho^p T^q, of arrays, and of numbers in kernels."""
    return rho**p * T**q


@njit(cache=True, nogil=True, error_model="numpy")
def fill_equilibria(  # type: ignore[no-untyped-def]
    i,
    stages,
    fluxes,
    alpha,
    beta,
    v,
    dim,
    rate,
    step,
    correction,
    known,
    gain,
    outer,
    inner,
):
    """Write M[U_i] = outer_n inner_k, and the gain of f <- (1 - gain) f + gain M[U_i],

        gain = 1 - 1 / ((1 + step r) (1 + correction r^2)),   r = frequency rho^p T^q.

    Args:
        i: number of the stage. U_0 is given, U_i = sum_(j<i) (alpha_j U_j + beta_j F_j) is not,
            where F_j is what comes through the faces.
        stages, fluxes: U_j (stages, cells, 3), and what flows through faces (stages, cells + 1, 3).
        alpha, beta: weights, shape (stages,).
        v: nodes along an axis, shape (points,).
        dim: velocity dimensions D.
        rate: `frequency`, which is 1 / eps, shape (cells,), and (p, q).
        step, correction: of the implicit step.
        known: whether `outer` and `inner` are there already.
        gain: shape (cells,).
        outer, inner: shapes (cells, points) both, for D = 2; else (cells, 1) and (cells, columns).

    Returns:
        The first cell found that has no Maxwellian, -1 if there is none.
    """
    spacing = (v[-1] - v[0]) / (v.size - 1)
    factors = 2 if dim == 2 else 1
    g, work = np.empty((2 * BLOCK, v.size)), np.empty((ROWS, 2 * BLOCK))
    for first in range(0, gain.size, BLOCK):
        cells = min(BLOCK, gain.size - first)
        implicit = dim, rate, step, correction
        _fill_cells(i, stages, fluxes, alpha, beta, first, cells, *implicit, work, gain)
        if known:
            continue
        # Sums over nodes in loops of their own do not wait for the chains of operations that make
        # numbers of each cell of them, and those vectorise.
        _fill_seeds(factors * cells, v, spacing, work)
        _fill_newton_steps(factors * cells, v, spacing, work, g)
        solved = _finish(factors * cells, v, spacing, work, g)
        if solved < factors * cells:
            return first + solved % cells
        for n in range(factors):
            out = outer if n < factors - 1 else inner
            _fill_factors(cells, n * cells, dim, v, work, g, out, first)
        if dim != 2:
            for cell in range(first, first + cells):
                outer[cell, 0] = 1.0
    return -1


@njit(cache=True, nogil=True, error_model="numpy")
def relax_products(  # type: ignore[no-untyped-def]
    f, v, mass, transverse, volume, dim, rates, exponents, frequency, step, correction
):
    """Relax each row of f (cells, points * mass.size) as the docstring of the module says.

    Args:
        f: distributions, the columns of a node v_1 side by side.
        v: nodes along an axis, shape (points,).
        mass, transverse: weights of the columns of one node in ∫ f and ∫ (v_2^2 + ...) f.
        volume: of a column.
        dim: velocity dimensions D.
        rates: s and k, the rates of stress and heat flux over that of collisions.
        exponents: (p, q) of the rate of collisions, frequency rho^p T^q.
        frequency: shape (cells,).
        step, correction: of the implicit step.

    Returns:
        The first cell that has no such equilibrium, its row unchanged; -1 if there is none.
    """
    p, q = exponents
    shear, heat = rates
    constant = p == 0.0 and q == 0.0  # powers are slow
    along, across, across2 = np.empty(v.size), np.empty(mass.size), np.empty(mass.size)
    a, b, P, R = np.empty((4, v.size))
    for cell in range(f.shape[0]):
        rows = f[cell].reshape((v.size, mass.size))
        rho, u, T1, T2 = _directional_state(rows, v, mass, transverse, volume, dim, a, b)
        T = (T1 + T2) / dim
        r = frequency[cell] * (1.0 if constant else power_law(rho, T, p, q))
        keep1, keep2 = 1.0 / (1.0 + step * r), 1.0 / (1.0 + correction * r * r)
        gain = 1.0 - keep1 * keep2
        keep = 1.0 - gain  # rounded so that the weights sum to one: f must not drift
        D1 = T
        if shear != 1.0 and gain > 0.0:
            D1 += _target(T1 - T, shear, step * r, correction * r * r) / gain
            D1 = min(max(D1, LEAST * min(T1, T2)), dim * T - LEAST * min(T1, T2))
        D2 = (dim * T - D1) / max(dim - 1, 1)
        if not (
            _fill_maxwellian(rho, u, D1, v, along) and _fill_across(D2, v, dim, across, across2)
        ):
            return cell
        if heat != 1.0:
            flux = _central_heat_flux(a, b, v, u, volume)
            flux = _target(flux, heat, step * r, correction * r * r)
            _heat_deviation(flux, along, across, across2, v, u, T, mass, transverse, volume, P, R)
            for i in range(v.size):
                even, odd = along[i] * (gain + P[i]), along[i] * R[i]
                for k in range(mass.size):
                    rows[i, k] = keep * rows[i, k] + even * across[k] + odd * across2[k]
        else:
            for i in range(v.size):
                factor = gain * along[i]
                for k in range(mass.size):
                    rows[i, k] = keep * rows[i, k] + factor * across[k]
    return -1


@register_jitable
def _target(moment: float, rate: float, a: float, b: float) -> float:
    """Return what the targets of both halves of a step must add to a moment relaxed at `rate`.

    The first half, f + a (G_1 - f_1), ends with moment / (1 + a rate) if G_1 has (1 - rate) of it;
    the second, with b and rate^2, likewise; and what the first adds is then divided by 1 + b.
    """
    if a == np.inf:
        return 0.0
    first = moment / (1.0 + a * rate)
    second = first / (1.0 + b * rate * rate)
    added = a / (1.0 + a) * (1.0 - rate) * first
    return (added + b * (1.0 - rate * rate) * second) / (1.0 + b)


@_part(fastmath=REORDER)
def _directional_state(  # type: ignore[no-untyped-def]
    rows, v, mass, transverse, volume, dim, a, b
):
    """Return rho, u, T_1 and (D - 1) T_2 of one cell, `rows` being f by nodes of v_1.

    a and b (points,) take the sums of f and of (v_2^2 + ...) f over the columns of each node.
    """
    m0 = m1 = m2 = n0 = 0.0
    last = v.size - 1
    for i in range(0, v.size, 4):
        # Four nodes share a loop and what they are weighted with; the last may come twice.
        i0, i1 = np.uint64(i), np.uint64(min(i + 1, last))
        i2, i3 = np.uint64(min(i + 2, last)), np.uint64(min(i + 3, last))
        p0 = p1 = p2 = p3 = q0 = q1 = q2 = q3 = 0.0
        for k in range(mass.size):
            f0, f1, f2, f3 = rows[i0, k], rows[i1, k], rows[i2, k], rows[i3, k]
            p0 += f0 * mass[k]
            p1 += f1 * mass[k]
            p2 += f2 * mass[k]
            p3 += f3 * mass[k]
            q0 += f0 * transverse[k]
            q1 += f1 * transverse[k]
            q2 += f2 * transverse[k]
            q3 += f3 * transverse[k]
        a[i0], a[i1], a[i2], a[i3] = p0, p1, p2, p3
        b[i0], b[i1], b[i2], b[i3] = q0, q1, q2, q3
    for i in range(v.size):
        m0 += a[i]
        m1 += a[i] * v[i]
        m2 += a[i] * (v[i] * v[i])
        n0 += b[i]
    u = m1 / m0
    return m0 * volume, u, m2 / m0 - u * u, n0 / m0


@_part(fastmath=REORDER)
def _central_heat_flux(a, b, v, u, volume):  # type: ignore[no-untyped-def]
    """Return q = 1/2 ∫ |v - u|^2 (v_1 - u) f from the sums a, b over the columns of each node."""
    q = 0.0
    for i in range(v.size):
        c = v[i] - u
        q += c * (c * c * a[i] + b[i])
    return 0.5 * volume * q


@_part(fastmath=REORDER)
def _heat_deviation(  # type: ignore[no-untyped-def]
    flux, along, across, across2, v, u, T, mass, transverse, volume, P, R
):
    """Fill P and R (points,) so that H = along (P across + R across2) has the heat flux `flux`.

    With e = c^2 + w^2, w the velocity across x over sqrt(T), H = G (a_0 + a_1 c + a_2 e + a_3 c e),
    where the a_n solve the Gram system of (1, c, e, c e) under G for the moments (0, 0, 0, 2 flux /
    T^(3/2)); across2 holds w^2 times across.
    """
    scale = 1.0 / sqrt(T)
    y2 = y4 = y0 = 0.0
    for k in range(across.size):
        across2[k] *= scale * scale
        y0 += across[k] * mass[k]
        y2 += across2[k] * mass[k]
        y4 += across2[k] * transverse[k] * scale * scale
    x0 = x1 = x2 = x3 = x4 = x5 = x6 = 0.0
    for i in range(v.size):
        c = (v[i] - u) * scale
        g = along[i] * volume
        c2 = c * c
        x0 += g
        x1 += g * c
        x2 += g * c2
        x3 += g * c2 * c
        x4 += g * c2 * c2
        x5 += g * c2 * c2 * c
        x6 += g * c2 * c2 * c2
    e0, e1, e2 = x2 * y0 + x0 * y2, x3 * y0 + x1 * y2, x4 * y0 + x2 * y2
    gram = np.empty((4, 4))
    # By elements: assigning whole rows takes a second more to compile.
    gram[0, 0], gram[0, 1], gram[0, 2], gram[0, 3] = x0 * y0, x1 * y0, e0, e1
    gram[1, 0], gram[1, 1], gram[1, 2], gram[1, 3] = x1 * y0, x2 * y0, e1, e2
    gram[2, 0], gram[2, 1], gram[3, 0], gram[3, 1] = e0, e1, e1, e2
    gram[2, 2] = x4 * y0 + 2.0 * x2 * y2 + x0 * y4
    gram[2, 3] = gram[3, 2] = x5 * y0 + 2.0 * x3 * y2 + x1 * y4
    gram[3, 3] = x6 * y0 + 2.0 * x4 * y2 + x2 * y4
    a0, a1, a2, a3 = _last_column_of_inverse(gram)
    size = 2.0 * flux * scale**3
    for i in range(v.size):
        c = (v[i] - u) * scale
        P[i] = size * (a0 + c * (a1 + c * (a2 + c * a3)))
        R[i] = size * (a2 + c * a3)


@_part()
def _last_column_of_inverse(A):  # type: ignore[no-untyped-def]
    """Return the solution of A x = (0, 0, 0, 1) for a positive definite A, shape (4, 4)."""
    for i in range(3):
        for j in range(i + 1, 4):
            factor = A[j, i] / A[i, i]
            for k in range(i, 4):
                A[j, k] -= factor * A[i, k]
    x3 = 1.0 / A[3, 3]
    x2 = -A[2, 3] * x3 / A[2, 2]
    x1 = -(A[1, 2] * x2 + A[1, 3] * x3) / A[1, 1]
    x0 = -(A[0, 1] * x1 + A[0, 2] * x2 + A[0, 3] * x3) / A[0, 0]
    return x0, x1, x2, x3


@_part()
def _fill_maxwellian(rho, u, T, v, out):  # type: ignore[no-untyped-def]
    """Write the discrete Maxwellian of one state into `out` (points,); return whether it exists."""
    spacing = (v[-1] - v[0]) / (v.size - 1)
    scale, peak, top, up, down = _seed(rho, u, T, v[0], spacing, v.size - 1.0)
    if peak < 0.0:
        return False
    _fill_gaussian(int(peak), UNIT * exp(top), exp(up), exp(down), out)
    da, db, dc2, decrement2 = _newton_step(_sums(out, v, u), scale, spacing)
    if not decrement2 < LINEAR_DECREMENT**2:
        exists, da, db, dc2 = _iterate(u, scale, v, spacing, out)
        if not exists:
            return False
    for k in range(out.size):
        out[k] = rho * scale * _corrected(out[k], v[k] - u, da, db, dc2)
    return True


@_part()
def _fill_across(T, v, dim, out, out2):  # type: ignore[no-untyped-def]
    """Write the factor across x, of mass one, and w^2 times it; return whether it exists.

    A Maxwellian in D = 2; its moments of order 0 and 2, then 2 and 4, in D = 3.
    """
    if dim == 1:
        out[0], out2[0] = 1.0, 0.0
    elif dim == 3:
        out[0], out[1] = 1.0, 2.0 * T
        out2[0], out2[1] = 2.0 * T, 8.0 * T * T
    else:
        if not _fill_maxwellian(1.0, 0.0, T, v, out):
            return False
        for k in range(v.size):
            out2[k] = out[k] * v[k] * v[k]
    return True


@_part()
def _fill_cells(  # type: ignore[no-untyped-def]
    i, stages, fluxes, alpha, beta, first, cells, dim, rate, step, correction, work, gain
):
    """Write U_i of some cells, which is given if i = 0, rho, u and T, and the gain.

    After the states of the cells come those of the factors across x.
    """
    frequency, (p, q) = rate
    constant = p == 0.0 and q == 0.0  # powers are slow
    for k in range(cells):
        cell = first + k
        for n in range(3 if i > 0 else 0):
            total = 0.0
            for j in range(i):
                change = fluxes[j, cell, n] - fluxes[j, cell + 1, n]
                total += alpha[j] * stages[j, cell, n] + beta[j] * change
            stages[i, cell, n] = total
        rho, u = stages[i, cell, 0], stages[i, cell, 1] / stages[i, cell, 0]
        T = (2.0 * stages[i, cell, 2] / rho - u * u) / dim
        work[RHO, k], work[MEAN, k], work[TEMPERATURE, k] = rho, u, T
        work[RHO, cells + k], work[MEAN, cells + k], work[TEMPERATURE, cells + k] = 1.0, 0.0, T
        r = frequency[cell] * (1.0 if constant else power_law(rho, T, p, q))
        gain[cell] = 1.0 - 1.0 / ((1.0 + step * r) * (1.0 + correction * r * r))


@_part()
def _fill_seeds(cells, v, spacing, work):  # type: ignore[no-untyped-def]
    """Write `_seed` of each state, with exponentials in place of exponents."""
    begin, last = v[0], v.size - 1.0
    for i in range(cells):
        rho, u, T = work[RHO, i], work[MEAN, i], work[TEMPERATURE, i]
        scale, peak, top, up, down = _seed(rho, u, T, begin, spacing, last)
        work[SCALE, i], work[PEAK, i] = scale, peak
        work[TOP, i], work[UP, i], work[DOWN, i] = top, up, down
    for i in range(cells):
        work[TOP, i] = UNIT * exp(work[TOP, i])
        work[UP, i], work[DOWN, i] = exp(work[UP, i]), exp(work[DOWN, i])


@_part()
def _fill_newton_steps(cells, v, spacing, work, g):  # type: ignore[no-untyped-def]
    """Write unit Maxwellians into the rows of g (BLOCK, points), and Newton's first step."""
    for i in range(cells):
        if work[PEAK, i] >= 0.0:
            top, up, down = work[TOP, i], work[UP, i], work[DOWN, i]
            _fill_gaussian(int(work[PEAK, i]), top, up, down, g[i])
    for i in range(cells):
        p0, p1, p2, p3, p4 = _sums(g[i], v, work[MEAN, i])
        work[P0, i], work[P1, i], work[P2, i], work[P3, i], work[P4, i] = p0, p1, p2, p3, p4
    for i in range(cells):
        p = work[P0, i], work[P1, i], work[P2, i], work[P3, i], work[P4, i]
        da, db, dc2, decrement2 = _newton_step(p, work[SCALE, i], spacing)
        work[DA, i], work[DB, i], work[DC2, i], work[DECREMENT2, i] = da, db, dc2, decrement2


@_part()
def _finish(cells, v, spacing, work, g):  # type: ignore[no-untyped-def]
    """Iterate where Newton's first step is long; return how many cells come before a failure."""
    for i in range(cells):
        if work[PEAK, i] < 0.0:
            return i
        if not work[DECREMENT2, i] < LINEAR_DECREMENT**2:
            u, scale = work[MEAN, i], work[SCALE, i]
            exists, work[DA, i], work[DB, i], work[DC2, i] = _iterate(u, scale, v, spacing, g[i])
            if not exists:
                return i
    return cells


@_part(fastmath={"contract"})
def _fill_factors(cells, begin, dim, v, work, g, out, first):  # type: ignore[no-untyped-def]
    """Write the discrete Maxwellians of the states from `begin` on, in D = 3 by pairs M, 2 T M."""
    for i in range(cells):
        j, cell = np.uint64(begin + i), np.uint64(first + i)
        u, scale = work[MEAN, j], work[RHO, j] * work[SCALE, j]
        da, db, dc2 = work[DA, j], work[DB, j], work[DC2, j]
        if dim == 3:
            heat = 2.0 * work[TEMPERATURE, j]
            for k in range(v.size):
                M = scale * _corrected(g[j, k], v[k] - u, da, db, dc2)
                out[cell, 2 * k], out[cell, 2 * k + 1] = M, heat * M
        else:
            for k in range(v.size):
                out[cell, k] = scale * _corrected(g[j, k], v[k] - u, da, db, dc2)


@register_jitable
def _corrected(g: float, w: float, da: float, db: float, dc2: float) -> float:
    """Return g (1 + da + db w + dc2 w^2)."""
    # Not g (1 + ...): numbers near one are denser below it, and mass would be lost.
    return g + g * (da + w * (db + w * dc2))


@_part()
def _seed(rho, u, T, begin, spacing, last):  # type: ignore[no-untyped-def]
    """Return what the unit Maxwellian (2 pi)^(-1/2) exp(-c^2 / 2), c = (v - u) / sqrt(T), on the
    nodes v = begin + k spacing, k <= last, is made from, without a branch.

    Returns:
        1 / sqrt(T); the index of the node next to u, -1 unless rho and T are positive and all are
        finite; -c^2 / 2 there; and what is added to that at the nodes above and below.
    """
    physical = (0.0 < rho < np.inf) & (0.0 < T < np.inf) & (abs(u) < np.inf)
    scale = 1.0 / sqrt(T)
    peak = np.floor(min(max((u - begin) / spacing + 0.5, 0.0), last))
    c, h = (begin + peak * spacing - u) * scale, spacing * scale
    up, down = -h * (0.5 * h + c), -h * (0.5 * h - c)
    return scale, peak if physical else -1.0, -0.5 * c * c, up, down


@_part(forceinline=False)
def _iterate(u, scale, v, spacing, g):  # type: ignore[no-untyped-def]
    """Write another g, and return whether the discrete Maxwellian exists and its da, db and dc2 of
    `_newton_step`, by as many steps as it takes.

    The damping of the steps, 1 / (1 + decrement), is that of self-concordant functions (Nesterov &
    Nemirovskii 1994).
    """
    last, first = float(g.size - 1), v[0] - u
    a, b, c2 = log(UNIT), 0.0, -0.5 * scale * scale
    for _ in range(MAX_NEWTON_STEPS):
        # g = exp(a + b w + c2 w^2)
        peak = int(min(max((-0.5 * b / c2 - first) / spacing + 0.5, 0.0), last))
        w = first + peak * spacing
        up = exp(spacing * (b + c2 * (2.0 * w + spacing)))
        down = exp(-spacing * (b + c2 * (2.0 * w - spacing)))
        _fill_gaussian(peak, exp(a + w * (b + w * c2)), up, down, g)
        da, db, dc2, decrement2 = _newton_step(_sums(g, v, u), scale, spacing)
        if decrement2 < LINEAR_DECREMENT**2:
            return True, da, db, dc2
        damping = 1.0 / (1.0 + sqrt(decrement2))
        a, b, c2 = a + damping * da, b + damping * db, c2 + damping * dc2
        if not (c2 < 0.0 and isfinite(a) and isfinite(b)):
            break
    return False, 0.0, 0.0, 0.0


@_part()
def _fill_gaussian(peak, top, up, down, out):  # type: ignore[no-untyped-def]
    """Write a Gaussian that is `top` at the node `peak` and `up` and `down` times that beside it.

    The ratio of neighbours is itself a geometric sequence, of ratio q = up down, so two
    multiplications replace an exponential; n nodes from the peak the relative error is n^2 / 2 ulp.
    """
    out[peak] = top
    _fill_outwards(out[peak + 1 :], top, up, up * down)
    _fill_outwards(out[:peak][::-1], top, down, up * down)


@_part()
def _fill_outwards(out, g, r, q):  # type: ignore[no-untyped-def]
    """Write g_1, g_2, ... where g_0 = g, g_n = r_n g_(n-1), r_1 = r and r_n = q r_(n-1).

    Two interleaved sequences g_(n+2) = R_n g_n, R_(n+2) = q^4 R_n, do not wait for each other.
    """
    q2, r2 = q * q, q * r
    g1 = g * r
    g2 = g1 * r2
    R1 = r2 * (q * r2)
    R2, q4 = q2 * R1, q2 * q2
    for k in range(0, out.size - 1, 2):
        out[k], out[k + 1] = g1, g2
        g1, g2 = g1 * R1, g2 * R2
        R1, R2 = q4 * R1, q4 * R2
    if out.size % 2:
        out[out.size - 1] = g1


@_part(fastmath=REORDER)
def _sums(g, v, u):  # type: ignore[no-untyped-def]
    """Return sum_k g_k w_k^n, n = 0, ..., 4, w = v - u."""
    p0 = p1 = p2 = p3 = p4 = 0.0
    for k in range(g.size):
        # Not first + k spacing, whose round-off would make momentum and energy drift.
        w = v[k] - u
        g1 = g[k] * w
        g2 = g1 * w
        g3 = g2 * w
        p0 += g[k]
        p1 += g1
        p2 += g2
        p3 += g3
        p4 += g3 * w
    return p0, p1, p2, p3, p4


@_part()
def _newton_step(sums, scale, spacing):  # type: ignore[no-untyped-def]
    """Return the Newton step (da, db, dc2), for powers of w, from `_sums`, and its decrement^2.

    Newton runs on c = w scale, where the moments wanted are (1, 0, 1) and the unit Maxwellian is
    exact up to quadrature and cut tails. With p_n = sum_k c_k^n g_k dc: H delta = r, H_ij =
    p_(i+j), r = (1 - p_0, -p_1, 1 - p_2), by Cramer's rule (H is near [[1, 0, 1], [0, 1, 0],
    [1, 0, 3]]); decrement^2 = delta . r.
    """
    p0, p1, p2, p3, p4 = sums
    dc, s2 = spacing * scale, scale * scale
    p0, p1, p2 = p0 * dc, p1 * (dc * scale), p2 * (dc * s2)
    p3, p4 = p3 * (dc * (scale * s2)), p4 * (dc * (s2 * s2))
    r0, r1, r2 = 1.0 - p0, -p1, 1.0 - p2
    m00, m01, m02 = p2 * p4 - p3 * p3, p2 * p3 - p1 * p4, p1 * p3 - p2 * p2
    m11, m12, m22 = p0 * p4 - p2 * p2, p1 * p2 - p0 * p3, p0 * p2 - p1 * p1
    inverse = 1.0 / (p0 * m00 + p1 * m01 + p2 * m02)
    da = (m00 * r0 + m01 * r1 + m02 * r2) * inverse
    db = (m01 * r0 + m11 * r1 + m12 * r2) * inverse
    dc2 = (m02 * r0 + m12 * r1 + m22 * r2) * inverse
    return da, db * scale, dc2 * s2, abs(da * r0 + db * r1 + dc2 * r2)
