"""Closures of gases with two and three velocity dimensions: reduced distributions, H-theorem."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from moment_cases import UNLIKE

import closures
import kinetic
from closures.closure import Frame
from closures.comparison import compare
from closures.encoder import Encoder, hermite_features
from closures.features import trapezoid, unit_maxwellian
from closures.finite_volume import FiniteVolume, Scheme, State, conserved_sums
from closures.gas import Gas
from closures.learned import BASIS, Learned
from closures.library import SHIPPED, load
from closures.linear_response import relaxation_response
from closures.reduced import ReducedClosure, reduced_invariants
from closures.reduced_features import ReducedHermiteFeatures
from closures.reduced_samples import reduce, reduced_averages
from closures.response import Response
from closures.samples import EXTENT, FINER_NODES
from closures.solution import initial_moments, run_batch
from closures.structure import transported
from kinetic.collisions import BGK
from kinetic.config import SchemeConfig
from kinetic.errors import InvalidInput
from kinetic.maxwellian import maxwellian
from kinetic.moments import moments_of
from kinetic.problems import InitialState, cell_centers
from kinetic.solver import Solver
from kinetic.space import SpaceGrid
from kinetic.velocity import VelocityGrid

DIMENSIONS = (2, 3)
MOMENTS = 9


def untrained(dimension, collision="bgk", moments=MOMENTS):
    learned = Learned(moments, Gas(dimension, collision)).requires_grad_(False)
    learned.order_by_degree()
    return learned.closure()


def gas(cells, eps=0.1, u0=0.0):
    """Two gases of unlike temperatures that stream through each other."""
    x = cell_centers(cells)
    wave = np.sin(2 * np.pi * x)
    first = (0.6 + 0.2 * wave, u0 + 0.2 * wave, 0.6 + 0.1 * np.cos(2 * np.pi * x))
    second = (0.4 - 0.1 * wave, u0 - 0.3 + 0.0 * x, 1.1 + 0.2 * wave)
    return InitialState(x, np.full(cells, float(eps)), (first, second))


def solved(closure, states, end=0.05, collision=None, **options):
    found = run_batch(
        closure,
        states,
        end=end,
        snapshots=2,
        collision=collision or BGK(),
        boundary=None,
        scheme=SchemeConfig(),
        **options,
    )
    for one in found:
        assert not isinstance(one, Exception), one
    return found


def fields(solution, time=-1):
    names = ("density", "momentum", "energy")
    return np.stack([solution[name].values[time] for name in names], axis=1)


def decoded(closure, cells=12):
    U, W = initial_moments(closure, gas(cells))
    frame = Frame.of(U, closure.dimension)
    m = W / U[:, :1]
    theta, found = closure.decode(m, m[:, 0])
    assert found.all()
    return frame, U, m, theta


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_functions_are_orthonormal_to_each_other_and_to_the_invariants(dimension):
    polynomials = ReducedHermiteFeatures(dimension, 13)
    encoder = Encoder(5, 6, BASIS, dimension).requires_grad_(False)
    c, h = trapezoid(14.0, 113)
    rules = (c, unit_maxwellian(c) * h), (encoder.c, encoder.measure)
    for features, (c, measure) in zip((polynomials, encoder.features()), rules, strict=True):
        w, known = features.matrix(c), reduced_invariants(c, dimension)
        weight = measure[:, None]
        with_known = (known.transpose(1, 2) @ (weight * w)).sum(0)
        gram = (w.transpose(1, 2) @ (weight * w)).sum(0)
        assert with_known.abs().max() < 1e-10
        assert (gram - torch.eye(len(gram))).abs().max() < 1e-10
        assert (w.flip(1) - features.parity * w).abs().max() < 1e-9 * w.abs().max()


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_the_first_polynomials_are_stress_and_heat_flux(dimension):
    # Of f = M[1 + a (c_1^2 - |c|^2/D) + b c_1 (|c|^2 - D - 2)] no others see anything.
    c, h = trapezoid(12.0, 97)
    d, D = dimension - 1, dimension
    M = unit_maxwellian(c) * h
    w = hermite_features(5, dimension).matrix(c)
    for a, b in ((1.0, 0.0), (0.0, 1.0)):
        # Averages over c_perp of the bracket, and of it times s.
        bracket = a * (c**2 - (c**2 + d) / D) + b * c * (c**2 + d - D - 2)
        with_s = math.sqrt(2 * d) * (-a / D + b * c)
        m = (M * bracket) @ w[0] + (M * with_s) @ w[1]
        k = 0 if a else 1
        assert abs(m[k]) > 0.5
        assert m.abs().sum() - m[k].abs() < 1e-12


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_what_is_decoded_has_its_moments(dimension):
    closure = untrained(dimension)
    frame, U, m, theta = decoded(closure)
    v, g = closure.particles(frame, theta)
    # Up to what gamma and the barrier of the dual take.
    assert (closure.encode(frame, v, g) - m).abs().max() < 3e-5
    assert (conserved_sums(v, g) - U).abs().max() < 3e-6
    assert (g > 0).all()
    inside = v * (1.0 - 1e-13) + frame.u[:, None] * 1e-13
    width = frame.T.sqrt()[:, None] * closure.weights
    assert (closure.distribution(frame, theta)(inside) * width - g).abs().max() < 1e-9


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_reflection_and_equilibrium(dimension):
    closure = untrained(dimension)
    _, _, m, theta = decoded(closure)
    parity = torch.cat((torch.tensor([1.0, -1.0, 1.0]), closure.features.parity))
    mirrored, _ = closure.decode(closure.features.parity * m, m[:, 0])
    assert (mirrored - parity * theta).abs().max() < 1e-8
    none, found = closure.decode(torch.zeros_like(m), m[:, 0])
    assert found.all()
    assert none.abs().max() < 1e-6


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_averages_of_a_maxwellian_are_those_of_equilibrium(dimension):
    v = np.linspace(-9.0, 9.0, 61)
    rho, u, T = (np.array([a, b])[:, None] for a, b in ((1.3, 0.7), (0.4, -0.6), (0.8, 1.5)))
    if dimension == 2:
        f = maxwellian(rho[..., None], u[..., None], T[..., None], v[:, None], v)
    else:
        g = maxwellian(rho, u, T, v)
        f = np.stack((g, 2 * T * g), axis=-1)
    parts = reduce(f, v, dimension), v, BASIS, dimension, EXTENT, FINER_NODES
    averages, divergence = reduced_averages(*parts)
    m = averages @ untrained(dimension).features.table
    assert m.abs().max() < 1e-6
    assert divergence.max() < 1e-7


@pytest.mark.parametrize("name", ["euler", "navier_stokes", "hermite", "entropy"])
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_solutions_conserve_and_a_uniform_gas_stays(dimension, name):
    closure = untrained(dimension) if name == "entropy" else load(name, 5, gas=Gas(dimension))
    (solution,) = solved(closure, [gas(16)])
    before, after = (fields(solution, n).sum(0) for n in (0, -1))
    assert np.abs(after - before).max() < 1e-13 * np.abs(before).max()
    one = np.ones(8)
    still = InitialState(cell_centers(8), 0.1 * one, ((one, 0.3 * one, 0.8 * one),))
    (solution,) = solved(closure, [still])
    assert np.abs(fields(solution) - fields(solution, 0)).max() < 1e-12
    assert np.abs(solution.temperature - 0.8).max() < 1e-12


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_change_by_a_boost_vanishes_with_refinement(dimension):
    closure, end = untrained(dimension), 0.05
    changes = []
    for cells in (12, 36):
        u0 = 1.0 / (end * 12)
        still, moved = (fields(s) for s in solved(closure, [gas(cells), gas(cells, u0=u0)], end))
        rho, momentum, energy = np.roll(moved, -cells // 12, axis=0).T
        back = (rho, momentum - rho * u0, energy - momentum * u0 + 0.5 * rho * u0**2)
        changes.append(np.abs(np.stack(back, axis=1) - still).mean())
    assert math.log(changes[0] / changes[1]) / math.log(3.0) > 1.9


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize(("eps", "share"), [(1e-3, 0.4), (0.1, 0.05), (10.0, 0.05)])
def test_nine_untrained_moments_are_nearer_to_the_kinetic_solution_than_euler(
    dimension, eps, share
):
    state = gas(24, eps)
    velocity = VelocityGrid(32 if dimension == 2 else 48, 8.0, dimension)
    space = SpaceGrid(24)
    solver = Solver(velocity, space, state.knudsen)
    *_, last = solver.evolve(state.on_grid(velocity), end=0.05, snapshots=2)
    reference = moments_of(last.f, velocity)
    distances = []
    for closure in (load("euler", gas=Gas(dimension)), untrained(dimension)):
        (solution,) = solved(closure, [state])
        distances.append(np.linalg.norm(fields(solution) - reference))
    assert distances[1] < share * distances[0]


OTHERS = [Gas(2, "es_bgk"), Gas(2, "shakhov", 0.3), Gas(3, "es_bgk", 0.7), Gas(3, "shakhov")]
"""Gases whose collisions relax stress and heat flux at rates of their own."""


@pytest.mark.parametrize("of", OTHERS, ids=str)
def test_stress_and_heat_flux_relax_at_rates_of_their_own(of):
    others, shear, heat = of.rates
    matrix = relaxation_response(load("hermite", 7, gas=Gas(of.dimension)), of.rates)
    exact = torch.diag(torch.tensor([shear, heat] + 5 * [others], dtype=torch.float64))
    assert torch.allclose(matrix, exact, rtol=0.0, atol=1e-9)
    closure = untrained(of.dimension)
    matrix = relaxation_response(closure, of.rates)
    first = ReducedHermiteFeatures(of.dimension, 2).matrix(closure.c)
    held = (closure.phi[..., 3:].mT @ (closure.measure[:, None] * first)).sum(0)
    assert torch.allclose(
        matrix @ held, held * torch.tensor([shear, heat], dtype=torch.float64), rtol=0.0, atol=1e-12
    )


RELAXING = Response(relaxation_response(untrained(2), OTHERS[0].rates))


@pytest.mark.parametrize(
    "response", [Response(0.5 * torch.eye(MOMENTS).double()), UNLIKE, RELAXING]
)
@given(data=st.data())
@settings(max_examples=20)
def test_collisions_never_raise_the_entropy(response, data):
    closure = replace(untrained(2, "boltzmann"), response=response, dissipation=None)
    coefficients = st.lists(st.floats(-0.3, 0.3), min_size=MOMENTS, max_size=MOMENTS)
    state, found = gas_of(closure, data.draw(coefficients))
    assume(found)
    dt = data.draw(st.floats(1e-3, 1.0))
    eps = torch.full((1, 1), 0.1, dtype=torch.float64)
    solver = FiniteVolume(closure, eps, BGK("density"), "periodic", Scheme())
    after = solver._relax(state, torch.tensor([dt]).double(), 0.5, 0.3)
    assert entropy(closure, after) <= entropy(closure, state) + 1e-9


def gas_of(closure, coefficients):
    """A cell with some theta of w, and whether f_hat has its moments."""
    U, zero = torch.tensor([[1.0, 0.0, 1.0]]).double(), torch.zeros(1, 3 + MOMENTS).double()
    theta = torch.cat((zero[:, :3], torch.tensor([coefficients]).double()), dim=1)
    v, masses = closure.particles(Frame.of(U, 2), theta)
    # Its moments, in the frame it has.
    rho = masses[0].sum(1)
    u = (masses[0] * v).sum(1) / rho
    energy = 0.5 * ((masses[0] * v**2).sum(1) + masses[1].sum(1))
    frame = Frame.of(torch.stack((rho, rho * u, energy), dim=1), 2)
    m = closure.encode(frame, v, masses)
    U = torch.stack((rho, rho * u, energy), dim=1)
    theta, found = closure.decode(m, rho, zero)
    return State(U, m, theta, 2), bool(found)


def entropy(closure, state):
    """int f_hat log(f_hat/M) per mass, -D of `closures.reduced_dual`."""
    s = (state.theta @ closure.phi.transpose(1, 2)).unbind(0)
    mass = closure.weighted(torch.log(closure.measure), torch.stack(s), torch.ones(1).double())[0]
    return float((state.theta[:, 3:] * state.m).sum() + state.theta[0, 0] - mass.sum() + 1.0)


def test_stiff_collisions_leave_an_equilibrium():
    closure = untrained(2, "boltzmann")
    state, found = gas_of(closure, [0.2, -0.1] * 4 + [0.1])
    assert found
    eps = torch.full((1, 1), 1e-9, dtype=torch.float64)
    solver = FiniteVolume(closure, eps, BGK("density"), "periodic", Scheme())
    assert solver._relax(state, torch.ones(1).double(), 0.5, 0.3).m.abs().max() < 1e-6


def test_moments_relax_by_the_linear_response_near_equilibrium():
    closure = untrained(2, "boltzmann")  # all moments relax at the rate 1/2
    one = np.ones(6)
    parts = ((0.5 * one, 0.1 * one, one), (0.5 * one, -0.1 * one, one))
    state = InitialState(cell_centers(6), 0.1 * one, parts)
    (solution,) = solved(closure, [state], end=0.02, collision=BGK("density"))
    ratio = solution.moments[-1, 0] / solution.moments[0, 0]
    largest = int(np.abs(solution.moments.values[0, 0]).argmax())
    assert float(ratio[largest]) == pytest.approx(math.exp(-0.5 * 0.02 / 0.1), rel=0.02)


def test_gases_without_closures_are_refused():
    with pytest.raises(InvalidInput, match="do not know it"):
        load("euler", gas=Gas(1, "es_bgk"))
    with pytest.raises(InvalidInput, match="there is none of"):
        load("maxent", 4, gas=Gas(2, "boltzmann"))


def test_a_step_has_a_gradient():
    closure = untrained(2)
    U, W = initial_moments(closure, gas(6))
    eps = torch.full((1, 6), 0.3, dtype=torch.float64)
    features = replace(
        closure.features, coefficients=closure.features.coefficients.clone().requires_grad_()
    )
    closure = replace(closure, features=features)
    assert isinstance(closure, ReducedClosure)
    solver = FiniteVolume(closure, eps, BGK(), "periodic", Scheme())
    state = solver.decode(U, W / U[:, :1], None)
    solver.step(state, torch.tensor([1e-3], dtype=torch.float64)).U.square().sum().backward()
    assert torch.isfinite(features.coefficients.grad).all()
    assert features.coefficients.grad.abs().max() > 0


SHIPPED_GASES = [gas for gas in SHIPPED if gas.dimension > 1] + OTHERS[::3]


@pytest.mark.parametrize("of", SHIPPED_GASES, ids=str)
def test_shipped_closures_are_near_the_kinetic_solution(of):
    options = {
        "problem": {"name": "mix", "seed": 900_003},
        "knudsen": 0.05,
        "cells": 40,
        "velocity": {"dim": of.dimension},
        "collision": {"name": of.collision, "prandtl": of.prandtl},
        "time": {"end": 0.05, "snapshots": 2},
    }
    reference = kinetic.solve(**options)
    found = {}
    for name in ("entropy", "navier_stokes"):
        solution = closures.solve(**options, closure=name)
        apart = solution.energy.values[-1] - reference.energy.values[-1]
        found[name] = np.linalg.norm(apart) / np.linalg.norm(reference.energy.values[-1])
    assert found["entropy"] < 0.01
    assert found["entropy"] < 0.5 * found["navier_stokes"]


@pytest.mark.parametrize("of", SHIPPED_GASES, ids=str)
def test_a_cell_has_its_own_moments_in_its_frame(of):
    closure = load("entropy", gas=of)
    U, W = initial_moments(closure, gas(8))
    frame, m = Frame.of(U, of.dimension), W / U[:, :1]
    Z, F = transported(closure, frame, U, m, m[:, 0])
    assert (Z - torch.cat((U, W), dim=1)).abs().max() < 1e-4
    assert (F[:, 0] - U[:, 1]).abs().max() < 1e-4


def test_a_comparison_in_two_dimensions(tmp_path):
    options = {
        "velocity": {"dim": 2},
        "cells": 8,
        "time": {"end": 0.01, "snapshots": 3},
        "compare": {"closures": ["navier_stokes", "entropy"], "families": ["mix"], "cases": 1},
    }
    compare(options, tmp_path, progress=False)
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert all(case["status"] == "ok" for case in record["cases"])
    assert all(one["passes"] for one in record["structure"]["entropy"].values())
    assert (tmp_path / "figures" / "moments-entropy.png").is_file()
