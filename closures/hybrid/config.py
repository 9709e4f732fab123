"""Whether, and how much, a solution of a closure is helped by the kinetic solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from kinetic.errors import InvalidInput
from kinetic.options import Options, optional

FARTHEST = 2.0
"""The largest int |f - g| dv / rho of distributions of one density: no indicator is larger."""


def distance(key: str, value: Any) -> float:
    """Accept a distance of distributions."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0.0 <= value <= FARTHEST:  # also true of NaN
        raise InvalidInput(key, value, f"must be a number from 0 to {FARTHEST:g}")
    return float(value)


@dataclass(frozen=True)
class HybridConfig(Options):
    """Where the kinetic solver takes over from the closure.

    threshold: of the distance int |f - f_hat| dv / rho from what the closure can hold
    (`closures.hybrid.indicator`), beyond which a cell is kinetic: with 0 all are, with 2 none
    unless it has no f_hat. None: the closure alone, by its own solver.
    """

    PREFIX: ClassVar[str] = "hybrid"
    SCALAR: ClassVar[str] = "threshold"

    threshold: Annotated[float | None, optional(distance)] = None
