"""Cubic B-splines: partition of unity, adjointness, smoothness, order, constant continuation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from closures.splines import SplineBasis


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(1, 60), st.floats(0.5, 20.0), st.lists(st.floats(-50, 50), min_size=1))
def test_partition_of_unity_everywhere(intervals, extent, nodes):
    B = SplineBasis(extent, intervals).matrix(torch.tensor(nodes, dtype=torch.float64))
    assert B.shape == (len(nodes), intervals + 3)
    assert (B > -1e-40).all()  # an end of the interval may round to beyond it
    assert torch.allclose(B.sum(1), torch.ones(len(nodes), dtype=torch.float64), atol=4e-16)


def test_integrate_is_the_adjoint_of_evaluate():
    basis = SplineBasis()
    c, g, s = 4 * random(7, 90), random(7, 90, seed=1), random(7, basis.size, seed=2)
    left = (basis.integrate(c, g) * s).sum(1)
    right = (g * basis.evaluate(s, c)).sum(1)
    assert torch.allclose(left, right, rtol=1e-13)


def test_matrix_rows_are_the_values_of_each_function():
    basis = SplineBasis(3.0, 5)
    c = torch.linspace(-4, 4, 41, dtype=torch.float64)
    eye = torch.eye(basis.size, dtype=torch.float64)
    values = basis.evaluate(eye, c.expand(basis.size, -1))
    assert torch.allclose(basis.matrix(c), values.T, atol=1e-16)


def test_constant_beyond_the_interval_and_bounded_by_the_coefficients():
    basis, s = SplineBasis(2.0, 9), random(3, 12)
    far, end = (torch.full((3, 1), x, dtype=torch.float64) for x in (1e6, 2.0))
    assert torch.equal(basis.evaluate(s, far), basis.evaluate(s, end))
    inside = basis.evaluate(s, torch.linspace(-3, 3, 500, dtype=torch.float64).expand(3, -1))
    assert (inside.abs().amax(1) <= s.abs().amax(1)).all()


def test_twice_continuously_differentiable():
    basis, s = SplineBasis(2.0, 8), random(1, 11)
    knots = torch.linspace(-2, 2, 9, dtype=torch.float64)[1:-1]

    def second(c):
        c = c[None].requires_grad_()
        (d,) = torch.autograd.grad(basis.evaluate(s, c).sum(), c, create_graph=True)
        return torch.autograd.grad(d.sum(), c)[0]

    assert torch.allclose(second(knots - 1e-9), second(knots + 1e-9), atol=1e-5)


@pytest.mark.parametrize("function", [torch.sin, lambda c: torch.exp(-c * c / 8)])
def test_fourth_order_approximation(function):
    c = torch.linspace(-4, 4, 2001, dtype=torch.float64)
    errors = []
    for intervals in (16, 32, 64):
        B = SplineBasis(4.0, intervals).matrix(c)
        fit = torch.linalg.lstsq(B, function(c)[:, None]).solution
        errors.append(float((B @ fit - function(c)[:, None]).abs().max()))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (orders > 3.8).all()
