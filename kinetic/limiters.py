"""Limited reconstruction of the face value downstream of a cell (MUSCL).

After van Leer, J. Comput. Phys. 32 (1979) 101. A limiter maps differences
in the direction of the flow (for v < 0 the cells are mirrored),

    behind = f_j - f_(j-1),   ahead = f_(j+1) - f_j,   d_i = f_(i+1) - 2 f_i + f_(i-1),

to the offset of the face value, f_(j+1/2) = f_j + limiter(behind, ahead, d_(j-1), d_(j+1)). The
total-variation-diminishing (TVD) ones look at the first two only and are first order at extrema.

Numba looks for changes of a cached kernel in the file of that kernel alone, so what it inlines must
stand beside it: the limiters are compiled here into `TRANSPORTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import copysign
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numba import njit
from numba.extending import register_jitable

Limiter: TypeAlias = Callable[[float, float, float, float], float]

# Steepness alpha of the monotonicity bound; no new extrema for CFL numbers up to 1 / (1 + alpha).
STEEPNESS = 2.0
TINY = 1e-300
# Divisions would take most of the time.
THIRD = 1.0 / 3.0


@register_jitable
def _minmod(a: float, b: float) -> float:
    """Return the smaller of two numbers of one sign, else 0."""
    return max(min(a, b), min(max(a, b), 0.0))


@register_jitable
def minmod(behind: float, ahead: float, d_behind: float, d_ahead: float) -> float:
    """Half of minmod(behind, ahead) (Roe 1986); TVD."""
    return 0.5 * _minmod(behind, ahead)


@register_jitable
def mc(behind: float, ahead: float, d_behind: float, d_ahead: float) -> float:
    """Half of minmod(2 behind, (behind + ahead) / 2, 2 ahead) (van Leer 1977); TVD."""
    return _minmod(0.25 * (behind + ahead), _minmod(behind, ahead))


@register_jitable
def van_leer(behind: float, ahead: float, d_behind: float, d_ahead: float) -> float:
    """Half the harmonic mean of two differences of one sign (van Leer 1974); TVD."""
    product = behind * ahead
    return product / (behind + ahead) if product > 0.0 else 0.0


@register_jitable
def van_albada(behind: float, ahead: float, d_behind: float, d_ahead: float) -> float:
    """Half of ab (a + b) / (a^2 + b^2) for differences of one sign; TVD.

    Van Albada, van Leer & Roberts, Astron. Astrophys. 108 (1982) 76.
    """
    product = max(behind * ahead, 0.0)
    return 0.5 * product * (behind + ahead) / (behind * behind + ahead * ahead + TINY)


@register_jitable
def third(behind: float, ahead: float, d_behind: float, d_ahead: float) -> float:
    """Third order, extrema included: (behind + 2 ahead) / 6, monotonicity preserving.

    The value of kappa = 1/3 is moved to the nearest end of the interval of Suresh & Huynh (J.
    Comput. Phys. 136 (1997) 83, section 2), here with minmod for the curvatures at the faces.
    The interval holds the value wherever f is smooth, and none that would make a new extremum.
    """
    # All are twice the offset. Mirrored in f so that d >= 0, the value of kappa = 1/3 lies between
    # behind and ahead, so that of the interval's ends, each a minimum or maximum of four numbers
    # and of minmods of the curvatures, these parts are all that can bind.
    d = ahead - behind
    sign = copysign(1.0, d)
    a, b = sign * ahead, sign * behind
    value = sign * (THIRD * (behind + (ahead + ahead)))
    low = min(min(a + a, 0.0), a - sign * d_ahead)
    high = max(max(2.0 * STEEPNESS * b, 0.0), b + (8.0 / 3.0) * (sign * d_behind))
    return (0.5 * sign) * min(max(value, low), high)


LIMITERS: Mapping[str, Limiter] = MappingProxyType(
    {
        "third": third,
        "minmod": minmod,
        "van_leer": van_leer,
        "mc": mc,
        "van_albada": van_albada,
    }
)


@njit(nogil=True, forceinline=True, fastmath={"reassoc", "contract"})
def _added(a, b, c, weights, n, value):  # type: ignore[no-untyped-def]
    """Return the sums a, b, c with weights[:, n] value added, in any order, so they vectorise."""
    return a + weights[0, n] * value, b + weights[1, n] * value, c + weights[2, n] * value


def _compile(limiter: Limiter) -> Callable[..., None]:
    """Return the kernel of free transport that reconstructs with `limiter`."""

    def transport(  # type: ignore[no-untyped-def]
        f, order, split, rate, bound, weights, flow, out, fluxes
    ):
        """Write F_(j-1/2) - F_(j+1/2) into `out`, F = v f_face / dx, and the sums of F of a face.

        Args:
            f, out: arrays of shape (cells, points).
            order: indices of the cells, with three ghosts before and after, in the order in which
                the flow meets them for v < 0 and for v >= 0, shape (2, cells + 6).
            split: zero, the first node with v >= 0, and the number of nodes, shape (3,).
            rate: |v| / dx, shape (points,).
            bound: face values are kept in [0, bound f_j], shape (points,).
            weights: of the columns in the sums, shape (3, points).
            flow: space for |F| of as many columns as are to be taken at a time.
            fluxes: sums over the columns of weights F, of the faces from left to right, shape
                (cells + 1, 3).

        Two cells at a time share differences. The first face is that of the third ghost, through
        which the gas enters: what is written for the ghost itself, a cell further on, is
        overwritten when that is reached. Indices are unsigned: that they might count from the end
        would keep loops from vectorising.
        """
        fluxes[:] = 0.0
        for side in range(2):
            cells, end = order[side], split[side + 1]
            last = cells.size - 5
            # Of the face downstream of the third ghost, and from there to the next one.
            onward = 2 * side - 1
            place, sign = (1 - side) * (f.shape[0]), float(onward)
            for begin in range(split[side], end, np.uint64(flow.size)):
                count = min(np.uint64(flow.size), end - begin)
                for k in range(count):
                    flow[k] = 0.0
                for i in range(0, last - 1, 2):
                    c0, c1, c2 = cells[i], cells[i + 1], cells[i + 2]
                    c3, c4, c5 = cells[i + 3], cells[i + 4], cells[i + 5]
                    a0 = a1 = a2 = b0 = b1 = b2 = 0.0
                    for k in range(count):
                        n = begin + k
                        f2, f3 = f[c2, n], f[c3, n]
                        d0, d1, d2 = f[c1, n] - f[c0, n], f2 - f[c1, n], f3 - f2
                        d3, d4 = f[c4, n] - f3, f[c5, n] - f[c4, n]
                        first = f2 + limiter(d1, d2, d1 - d0, d3 - d2)
                        second = f3 + limiter(d2, d3, d2 - d1, d4 - d3)
                        first = rate[n] * max(0.0, min(first, bound[n] * f2))
                        second = rate[n] * max(0.0, min(second, bound[n] * f3))
                        out[c2, n] = flow[k] - first
                        out[c3, n] = first - second
                        flow[k] = second
                        a0, a1, a2 = _added(a0, a1, a2, weights, n, first)
                        b0, b1, b2 = _added(b0, b1, b2, weights, n, second)
                    face = place + i * onward
                    fluxes[face, 0] += sign * a0
                    fluxes[face, 1] += sign * a1
                    fluxes[face, 2] += sign * a2
                    fluxes[face + onward, 0] += sign * b0
                    fluxes[face + onward, 1] += sign * b1
                    fluxes[face + onward, 2] += sign * b2
                if last % 2 == 1:
                    c0, c1, c2 = cells[last - 1], cells[last], cells[last + 1]
                    c3, c4 = cells[last + 2], cells[last + 3]
                    a0 = a1 = a2 = 0.0
                    for k in range(count):
                        n = begin + k
                        f2 = f[c2, n]
                        d0, d1 = f[c1, n] - f[c0, n], f2 - f[c1, n]
                        d2, d3 = f[c3, n] - f2, f[c4, n] - f[c3, n]
                        value = f2 + limiter(d1, d2, d1 - d0, d3 - d2)
                        value = rate[n] * max(0.0, min(value, bound[n] * f2))
                        out[c2, n] = flow[k] - value
                        a0, a1, a2 = _added(a0, a1, a2, weights, n, value)
                    face = place + (last - 1) * onward
                    fluxes[face, 0] += sign * a0
                    fluxes[face, 1] += sign * a1
                    fluxes[face, 2] += sign * a2

    # The symbols of a cached kernel derive from this name: kernels of one name would be mixed up.
    transport.__qualname__ = f"transport_{limiter.__name__}"
    compiled: Callable[..., None] = njit(
        cache=True, nogil=True, error_model="numpy", fastmath={"contract"}
    )(transport)
    return compiled


TRANSPORTS: Mapping[str, Callable[..., None]] = MappingProxyType(
    {name: _compile(limiter) for name, limiter in LIMITERS.items()}
)
