"""The limiters on tensors are those of the kinetic solver."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from closures.limiters import LIMITERS
from kinetic.limiters import LIMITERS as KINETIC

each_limiter = pytest.mark.parametrize("name", KINETIC)
numbers = st.one_of(st.just(0.0), st.floats(-2.0, 2.0), st.floats(-1e-9, 1e-9))


def test_the_same_names():
    assert list(LIMITERS) == list(KINETIC)


@each_limiter
@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=1, max_size=50))
def test_the_same_values(name, rows):
    expected = [KINETIC[name](*row) for row in rows]
    columns = torch.tensor(rows, dtype=torch.float64).unbind(1)
    found = LIMITERS[name](*columns).numpy()
    assert np.allclose(found, expected, rtol=1e-13, atol=1e-300)


@each_limiter
def test_derivatives_are_finite_where_nothing_changes(name):
    rows = torch.tensor(
        [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, -1, 0, 0], [1, 1, 0, 0]],
        dtype=torch.float64,
        requires_grad=True,
    )
    LIMITERS[name](*rows.unbind(1)).sum().backward()
    assert torch.isfinite(rows.grad).all()
