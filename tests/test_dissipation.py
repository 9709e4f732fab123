"""Learned damping and diffusion of moments: what they leave alone, and what they do exactly."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from closures.dissipation import MEMORY, SLIGHT, Dissipation, dissipate, turn, turned
from closures.features import Features, HermiteFeatures, trapezoid, unit_maxwellian
from closures.finite_volume import FiniteVolume, Scheme, State
from closures.learned import Learned
from kinetic.collisions import BGK

DEGREES = torch.tensor([3, 5, 4])
boundaries = pytest.mark.parametrize("boundary", ["periodic", "outflow"])


def random(*shape: int, low: float = 0.5, high: float = 1.5, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


def gas(closure, eps: float, cells: int, m: Tensor) -> tuple[FiniteVolume, State]:
    """A uniform gas at rest, rho = T = 1, whose moments are m (N, K)."""
    knudsen = torch.full((1, cells), eps, dtype=torch.float64)
    solver = FiniteVolume(closure, knudsen, BGK(), "periodic", Scheme())
    U = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64).expand(cells, 3).clone()
    return solver, solver.decode(U, m, None)


def test_at_the_start_higher_moments_live_shorter() -> None:
    eps = 10.0 ** torch.arange(-3.0, 2.0, dtype=torch.float64)
    a, d = Dissipation(DEGREES)(eps)
    assert torch.allclose(a, torch.full_like(a, SLIGHT), rtol=1e-10)
    longest = MEMORY / 3
    share = (DEGREES[:, None] / 5) ** 2
    assert torch.allclose(d, 0.5 * share * eps * longest / (eps + longest), rtol=1e-9)
    assert (d < 0.5 * share * longest).all()


def test_two_moments_of_one_degree_leave_as_much_out_as_one() -> None:
    one, two = (Dissipation(torch.tensor(n)) for n in ([3, 4, 5], [3, 3, 4, 4, 5, 5]))
    assert torch.equal(two.raw_diffusivity[::2], one.raw_diffusivity)
    assert torch.equal(two.raw_diffusivity[1::2], one.raw_diffusivity)


def test_between_the_decades_and_beyond_them() -> None:
    dissipation = Dissipation(DEGREES)
    with torch.no_grad():
        dissipation.raw_damping.copy_(random(3, 5, low=-9.0, high=9.0))
    eps = torch.tensor([1e-9, 1e-3, 10**0.5, 10.0, 1e4], dtype=torch.float64)
    a, d = dissipation(eps.view(1, 5))
    assert a.shape == d.shape == (3, 1, 5)
    assert (a > 0).all()
    assert torch.equal(a[..., 0], a[..., 1])
    assert torch.equal(a[..., 3], a[..., 4])
    raw = dissipation.raw_damping
    middle = torch.nn.functional.softplus(0.5 * (raw[:, 3] + raw[:, 4]))
    assert torch.allclose(a[:, 0, 2], middle, rtol=1e-12)


@boundaries
def test_the_implicit_step_solves_its_equation(boundary: str) -> None:
    K, N, dx = 2, 9, 1.0 / 9
    m, excess = random(K, 1, N, low=-1.0), 1.0 + random(K, 1, N, seed=2)
    diffusion, rho = 0.02 * random(K, 1, N, seed=3), random(1, N, seed=4)
    beside = random(K, 1, N, low=-1.0, seed=7)
    new = dissipate(m, beside, excess, diffusion, rho, dx, boundary)
    g = 0.5 * (diffusion + diffusion.roll(-1, -1)) / dx**2
    if boundary == "outflow":
        g[..., -1] = 0.0
    flux = g * (new.roll(-1, -1) - new + beside)
    assert torch.allclose(rho * excess * new - (flux - flux.roll(1, -1)), rho * m, atol=1e-13)


@pytest.mark.parametrize("features", [HermiteFeatures(4), Learned(5).encoder.features()])
def test_turned_moments_are_those_of_the_next_cell_in_the_frame_of_this_one(
    features: Features,
) -> None:
    """To first order in the change of the frame, of f = Mc(c) (1 + m.w(c)) in both cells."""
    c, h = trapezoid(9.0, 721)
    weights = h * unit_maxwellian(c)
    m = 0.1 * random(features.parity.numel(), low=-1.0, seed=8).detach()
    f = weights * (1.0 + features.matrix(c).detach() @ m)
    B = turn(features, c).detach()
    errors = []
    for change in (1e-3, 5e-4):
        u, T = (
            torch.tensor([[one, two]], dtype=torch.float64)
            for one, two in ((0.1, 0.1 + 1.3 * change), (0.7, 0.7 + change))
        )
        seen = (u[0, 1] - u[0, 0] + T[0, 1].sqrt() * c) / T[0, 0].sqrt()
        exact = f @ (features.matrix(seen) - features.matrix(c)).detach()
        found = turned(m[:, None, None].expand(-1, 1, 2), B, u, T)[:, 0, 0]
        errors.append(float((found - exact).abs().max()))
        assert errors[-1] < 0.02 * float(exact.abs().max())
    assert errors[0] > 3.5 * errors[1]


@boundaries
def test_diffusion_alone_keeps_the_sum_and_makes_no_extremum(boundary: str) -> None:
    m, rho = random(3, 2, 16, low=-1.0), random(2, 16, seed=5)
    diffusion = 10.0 ** random(3, 2, 16, low=-6.0, high=3.0, seed=6)
    zero, one = torch.zeros_like(m), torch.ones_like(m)
    new = dissipate(m, zero, one, diffusion, rho, 1 / 16, boundary)
    assert torch.allclose((rho * new).sum(-1), (rho * m).sum(-1), atol=1e-12)
    assert (new.amax(-1) <= m.amax(-1) + 1e-12).all()
    assert (new.amin(-1) >= m.amin(-1) - 1e-12).all()


def test_a_uniform_gas_relaxes_at_the_sum_of_the_rates() -> None:
    """dm/dt = -(1/eps + a) m; of first order in a, as hsz2 corrects for collisions only."""
    with torch.no_grad():
        learned, eps, end = Learned(4), 0.5, 0.2
        learned.dissipation.raw_damping.fill_(0.5)
        closure = replace(learned.closure(), friction=None)
        start = 0.05 * torch.ones((8, 4), dtype=torch.float64)
        assert closure.dissipation is not None
        a = closure.dissipation(torch.tensor([eps], dtype=torch.float64))[0][:, 0]
        exact = start * torch.exp(-(1.0 / eps + a) * end)
        errors = []
        for steps in (8, 16):
            solver, state = gas(closure, eps, 8, start)
            dt = torch.full((1,), end / steps, dtype=torch.float64)
            for _ in range(steps):
                state = solver.step(state, dt)
            errors.append(float((state.m - exact).abs().max()))
    assert errors[1] < errors[0] / 1.9
    assert errors[0] < 5e-3 * float(start.max())


def test_mass_momentum_energy_and_equilibrium_are_left_alone() -> None:
    with torch.no_grad():
        closure = Learned(4).closure()
        solver, state = gas(closure, 1.0, 12, torch.zeros((12, 4), dtype=torch.float64))
        new = solver.step(state, solver.largest_step(state))
        assert float((new.U - state.U).abs().max()) < 1e-14
        assert float(new.m.abs().max()) < 1e-9
        m = 0.1 * random(12, 4, low=-1.0)
        solver, state = gas(closure, 1.0, 12, m)
        totals = solver.step(state, solver.largest_step(state)).U.sum(0)
        assert torch.allclose(totals, state.U.sum(0), rtol=1e-13, atol=1e-13)


def test_it_vanishes_beside_collisions_in_the_hydrodynamic_limit() -> None:
    """The moments a step leaves differ by less than a eps of themselves."""
    with torch.no_grad():
        closure = Learned(4).closure()
        m = 1e-3 * random(12, 4, low=-1.0)
        left = []
        for one in (closure, replace(closure, dissipation=None, friction=None)):
            solver, state = gas(one, 1e-6, 12, m)
            left.append(solver.step(state, solver.largest_step(state)).m)
    assert float((left[0] - left[1]).abs().max()) < 1e-5 * float(left[1].abs().max()) + 1e-12
