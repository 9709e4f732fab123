"""The grids: symmetric nodes, ghost cells, and states that a velocity grid can or cannot hold."""

from __future__ import annotations

import re

import numpy as np
import pytest

from kinetic.errors import InvalidInput
from kinetic.maxwellian import discrete_maxwellian, maxwellian
from kinetic.moments import conserved
from kinetic.space import SpaceGrid, ghosted_rows
from kinetic.velocity import VelocityGrid


@pytest.mark.parametrize("points", [8, 48, 81])
def test_nodes_are_uniform_and_antisymmetric_to_the_last_bit(points):
    grid = VelocityGrid(points, 7.3)
    assert grid.nodes.shape == (points,)
    assert np.array_equal(grid.nodes, -grid.nodes[::-1])
    assert np.allclose(np.diff(grid.nodes), grid.spacing, rtol=1e-13)
    assert np.isclose(grid.nodes[-1], 7.3, rtol=1e-15)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"points": 7}, "velocity.points"),
        ({"points": 8.5}, "velocity.points"),
        ({"extent": 0.0}, "velocity.extent"),
        ({"extent": float("nan")}, "velocity.extent"),
        ({"dim": 4}, "velocity.dim"),
    ],
)
def test_bad_grids_are_refused(options, key):
    with pytest.raises(InvalidInput) as caught:
        VelocityGrid(**options)
    assert caught.value.key == key


@pytest.mark.parametrize("state", [(1.0, 0.0, 2.0), (0.1, 3.0, 0.04), (2.0, -3.0, 1.0)])
def test_states_that_pass_are_integrated_as_well_as_claimed(state):
    grid = VelocityGrid()
    grid.check_resolution(*state)
    mass = np.sum(maxwellian(*state, grid.nodes)) * grid.spacing
    assert mass == pytest.approx(state[0], rel=6e-7)


@pytest.mark.parametrize("state", [(1.0, 0.0, 3.0), (1.0, -6.0, 1.0), (1.0, 0.0, 0.01)])
def test_states_that_fail_name_a_grid_that_passes(state):
    with pytest.raises(InvalidInput, match=r"^velocity=\(points=81, extent=8\)") as caught:
        VelocityGrid().check_resolution(*state)
    remedy = re.search(r"extent=(\S+) and velocity.points=(\d+) do", str(caught.value))
    VelocityGrid(int(remedy[2]), float(remedy[1])).check_resolution(*state)


@pytest.mark.parametrize(
    ("state", "key"),
    [
        ((0.0, 0.0, 1.0), "density"),
        ((1.0, 0.0, -1.0), "temperature"),
        ((1.0, np.inf, 1.0), "velocity"),
        ((np.nan, 0.0, 1.0), "density"),
    ],
)
def test_unphysical_states_are_refused(state, key):
    with pytest.raises(InvalidInput) as caught:
        VelocityGrid().check_resolution(*state)
    assert caught.value.key == key


def test_space_grid():
    space = SpaceGrid(5)
    assert np.allclose(space.centers, [0.1, 0.3, 0.5, 0.7, 0.9])
    assert space.dx == 0.2
    for cells in (3, 10.5, True):
        with pytest.raises(InvalidInput, match="cells"):
            SpaceGrid(cells)


def test_ghost_cells():
    assert list(ghosted_rows(4, "periodic")) == [1, 2, 3, 0, 1, 2, 3, 0, 1, 2]
    assert list(ghosted_rows(4, "outflow")) == [0, 0, 0, 0, 1, 2, 3, 3, 3, 3]
    with pytest.raises(InvalidInput, match="did you mean 'periodic'"):
        ghosted_rows(4, "periodical")


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_sums_over_columns_are_moments_in_every_dimension(dim):
    grid = VelocityGrid(40, 8.0, dim)
    assert grid.columns == np.prod(grid.shape) == len(grid.along)
    assert np.all(np.diff(grid.along) >= 0.0)
    M = discrete_maxwellian(conserved(1.3, 0.4, 0.9, dim), grid)[0]
    rho, across = (grid.volume * weight @ M for weight in (grid.mass, grid.transverse))
    assert rho == pytest.approx(1.3, rel=1e-13)
    assert across == pytest.approx(1.3 * (dim - 1) * 0.9, abs=1e-12)


def test_the_grid_that_is_proposed_in_two_dimensions_has_an_even_number_of_points():
    with pytest.raises(InvalidInput) as caught:
        VelocityGrid(32, 9.2, 2).check_resolution(1.0, 0.0, [0.25, 1.0])
    points = int(re.search(r"velocity.points=(\d+) do", str(caught.value))[1])
    assert points % 2 == 0
    VelocityGrid(points, 9.2, 2).check_resolution(1.0, 0.0, [0.25, 1.0])
