"""Limiters of the MUSCL reconstruction.

Each maps the differences behind and ahead of a cell in the direction of the flow,

    behind = f_j - f_(j-1),   ahead = f_(j+1) - f_j      (for v > 0; mirrored for v < 0),

to the offset of the downstream face value, f_face = f_j + offset. `floor` is the square of a
difference that counts as smooth. The limiters are plain functions that Numba compiles into the
transport kernel (`register_jitable` keeps that kernel cacheable, a compiled function would not).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from numba.extending import register_jitable


@register_jitable
def minmod(behind: float, ahead: float, floor: float) -> float:
    """Half the smaller of two differences of one sign (Roe 1986). TVD; ignores `floor`."""
    rising = max(0.0, min(behind, ahead))
    falling = min(0.0, max(behind, ahead))
    return 0.5 * (rising + falling)


@register_jitable
def mc(behind: float, ahead: float, floor: float) -> float:
    """Half of minmod(2 behind, (behind + ahead) / 2, 2 ahead) (van Leer 1977). TVD; no `floor`."""
    mean = 0.25 * (behind + ahead)
    rising = max(0.0, min(mean, min(behind, ahead)))
    falling = min(0.0, max(mean, max(behind, ahead)))
    return rising + falling


@register_jitable
def van_leer(behind: float, ahead: float, floor: float) -> float:
    """Half the harmonic mean of two differences of one sign (van Leer 1974). TVD; no `floor`."""
    product = behind * ahead
    return product / (behind + ahead) if product > 0.0 else 0.0


@register_jitable
def van_albada(behind: float, ahead: float, floor: float) -> float:
    """Half of (a (b^2 + floor) + b (a^2 + floor)) / (a^2 + b^2 + 2 floor).

    Van Albada, van Leer & Roberts, Astron. Astrophys. 108 (1982) 76.
    """
    a2, b2 = behind * behind, ahead * ahead
    return 0.5 * (behind * (b2 + floor) + ahead * (a2 + floor)) / (a2 + b2 + 2.0 * floor)


@register_jitable
def third(behind: float, ahead: float, floor: float) -> float:
    """Third order in smooth flow, extrema included: kappa = 1/3 with the van Albada switch.

        s/4 [(1 - s/3) a + (1 + s/3) b],   s = (2ab + floor) / (a^2 + b^2 + floor)

    Anderson, Thomas & van Leer, AIAA J. 24 (1986) 1453; s = 1 is the unlimited (a + 2b) / 6.
    """
    product = behind * ahead
    s = (2.0 * product + floor) / (behind * behind + ahead * ahead + floor)
    s = max(s, 0.0)
    return 0.25 * s * ((behind + ahead) + (s / 3.0) * (ahead - behind))


LIMITERS: Mapping[str, Callable[[float, float, float], float]] = MappingProxyType(
    {"minmod": minmod, "mc": mc, "van_leer": van_leer, "van_albada": van_albada, "third": third}
)
