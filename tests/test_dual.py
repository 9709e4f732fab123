"""The maximum-entropy problem: what it recovers, from where it converges, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from moment_cases import closure_of

from closures.dual import DualSolver
from closures.features import trapezoid, unit_maxwellian

SOLVER = DualSolver()
NAMES = ("entropy-6", "entropy-9")
each_name = pytest.mark.parametrize("name", NAMES)


def system(name):
    closure = closure_of(name)
    return closure.phi, closure.measure


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def coefficients(phi, count, largest=4.0, seed=0):
    """Random theta with exponents theta.phi up to `largest`."""
    theta = normal(count, phi.shape[1], seed=seed) / phi.abs().amax(0)
    return theta * largest / (theta @ phi.T).abs().amax(1, keepdim=True)


def residual(phi, measure, theta, mu):
    return ((torch.exp(theta @ phi.T) * measure) @ phi - mu).abs().amax()


@each_name
def test_recovers_the_coefficients(name):
    phi, measure = system(name)
    theta = coefficients(phi, 200)
    mu = (torch.exp(theta @ phi.T) * measure) @ phi
    found, converged = SOLVER.solve(phi, measure, mu, torch.zeros_like(mu))
    assert converged.all()
    # The regularisation moves the moments by gamma theta.
    assert residual(phi, measure, found, mu) < 1e-9 * (1.0 + float(found.abs().max()))
    assert (found - theta).abs().max() < 1e-4


@each_name
@pytest.mark.parametrize("size", [0.0, 1.0, 10.0, 1e3, 1e8, np.nan])
def test_converges_from_any_start(name, size):
    phi, measure = system(name)
    theta = coefficients(phi, 50, seed=1)
    mu = (torch.exp(theta @ phi.T) * measure) @ phi
    cold, _ = SOLVER.solve(phi, measure, mu, torch.zeros_like(mu))
    found, converged = SOLVER.solve(phi, measure, mu, size * normal(50, phi.shape[1], seed=2))
    assert converged.all()
    assert (found - cold).abs().max() < 1e-6


@st.composite
def gases(draw):
    """Nodes and masses of a random positive f: up to four streams, hot and cold, wide apart."""
    count = draw(st.integers(1, 4))
    v, dv = np.linspace(-40, 40, 8001, retstep=True)
    f = np.zeros_like(v)
    for _ in range(count):
        share, u = draw(st.floats(0.02, 1.0)), draw(st.floats(-4.0, 4.0))
        T = draw(st.floats(0.1, 3.0))
        f += share * np.exp(-((v - u) ** 2) / (2 * T)) / np.sqrt(2 * np.pi * T)
    return v, f * dv


def moments(closure, gas):
    """mu, and the unit frame's c and masses, of a gas."""
    v, mass = gas
    rho = mass.sum()
    u = (mass * v).sum() / rho
    T = (mass * (v - u) ** 2).sum() / rho
    c, g = torch.as_tensor((v - u) / np.sqrt(T)), torch.as_tensor(mass / rho)
    m = closure.features.integrate(c[None], g[None])[0]
    return torch.cat((torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), m))[None], c, g


@each_name
@settings(max_examples=60)
@given(gases())
def test_every_gas_of_streams_has_its_maximum_entropy_state(name, gas):
    closure = closure_of(name)
    mu, _, _ = moments(closure, gas)
    theta, converged = SOLVER.solve(closure.phi, closure.measure, mu, torch.zeros_like(mu))
    assert torch.isfinite(theta).all()
    if converged.all():
        assert residual(closure.phi, closure.measure, theta, mu) < 2e-9 + 1e-9 * theta.norm()


