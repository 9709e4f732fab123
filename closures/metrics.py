"""How far a solution is from its reference: the one error that training, tests and reports state.

    error(q) = ||q - q_ref|| / ||q_ref||,  ||q||^2 = int q^2 dx,  q = rho, rho u, E at the last time

The momentum of a gas at rest is round-off, of which no error is a share. Where ||rho u|| is below
`ROUND_OFF` of ||sqrt(2 rho E)||, the scale of the momentum of particles, rho sqrt(T) in one
dimension, the error is relative to that scale.

Everything is dimensionless, and an error is a fraction, not a percentage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float64]
Fields = Sequence[ArrayLike] | Array
Numbers = TypeVar("Numbers", Array, "Tensor")

#: The fields whose errors are stated.
FIELDS = ("density", "momentum", "energy")

#: A gas whose momentum is smaller, as a share of that of its particles, is at rest.
ROUND_OFF = 1e-12


def relative_l2(values: ArrayLike, reference: ArrayLike, scale: float = 0.0) -> float:
    """Return ||q - q_ref|| / ||q_ref|| over the uniform cells of two arrays of one shape.

    Args:
        values, reference: q and q_ref.
        scale: what the error is relative to where ||q_ref|| is but round-off of it.

    Raises:
        ValueError: the shapes differ.
        ZeroDivisionError: reference and scale are zero, so no error is relative to them.
    """
    q, q_ref = np.asarray(values, float), np.asarray(reference, float)
    if q.shape != q_ref.shape:
        raise ValueError(f"shapes {q.shape} and {q_ref.shape} differ")
    norm = float(np.linalg.norm(q_ref))
    return float(np.linalg.norm(q - q_ref)) / (scale if norm < ROUND_OFF * scale else norm)


def relative_errors(values: Fields, reference: Fields) -> list[float]:
    """Return the errors of rho, rho u and E, each over the cells.

    Raises:
        ValueError: the shapes of a field differ.
    """
    density, _, energy = (np.asarray(one, float) for one in reference)
    scales = (0.0, math.sqrt(squared_scale(density, energy)), 0.0)
    return [relative_l2(*one) for one in zip(values, reference, scales, strict=True)]


def squared_scale(density: Numbers, energy: Numbers) -> Numbers:
    """Return the squared norm over the cells, the last axis, of sqrt(2 rho E)."""
    return 2.0 * (density * energy).sum(-1)


def field(solution: xr.Dataset, name: str) -> xr.DataArray:
    """Return a variable of a solution, or ``"momentum"``, rho u."""
    return solution.density * solution.velocity if name == "momentum" else solution[name]


def errors(solution: xr.Dataset, reference: xr.Dataset) -> dict[str, float]:
    """Return the error of each of `FIELDS` at the last time.

    Raises:
        ValueError: cells or last times of the two differ.
    """
    same_cells = solution.sizes["x"] == reference.sizes["x"]
    if not (same_cells and np.allclose(solution.x, reference.x, rtol=0.0, atol=1e-9)):
        raise ValueError("solution and reference have different cells")
    end, end_ref = float(solution.time[-1]), float(reference.time[-1])
    if not np.isclose(end, end_ref, rtol=1e-9, atol=0.0):
        raise ValueError(f"solution and reference end at different times, {end:g} and {end_ref:g}")
    values, at_end = (
        [field(one, name).isel(time=-1) for name in FIELDS] for one in (solution, reference)
    )
    return dict(zip(FIELDS, relative_errors(values, at_end), strict=True))


def mean_error(values: Mapping[str, float]) -> float:
    """Return the mean of the errors of the three fields, the number that tables lead with."""
    return sum(values[name] for name in FIELDS) / len(FIELDS)
