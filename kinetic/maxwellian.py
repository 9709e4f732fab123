"""Maxwellians: the continuous one, and the discrete one that has its moments exactly on a grid.

Numba looks for changes of a cached kernel in the file of that kernel alone, so the relaxation
towards the discrete Maxwellian, which is compiled together with it, stands here too.
"""

from __future__ import annotations

from math import exp, isfinite, log, pi, sqrt

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import ArrayLike

from kinetic.errors import NonPhysicalState
from kinetic.moments import Array, primitive
from kinetic.velocity import VelocityGrid

MAX_NEWTON_STEPS = 50
# Below this Newton decrement the last step is applied in its linear form M (1 + delta . phi): it
# differs from the exponential by the square, 1e-14, and meets the moments to round-off.
LINEAR_DECREMENT = 1e-7
# Sums over nodes may be reordered so that they vectorise; infinities and NaN keep their meaning.
REORDER: set[str] = {"reassoc", "contract"}


def maxwellian(
    rho: ArrayLike, u: ArrayLike, T: ArrayLike, v: ArrayLike, *across: ArrayLike
) -> Array:
    """Return M[rho,u,T] = rho (2 pi T)^(-D/2) exp(-((v - u)^2 + ...) / 2T), all broadcast.

    Args:
        rho, u, T: state of a gas at rest across x.
        v, across: velocity along x, and D - 1 others across it.
    """
    rho, u, T, v = (np.asarray(a, float) for a in (rho, u, T, v))
    M = rho / np.sqrt(2.0 * np.pi * T) * np.exp(-((v - u) ** 2) / (2.0 * T))
    for w in across:
        M = M * maxwellian(1.0, 0.0, T, w)
    return M


def reduced_maxwellian(rho: ArrayLike, u: ArrayLike, T: ArrayLike, v: ArrayLike) -> Array:
    """Return (g, h) of M[rho,u,T] in D = 3 on a last axis: M integrated across x, and 2 T times it.

    See `kinetic.velocity`; the arguments broadcast.
    """
    g = maxwellian(rho, u, T, v)
    return np.stack([g, 2.0 * np.asarray(T, float) * g], axis=-1)


def discrete_maxwellian(U: ArrayLike, grid: VelocityGrid, time: float = 0.0) -> Array:
    """Return M_k = exp(a + b v_k + c v_k^2) whose moments on `grid` are exactly U.

    The three multipliers minimise the convex dual sum_k M_k dv - (a, b, 2c) . U, by Newton
    (Mieussens, Math. Models Methods Appl. Sci. 10 (2000) 1121). In more dimensions M is a product
    of such factors, one for each axis, all with the temperature T: that the factors across x may
    have another c than the one along it, by the error of quadrature, makes the pressure isotropic.

    Args:
        U: conserved variables, shape (cells, 3).
        grid: velocity grid.
        time: reported if a state is refused.

    Returns:
        Array of shape (cells, columns), non-negative; its moments are U to round-off.

    Raises:
        NonPhysicalState: rho or T is not positive, or no such Maxwellian exists on the grid.
    """
    rho, u, T = primitive(np.atleast_2d(U), grid.dim)
    M, across = np.empty((2, rho.size, grid.points))
    cell = fill_maxwellians(rho, u, T, grid.nodes, M)
    if cell < 0 and grid.dim == 2:
        cell = fill_maxwellians(np.ones_like(rho), np.zeros_like(u), T, grid.nodes, across)
    if cell >= 0:
        values = {"rho": float(rho[cell]), "u": float(u[cell]), "T": float(T[cell])}
        raise NonPhysicalState(time, cell, values, "no Maxwellian on the velocity grid has it")
    if grid.dim == 1:
        return M
    if grid.dim == 3:
        across = np.stack([np.ones_like(T), 2.0 * T], axis=-1)
    return (M[:, :, None] * across[:, None, :]).reshape(rho.size, grid.columns)


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
        row = M[cell]
        exists, da, db, dc2 = _solve_maxwellian(rho[cell], u[cell], T[cell], v, row)
        if not exists:
            return cell
        scale = 1.0 / sqrt(T[cell])
        for k in range(row.size):
            c = (v[k] - u[cell]) * scale
            row[k] = rho[cell] * scale * _corrected(row[k], c, da, db, dc2)
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
    g = np.empty(v.size)
    for cell in range(f.shape[0]):
        row = f[cell]
        rho, u, T = _gas_state(row, v, dv)
        exists, da, db, dc2 = _solve_maxwellian(rho, u, T, v, g)
        if not exists:
            return cell
        rate = frequency[cell] * (1.0 if constant else power_law(rho, T, p, q))
        gain = 1.0 - 1.0 / ((1.0 + step * rate) * (1.0 + correction * rate * rate))
        keep = 1.0 - gain  # rounded so that the weights sum to one: f must not drift
        scale = 1.0 / sqrt(T)
        gain_rho = gain * rho * scale
        for k in range(row.size):
            M = _corrected(g[k], (v[k] - u) * scale, da, db, dc2)
            row[k] = keep * row[k] + gain_rho * M
    return -1


