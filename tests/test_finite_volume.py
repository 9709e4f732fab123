"""The finite-volume solver of the closed equations: what it keeps, its order, its limits."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from moment_cases import (
    CLOSURES,
    FIELDS,
    closure_of,
    conserved,
    each_closure,
    mixture,
    refined,
    solve_all,
    solve_one,
    start,
    uniform,
)

from closures.dual import DualSolver
from closures.finite_volume import Failure
from closures.library import parse
from closures.solution import run_batch
from kinetic.collisions import BGK
from kinetic.config import LIMITERS, TABLEAUX, SchemeConfig
from kinetic.exact.riemann import Gas, solve_riemann
from kinetic.moments import moments_of
from kinetic.problems import InitialState, cell_centers, problem
from kinetic.reference import solve as solve_kinetic
from kinetic.solver import Solver
from kinetic.space import SpaceGrid
from kinetic.velocity import VelocityGrid

ENTROPY = [name for name in CLOSURES if name.startswith("entropy")]
#: Navier-Stokes conducts heat without bound as eps grows; the others do not.
each_moment_closure = pytest.mark.parametrize("name", [n for n in CLOSURES if n != "navier_stokes"])


@each_closure
@pytest.mark.parametrize("boundary", ["periodic", "outflow"])
@pytest.mark.parametrize(("u", "T"), [(0.0, 1.0), (0.7, 0.3), (-12.0, 2.0)])
def test_a_uniform_state_stays(name, boundary, u, T):
    solution = solve_one(name, uniform(6, 0.8, u, T, boundary=boundary), end=0.05)
    U = conserved(solution)
    assert np.abs(U[-1] - U[0]).max() < 1e-13 * np.abs(U).max()
    assert np.abs(solution.heat_flux[-1]).max() < 1e-8 * T**1.5


@each_closure
def test_mass_momentum_and_energy_are_conserved(name):
    states = [mixture(30, eps, boost=0.2) for eps in (1e-6, 1e-2, 10.0)]
    for solution in solve_all(name, states):
        U = conserved(solution).sum(axis=1)
        assert (np.abs(U[-1] - U[0]) / U[0]).max() < 1e-13


def test_drift_over_many_steps():
    U = conserved(solve_one("entropy-6", mixture(8, 1e-2, boost=0.2), end=2.0)).sum(axis=1)
    assert (np.abs(U[-1] - U[0]) / U[0]).max() < 1e-13


@each_closure
@pytest.mark.parametrize("scheme", TABLEAUX)
def test_mirrored_data_give_the_mirrored_solution(name, scheme):
    state = mixture(20, 0.05)
    components = tuple(
        (rho[::-1].copy(), -u[::-1], T[::-1].copy()) for rho, u, T in state.components
    )
    U, mirrored = (
        conserved(solve_one(name, one, time=scheme))[-1]
        for one in (state, replace(state, components=components))
    )
    assert np.allclose(mirrored[::-1] * [1, -1, 1], U, rtol=0, atol=1e-10)


def orders(name, knudsen, cells=(8, 24, 72), **options):
    """Observed order for each of the Knudsen numbers."""
    grids = [solve_all(name, [mixture(n, eps) for eps in knudsen], **options) for n in cells]
    found = []
    for runs in zip(*grids, strict=True):
        coarse, fine = (refined(a, b) for a, b in pairwise(conserved(run)[-1] for run in runs))
        found.append(np.log(coarse / fine) / np.log(3.0))
    return np.array(found)


@each_closure
def test_order_in_x_and_t_together(name):
    assert (orders(name, (1e-3, 1e-1, 1.0)) > 2.2).all()


@pytest.mark.parametrize("limiter", LIMITERS)
def test_order_with_every_limiter(limiter):
    assert orders("entropy-6", [0.1], limiter=limiter) > (2.2 if limiter == "third" else 1.5)


@pytest.mark.parametrize(
    ("name", "scheme", "order"),
    [
        ("navier_stokes", "hsz2", 1.9),
        ("navier_stokes", "ars443", 1.9),  # Strang's splitting of the conduction
        ("hermite-3", "hsz2", 1.9),
        ("hermite-3", "ars222", 1.9),
        ("hermite-3", "ars443", 2.7),
        ("entropy-6", "hsz2", 1.9),
    ],
)
def test_order_in_time_alone(name, scheme, order):
    runs = [solve_one(name, mixture(10, 0.1), time=scheme, cfl=cfl) for cfl in (0.4, 0.2, 0.025)]
    U = [conserved(run)[-1] for run in runs]
    coarse, fine = (np.abs(one - U[-1]).mean() for one in U[:-1])
    assert np.log2(coarse / fine) > order


@each_closure
def test_small_eps_is_the_euler_limit_of_the_kinetic_solver(name):
    # Both discretise Euler's equations to third order there; eps itself is what remains, in steps
    # about as short as the kinetic ones.
    for cells, bound in ((24, 6e-6), (72, 1.2e-6)):
        state = mixture(cells, 1e-6)
        rho, u, T = state.components[0]
        equilibrium = replace(state, components=((2 * rho, u, T),))
        found = conserved(solve_one(name, equilibrium, cfl=0.2))[-1]
        assert np.abs(found - kinetic_solution(equilibrium)).mean() < bound


def kinetic_solution(state):
    grid = VelocityGrid()
    solver = Solver(grid, SpaceGrid(len(state.x)), state.knudsen, boundary=state.boundary)
    *_, last = solver.evolve(state.distribution(grid.nodes), end=0.1, snapshots=2)
    return moments_of(last.f, grid)


@each_closure
def test_sod_at_small_eps_converges_to_the_exact_riemann_solution(name):
    errors = []
    for cells in (25, 75):
        state = problem("sod", knudsen=1e-6, cells=cells)
        solution = solve_one(name, state).isel(time=-1)
        left, right = Gas(1.0, 0.0, 1.0), Gas(0.125, 0.0, 0.8)
        rho, _, _ = solve_riemann(left, right)((state.x - 0.5) / 0.1)
        errors.append(np.abs(solution.density.values - rho).mean())
    assert errors[1] < 0.01
    assert np.log(errors[0] / errors[1]) / np.log(3.0) > 0.8


@each_closure
def test_a_trajectory_does_not_depend_on_its_companions(name):
    states = [mixture(10, eps, boost) for eps, boost in ((1e-3, 0.0), (0.1, 1.5), (5.0, 4.0))]
    together = solve_all(name, states, snapshots=4)
    for state, result in zip(states, together, strict=True):
        alone = solve_one(name, state, snapshots=4)
        for field in (*FIELDS, "heat_flux"):
            assert np.allclose(alone[field], result[field], rtol=0, atol=1e-11)


@each_moment_closure
@pytest.mark.parametrize("family", ["wave", "shock"])
def test_large_and_small_eps_need_no_small_steps(name, family):
    if name == "hermite-6" and family == "shock":
        pytest.skip("Grad's closure is not hyperbolic far from equilibrium")
    states = [problem(family, seed=900_001, knudsen=eps, cells=30) for eps in (1e-8, 10.0, 1e8)]
    for result in solve_all(name, states):
        assert not isinstance(result, Exception)


@pytest.mark.parametrize("name", ["euler", *ENTROPY])
@pytest.mark.parametrize("jump", [20.0, 200.0])
def test_strong_jumps_keep_density_and_temperature_positive(name, jump):
    x = cell_centers(20)
    inside = np.abs(x - 0.5) < 0.2
    fields = (np.where(inside, jump, 1.0), 0.0 * x, np.where(inside, 1.0, jump))
    states = [InitialState(x, np.full(20, eps), (fields,)) for eps in (1e-3, 10.0)]
    for solution in solve_all(name, states, end=0.03, snapshots=6):
        assert not isinstance(solution, Exception)
        assert (solution.density > 0).all()
        assert (solution.temperature > 0).all()


@given(st.integers(0, 2**31), st.floats(-6, 2))
@settings(max_examples=15)
def test_random_gas_stays_positive_and_conserved(seed, power):
    rng = np.random.default_rng(seed)
    parts = tuple(
        (rng.uniform(0.1, 2, 8), rng.uniform(-1, 1, 8), rng.uniform(0.2, 1.2, 8)) for _ in "ab"
    )
    state = InitialState(cell_centers(8), np.full(8, 10.0**power), parts)
    solution = solve_one("entropy-6", state, end=0.05)
    U = conserved(solution).sum(axis=1)
    assert np.abs(U[-1] - U[0]).max() < 1e-13 * U[0].max()
    assert (solution.temperature > 0).all()


@pytest.mark.parametrize("name", ENTROPY)
@pytest.mark.parametrize("family", ["wave", "shock", "transition"])
def test_entropy_of_the_decoded_distribution_falls_in_every_step(name, family):
    closure = closure_of(name)
    state = problem(family, seed=900_002, cells=30)
    solver, now = start(closure, [state])
    entropies = []
    with torch.no_grad():
        for _ in range(25):
            _, mass = closure.particles(now.frame, now.theta)
            weights = now.frame.T.sqrt()[:, None] * (closure.c[1] - closure.c[0])
            entropies.append(float((mass * torch.log(mass / weights)).sum()))
            now = solver.step(now, solver.largest_step(now))
    assert np.diff(entropies).max() < 0.0


@pytest.mark.parametrize("frequency", ["density", "power"])
def test_homogeneous_moments_relax_at_the_rate_of_the_frequency(frequency):
    collision = BGK(frequency, 0.6)
    one = np.ones(4)
    state = InitialState(
        np.arange(4) / 4 + 0.125, 0.1 * one, ((0.3 * one, one, one), (0.4 * one, -one, 0.5 * one))
    )
    solution = solve_one("hermite-6", state, collision=collision, cfl=0.01)
    nu = float(collision.nu(solution.density[0, 0], solution.temperature[0, 0]))
    ratio = solution.moments[-1, 0] / solution.moments[0, 0]
    assert np.allclose(ratio, np.exp(-nu), rtol=1e-4)


@each_closure
@pytest.mark.parametrize("scheme", ["hsz2", "ars222"])
def test_derivatives_agree_with_finite_differences(name, scheme):
    closure = closure_of(name)
    if closure.dual is not None:
        closure = replace(closure, dual=DualSolver(tolerance=1e-13))
    states = [mixture(7, 0.02), mixture(7, 2.0, boost=1.0)]
    solver, begin = start(closure, states, time=scheme)
    dt = solver.largest_step(begin)
    generator = torch.Generator().manual_seed(0)
    dU, dm, aU, am = (
        torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        for tensor in (begin.U, begin.m, begin.U, begin.m)
    )

    def functional(h):
        now = solver.decode(begin.U + 0.1 * h * dU, begin.m + 0.1 * h * dm, None)
        for _ in range(2):
            now = solver.step(now, dt)
        return (now.U * aU).sum() + (now.m * am).sum()

    h = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(functional(h), h)
    assert torch.isfinite(slope)
    # A limiter may have a kink within a step of one size; hardly within the smallest.
    differences = [
        float(functional(torch.tensor(e)) - functional(torch.tensor(-e))) / (2 * e)
        for e in (1e-5, 1e-6, 1e-7)
    ]
    assert min(abs(d - float(slope)) for d in differences) < 1e-6 * (1 + abs(float(slope)))


@each_closure
def test_derivatives_are_finite_in_uniform_and_in_discontinuous_gas(name):
    states = [uniform(10, 1.0, 0.0, 1.0), problem("shock", seed=1, cells=10)]
    solver, begin = start(closure_of(name), states)
    U, m = begin.U.clone().requires_grad_(), begin.m.clone().requires_grad_()
    now = solver.decode(U, m, None)
    after = solver.step(now, solver.largest_step(now).detach())
    ((after.U**2).sum() + (after.m**2).sum()).backward()
    assert torch.isfinite(U.grad).all()
    assert torch.isfinite(m.grad).all()


@each_closure
def test_no_tensor_is_made_elsewhere_than_where_the_state_is(name):
    solver, now = start(parse(name), [mixture(6, 0.1)])
    fresh = type(solver)(
        parse(name), solver.knudsen, solver.collision, solver.boundary, solver.scheme
    )
    torch.set_default_device("meta")
    try:
        after = fresh.step(fresh.decode(now.U, now.m, None), fresh.largest_step(now))
        heat = fresh.heat_flux(after)
    finally:
        torch.set_default_device("cpu")
    assert {after.U.device.type, after.m.device.type, heat.device.type} == {"cpu"}


def test_a_step_too_far_is_a_failure_that_says_where():
    # hsz2 bounds what leaves a cell by what it holds, whatever the step.
    states = [mixture(6), problem("shock", seed=1, cells=6)]
    solver, now = start(closure_of("euler"), states, time="ars222")
    with pytest.raises(Failure, match="positive") as caught:
        solver.step(now, torch.tensor([1e-4, 3.0], dtype=torch.float64))
    assert (caught.value.cells >= 6).all()
    bad = caught.value.cells
    rho, T = caught.value.frame.rho[bad], caught.value.frame.T[bad]
    assert ((rho <= 0) | (T <= 0)).all()


def test_moments_of_no_distribution_are_a_failure():
    solver, now = start(closure_of("entropy-6"), [mixture(6)])
    m = now.m.clone()
    m[4] = 100.0
    with pytest.raises(Failure, match="no distribution") as caught:
        solver.decode(now.U, m, None)
    assert caught.value.cells.tolist() == [4]


class Doubled:
    """A closure of a user's own: local equilibrium as two equal groups of particles."""

    name, dimension, moments, extent, conductivity = "doubled", 1, 0, 6.0, False
    dissipation = None

    def __init__(self):
        self.euler = parse("euler")
        self.c = self.euler.c

    def to(self, device):
        return self

    def decode(self, m, knudsen, start=None):
        return self.euler.decode(m, knudsen)

    def distribution(self, frame, theta):
        return self.euler.distribution(frame, theta)

    def particles(self, frame, theta):
        v, mass = self.euler.particles(frame, theta)
        return torch.cat((v, v), 1), torch.cat((0.5 * mass, 0.5 * mass), 1)

    def encode(self, frame, v, g):
        return self.euler.encode(frame, v, g)


def test_a_closure_of_ones_own():
    (found,) = run_batch(
        Doubled(),
        [mixture(10)],
        end=0.05,
        snapshots=2,
        collision=BGK(),
        boundary=None,
        scheme=SchemeConfig(),
    )
    expected = solve_one("euler", mixture(10), end=0.05)
    assert np.allclose(conserved(found), conserved(expected), atol=1e-14)


def test_more_moments_are_closer_to_the_kinetic_solution():
    reference = solve_kinetic(problem={"name": "mix", "seed": 900_004}, knudsen=0.1, cells=30)
    errors = []
    for name in ("euler", "hermite-3", "entropy-6", "entropy-9"):
        found = solve_one(name, problem("mix", seed=900_004, knudsen=0.1, cells=30), snapshots=11)
        errors.append(float(np.abs(found.density[-1] - reference.density[-1]).mean()))
    assert errors == sorted(errors, reverse=True)
