"""Boltzmann's operator in three velocity dimensions against exact results for Maxwell molecules."""

from __future__ import annotations

import numpy as np
import pytest

import kinetic
from kinetic.errors import InvalidInput
from kinetic.exact import HEAT_FLUX_RATE_3D, STRESS_RATE_3D, bkw_3d, bkw_3d_rate
from kinetic.moments import Array

OPERATOR = kinetic.boltzmann_operator_3d(24, 6.4)


def gas(rho: float, u: tuple[float, float, float], T: tuple[float, float, float]) -> Array:
    """Return a Gaussian of density rho, velocity u and temperatures T along the axes."""
    exponent = sum((v - a) ** 2 / b for v, a, b in zip(OPERATOR.velocities, u, T, strict=True))
    return rho / np.sqrt((2.0 * np.pi) ** 3 * np.prod(T)) * np.exp(-0.5 * np.asarray(exponent))


FLOW = gas(0.6, (0.7, 0.2, -0.3), (0.8, 1.1, 0.9)) + gas(0.5, (-0.6, 0.1, 0.4), (1.2, 0.9, 1.0))


def integral(f: Array) -> float:
    return float(f.sum() * OPERATOR.axis.spacing**3)


@pytest.mark.parametrize("time", [0.0, 2.0])
def test_bkw_relaxes_at_its_rate(time: float) -> None:
    operator = kinetic.boltzmann_operator_3d(32, angles=4)
    speed = np.sqrt(sum(v**2 for v in operator.velocities))
    exact = bkw_3d_rate(speed, time)
    Q = operator(bkw_3d(speed, time)[None])[0]
    assert np.linalg.norm(Q - exact) < 1e-5 * np.linalg.norm(exact)


def test_the_rate_of_bkw_is_its_derivative() -> None:
    speed, h = np.linspace(0.0, 6.0, 50), 1e-3
    difference = (bkw_3d(speed, 1.0 + h) - bkw_3d(speed, 1.0 - h)) / (2.0 * h)
    np.testing.assert_allclose(bkw_3d_rate(speed, 1.0), difference, rtol=1e-5, atol=1e-10)
    assert np.min(bkw_3d(speed, 0.0)) >= 0.0
    with pytest.raises(InvalidInput):
        bkw_3d(speed, -0.1)


def test_mass_momentum_and_energy_are_conserved_to_round_off() -> None:
    Q, v = OPERATOR(FLOW[None])[0], OPERATOR.velocities
    for phi in (np.ones_like(FLOW), *v, sum(one**2 for one in v)):
        assert abs(integral(phi * Q)) < 1e-14


def test_stress_and_heat_flux_relax_at_the_exact_rates() -> None:
    rho = integral(FLOW)
    c = [v - integral(v * FLOW) / rho for v in OPERATOR.velocities]
    square = sum(one**2 for one in c)
    Q = OPERATOR(FLOW[None])[0]
    for i in range(3):
        deviator, flux = c[i] ** 2 - square / 3.0, 0.5 * c[i] * square
        rate = -STRESS_RATE_3D * rho * integral(deviator * FLOW)
        assert integral(deviator * Q) == pytest.approx(rate, abs=2e-3)
        rate = -HEAT_FLUX_RATE_3D * rho * integral(flux * FLOW)
        assert integral(flux * Q) == pytest.approx(rate, abs=2e-3)


def test_nothing_happens_in_equilibrium_and_reflections_commute() -> None:
    one = (1.0, 1.0, 1.0)
    assert np.abs(OPERATOR(gas(1.0, (0.0, 0.0, 0.0), one)[None])).max() < 1e-5
    Q, mirrored = OPERATOR(np.stack([FLOW, FLOW[::-1, ::-1, ::-1]]))
    assert np.abs(Q[::-1, ::-1, ::-1] - mirrored).max() < 1e-15


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"points": 15}, "velocity.points"),
        ({"points": 17}, "velocity.points"),
        ({"angles": 5}, "collision.angles"),
        ({"extent": -1.0}, "velocity.extent"),
    ],
)
def test_bad_operators_are_refused(options: dict, key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        kinetic.boltzmann_operator_3d(**options)
    assert caught.value.key == key


def test_distributions_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidInput, match="must be"):
        OPERATOR(FLOW)