@each_name
@pytest.mark.parametrize(("distance", "T"), [(1.5, 1.0), (2.0, 1.0), (2.0, 0.5), (1.5, 0.3)])
def test_two_streams(name, distance, T):
    closure = closure_of(name)
    v, dv = np.linspace(-30, 30, 6001, retstep=True)
    f = sum(np.exp(-((v - u) ** 2) / (2 * T)) for u in (-distance, distance))
    mu, _, _ = moments(closure, (v, f * dv))
    theta, converged = SOLVER.solve(closure.phi, closure.measure, mu, torch.zeros_like(mu))
    assert converged.all()
    f_hat = torch.exp(theta @ closure.phi.T)[0] * closure.measure
    middle, side = f_hat[closure.nodes // 2], f_hat.max()
    assert (middle < side) == (f[len(f) // 2] < 0.999 * f.max())


@each_name
@pytest.mark.parametrize("size", [3.0, 30.0, 1e6, np.inf, np.nan])
def test_moments_of_no_gas_are_reported_and_spoil_no_others(name, size):
    phi, measure = system(name)
    mu = torch.zeros((3, phi.shape[1]), dtype=torch.float64)
    mu[:, 0] = 1.0
    mu[1, 3:] = size
    theta, converged = SOLVER.solve(phi, measure, mu, torch.zeros_like(mu))
    assert converged.tolist() == [True, False, True]
    # That of equilibrium is zero but for the quadrature of w, piecewise cubic, at its knots.
    assert theta[0::2].abs().max() < 1e-4


@each_name
@settings(max_examples=30)
@given(gases())
def test_divergence_is_the_difference_of_entropies(name, gas):
    closure = closure_of(name)
    c, h = trapezoid(closure.extent, closure.nodes)
    v, mass = gas
    # f on the closure's own nodes: then the moments match to the tolerance, tails included.
    rho, u = mass.sum(), (mass * v).sum() / mass.sum()
    T = (mass * (v - u) ** 2).sum() / rho
    f = np.interp(u + np.sqrt(T) * c.numpy(), v, mass / (v[1] - v[0])) * np.sqrt(T) / rho
    f = torch.as_tensor(np.maximum(f, 1e-300))[None]
    mu = (f * h) @ closure.phi
    theta, converged = DualSolver(regularization=1e-13).solve(
        closure.phi, closure.measure, mu, torch.zeros_like(mu)
    )
    if not converged.all():
        return
    log_hat = theta @ closure.phi.T + torch.log(unit_maxwellian(c))
    f_hat = torch.exp(log_hat)
    divergence = (h * (f * (torch.log(f) - log_hat) - f + f_hat)).sum()
    entropies = (h * (f * torch.log(f) - f_hat * log_hat)).sum()
    scale = 1.0 + theta.abs().sum()
    assert abs(float(divergence - entropies)) < 1e-8 * float(scale)
    assert float(divergence) > -1e-8


@each_name
def test_derivatives_by_the_implicit_function_theorem(name):
    phi, measure = system(name)
    solver = DualSolver(tolerance=1e-12)
    theta = coefficients(phi, 4, seed=4)
    mu = (torch.exp(theta @ phi.T) * measure) @ phi
    direction = normal(*mu.shape, seed=5)
    tilt = 0.1 * phi * normal(*phi.shape, seed=6)

    def solve(h):
        found, converged = solver.solve(phi + h * tilt, measure, mu + h * direction, theta)
        assert converged.all()
        return found

    h = torch.zeros((), dtype=torch.float64, requires_grad=True)
    value = solve(h)
    assert torch.equal(value.detach(), solve(h.detach()))
    for entry in range(0, value.shape[1], 3):
        (slope,) = torch.autograd.grad(value[1, entry], h, retain_graph=True)
        step = 1e-5
        difference = (solve(step) - solve(-step))[1, entry] / (2 * step)
        assert float(slope) == pytest.approx(float(difference), rel=1e-5, abs=1e-6)


def test_value_is_the_dual_function_and_the_solution_its_minimum():
    phi, measure = system("entropy-6")
    theta = coefficients(phi, 1)
    mu = (torch.exp(theta @ phi.T) * measure) @ phi
    found, _ = SOLVER.solve(phi, measure, mu, torch.zeros_like(mu))
    least = SOLVER.value(phi, measure, mu, found)
    for seed in range(5):
        other = found + 0.01 * normal(*found.shape, seed=seed)
        assert SOLVER.value(phi, measure, mu, other) > least
