"""Galilean invariance: a boost changes the solution by discretisation error alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from moment_cases import CLOSURES, closure_of, conserved, each_closure, mixture, solve_all, start

TIME = 0.1
#: Boosts that move the gas by whole cells in the time of the run.
STEP = 1.0 / (TIME * 12)


def unboosted(U, u0):
    """U (cells, 3) seen by one who moves with u0, shifted back by u0 t."""
    rho, momentum, energy = np.roll(U, -round(u0 * TIME * len(U)), axis=0).T
    return np.stack((rho, momentum - rho * u0, energy - momentum * u0 + 0.5 * rho * u0**2), axis=1)


def changes(name, cells, boosts, knudsen=(0.1,)):
    """Mean relative change of the solution by each boost, (knudsen, boosts)."""
    states = [mixture(cells, eps, u0) for eps in knudsen for u0 in (0.0, *boosts)]
    found = iter(conserved(run)[-1] for run in solve_all(name, states, end=TIME))
    table = []
    for _ in knudsen:
        still = next(found)
        moved = [unboosted(next(found), u0) for u0 in boosts]
        table.append([np.abs(one - still).mean() / np.abs(still).mean() for one in moved])
    return np.array(table)


@each_closure
def test_change_by_a_boost_vanishes_with_refinement(name):
    boosts, knudsen = (STEP, -3 * STEP, 5 * STEP), (1e-3, 0.1, 1.0)
    coarse, fine = (changes(name, cells, boosts, knudsen) for cells in (12, 36))
    assert fine.max() < 2e-3
    assert (np.log(coarse / fine) / np.log(3.0)).min() > 1.9


@pytest.mark.parametrize("name", ["hermite-3", "entropy-6"])
def test_change_on_a_finer_grid(name):
    # Third order, until the quadrature of the half ranges shows, whose nodes are not boosted.
    coarse, fine = (changes(name, cells, [STEP]).item() for cells in (36, 108))
    assert fine < 2e-6 if name == "hermite-3" else fine < 1.5e-5
    assert fine < coarse / 3.0


@settings(max_examples=3, phases=[Phase.generate])
@given(st.lists(st.integers(-4, 4).filter(bool), min_size=3, max_size=3), st.floats(-3, 1))
def test_any_boost(steps, power):
    boosts = [n * STEP for n in steps]
    coarse, fine = (changes("entropy-6", cells, boosts, [10.0**power]) for cells in (12, 36))
    assert (np.log(coarse / fine) / np.log(3.0)).min() > 1.7


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
