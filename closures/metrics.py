"""How far a solution is from its reference: the one error that training, tests and reports state.

    error(q) = ||q - q_ref|| / ||q_ref||,  ||q||^2 = int q^2 dx,  q = rho, rho u, E at the last time

Everything is dimensionless, and an error is a fraction, not a percentage.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: The fields whose errors are stated.
FIELDS = ("density", "momentum", "energy")


def relative_l2(values: ArrayLike, reference: ArrayLike) -> float:
    """Return ||q - q_ref|| / ||q_ref|| over the uniform cells of two arrays of one shape.

    Raises:
        ValueError: the shapes differ.
        ZeroDivisionError: the reference is zero everywhere, so no error is relative to it.
    """
    q, q_ref = np.asarray(values, float), np.asarray(reference, float)
    if q.shape != q_ref.shape:
        raise ValueError(f"shapes {q.shape} and {q_ref.shape} differ")
    return float(np.linalg.norm(q - q_ref)) / float(np.linalg.norm(q_ref))


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
    return {
        name: relative_l2(field(solution, name).isel(time=-1), field(reference, name).isel(time=-1))
        for name in FIELDS
    }


def mean_error(values: Mapping[str, float]) -> float:
    """Return the mean of the errors of the three fields, the number that tables lead with."""
    return sum(values[name] for name in FIELDS) / len(FIELDS)
