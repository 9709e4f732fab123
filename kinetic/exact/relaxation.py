"""Exact solution of the space-homogeneous BGK equation, d_t f = nu (M[f] - f) / eps."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def relaxed(
    f0: NDArray[np.float64],
    M: NDArray[np.float64],
    time: float,
    knudsen: ArrayLike,
    nu: ArrayLike = 1.0,
) -> NDArray[np.float64]:
    """Return f(t) = M + (f0 - M) exp(-nu t / eps).

    The collision conserves rho, u and T, so M = M[f0] and nu are constant in time.

    Args:
        f0: initial distribution, shape (cells, n).
        M: Maxwellian with the moments of `f0`, shape (cells, n).
        time: t.
        knudsen: eps, a number or shape (cells,).
        nu: collision frequency, a number or shape (cells,).
    """
    decay = np.exp(-time * np.asarray(nu) / np.asarray(knudsen))
    return M + np.atleast_1d(decay)[:, None] * (f0 - M)
