"""Moments: round trips and the closed forms of a Maxwellian."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinetic.maxwellian import maxwellian
from kinetic.moments import conserved, entropy, heat_flux, moments_of, primitive
from kinetic.velocity import VelocityGrid

GRID = VelocityGrid()
densities = st.floats(1e-3, 1e3)
speeds = st.floats(-2.0, 2.0)
temperatures = st.floats(0.1, 1.2)


@given(densities, speeds, temperatures, st.sampled_from([1, 2, 3]))
def test_conserved_and_primitive_are_inverse(rho, u, T, dim):
    back = primitive(conserved(rho, u, T, dim), dim)
    # T is what is left of the energy once the kinetic part is subtracted.
    scale = T + u**2
    assert np.allclose(back, (rho, u, T), rtol=1e-15, atol=4e-16 * scale)


@pytest.mark.parametrize("state", [(1.0, 0.0, 1.0), (0.3, 0.7, 0.4), (2.0, -1.1, 0.6)])
def test_moments_of_a_maxwellian(state):
    rho, _, T = state
    f = maxwellian(*state, GRID.nodes)
    assert np.allclose(moments_of(f, GRID), conserved(*state), rtol=1e-12)
    assert abs(heat_flux(f, GRID)) < 1e-12
    assert entropy(f, GRID) == pytest.approx(rho * (np.log(rho / np.sqrt(2 * np.pi * T)) - 0.5))


def test_heat_flux_of_two_beams():
    # A light beam of weight a at speed s and the rest at -a s / (1 - a): the third central moment.
    weights, speeds = np.array([0.2, 0.8]), np.array([1.6, -0.4])
    f = sum(w * maxwellian(1.0, s, 0.3, GRID.nodes) for w, s in zip(weights, speeds, strict=True))
    assert heat_flux(f, GRID) == pytest.approx(0.5 * np.sum(weights * speeds**3), rel=1e-11)


def test_entropy_of_zero_is_zero():
    assert entropy(np.zeros(GRID.points), GRID) == 0.0


def test_moments_keep_leading_axes():
    f = maxwellian(np.ones((3, 4, 1)), 0.0, 1.0, GRID.nodes)
    assert moments_of(f, GRID).shape == (3, 4, 3)
    assert heat_flux(f, GRID).shape == entropy(f, GRID).shape == (3, 4)
