"""Kernels of the implicit step: relaxation of f towards a discrete equilibrium of its own moments.

Numba looks for changes of a cached kernel in the file of that kernel alone, so all that is compiled
together with the discrete Maxwellian stands here.

`relax_rows` is BGK in one dimension. `relax_products` is the rest: f has several columns for each
node of v_1, and what it relaxes towards is a product of a factor along x and one across it,

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

from math import exp, isfinite, log, pi, sqrt

import numpy as np
from numba import njit
from numba.extending import register_jitable

from kinetic.moments import Array

MAX_NEWTON_STEPS = 50
# Below this Newton decrement the last step is applied in its linear form M (1 + delta . phi): it
# differs from the exponential by the square, 1e-14, and meets the moments to round-off.
LINEAR_DECREMENT = 1e-7
# If quadrature and cut tails disturb mass, momentum and energy of a unit Maxwellian by less than
# this, its moments of order 3 and 4 are also right to about 1e-7, and Newton's matrix is known: the
# step is then wrong by the product, 1e-16.
EXACT_MOMENTS = 1e-9
# Sums over nodes may be reordered so that they vectorise; infinities and NaN keep their meaning.
REORDER: set[str] = {"reassoc", "contract"}
# The unit Maxwellian at its peak, and how many numbers say where a discrete one starts.
UNIT = 1.0 / sqrt(2.0 * pi)
SEEDS = 6
# A Gaussian target is kept from being colder in any direction than this share of what f is.
LEAST = 0.5


@register_jitable
def power_law(rho: Array, T: Array, p: float, q: float) -> Array:
    """Return rho^p T^q, of arrays, and of numbers in kernels."""
    return rho**p * T**q


@njit(cache=True, nogil=True, error_model="numpy")
def fill_maxwellians(rho, u, T, v, M):  # type: ignore[no-untyped-def]
    """Write the discrete Maxwellian of each state (cells,) into the rows of M (cells, points).

    Returns:
        The first cell whose rho or T is not positive and finite, or which has no Maxwellian on the
        nodes v; -1 if there is none.
    """
    for cell in range(rho.size):
        if not _fill_maxwellian(rho[cell], u[cell], T[cell], v, M[cell]):
            return cell
    return -1


@njit(cache=True, nogil=True, error_model="numpy")
def relax_rows(f, v, dv, exponents, frequency, step, correction):  # type: ignore[no-untyped-def]
    """Replace each row of f (cells, points) by keep f + (1 - keep) M[f],

        keep = 1 / ((1 + step r) (1 + correction r^2)),   r = frequency rho^p T^q,

    where `frequency` is 1 / eps, shape (cells,), and `exponents` are (p, q).

    Returns:
        The first cell that has no Maxwellian, its row unchanged; -1 if there is none.
    """
    p, q = exponents
    constant = p == 0.0 and q == 0.0  # powers are slow
    g, gains, seeds = np.empty(v.size), np.empty((f.shape[0], 2)), np.empty((f.shape[0], SEEDS))
    # In a loop of their own the chains of divisions and exponentials of several cells overlap.
    for cell in range(f.shape[0]):
        rho, u, T = _gas_state(f[cell], v, dv)
        rate = frequency[cell] * (1.0 if constant else power_law(rho, T, p, q))
        gain = 1.0 - 1.0 / ((1.0 + step * rate) * (1.0 + correction * rate * rate))
        seed = _seed(rho, u, T, v)
        gains[cell, 0], gains[cell, 1] = gain, gain * rho * seed[1]
        for n in range(SEEDS):
            seeds[cell, n] = seed[n]
    for cell in range(f.shape[0]):
        row, u, scale = f[cell], seeds[cell, 0], seeds[cell, 1]
        top, up, down, peak = seeds[cell, 2], seeds[cell, 3], seeds[cell, 4], seeds[cell, 5]
        exists, da, db, dc2 = _solve_maxwellian((u, scale, top, up, down, peak), v, dv, g)
        if not exists:
            return cell
        gain, gain_rho = gains[cell, 0], gains[cell, 1]
        keep = 1.0 - gain  # rounded so that the weights sum to one: f must not drift
        for k in range(row.size):
            M = _corrected(g[k], (v[k] - u) * scale, da, db, dc2)
            row[k] = keep * row[k] + gain_rho * M
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


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True, fastmath=REORDER)
def _directional_state(  # type: ignore[no-untyped-def]
    rows, v, mass, transverse, volume, dim, a, b
):
    """Return rho, u, T_1 and (D - 1) T_2 of one cell, `rows` being f by nodes of v_1.

    a and b (points,) take the sums of f and of (v_2^2 + ...) f over the columns of each node.
    """
    m0 = m1 = m2 = n0 = 0.0
    for i in range(v.size):
        s0 = s2 = 0.0
        for k in range(mass.size):
            s0 += rows[i, k] * mass[k]
            s2 += rows[i, k] * transverse[k]
        a[i], b[i] = s0, s2
        m0 += s0
        m1 += s0 * v[i]
        m2 += s0 * (v[i] * v[i])
        n0 += s2
    u = m1 / m0
    return m0 * volume, u, m2 / m0 - u * u, n0 / m0


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True, fastmath=REORDER)
def _central_heat_flux(a, b, v, u, volume):  # type: ignore[no-untyped-def]
    """Return q = 1/2 ∫ |v - u|^2 (v_1 - u) f from the sums a, b over the columns of each node."""
    q = 0.0
    for i in range(v.size):
        c = v[i] - u
        q += c * (c * c * a[i] + b[i])
    return 0.5 * volume * q


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True, fastmath=REORDER)
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


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
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


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _fill_maxwellian(rho, u, T, v, out):  # type: ignore[no-untyped-def]
    """Write the discrete Maxwellian of one state into `out` (points,); return whether it exists."""
    seed, spacing = _seed(rho, u, T, v), (v[-1] - v[0]) / (v.size - 1)
    exists, da, db, dc2 = _solve_maxwellian(seed, v, spacing, out)
    if not exists:
        return False
    scale = seed[1]
    for k in range(out.size):
        out[k] = rho * scale * _corrected(out[k], (v[k] - u) * scale, da, db, dc2)
    return True


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
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


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True, fastmath=REORDER)
def _gas_state(f, v, dv):  # type: ignore[no-untyped-def]
    """Return rho, u and T of one distribution f (points,)."""
    m0 = m1 = m2 = 0.0
    for k in range(f.size):
        m0 += f[k]
        m1 += f[k] * v[k]
        m2 += f[k] * (v[k] * v[k])
    u = m1 / m0
    return m0 * dv, u, m2 / m0 - u * u


@register_jitable
def _corrected(g: float, c: float, da: float, db: float, dc2: float) -> float:
    """Return g (1 + da + db c + dc2 c^2)."""
    # Not g (1 + ...): numbers near one are denser below it, and mass would be lost.
    return g + g * (da + c * (db + c * dc2))


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _seed(rho, u, T, v):  # type: ignore[no-untyped-def]
    """Return what `_solve_maxwellian` starts from, SEEDS numbers.

    They are u, 1 / sqrt(T), the unit Maxwellian (2 pi)^(-1/2) exp(-c^2 / 2), c = (v - u) / sqrt(T),
    at the node next to u, the ratios to it of its values at the nodes above and below, and the
    index of that node, -1 unless rho and T are positive and all are finite.
    """
    if not (0.0 < rho < np.inf and 0.0 < T < np.inf and abs(u) < np.inf):
        return u, T, 0.0, 0.0, 0.0, -1.0
    scale, spacing = 1.0 / sqrt(T), (v[-1] - v[0]) / (v.size - 1)
    peak = int(min(max((u - v[0]) / spacing + 0.5, 0.0), float(v.size - 1)))
    c, h = (v[0] + peak * spacing - u) * scale, spacing * scale
    up, down = exp(-h * (0.5 * h + c)), exp(-h * (0.5 * h - c))
    return u, scale, UNIT * exp(-0.5 * c * c), up, down, float(peak)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _solve_maxwellian(seed, v, spacing, g):  # type: ignore[no-untyped-def]
    """Write g (points,) and return what makes rho / sqrt(T) g (1 + da + db c + dc2 c^2) the
    discrete Maxwellian of the state of a `seed`, c = (v - u) / sqrt(T), on nodes `spacing` apart.

    Newton runs on c, where the moments wanted are (1, 0, 1) and the start (2 pi)^(-1/2)
    exp(-c^2 / 2) is exact up to quadrature and cut tails. Where these are small, one step with the
    matrix of the exact moments, H_ij = (1, 0, 1, 0, 3)_(i+j), ends it, or one with that of g.

    Returns:
        Whether rho and T are positive and finite and the Maxwellian exists; and da, db, dc2.
    """
    u, scale, top, up, down, peak = seed
    if peak < 0.0:
        return False, 0.0, 0.0, 0.0
    k = int(peak)
    g[k] = top
    _fill_outwards(g[k + 1 :], top, up, up * down)
    _fill_outwards(g[:k][::-1], top, down, up * down)
    r0, r1, r2 = _defects(g, v, u, scale, spacing * scale)
    if abs(r0) + abs(r1) + abs(r2) < EXACT_MOMENTS:
        return True, 0.5 * (3.0 * r0 - r2), r1, 0.5 * (r2 - r0)
    da, db, dc2, decrement = _newton_step(g, v, u, scale, spacing * scale)
    if decrement < LINEAR_DECREMENT:
        return True, da, db, dc2
    return _iterate(u, scale, v, spacing * scale, g)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True, fastmath=REORDER)
def _defects(g, v, u, scale, spacing):  # type: ignore[no-untyped-def]
    """Return what g lacks of the moments (1, 0, 1) in c = (v - u) scale."""
    p0 = p1 = p2 = 0.0
    for k in range(g.size):
        # Not c_0 + k spacing, whose round-off would make momentum and energy drift.
        c = (v[k] - u) * scale
        p0 += g[k]
        p1 += g[k] * c
        p2 += g[k] * (c * c)
    return 1.0 - p0 * spacing, -p1 * spacing, 1.0 - p2 * spacing


@njit(cache=True, nogil=True, error_model="numpy")
def _iterate(u, scale, v, spacing, g):  # type: ignore[no-untyped-def]
    """Return what `_solve_maxwellian` does, by as many steps as it takes.

    The damping of the steps, 1 / (1 + decrement), is that of self-concordant functions (Nesterov &
    Nemirovskii 1994).
    """
    first = (v[0] - u) * scale
    a, b, c2 = log(UNIT), 0.0, -0.5
    for _ in range(MAX_NEWTON_STEPS):
        _fill_gaussian(a, b, c2, first, spacing, g)
        da, db, dc2, decrement = _newton_step(g, v, u, scale, spacing)
        if decrement < LINEAR_DECREMENT:
            return True, da, db, dc2
        damping = 1.0 / (1.0 + decrement)
        a, b, c2 = a + damping * da, b + damping * db, c2 + damping * dc2
        if not (c2 < 0.0 and isfinite(a) and isfinite(b)):
            break
    return False, 0.0, 0.0, 0.0


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _fill_gaussian(a, b, c2, first, spacing, out):  # type: ignore[no-untyped-def]
    """Write exp(a + b c_k + c2 c_k^2), c_k = first + k spacing, outwards from its peak.

    The ratio of neighbours is itself a geometric sequence of ratio q = exp(2 c2 spacing^2), so two
    multiplications replace an exponential; n nodes from the peak the relative error is n^2 / 2 ulp.
    """
    last = out.size - 1
    peak = (-0.5 * b / c2 - first) / spacing
    k_peak = int(min(max(peak + 0.5, 0.0), float(last)))
    c = first + k_peak * spacing
    g = out[k_peak] = exp(a + c * (b + c * c2))
    q = exp(2.0 * c2 * spacing * spacing)
    up = exp(spacing * (b + c2 * (2.0 * c + spacing)))
    _fill_outwards(out[k_peak + 1 :], g, up, q)
    _fill_outwards(out[:k_peak][::-1], g, q / up, q)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _fill_outwards(out, g, r, q):  # type: ignore[no-untyped-def]
    """Write g_1, g_2, ... where g_0 = g, g_n = r_n g_(n-1), r_1 = r and r_n = q r_(n-1).

    Four interleaved sequences g_(n+4) = R_n g_n, R_(n+4) = q^16 R_n, do not wait for each other.
    """
    r2 = q * r
    r3 = q * r2
    r4 = q * r3
    g1 = g * r
    g2 = g1 * r2
    g3 = g2 * r3
    g4 = g3 * r4
    q4 = (q * q) * (q * q)
    q16 = (q4 * q4) * (q4 * q4)
    R1 = (r2 * r3) * (r4 * (q * r4))
    R2 = q4 * R1
    R3 = q4 * R2
    R4 = q4 * R3
    rest = out.size % 4
    for k in range(0, out.size - rest, 4):
        out[k], out[k + 1], out[k + 2], out[k + 3] = g1, g2, g3, g4
        g1, g2, g3, g4 = g1 * R1, g2 * R2, g3 * R3, g4 * R4
        R1, R2, R3, R4 = q16 * R1, q16 * R2, q16 * R3, q16 * R4
    tail = out[out.size - rest :]
    if rest > 0:
        tail[0] = g1
    if rest > 1:
        tail[1] = g2
    if rest > 2:
        tail[2] = g3


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True, fastmath=REORDER)
def _newton_step(g, v, u, scale, spacing):  # type: ignore[no-untyped-def]
    """Return the Newton step (da, db, dc2) towards the moments (1, 0, 1), and its decrement.

    With p_n = sum_k c_k^n g_k dc: H delta = r, H_ij = p_(i+j), r = (1 - p_0, -p_1, 1 - p_2), by
    Cramer's rule (H is near [[1, 0, 1], [0, 1, 0], [1, 0, 3]]); decrement^2 = delta . r.
    """
    p0 = p1 = p2 = p3 = p4 = 0.0
    for k in range(g.size):
        # Not first + k spacing, whose round-off would make momentum and energy drift.
        c = (v[k] - u) * scale
        p0 += g[k]
        p1 += g[k] * c
        p2 += g[k] * (c * c)
        p3 += g[k] * (c * c * c)
        p4 += g[k] * (c * c * c * c)
    p0, p1, p2, p3, p4 = p0 * spacing, p1 * spacing, p2 * spacing, p3 * spacing, p4 * spacing
    r0, r1, r2 = 1.0 - p0, -p1, 1.0 - p2
    m00, m01, m02 = p2 * p4 - p3 * p3, p2 * p3 - p1 * p4, p1 * p3 - p2 * p2
    m11, m12, m22 = p0 * p4 - p2 * p2, p1 * p2 - p0 * p3, p0 * p2 - p1 * p1
    inverse = 1.0 / (p0 * m00 + p1 * m01 + p2 * m02)
    da = (m00 * r0 + m01 * r1 + m02 * r2) * inverse
    db = (m01 * r0 + m11 * r1 + m12 * r2) * inverse
    dc2 = (m02 * r0 + m12 * r1 + m22 * r2) * inverse
    return da, db, dc2, sqrt(abs(da * r0 + db * r1 + dc2 * r2))
