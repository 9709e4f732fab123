"""Limited reconstruction of the face value downstream of a cell (MUSCL).

After van Leer, J. Comput. Phys. 32 (1979) 101. A limiter maps differences
in the direction of the flow (for v < 0 the cells are mirrored),

    behind = f_j - f_(j-1),   ahead = f_(j+1) - f_j,   d_i = f_(i+1) - 2 f_i + f_(i-1),

to the offset of the face value, f_(j+1/2) = f_j + limiter(behind, ahead, d_(j-1), d_(j+1)). The
total-variation-diminishing (TVD) ones look at the first two only and are first order at extrema.

Numba looks for changes of a cached kernel in the file of that kernel alone, so what it inlines must
stand beside it: the limiters are compiled here into `RECONSTRUCTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from numba import njit
from numba.extending import register_jitable

Limiter: TypeAlias = Callable[[float, float, float, float], float]

# Steepness alpha of the monotonicity bound; no new extrema for CFL numbers up to 1 / (1 + alpha).
STEEPNESS = 2.0
TINY = 1e-300


@register_jitable
def _minmod(a: float, b: float) -> float:
    """Return the smaller of two numbers of one sign, else 0."""
    return max(0.0, min(a, b)) + min(0.0, max(a, b))


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
    d = ahead - behind
    median = 0.5 * (ahead - _minmod(d, d_ahead))
    upper_limit = STEEPNESS * behind
    large_curvature = 0.5 * behind + (4.0 / 3.0) * _minmod(d, d_behind)
    low = max(
        min(0.0, min(ahead, median)),
        min(0.0, min(upper_limit, large_curvature)),
    )
    high = min(
        max(0.0, max(ahead, median)),
        max(0.0, max(upper_limit, large_curvature)),
    )
    return min(max((behind + 2.0 * ahead) / 6.0, low), high)


LIMITERS: Mapping[str, Limiter] = MappingProxyType(
    {
        "third": third,
        "minmod": minmod,
        "van_leer": van_leer,
        "mc": mc,
        "van_albada": van_albada,
    }
)


def _compile(limiter: Limiter) -> Callable[..., None]:
    """Return reconstruct(f, cells, nodes, bound, faces) with `limiter` compiled in.

    It writes the face values downstream of the cells that the flow meets, the first of them the
    ghost whose face is the inflow, for the nodes in the range `nodes`, which have one sign of v.
    `cells` are the indices of cells, ghosts included, in the order in which the flow meets them;
    the face value is kept in [0, bound f_j].
    """

    def reconstruct(f, cells, nodes, bound, faces):  # type: ignore[no-untyped-def]
        begin, end = nodes
        for i in range(faces.shape[0]):
            f0, f1 = f[cells[i], begin:end], f[cells[i + 1], begin:end]
            f2 = f[cells[i + 2], begin:end]
            f3, f4 = f[cells[i + 3], begin:end], f[cells[i + 4], begin:end]
            face, limit = faces[i, begin:end], bound[begin:end]
            for k in range(face.size):
                behind, ahead = f2[k] - f1[k], f3[k] - f2[k]
                d_behind, d_ahead = behind - (f1[k] - f0[k]), (f4[k] - f3[k]) - ahead
                value = f2[k] + limiter(behind, ahead, d_behind, d_ahead)
                face[k] = max(0.0, min(value, limit[k] * f2[k]))

    # The symbols of a cached kernel derive from this name: kernels of one name would be mixed up.
    reconstruct.__qualname__ = f"reconstruct_{limiter.__name__}"
    compiled: Callable[..., None] = njit(cache=True, nogil=True, error_model="numpy")(reconstruct)
    return compiled


RECONSTRUCTIONS: Mapping[str, Callable[..., None]] = MappingProxyType(
    {name: _compile(limiter) for name, limiter in LIMITERS.items()}
)
