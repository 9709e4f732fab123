"""The discrete Maxwellian: exact moments, its limit, symmetries, and states that have none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinetic.errors import NonPhysicalState
from kinetic.maxwellian import discrete_maxwellian, maxwellian
from kinetic.moments import conserved, moments_of
from kinetic.velocity import VelocityGrid

GRID = VelocityGrid()


def assert_exact(U, grid):
    M = discrete_maxwellian(U, grid)
    defect = np.abs(moments_of(M, grid) - U)
    assert np.all(M >= 0.0)
    # Momentum is measured against sqrt(2 rho E), which bounds it.
    scale = np.stack([U[:, 0], np.sqrt(2.0 * U[:, 0] * U[:, 2]), U[:, 2]], axis=-1)
    assert np.max(defect / scale) < 2e-15


@given(st.floats(1e-6, 1e6), st.floats(-4.0, 4.0), st.floats(0.02, 3.0))
def test_moments_are_exact_from_coarse_spacing_to_cut_tails(rho, u, T):
    assert_exact(conserved([rho], u, T), GRID)


@pytest.mark.parametrize("points", [9, 12, 33])
def test_moments_are_exact_on_coarse_grids(points):
    T = np.linspace(0.4, 2.0, 30) * VelocityGrid(points, 4.0).spacing ** 2
    assert_exact(conserved(1.0, 0.3, T[T < 1.5]), VelocityGrid(points, 4.0))


@pytest.mark.parametrize("points", [81, 161, 401])
def test_equals_the_continuous_maxwellian_where_the_grid_resolves_it(points):
    grid = VelocityGrid(points, 10.0)
    state = np.array([0.5, 2.0]), np.array([0.3, -1.0]), np.array([1.0, 0.7])
    M = discrete_maxwellian(conserved(*state), grid)
    exact = maxwellian(*(a[:, None] for a in state), grid.nodes)
    assert np.max(np.abs(M - exact)) < 1e-14
    # The tails too are right in relative terms, to the round-off of the recurrence.
    assert np.max(np.abs(M / exact - 1.0)) < 1e-10


@given(st.integers(-8, 8), st.floats(0.2, 0.5))
def test_boost_by_nodes_shifts_and_reflection_reverses(shift, T):
    M = discrete_maxwellian(conserved(1.0, 0.05, T), GRID)[0]
    boosted = discrete_maxwellian(conserved(1.0, 0.05 + shift * GRID.spacing, T), GRID)[0]
    assert np.allclose(boosted, np.roll(M, shift), rtol=0.0, atol=5e-15)
    mirrored = discrete_maxwellian(conserved(1.0, -0.05, T), GRID)[0]
    assert np.allclose(mirrored[::-1], M, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("state", [(1.0, 0.0, -1.0), (-1.0, 0.0, 1.0), (np.nan, 0.0, 1.0)])
def test_unphysical_states_are_refused_with_their_cell(state):
    U = np.stack([conserved(1.0, 0.0, 1.0), conserved(*state)])
    with pytest.raises(NonPhysicalState) as caught:
        discrete_maxwellian(U, GRID, time=0.5)
    assert (caught.value.cell, caught.value.time) == (1, 0.5)


@pytest.mark.parametrize("state", [(1.0, 0.1, 1e-4), (1.0, 9.0, 1.0)])
def test_states_outside_of_what_the_nodes_can_hold_are_refused(state):
    # Midway between two nodes T is at least dv^2 / 4; no mean lies beyond the last node.
    with pytest.raises(NonPhysicalState):
        discrete_maxwellian(conserved(*state), GRID)
