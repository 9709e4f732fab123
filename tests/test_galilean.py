"""Galilean invariance: a boost changes the solution by discretisation error alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from moment_cases import CLOSURES, closure_of, conserved, each_closure, mixture, solve_one, start

TIME = 0.1
CELLS = (12, 36, 108)
#: Boosts that move the gas by whole cells in the time of the run.
STEP = 1.0 / (TIME * CELLS[0])


def unboosted(U, u0):
    """U (cells, 3) seen by one who moves with u0, shifted back by u0 t."""
    rho, momentum, energy = np.roll(U, -round(u0 * TIME * len(U)), axis=0).T
    return np.stack((rho, momentum - rho * u0, energy - momentum * u0 + 0.5 * rho * u0**2), axis=1)


def change(name, cells, u0, eps):
    """Mean relative change of the solution by a boost."""
    still = conserved(solve_one(name, mixture(cells, eps), end=TIME))[-1]
    moved = conserved(solve_one(name, mixture(cells, eps, u0), end=TIME))[-1]
    return np.abs(unboosted(moved, u0) - still).mean() / np.abs(still).mean()


@each_closure
@pytest.mark.parametrize(("steps", "eps"), [(1, 0.1), (-3, 1.0), (2, 1e-3)])
def test_change_by_a_boost_vanishes_with_refinement(name, steps, eps):
    changes = np.array([change(name, cells, steps * STEP, eps) for cells in CELLS[:2]])
    assert changes[1] < 2e-3
    assert np.log(changes[0] / changes[1]) / np.log(3.0) > 1.9


@pytest.mark.parametrize("name", ["hermite-3", "entropy-6"])
def test_order_of_the_change_on_finer_grids(name):
    changes = np.array([change(name, cells, STEP, 0.1) for cells in CELLS])
    assert changes[2] < 2e-5
    assert np.log(changes[1] / changes[2]) / np.log(3.0) > 2.5


@pytest.mark.parametrize("name", ["navier_stokes", "hermite-6", "entropy-9"])
@settings(max_examples=5)
@given(st.integers(-6, 6).filter(bool))
def test_any_boost(name, steps):
    changes = np.array([change(name, cells, steps * STEP, 0.1) for cells in CELLS[:2]])
    assert np.log(changes[0] / changes[1]) / np.log(3.0) > 1.8


@pytest.mark.parametrize("name", [n for n in CLOSURES if closure_of(n).moments])
@given(st.floats(-50, 50), st.floats(0.1, 10), st.floats(0.1, 10))
@settings(max_examples=20)
def test_moments_do_not_see_velocity_density_or_units(name, u0, scale, stretch):
    # m of f is that of f boosted, multiplied, and with v measured in other units.
    closure = closure_of(name)
    state = mixture(5)
    _, now = start(closure, [state])
    components = tuple(
        (scale * rho, stretch * u + u0, stretch**2 * T) for rho, u, T in state.components
    )
    moved = type(state)(state.x, state.knudsen, components)
    _, then = start(closure, [moved])
    size = closure.features.matrix(torch.linspace(-6, 6, 99, dtype=torch.float64)).abs().max()
    assert (then.m - now.m).abs().max() < 1e-12 * float(size) * (1 + abs(u0) / stretch) ** 2
