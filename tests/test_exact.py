"""The exact solutions: identities they must satisfy and published values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import wofz

from kinetic.errors import InvalidInput
from kinetic.exact import (
    Gas,
    dispersion,
    dispersion_matrix,
    eigenvalues,
    free_riemann,
    free_transport,
    hermite_matrix,
    mode,
    relaxed,
    solve_riemann,
)
from kinetic.maxwellian import maxwellian
from kinetic.problems import cell_centers, draw, problem

SOD = Gas(1.0, 0.0, 1.0), Gas(0.125, 0.0, 0.8)
COLLISION = Gas(1.0, 2.0, 1.0), Gas(1.0, -2.0, 1.0)
EXPANSION = Gas(1.0, -0.5, 1.0), Gas(1.0, 0.5, 1.0)
MOVING = Gas(0.7, 0.4, 1.2), Gas(1.9, 0.1, 0.5)
PAIRS = (SOD, COLLISION, EXPANSION, MOVING)

# Toro (2009), table 4.1 and 4.2, gamma = 1.4: (rho, u, p) left, right, and p*, u*.
TORO = (
    ((1.0, 0.0, 1.0), (0.125, 0.0, 0.1), 0.30313, 0.92745),
    ((1.0, -2.0, 0.4), (1.0, 2.0, 0.4), 0.00189, 0.0),
    ((1.0, 0.0, 1000.0), (1.0, 0.0, 0.01), 460.894, 19.5975),
    ((1.0, 0.0, 0.01), (1.0, 0.0, 100.0), 46.0950, -6.19633),
    ((5.99924, 19.5975, 460.894), (5.99242, -6.19633, 46.0950), 1691.64, 8.68975),
)


@pytest.mark.parametrize(("left", "right", "p_star", "u_star"), TORO)
def test_riemann_matches_published_values(
    left: tuple, right: tuple, p_star: float, u_star: float
) -> None:
    gases = (Gas(rho, u, p / rho) for rho, u, p in (left, right))
    solution = solve_riemann(*gases, gamma=1.4)
    # Printed to six digits; the second p* is the small difference of strong rarefactions.
    assert solution.p_star == pytest.approx(p_star, rel=5e-6, abs=5e-6)
    assert solution.u_star == pytest.approx(u_star, rel=5e-6, abs=5e-6)


def _flux(rho: np.ndarray, u: np.ndarray, T: np.ndarray, gamma: float) -> np.ndarray:
    p, energy = rho * T, _conserved(rho, u, T, gamma)[2]
    return np.stack([rho * u, rho * u**2 + p, (energy + p) * u])


def _conserved(rho: np.ndarray, u: np.ndarray, T: np.ndarray, gamma: float) -> np.ndarray:
    return np.stack([rho, rho * u, 0.5 * rho * u**2 + rho * T / (gamma - 1.0)])


@pytest.mark.parametrize("gamma", [3.0, 2.0, 5.0 / 3.0, 1.4])
@pytest.mark.parametrize("pair", PAIRS)
def test_riemann_conserves(pair: tuple[Gas, Gas], gamma: float) -> None:
    """Over [-L, L] at t = 1: ∫ U(x/1) dx = L (U_l + U_r) - (F_r - F_l)."""
    solution, length = solve_riemann(*pair, gamma=gamma), 8.0
    xi = (np.arange(400_000) + 0.5) / 400_000 * 2 * length - length
    total = _conserved(*solution(xi), gamma).mean(axis=1) * 2 * length
    ends = [np.array(gas, dtype=float) for gas in pair]
    expected = length * sum(_conserved(*end, gamma) for end in ends)
    expected -= _flux(*ends[1], gamma) - _flux(*ends[0], gamma)
    # Midpoint rule on cells of 4e-5: half a cell times each of the jumps, of up to 10 in E.
    np.testing.assert_allclose(total, expected, atol=4e-4)


@pytest.mark.parametrize("pair", PAIRS)
def test_riemann_seen_in_a_mirror(pair: tuple[Gas, Gas]) -> None:
    left, right = pair
    xi = np.linspace(-4.0, 4.0, 201) + 1e-3
    rho, u, T = solve_riemann(left, right)(xi)
    rho_m, u_m, T_m = solve_riemann(right.mirrored(), left.mirrored())(-xi)
    np.testing.assert_allclose([rho, u, T], [rho_m, -u_m, T_m], rtol=1e-12, atol=1e-12)


def test_riemann_is_galilean_invariant() -> None:
    xi = np.linspace(-3.0, 3.0, 101)
    rho, u, T = solve_riemann(*SOD)(xi)
    boosted = solve_riemann(*(gas._replace(u=gas.u + 0.7) for gas in SOD))(xi + 0.7)
    np.testing.assert_allclose(boosted, [rho, u + 0.7, T], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("left", "right", "gamma"),
    [
        (Gas(1.0, -9.0, 1.0), Gas(1.0, 9.0, 1.0), 3.0),
        (Gas(0.0, 0.0, 1.0), Gas(1.0, 0.0, 1.0), 3.0),
        (Gas(1.0, 0.0, 1.0), Gas(1.0, 0.0, -1.0), 3.0),
        (*SOD, 1.0),
    ],
)
def test_riemann_refusals(left: Gas, right: Gas, gamma: float) -> None:
    with pytest.raises(InvalidInput):
        solve_riemann(left, right, gamma)


@pytest.mark.parametrize("pair", PAIRS)
def test_free_riemann_matches_quadrature(pair: tuple[Gas, Gas]) -> None:
    left, right = pair
    for xi in (-1.3, 0.0, 0.8):
        below, above = (np.linspace(*ends, 20_001) for ends in ((-14.0, xi), (xi, 14.0)))
        parts = ((below, maxwellian(*right, below)), (above, maxwellian(*left, above)))

        def moment(weight, parts=parts):  # type: ignore[no-untyped-def]
            return sum(np.trapezoid(weight(v) * f, v) for v, f in parts)

        rho = moment(np.ones_like)
        u = moment(lambda v: v) / rho
        T = moment(lambda v, u=u: (v - u) ** 2) / rho
        q = 0.5 * moment(lambda v, u=u: (v - u) ** 3)
        found = np.array(free_riemann(left, right, np.array(xi)))
        np.testing.assert_allclose(found, [rho, u, T, q], rtol=1e-6, atol=1e-6)


def test_free_riemann_tends_to_its_data() -> None:
    rho, u, T, q = free_riemann(*MOVING, np.array([-20.0, 20.0]))
    np.testing.assert_allclose(np.stack([rho, u, T], axis=1), MOVING, rtol=1e-12)
    np.testing.assert_allclose(q, 0.0, atol=1e-12)


@pytest.mark.parametrize("family", ["wave", "mix"])
def test_free_transport_starts_from_the_data_and_returns(family: str) -> None:
    profile, _ = draw(family, 3)
    x, v = cell_centers(20), np.array([-2.0, -1.0, 0.0, 3.0])
    f0 = problem(family, seed=3, cells=20).distribution(v)
    np.testing.assert_allclose(free_transport(profile, x, v, 0.0), f0, rtol=1e-13)
    np.testing.assert_allclose(free_transport(profile, x, v, 1.0), f0, rtol=1e-12)


def test_free_transport_moves_each_velocity() -> None:
    profile, _ = draw("wave", 0)
    x, v, time = cell_centers(40), np.array([2.0]), 0.1
    moved, start = free_transport(profile, x, v, time), free_transport(profile, x, v, 0.0)
    np.testing.assert_allclose(moved, np.roll(start, 8, axis=0), rtol=1e-12)


def test_relaxation_decays_at_the_rate_of_collisions() -> None:
    v = np.linspace(-6.0, 6.0, 41)
    f0, M = np.stack([maxwellian(1.0, u, 0.5, v) for u in (-0.5, 0.5)]), np.ones((2, 41))
    eps, nu = np.array([0.1, 2.0]), np.array([1.0, 3.0])
    ratio = (relaxed(f0, M, 0.3, eps, nu) - M) / (f0 - M)
    np.testing.assert_allclose(ratio, np.exp(-0.3 * nu / eps)[:, None] * np.ones(41), rtol=1e-12)


SPECTRA = [(2 * np.pi, 1e-3), (2 * np.pi, 0.01), (2 * np.pi, 0.08), (1.0, 0.3)]


@pytest.mark.parametrize(("k", "eps"), SPECTRA)
def test_eigenvalues_agree_with_the_hermite_matrix(k: float, eps: float) -> None:
    matrix = np.linalg.eigvals(hermite_matrix(k, eps, 200))
    slowest = matrix[np.argsort(-matrix.real)][:3]
    slowest = slowest[np.argsort(-slowest.imag)]
    np.testing.assert_allclose(eigenvalues(k, eps), slowest, rtol=1e-10, atol=1e-10)


def test_eigenvalues_tend_to_euler_and_to_heat_conduction() -> None:
    """To O(eps^2): lambda = +-i sqrt(3) k - kappa k^2 / 3 ... and -k^2 eps, with kappa = 3/2 p eps.

    In one dimension there is no viscous stress; with c_p = 3/2 heat diffuses with kappa/c_p = eps,
    and sound is damped by (gamma - 1) eps / 2 = eps.
    """
    k, eps = 2.0, 1e-4
    sound, heat, other = eigenvalues(k, eps)
    assert heat == pytest.approx(-(k**2) * eps, rel=1e-6)
    assert sound.real == pytest.approx(-(k**2) * eps, rel=1e-6)
    assert sound.imag == pytest.approx(np.sqrt(3.0) * k, rel=1e-6)
    assert other == pytest.approx(sound.conjugate(), rel=1e-12)


@pytest.mark.parametrize("ratio", [0.4, 1.0, 3.0])
def test_dispersion_matrix_agrees_with_the_plasma_function(ratio: float) -> None:
    """B_00 = (1 - <M / (sigma + i kappa v)>) / eps; <M/(v-z)> = i sqrt(pi/2) w(z/sqrt(2))."""
    k, eps = ratio / 0.5, 0.5
    lam = -0.3 / eps + 0.4j
    sigma = 1.0 + eps * lam
    z = 1j * sigma / ratio
    mean = np.sqrt(0.5 * np.pi) * wofz(z / np.sqrt(2.0)) / ratio
    assert dispersion_matrix(lam, k, eps)[0, 0] == pytest.approx((1.0 - mean) / eps, rel=1e-12)


@pytest.mark.parametrize(("k", "eps"), SPECTRA)
def test_modes_satisfy_the_equation(k: float, eps: float) -> None:
    v = np.linspace(-12.0, 12.0, 481)
    phi = np.stack([np.ones_like(v), v, (v**2 - 1.0) / np.sqrt(2.0)])
    M = np.exp(-0.5 * v**2) / np.sqrt(2.0 * np.pi)
    for lam in eigenvalues(k, eps):
        assert abs(dispersion(lam, k, eps)) < 1e-10
        g = mode(lam, k, eps, v)
        moments = phi @ g * (v[1] - v[0])
        assert moments[0] == pytest.approx(1.0, rel=1e-10)
        residual = eps * (lam + 1j * k * v) * g - (M * (moments @ phi) - g)
        np.testing.assert_allclose(residual, 0.0, atol=1e-12)


def test_spectrum_refuses_what_has_no_discrete_modes() -> None:
    with pytest.raises(ValueError, match="k eps"):
        eigenvalues(10.0, 1.0)
