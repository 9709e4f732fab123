"""Heat conduction: decay of a mode, order in space and time, conservation, large steps."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from closures.conduction import conduct, conducted_heat
from closures.tridiagonal import solve_dominant

KAPPA = 0.02
boundaries = pytest.mark.parametrize("boundary", ["periodic", "outflow"])


def gas(T, rho=1.0, u=0.0):
    T = torch.as_tensor(T, dtype=torch.float64)
    one = torch.ones_like(T)
    return torch.stack((rho * one, rho * u * one, 0.5 * rho * (T + u * u)), dim=-1)


def temperature(U):
    rho, momentum, energy = U.unbind(-1)
    return 2 * energy / rho - (momentum / rho) ** 2


def constant(rho, T):
    return KAPPA * torch.ones_like(T)


def run(T, end, steps, boundary="periodic", kappa=constant, **state):
    U = gas(T[None], **state)
    dt = torch.tensor([end / steps], dtype=torch.float64)
    for _ in range(steps):
        U = conduct(U, kappa, dt, 1.0 / T.size, boundary)
    return U


def mode(cells, k=1):
    x = (np.arange(cells) + 0.5) / cells
    return 1.0 + 0.1 * np.sin(2 * np.pi * k * x)


def test_a_mode_decays_at_the_exact_rate_to_second_order():
    # rho/2 d_t T = kappa d_xx T.
    end, errors = 0.5, []
    for cells, steps in ((20, 5), (40, 10), (80, 20)):
        exact = 1.0 + np.exp(-2 * KAPPA * (2 * np.pi) ** 2 * end) * (mode(cells) - 1.0)
        found = temperature(run(mode(cells), end, steps, u=0.3))[0].numpy()
        errors.append(np.abs(found - exact).max())
    assert errors[-1] < 2e-5
    assert (np.log2(np.array(errors[:-1]) / errors[1:]) > 1.9).all()


@boundaries
def test_second_order_in_time_with_a_conductivity_that_varies(boundary):
    def kappa(rho, T):
        return 0.2 * rho * T**2

    results = [temperature(run(mode(30), 0.1, n, boundary, kappa)) for n in (4, 8, 16, 128)]
    errors = [float((T - results[-1]).abs().max()) for T in results[:-1]]
    assert (np.log2(np.array(errors[:-1]) / errors[1:]) > 1.85).all()


@settings(max_examples=50)
@given(st.integers(4, 60), st.floats(-6, 8), st.booleans(), st.integers(0, 2**31))
def test_energy_is_conserved_and_temperature_positive_for_any_step(cells, power, periodic, seed):
    rng = np.random.default_rng(seed)
    U = gas(rng.uniform(0.1, 3.0, (2, cells)), rng.uniform(0.1, 2.0), rng.uniform(-1, 1))
    dt = torch.tensor([1e-3, 0.1], dtype=torch.float64)
    after = conduct(
        U, lambda rho, T: 10.0**power * T, dt, 1.0 / cells, "periodic" if periodic else "outflow"
    )
    assert torch.equal(after[..., :2], U[..., :2])
    drift = (after[..., 2].sum(1) - U[..., 2].sum(1)).abs() / U[..., 2].sum(1)
    assert drift.max() < 1e-13
    assert temperature(after).mean() == pytest.approx(float(temperature(U).mean()), rel=1e-12)


@boundaries
def test_huge_conductivity_makes_the_temperature_uniform(boundary):
    after = temperature(run(mode(25), 1.0, 3, boundary, lambda rho, T: 1e8 * T))
    assert (after - 1.0).abs().max() < 1e-6


@boundaries
def test_no_heat_where_nothing_varies_or_at_an_open_end(boundary):
    T = torch.full((1, 9), 0.7, dtype=torch.float64)
    assert (conducted_heat(T, T, 0.1, boundary) == 0.0).all()
    slope = torch.linspace(1, 2, 9, dtype=torch.float64)[None]
    q = conducted_heat(torch.ones_like(slope), slope, 0.125, boundary)
    assert torch.allclose(q[:, 1:-1], torch.full((1, 8), -1.0, dtype=torch.float64))
    if boundary == "outflow":
        assert (q[:, [0, -1]] == 0.0).all()


@given(st.integers(2, 9), st.floats(-8, 12), st.booleans(), st.integers(0, 2**31))
def test_dominant_systems_are_solved_to_all_digits(cells, power, periodic, seed):
    rng = np.random.default_rng(seed)
    before, after = 10.0**power * rng.uniform(0, 1, (2, 3, cells))
    if not periodic:
        before[:, 0] = after[:, -1] = 0.0
    excess, b = rng.uniform(0.1, 1.0, (2, 3, cells))
    arguments = [torch.as_tensor(a) for a in (excess, before, after, b)]
    found = solve_dominant(*arguments).numpy()
    for row in range(3):
        exact = exact_solution(*(a[row] for a in (excess, before, after, b)))
        assert np.abs(found[row] / exact - 1.0).max() < 1e-13


def exact_solution(excess, before, after, b):
    """The same by elimination in rational numbers."""
    n = len(b)
    matrix = [[Fraction(0)] * n + [Fraction(float(b[j]))] for j in range(n)]
    for j in range(n):
        e, low, high = (Fraction(float(a[j])) for a in (excess, before, after))
        matrix[j][j] += e + low + high
        matrix[j][(j - 1) % n] -= low
        matrix[j][(j + 1) % n] -= high
    for j in range(n):
        for i in range(n):
            if i != j and matrix[i][j]:
                share = matrix[i][j] / matrix[j][j]
                matrix[i] = [a - share * p for a, p in zip(matrix[i], matrix[j], strict=True)]
    return np.array([float(row[n] / row[j]) for j, row in enumerate(matrix)])
