"""Relaxation operators in one, two and three dimensions: what they keep and at what rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinetic.collisions import BGK, EllipsoidalBGK, Shakhov
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.moments import Array, entropy, heat_flux, moments_of, stress
from kinetic.problems import problem
from kinetic.velocity import VelocityGrid

CELLS = 8
CASES = [
    (operator, dim)
    for dim in (1, 2, 3)
    for operator in (
        BGK("density"),
        EllipsoidalBGK("power"),
        EllipsoidalBGK(prandtl=0.9),
        Shakhov("power"),
        Shakhov(prandtl=0.4),
    )
    if not (dim == 1 and isinstance(operator, EllipsoidalBGK))
]


def disturbed(dim: int) -> tuple[VelocityGrid, Array]:
    """Return a grid, and distributions on it with stress and heat flux."""
    grid = VelocityGrid(32, 7.5, dim)
    f = problem("mix", seed=3, cells=CELLS).on_grid(grid)
    return grid, 0.6 * f + 0.4 * np.roll(f, 2, axis=0)


def relaxed(operator: BGK, grid: VelocityGrid, f: Array, step: float, correction: float) -> Array:
    g = f.copy()
    operator.relaxation(grid, np.ones(CELLS))(g, step, correction, 0.0)
    return g


@pytest.mark.parametrize(("operator", "dim"), CASES)
@given(step=st.floats(0.0, 1e8), correction=st.floats(0.0, 1e8))
def test_moments_are_kept_and_stress_and_heat_flux_relax_at_their_rates(
    operator: BGK, dim: int, step: float, correction: float
) -> None:
    grid, f = disturbed(dim)
    g = relaxed(operator, grid, f, step, correction)
    U = moments_of(f, grid)
    assert np.abs(moments_of(g, grid) - U).max() < 1e-14 * np.abs(U).max()
    T = 2.0 * (U[:, 2] / U[:, 0] - 0.5 * (U[:, 1] / U[:, 0]) ** 2) / dim
    nu = operator.nu(U[:, 0], T)
    _, *rates = operator.rates(dim)
    for moment, rate, accuracy in zip((stress, heat_flux), rates, (3e-8, 1e-6), strict=True):
        keep = 1.0 / ((1.0 + step * rate * nu) * (1.0 + correction * (rate * nu) ** 2))
        before = moment(f, grid)
        assert np.abs(moment(g, grid) - keep * before).max() <= accuracy * np.abs(before).max()


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_prandtl_number_of_one_is_bgk(dim: int) -> None:
    grid, f = disturbed(dim)
    expected = relaxed(BGK(), grid, f, 0.7, 0.1)
    for operator in (Shakhov(prandtl=1.0), EllipsoidalBGK(prandtl=1.0))[: 1 if dim == 1 else 2]:
        np.testing.assert_allclose(relaxed(operator, grid, f, 0.7, 0.1), expected, atol=1e-15)


@pytest.mark.parametrize(("operator", "dim"), CASES)
def test_entropy_does_not_grow_where_f_stays_positive(operator: BGK, dim: int) -> None:
    grid, f = disturbed(dim)
    g = relaxed(operator, grid, f, 0.5, 0.0)
    assert operator.keeps_positive <= bool(np.all(g >= 0.0))
    assert np.all(entropy(g, grid) <= entropy(f, grid) + 1e-14)


@pytest.mark.parametrize("prandtl", [0.5, 0.8])
def test_the_gaussian_of_strong_stress_is_a_distribution(prandtl: float) -> None:
    grid = VelocityGrid(48, 8.0, 2)
    hot, cold = (np.exp(-0.5 * grid.nodes**2 / T) / np.sqrt(T) for T in (1.8, 0.2))
    f = np.tile(np.outer(hot, cold).ravel(), (CELLS, 1))
    for correction in (0.0, 0.1, 1e6):
        g = relaxed(EllipsoidalBGK(prandtl=prandtl), grid, f, 0.5, correction)
        assert np.all(g >= 0.0)
        assert np.allclose(moments_of(g, grid), moments_of(f, grid), rtol=1e-13)


def test_what_an_operator_cannot_do_is_refused() -> None:
    for operator, dim, key in (
        (EllipsoidalBGK(), 1, "velocity.dim"),
        (EllipsoidalBGK(prandtl=0.6), 3, "collision.prandtl"),
        (EllipsoidalBGK(prandtl=0.4), 2, "collision.prandtl"),
    ):
        with pytest.raises(InvalidInput) as caught:
            operator.relaxation(VelocityGrid(16, 5.0, dim), np.ones(4))
        assert caught.value.key == key


@pytest.mark.parametrize("dim", [2, 3])
def test_a_cell_without_equilibrium_is_named(dim: int) -> None:
    grid, f = disturbed(dim)
    f[5] = -f[5]
    with pytest.raises(NonPhysicalState) as caught:
        BGK().relaxation(grid, np.ones(CELLS))(f, 1.0, 0.0, 0.25)
    assert (caught.value.cell, caught.value.time) == (5, 0.25)
