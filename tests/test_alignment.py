"""Arrays that kernels stream through begin at lines of the cache."""

from __future__ import annotations

import numpy as np
import pytest

from kinetic.alignment import ALIGNMENT, aligned, aligned_empty


@pytest.mark.parametrize("shape", [(0,), (1,), (81,), (3, 100, 81), (2, 0, 5)])
def test_new_arrays_are_aligned(shape):
    held = [aligned_empty(*shape) for _ in range(20)]
    assert all(one.shape == shape and one.flags.c_contiguous for one in held)
    assert all(one.ctypes.data % ALIGNMENT == 0 for one in held if one.size)


def test_copies_hold_the_same_numbers_and_are_their_own():
    values = np.arange(24.0).reshape(4, 6)[:, ::2]
    copy = aligned(values)
    assert np.array_equal(copy, values)
    assert copy.ctypes.data % ALIGNMENT == 0
    assert not np.shares_memory(copy, values)
