"""Galilean invariance: a boost changes the solution by discretisation error alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from moment_cases import CLOSURES, closure_of, conserved, each_closure, mixture, solve_all, start

from closures.batch import Batch, Task
from closures.finite_volume import Scheme
from closures.solution import initial_moments
from kinetic.collisions import BGK

TIME = 0.1
#: Boosts that move the gas by whole cells in the time of the run.
STEP = 1.0 / (TIME * 12)


def unboosted(U, u0):
    """U (cells, 3) seen by one who moves with u0, shifted back by u0 t."""
    rho, momentum, energy = np.roll(U, -round(u0 * TIME * len(U)), axis=0).T
    return np.stack((rho, momentum - rho * u0, energy - momentum * u0 + 0.5 * rho * u0**2), axis=1)


def changes(name, cells, boosts, knudsen=(0.1,), **scheme):
    """Mean relative change of the solution by each boost, (knudsen, boosts)."""
    states = [mixture(cells, eps, u0) for eps in knudsen for u0 in (0.0, *boosts)]
    found = iter(conserved(run)[-1] for run in solve_all(name, states, end=TIME, **scheme))
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


def fully_refined_change(cells, nodes, quadrature):
    """Change by one boost of the compiled entropy-6, its quadratures as fine as its cells.

    nodes: of a half range, whose nodes see the knots of w move with the boost; quadrature: of a
    cell, whose frame moves less in a step at rest.
    """
    closure = closure_of("entropy-6-fast")
    closure = replace(closure, nodes=quadrature)
    states = [mixture(cells), mixture(cells, boost=STEP)]
    parts = [initial_moments(closure, state) for state in states]
    U, W = (torch.cat(part) for part in zip(*parts, strict=True))
    task = Task(closure, BGK(), "periodic", Scheme(nodes=nodes))
    with torch.no_grad():
        batch = Batch(task, states, U, W)
        batch.advance(TIME)
    still, moved = (conserved(record.result(task))[-1] for record in batch.records)
    return np.abs(still - unboosted(moved, STEP)).mean() / np.abs(still).mean()


def test_change_by_a_boost_vanishes_with_cells_and_quadrature():
    # Third order in space, then the second order in time shows: 3.0e-5, 1.8e-6, 3.7e-7, and on 324
    # cells 1.6e-7. With 32 nodes throughout the change stays above 5e-6.
    levels = ((36, 64, 49), (108, 128, 97), (216, 256, 97))
    coarse, middle, fine = (fully_refined_change(*level) for level in levels)
    assert np.log(coarse / middle) / np.log(3.0) > 2.4
    assert np.log(middle / fine) / np.log(2.0) > 2.1
    assert fine < 5e-7


def test_change_of_grads_closure_on_finer_grids():
    # Its functions have no knots. Steps are short, so that the third order in space shows.
    coarse, fine = (changes("hermite-3", cells, [STEP], cfl=0.2).item() for cells in (24, 72))
    assert np.log(coarse / fine) / np.log(3.0) > 2.5


@settings(max_examples=3, phases=[Phase.generate])
@given(st.lists(st.integers(-4, 4).filter(bool), min_size=3, max_size=3), st.floats(-3, 1))
def test_any_boost(steps, power):
    boosts = [n * STEP for n in steps]
    coarse, fine = (changes("entropy-6-fast", cells, boosts, [10.0**power]) for cells in (12, 36))
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