@njit(cache=True, nogil=True, error_model="numpy")
def relax_products(  # type: ignore[no-untyped-def]
    f, v, mass, transverse, volume, dim, exponents, frequency, step, correction
):
    """Do what `relax_rows` does where f (cells, columns) has several columns for each node v.

    M is a product of a factor along x and one across it, so that only points numbers of each are
    needed. `mass` and `transverse` are the weights of the columns of one node.

    Returns:
        The first cell that has no Maxwellian, its row unchanged; -1 if there is none.
    """
    p, q = exponents
    constant = p == 0.0 and q == 0.0  # powers are slow
    along, across = np.empty(v.size), np.empty(mass.size)
    for cell in range(f.shape[0]):
        rows = f[cell].reshape((v.size, mass.size))
        m0, m1, m2 = _plane_moments(rows, v, mass, transverse)
        rho, u = m0 * volume, m1 / m0
        T = (m2 / m0 - u * u) / dim
        if not (_fill_maxwellian(rho, u, T, v, along) and _fill_across(T, v, dim, across)):
            return cell
        rate = frequency[cell] * (1.0 if constant else power_law(rho, T, p, q))
        gain = 1.0 - 1.0 / ((1.0 + step * rate) * (1.0 + correction * rate * rate))
        keep = 1.0 - gain  # rounded so that the weights sum to one: f must not drift
        for i in range(v.size):
            factor = gain * along[i]
            for k in range(mass.size):
                rows[i, k] = keep * rows[i, k] + factor * across[k]
    return -1


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True, fastmath=REORDER)
def _plane_moments(rows, v, mass, transverse):  # type: ignore[no-untyped-def]
    """Return the sums of f, v_1 f and |v|^2 f over one cell, `rows` being f by nodes of v_1."""
    m0 = m1 = m2 = 0.0
    for i in range(v.size):
        a = b = 0.0
        for k in range(mass.size):
            a += rows[i, k] * mass[k]
            b += rows[i, k] * transverse[k]
        m0 += a
        m1 += a * v[i]
        m2 += a * (v[i] * v[i]) + b
    return m0, m1, m2


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _fill_maxwellian(rho, u, T, v, out):  # type: ignore[no-untyped-def]
    """Write the discrete Maxwellian of one state into `out` (points,); return whether it exists."""
    exists, da, db, dc2 = _solve_maxwellian(rho, u, T, v, out)
    if not exists:
        return False
    scale = 1.0 / sqrt(T)
    for k in range(out.size):
        out[k] = rho * scale * _corrected(out[k], (v[k] - u) * scale, da, db, dc2)
    return True


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _fill_across(T, v, dim, out):  # type: ignore[no-untyped-def]
    """Write the factor across x, of mass one: a Maxwellian in D = 2, its two moments in D = 3."""
    if dim == 2:
        return _fill_maxwellian(1.0, 0.0, T, v, out)
    out[0], out[1] = 1.0, 2.0 * T
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
def _solve_maxwellian(rho, u, T, v, g):  # type: ignore[no-untyped-def]
    """Write g (points,) and return what makes rho / sqrt(T) g (1 + da + db c + dc2 c^2) the
    discrete Maxwellian of a state, c = (v - u) / sqrt(T).

    Newton runs on c, where the moments wanted are (1, 0, 1) and the start (2 pi)^(-1/2)
    exp(-c^2 / 2) is exact up to quadrature and cut tails. The damping of the steps,
    1 / (1 + decrement), is that of self-concordant functions (Nesterov & Nemirovskii 1994).

    Returns:
        Whether rho and T are positive and finite and the Maxwellian exists; and da, db, dc2.
    """
    if not (0.0 < rho < np.inf and 0.0 < T < np.inf):
        return False, 0.0, 0.0, 0.0
    scale = 1.0 / sqrt(T)
    first, spacing = (v[0] - u) * scale, (v[-1] - v[0]) / (v.size - 1) * scale
    a, b, c2 = -0.5 * log(2.0 * pi), 0.0, -0.5
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
