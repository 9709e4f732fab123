"""The collision operator of Maxwell molecules in 2-D: exact solutions, conservation, symmetries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import kinetic
from kinetic.boltzmann import _spectral_sum
from kinetic.errors import InvalidInput
from kinetic.exact import HEAT_FLUX_RATE, STRESS_RATE, bkw, bkw_rate
from kinetic.moments import Array

Mixture = Callable[[Array, Array], Array]
OPERATOR = kinetic.boltzmann_operator()


def distance(a: Array, b: Array) -> float:
    """Return the relative L2 distance of a from b."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def gaussian(rho: float, u: tuple[float, float], T: tuple[float, float]) -> Mixture:
    """A Maxwellian, or with two temperatures an anisotropic Gaussian."""

    def f(v1: Array, v2: Array) -> Array:
        exponent = (v1 - u[0]) ** 2 / (2 * T[0]) + (v2 - u[1]) ** 2 / (2 * T[1])
        return rho * np.exp(-exponent) / (2 * np.pi * np.sqrt(T[0] * T[1]))

    return f


def mixture(v1: Array, v2: Array) -> Array:
    """Two gases that flow through each other, neither of them in equilibrium; no symmetry."""
    first = gaussian(1.0, (0.8, 0.3), (0.6, 1.2))
    return first(v1, v2) + gaussian(0.5, (-1.0, -0.5), (1.2, 0.5))(v1, v2)


def random_mixtures(cells: int, seed: int = 0) -> Array:
    """Positive f (cells, N, N): three Gaussians each, as far apart as the default grid can hold."""
    rng = np.random.default_rng(seed)
    f = np.zeros((cells, *OPERATOR.velocities[0].shape))
    for cell in f:
        for _ in range(3):
            parts = rng.uniform(0.2, 1.0), rng.uniform(-1.0, 1.0, 2), rng.uniform(0.6, 1.2, 2)
            cell += gaussian(parts[0], tuple(parts[1]), tuple(parts[2]))(*OPERATOR.velocities)
    return f


def collision_integral(f: Mixture, v1: float, v2: float) -> float:
    """Return ∫ dv* ∫ dsigma / 2 pi [f(v') f(v*') - f(v) f(v*)] by the trapezoidal rule."""
    axis, angles = np.linspace(-8.0, 8.0, 65), 2.0 * np.pi * np.arange(64) / 64
    w1, w2 = np.meshgrid(axis, axis)
    m1, m2, half = 0.5 * (v1 + w1), 0.5 * (v2 + w2), 0.5 * np.hypot(v1 - w1, v2 - w2)
    total = np.zeros_like(w1)
    for angle in angles:
        c, s = half * np.cos(angle), half * np.sin(angle)
        total += f(m1 + c, m2 + s) * f(m1 - c, m2 - s) / angles.size
    loss = f(np.array(v1), np.array(v2)) * f(w1, w2)
    return float(np.sum(total - loss) * (axis[1] - axis[0]) ** 2)


def bkw_error(points: int, time: float = 0.5) -> float:
    operator = kinetic.boltzmann_operator(points)
    exact = bkw_rate(*operator.velocities, time)
    return distance(operator(bkw(*operator.velocities, time)[None])[0], exact)


def test_bkw_has_the_moments_of_a_unit_gas_and_its_derivative_in_time():
    v1, v2 = OPERATOR.velocities
    weight = OPERATOR.axis.spacing**2
    for time in (0.0, 1.0, 30.0):
        f = bkw(v1, v2, time)
        assert np.all(f >= 0.0)
        assert np.sum(f) * weight == pytest.approx(1.0, abs=1e-12)
        assert np.sum(f * (v1**2 + v2**2)) * weight == pytest.approx(2.0, abs=1e-11)
    difference = (bkw(v1, v2, 1.0 + 1e-4) - bkw(v1, v2, 1.0 - 1e-4)) / 2e-4
    assert distance(bkw_rate(v1, v2, 1.0), difference) < 1e-9


@pytest.mark.parametrize(
    ("points", "error"), [(24, 1e-4), (32, 3e-6), (40, 2e-7), (48, 5e-9), (56, 2e-10), (64, 8e-12)]
)
def test_collisions_of_the_bkw_solution(points, error):
    assert bkw_error(points) < error


def test_error_decays_spectrally():
    errors = [bkw_error(points) for points in range(24, 65, 8)]
    assert np.all(np.diff(np.log(errors)) < np.log(1 / 20))


@pytest.mark.parametrize(
    ("rho", "u", "T", "error"),
    [(2.0, 0.0, 1.0, 5e-9), (1.0, 1.0, 1.0, 5e-9), (1.0, 0.0, 0.6, 4e-6), (0.5, -0.5, 1.5, 4e-6)],
)
def test_bkw_in_a_gas_of_any_state(rho, u, T, error):
    v1, v2 = OPERATOR.velocities
    c = (v1 - u) / np.sqrt(T), v2 / np.sqrt(T)
    exact = rho**2 / T * bkw_rate(*c, 0.5)
    assert distance(OPERATOR(rho / T * bkw(*c, 0.5)[None])[0], exact) < error


