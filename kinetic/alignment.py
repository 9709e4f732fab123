"""Arrays that begin where a vector register or a line of the cache does, which NumPy's need not.

What lies across a multiple of `ALIGNMENT` bytes is read and written half as fast.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

ALIGNMENT = 64


def aligned_empty(*shape: int) -> Array:
    """Return a new array that begins at a multiple of `ALIGNMENT`."""
    size, whole = math.prod(shape), ALIGNMENT // 8
    held = np.empty(size + whole)
    first = -held.ctypes.data % ALIGNMENT // 8
    return held[first : first + size].reshape(shape)


def aligned(values: Array) -> Array:
    """Return a C-contiguous copy that begins at a multiple of `ALIGNMENT`."""
    copy = aligned_empty(*values.shape)
    copy[...] = values
    return copy
