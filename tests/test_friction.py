"""Friction of f_hat in its tails: what it leaves alone, what it does exactly, what it decodes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from moment_cases import closure_of
from torch import Tensor

from closures.closure import MomentClosure
from closures.features import INVARIANTS
from closures.finite_volume import FiniteVolume, Scheme
from closures.friction import STRENGTH, Friction, friction_matrix
from kinetic.collisions import BGK

torch.set_num_threads(1)

each_closure = pytest.mark.parametrize("name", ["entropy-6", "entropy-9"])


def random(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def states(closure: MomentClosure, count: int = 40) -> Tensor:
    """Moments m (M, K) of densities exp(theta.phi) Mc with random exponents of one and less, in
    their own frames."""
    w = closure.features.matrix(closure.c)
    a = random(count, w.shape[1], seed=2) - 0.5
    s = a @ w.T
    g = torch.exp(s / s.abs().amax(1, keepdim=True)) * closure.measure
    v = closure.c.expand(count, -1)
    rho, mean = g.sum(1), (g * v).sum(1) / g.sum(1)
    T = (g * v * v).sum(1) / rho - mean**2
    c = (v - mean[:, None]) / T.sqrt()[:, None]
    return closure.features.integrate(c, g) / rho[:, None]


def averages(closure: MomentClosure, theta: Tensor) -> Tensor:
    """<phi> of f_hat (M, P)."""
    return (torch.exp(theta @ closure.phi.T) * closure.measure) @ closure.phi


@each_closure
def test_the_matrix_is_one_of_onsager(name):
    closure = closure_of(name)
    A = friction_matrix(closure.features, closure.c)
    assert torch.allclose(A, A.T, rtol=1e-13)
    assert torch.linalg.eigvalsh(A)[0] > 0.0
    odd = closure.features.parity < 0
    assert A[odd][:, ~odd].abs().max() < 1e-12 * A.abs().max()


def test_the_strength_at_the_decades_and_beyond_them():
    friction = Friction(6)
    eps = torch.tensor([1e-6, 1e-3, 0.05, 10.0, 1e3], dtype=torch.float64)
    assert torch.allclose(friction(eps), torch.full_like(eps, STRENGTH / 6**3), rtol=1e-6)
    with torch.no_grad():
        friction.raw.copy_(random(1, 5) - 5.0)
    b = friction(eps.view(1, 5))[0]
    assert (b > 0).all()
    assert b[0] == b[1]
    assert b[3] == b[4]


@each_closure
def test_an_implicit_step_solves_its_equation(name):
    closure = closure_of(name)
    m, strength = states(closure), 1e-4 * random(40, seed=3)
    new, theta, found = closure.settle(m, strength)
    assert found.all()
    force = theta[:, INVARIANTS:] @ friction_matrix(closure.features, closure.c)
    assert torch.allclose(m - new, strength[:, None] * force, rtol=1e-12, atol=1e-16)
    own = averages(closure, theta)
    assert (own[:, INVARIANTS:] - new).abs().max() < 2e-8
    assert (own[:, :INVARIANTS] - torch.eye(1, 3)).abs().max() < 2e-8


@each_closure
def test_it_lets_the_entropy_fall(name):
    """eta(f_hat) = theta.<phi> + const: it falls by theta'.(m - m') and more, D being convex."""
    closure = closure_of(name)
    m, strength = states(closure), torch.full((40,), 1e-3, dtype=torch.float64)
    theta, _ = closure.decode(m, strength)
    new, after, _ = closure.settle(m, strength)
    eta = [(t * averages(closure, t)).sum(1) for t in (theta, after)]
    production = ((m - new) * after[:, INVARIANTS:]).sum(1)
    assert (production > 0).all()
    assert (eta[0] - eta[1] >= production - 1e-9).all()


def test_none_is_the_plain_decoder_and_equilibrium_stays():
    closure = closure_of("entropy-6")
    m = states(closure)
    theta, _ = closure.decode(m, m[:, 0])
    same, rubbed, _ = closure.settle(m, torch.zeros(40, dtype=torch.float64))
    assert torch.equal(same, m)
    assert (rubbed - theta).abs().max() < 1e-7
    rest = torch.zeros_like(m)
    new, theta, _ = closure.settle(rest, torch.full((40,), 0.1, dtype=torch.float64))
    assert new.abs().max() < 1e-9
    assert theta[:, INVARIANTS:].abs().max() < 1e-12


def test_a_uniform_gas_without_collisions_follows_the_ordinary_equation():
    """dm/dt = -b A theta_w(m), to first order in the time step."""
    closure = closure_of("entropy-6")
    friction = Friction(6).requires_grad_(False)
    closure = replace(closure, dissipation=None, friction=friction)
    m, end = states(closure, 8), 0.5
    knudsen = torch.full((1, 8), 1e9, dtype=torch.float64)
    solver = FiniteVolume(closure, knudsen, BGK(), "periodic", Scheme())
    U = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64).expand(8, 3).clone()
    m = m[:1].expand(8, -1).clone()
    exact = m.clone()
    steps = 400
    strength = (end / steps) * friction(knudsen).flatten()
    for _ in range(steps):
        exact = closure.settle(exact, strength)[0]
    errors = []
    for count in (2, 4):
        state = solver.decode(U, m, None)
        for _ in range(count):
            state = solver.step(state, torch.full((1,), end / count, dtype=torch.float64))
        errors.append(float((state.m - exact).abs().max()))
    assert errors[0] < 0.1 * float((m - exact).abs().max())
    assert errors[1] < 0.6 * errors[0]


def test_it_is_differentiable_in_its_strength_and_in_m():
    closure = closure_of("entropy-6")
    m, strength = states(closure, 3), torch.full((3,), 1e-4, dtype=torch.float64)
    closure = replace(closure, dual=replace(closure.dual, tolerance=1e-13))

    def after(m: Tensor, strength: Tensor) -> Tensor:
        new, theta, _ = closure.settle(m, strength)
        return torch.cat((new, theta), dim=1)

    inputs = m.requires_grad_(), strength.requires_grad_()
    assert torch.autograd.gradcheck(after, inputs, eps=1e-7, atol=1e-4, rtol=1e-4)


def test_moments_of_no_density_have_one():
    """A hundredth of the gas less at c = 3.5, where there is less than a thousandth."""
    closure = closure_of("entropy-9")
    m = -0.01 * closure.features.matrix(torch.tensor([3.5], dtype=torch.float64))
    strength = torch.full((1,), 1e-5, dtype=torch.float64)
    assert not closure.decode(m, strength)[1]
    new, theta, found = closure.settle(m, strength)
    assert found
    assert (averages(closure, theta)[:, INVARIANTS:] - new).abs().max() < 1e-6
    assert (theta @ closure.phi.T).max() < 3.0