def test_agrees_with_the_collision_integral_where_nothing_is_symmetric():
    operator = kinetic.boltzmann_operator(80, angles=20)
    v1, v2 = operator.velocities
    Q = operator(mixture(v1, v2)[None])[0]
    nodes = [(40, 40), (44, 38), (32, 47), (50, 42)]
    for node in nodes:
        exact = collision_integral(mixture, v1[node], v2[node])
        assert Q[node] == pytest.approx(exact, abs=4e-8 * np.max(np.abs(Q)))


def test_error_of_the_angles_decays_spectrally():
    fine = kinetic.boltzmann_operator(angles=32)
    f = mixture(*fine.velocities)[None]
    Q = fine(f)
    errors = [distance(kinetic.boltzmann_operator(angles=A)(f), Q) for A in (4, 6, 8, 10, 12)]
    assert errors[2] < 3e-3
    assert np.all(np.diff(np.log(errors)) < np.log(1 / 6))


@pytest.mark.parametrize(("precision", "allowed"), [("float64", 1e-15), ("float32", 1e-6)])
def test_mass_momentum_and_energy_are_conserved_to_round_off(precision, allowed):
    """Measured by the share of the mass, momentum and energy that collides in a unit of time."""
    v1, v2 = OPERATOR.velocities
    f = random_mixtures(10).astype(precision)
    Q = OPERATOR(f).astype(float)
    for invariant in (np.ones_like(v1), v1, v2, v1**2 + v2**2):
        change = np.abs(np.sum(invariant * Q, axis=(1, 2)))
        assert np.max(change / np.sum(np.abs(invariant * f), axis=(1, 2))) < allowed


@pytest.mark.parametrize(("T", "allowed"), [(0.6, 1e-10), (1.0, 3e-7), (1.5, 2e-5)])
def test_a_maxwellian_is_in_equilibrium(T, allowed):
    M = gaussian(1.0, (0.3, -0.2), (T, T))(*OPERATOR.velocities)[None]
    assert np.linalg.norm(OPERATOR(M)) < allowed * np.linalg.norm(M)


def test_entropy_decreases():
    f = random_mixtures(20)
    production = np.sum(OPERATOR(f) * np.log(f), axis=(1, 2)) * OPERATOR.axis.spacing**2
    assert np.all(production < -5e-3)


def quarter_turn(f: Array) -> Array:
    return np.rot90(f, axes=(1, 2))


def mirror(f: Array) -> Array:
    return f[:, ::-1]


def swap(f: Array) -> Array:
    return np.swapaxes(f, 1, 2)


@pytest.mark.parametrize("transform", [quarter_turn, mirror, swap])
def test_commutes_with_the_symmetries_of_the_grid(transform):
    f = random_mixtures(5)
    Q, transformed = OPERATOR(f), OPERATOR(transform(f))
    assert np.max(np.abs(transformed - transform(Q))) < 1e-15


@pytest.mark.parametrize("shift", [(1, 0), (3, -2), (-4, 4)])
def test_commutes_with_boosts_by_nodes(shift):
    operator = kinetic.boltzmann_operator(64)
    f = mixture(*operator.velocities)[None]
    boosted = operator(np.roll(f, shift, axis=(1, 2)))
    assert distance(boosted, np.roll(operator(f), shift, axis=(1, 2))) < 5e-7


@pytest.mark.parametrize("angles", [4, 8])
def test_stress_and_heat_flux_relax_at_the_exact_rates(angles):
    operator = kinetic.boltzmann_operator(96, angles=angles)
    v1, v2 = operator.velocities
    f = mixture(v1, v2)
    Q, rho = operator(f[None])[0], np.sum(f) * operator.axis.spacing**2
    c1, c2 = (v - np.sum(v * f) / np.sum(f) for v in (v1, v2))
    stress, heat_flux = np.stack([c1**2 - c2**2, c1 * c2]), np.stack([c1, c2]) * (c1**2 + c2**2)
    for moments, rate in ((stress, STRESS_RATE), (heat_flux, HEAT_FLUX_RATE)):
        held, change = (np.tensordot(moments, g, 2) for g in (f, Q))
        assert distance(change, -rho * rate * held) < 3e-7


def relaxed(steps: int, time: float) -> float:
    """Return the error at `time` of the classical Runge-Kutta method, started from BKW."""
    v1, v2 = OPERATOR.velocities
    f, dt = bkw(v1, v2, 0.0)[None], time / steps
    for _ in range(steps):
        k1 = OPERATOR(f)
        k2 = OPERATOR(f + 0.5 * dt * k1)
        k3 = OPERATOR(f + 0.5 * dt * k2)
        k4 = OPERATOR(f + dt * k3)
        f = f + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return distance(f[0], bkw(v1, v2, time))


def test_homogeneous_relaxation_converges_to_bkw_in_time():
    errors = [relaxed(steps, 4.0) for steps in (4, 8, 16)]
    assert np.all(np.abs(-np.diff(np.log2(errors)) - 4.0) < 0.5)
    assert errors[-1] < 5e-7


