"""Invariants of the solver on random data: conservation, positivity, and their drift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetic.collisions import BGK, FREQUENCIES
from kinetic.imex import TABLEAUX
from kinetic.limiters import LIMITERS
from kinetic.maxwellian import maxwellian
from kinetic.moments import moments_of
from kinetic.solver import Scheme, Solver
from kinetic.space import SpaceGrid
from kinetic.velocity import VelocityGrid

GRID = VelocityGrid(41, 6.0)


def totals(f):
    return moments_of(f, GRID).sum(axis=0)


def relative_drift(f0, f):
    """Change of mass, momentum and energy; momentum against sqrt(2 rho E), its bound."""
    before, after = totals(f0), totals(f)
    scale = np.array([before[0], np.sqrt(2.0 * before[0] * before[2]), before[2]])
    return np.max(np.abs(after - before) / scale)


@st.composite
def problems(draw, schemes):
    """A solver and f0: two random Maxwellians a cell, eps random in 1e-8..10 in every cell."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cells = draw(st.integers(4, 20))
    low, high = sorted(draw(st.tuples(st.floats(-8.0, 1.0), st.floats(-8.0, 1.0))))
    f0 = sum(
        maxwellian(
            rng.uniform(0.1, 2.0, (cells, 1)),
            rng.uniform(-1.0, 1.0, (cells, 1)),
            rng.uniform(0.2, 1.2, (cells, 1)),
            GRID.nodes,
        )
        for _ in range(2)
    )
    solver = Solver(
        GRID,
        SpaceGrid(cells),
        10.0 ** rng.uniform(low, high, cells),
        BGK(draw(st.sampled_from(sorted(FREQUENCIES)))),
        scheme=Scheme(draw(schemes), draw(st.sampled_from(sorted(LIMITERS)))),
    )
    return solver, f0


@settings(max_examples=60, deadline=None)
@given(problems(st.sampled_from(sorted(TABLEAUX))))
def test_mass_momentum_and_energy_are_conserved(problem):
    solver, f0 = problem
    *_, last = solver.evolve(f0, end=0.05, snapshots=2)
    assert relative_drift(f0, last.f) < 1e-13


@settings(max_examples=60, deadline=None)
@given(problems(st.just("hsz2")))
def test_default_scheme_keeps_f_non_negative(problem):
    solver, f0 = problem
    f0 = np.where(f0 < 1e-3, 0.0, f0)
    for snapshot in solver.evolve(f0, end=0.02, snapshots=6):
        assert np.min(snapshot.f) >= 0.0


@pytest.mark.parametrize("eps", [1e-8, 1e-6, 1e-2, 1.0])
def test_drift_stays_at_round_off_over_thousands_of_steps(eps):
    space = SpaceGrid(50)
    s = np.sin(2.0 * np.pi * space.centers)[:, None]
    f0 = maxwellian(1.0 + 0.3 * s, 0.2, 0.8 - 0.2 * s, GRID.nodes)
    *_, last = Solver(GRID, space, np.full(50, eps)).evolve(f0, end=4.0, snapshots=2)
    assert last.steps == 3000
    assert relative_drift(f0, last.f) < 2e-13