def test_single_precision_costs_only_its_round_off():
    f = random_mixtures(3)
    single = OPERATOR(f.astype(np.float32))
    assert single.dtype == np.float32
    assert distance(single, OPERATOR(f)) < 5e-6


def test_cells_are_independent_and_shared_by_threads():
    f = random_mixtures(15)
    Q = OPERATOR(f)
    assert np.allclose(np.concatenate([OPERATOR(cell[None]) for cell in f]), Q, rtol=0, atol=1e-16)
    sums = OPERATOR.spectral_sum(f)
    for threads in (2, 4, 20):
        assert np.array_equal(OPERATOR.spectral_sum(f, threads), sums)
        assert np.array_equal(OPERATOR(f, threads), Q)
    assert np.array_equal(np.concatenate([OPERATOR.spectral_sum(cell[None]) for cell in f]), sums)
    assert OPERATOR(f[:0]).shape == (0, 48, 48)


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("points", [16, 30, 48])
def test_the_compiled_sum_is_that_of_any_library(points, even):
    operator = kinetic.boltzmann_operator(points, 7.0, angles=8, even=even)
    v1, v2 = operator.velocities
    f = np.stack([np.exp(-0.5 * ((v1 - u) ** 2 + v2**2)) for u in (0.0, 0.4, 1.1)])
    f[1] += f[2]
    expected = _spectral_sum(np.fft, f, operator._modes.astype(complex), even)
    assert distance(operator.spectral_sum(f), expected) < 5e-14
    every = np.repeat(f, 2, axis=0)
    assert np.array_equal(operator.spectral_sum(every[::2]), operator.spectral_sum(f))


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_other_array_libraries_give_the_same(precision):
    f = random_mixtures(3)
    Q = OPERATOR(torch.from_numpy(f).to(precision))
    assert isinstance(Q, torch.Tensor)
    assert Q.dtype == precision
    assert distance(Q.double().numpy(), OPERATOR(f)) < 50 * torch.finfo(precision).eps


def test_a_library_that_places_no_arrays_is_given_no_device():
    """As that of CuPy, whose `asarray` knows no device."""

    class CuPy:
        __name__, fft, complex128 = "cupy", np.fft, np.complex128

        @staticmethod
        def asarray(values, dtype):
            return np.asarray(values, dtype)

    f = random_mixtures(2)
    modes, *sides = OPERATOR._tables_for(CuPy(), f)
    assert modes.dtype == np.complex128
    assert np.array_equal(sides[0], OPERATOR.invariants)


def test_the_grid_spans_its_extent():
    operator = kinetic.boltzmann_operator(32, 5.0)
    v1, v2 = operator.velocities
    assert v1.shape == v2.shape == (32, 32)
    assert np.array_equal(v1, v2.T)
    assert (v1[0, 0], v1[-1, 0]) == (-5.0, 5.0)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"points": 47}, "velocity.points"),
        ({"points": 14}, "velocity.points"),
        ({"points": "many"}, "velocity.points"),
        ({"extent": 0.0}, "velocity.extent"),
        ({"extent": -8.0}, "velocity.extent"),
        ({"extent": float("nan")}, "velocity.extent"),
        ({"angles": 7}, "collision.angles"),
        ({"angles": 0}, "collision.angles"),
    ],
)
def test_grids_that_do_not_work_are_refused(arguments, key):
    with pytest.raises(InvalidInput) as caught:
        kinetic.boltzmann_operator(**arguments)
    assert caught.value.key == key
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "f",
    [
        np.ones((48, 48)),
        np.ones((2, 48, 46)),
        np.ones((2, 48, 48), dtype=int),
        np.ones((2, 48, 48), dtype=complex),
        [[1.0]],
    ],
)
def test_distributions_of_another_shape_or_type_are_refused(f):
    with pytest.raises(InvalidInput, match="must be") as caught:
        OPERATOR(f)
    assert "\n" not in str(caught.value)


def test_bkw_refuses_times_before_it_is_positive():
    with pytest.raises(InvalidInput, match="time=-1"):
        bkw(0.0, 0.0, -1.0)


@pytest.mark.parametrize("angles", [4, 8, 12])
def test_mirror_images_save_half_of_the_angles(angles: int) -> None:
    plain, even = (kinetic.boltzmann_operator(32, 7.0, angles, even=e) for e in (False, True))
    v1, v2 = plain.velocities
    f = np.stack([np.exp(-0.5 * ((v1 - u) ** 2 / T + v2**2)) for u, T in ((1, 0.7), (-0.5, 1.6))])
    f = np.stack([f[0], f.sum(axis=0)])
    Q = even(f)
    assert np.abs(Q - Q[:, :, ::-1]).max() < 1e-15
    # The angles lie elsewhere, so both differ as each does from the integral over theta.
    reference = kinetic.boltzmann_operator(32, 7.0, 32)(f)
    errors = [np.abs(one(f) - reference).max() for one in (plain, even)]
    assert errors[1] < 3.0 * errors[0]
    with pytest.raises(InvalidInput, match="multiple of four"):
        kinetic.boltzmann_operator(32, angles=6, even=True)
