"""The compiled solver of more dimensions: the solution of the other one, limits and failures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from moment_cases import UNLIKE, mixture, uniform

import closures
from closures import reduced_fast
from closures.dissipation import dissipate
from closures.finite_volume import Failure, FiniteVolume, Scheme
from closures.gas import Gas
from closures.library import load, parse
from closures.reduced_fast import CompiledReduced
from closures.reduced_runtime import _dissipate
from closures.response import Response
from closures.solution import initial_moments, run_batch
from closures.solvers import solver_of
from kinetic.collisions import BGK
from kinetic.config import SchemeConfig
from kinetic.errors import InvalidInput, NonPhysicalState

#: Residuals of theta are at most 1e-3, and are kept with the moments.
CLOSE = 3e-4

GASES = [Gas(2), Gas(3), Gas(2, "boltzmann"), Gas(2, "es_bgk"), Gas(3, "shakhov")]


def named(gas):
    return f"{gas.collision}-{gas.dimension}"


def solver(states, gas=GASES[0], fast=True, boundary="periodic", response=None, **scheme):
    """A solver of the shipped closure, and U and m to start from."""
    closure = load("entropy", 9, fast=fast, gas=gas)
    closure = replace(closure, response=response) if response else closure
    eps = torch.as_tensor(np.stack([state.knudsen for state in states]))
    options = Scheme(**{"nodes": 20, "reach": 3.0} | scheme)
    nu = BGK("density") if gas.collision == "boltzmann" else BGK()
    parts = [initial_moments(closure, state) for state in states]
    U, W = (torch.cat(part) for part in zip(*parts, strict=True))
    built = solver_of(closure, eps, nu, boundary, options)
    assert type(built) is (CompiledReduced if fast else FiniteVolume)
    return built, U, W / U[:, :1]


@torch.no_grad()
def marched(states, stop, **options):
    """The state of the compiled solver at `stop`."""
    quick, U, m = solver(states, **options)
    return quick.march(quick.decode(U, m, None), torch.zeros(len(states)).double(), stop), quick


@torch.no_grad()
def stepped(state, stop, **options):
    """That of the other one, by the same steps."""
    slow, U, m = solver([state], fast=False, **options)
    now, time = slow.decode(U, m, None), 0.0
    while time < stop:
        count = max(np.ceil((stop - time) / float(slow.largest_step(now)) * (1.0 - 1e-12)), 1.0)
        dt = (stop - time) / count
        now = slow.step(now, torch.tensor([dt]).double())
        time = stop if count == 1.0 else time + dt
    return now


@pytest.mark.parametrize("gas", GASES, ids=named)
@pytest.mark.parametrize("knudsen", [1e-4, 0.1, 10.0])
def test_the_solution_is_that_of_the_other_solver(gas, knudsen):
    state = mixture(20, knudsen)
    quick, slow = marched([state], 0.01, gas=gas)[0], stepped(state, 0.01, gas=gas)
    assert (quick.U - slow.U).abs().max() < CLOSE
    assert (quick.m - slow.m).abs().max() < CLOSE


@pytest.mark.parametrize("gas", GASES[:2], ids=named)
def test_what_differs_is_the_tolerance_and_the_rule_at_faces(gas, monkeypatch):
    monkeypatch.setattr(reduced_fast, "TOLERANCES", {True: (1e-9, 1e-9)})
    gamma = load("entropy", 9, gas=gas).dual.regularization
    monkeypatch.setattr(reduced_fast, "REGULARIZATION", gamma)
    slow = stepped(mixture(12, 0.1), 0.01, gas=gas, nodes=48)
    quick = marched([mixture(12, 0.1)], 0.01, gas=gas, nodes=24)[0]
    assert (quick.U - slow.U).abs().max() < 1e-5


def test_moments_of_hardly_any_density_do_not_become_spikes(monkeypatch):
    # They came about in free flight.
    moments = [-0.0175, 0.0142, 0.003, 0.0338, -0.2982, -0.0303, -0.0139, 0.0593, 0.0799]
    largest = []
    for gamma in (reduced_fast.REGULARIZATION, 1e-6):
        monkeypatch.setattr(reduced_fast, "REGULARIZATION", gamma)
        quick, U, m = solver([uniform(4, 1.0, 0.0, 1.0)], gas=GASES[2])
        m = torch.as_tensor(moments).double().expand_as(m).contiguous()
        largest.append(float(quick.decode(U, m, None).theta.abs().max()))
    assert largest[0] < 250.0
    assert largest[1] > 10.0 * largest[0]


def test_cells_too_cold_beside_others_are_named():
    state = mixture(8)
    quick, U, m = solver([state])
    cold = quick.decode(U, torch.zeros_like(m), None)
    cold.U[5, 2] = 0.5 * cold.U[5, 1] ** 2 / cold.U[5, 0] + 1e-7
    with pytest.raises(Failure, match=r"closure\.fast=false") as caught:
        quick.march(cold, torch.zeros(1).double(), 0.01)
    assert caught.value.cells.tolist() == [5]


def test_collisions_that_would_raise_the_entropy_are_slowed_likewise(monkeypatch):
    options = {"gas": GASES[2], "response": UNLIKE}
    state, slowed = mixture(12, 0.05), []
    relaxed = Response.relaxed

    def watched(response, m, slowing):
        new = relaxed(response, m, slowing)
        slowed.append((m, new))
        return new

    monkeypatch.setattr(Response, "relaxed", watched)
    quick, slow = marched([state], 0.01, **options)[0], stepped(state, 0.01, **options)
    assert (quick.U - slow.U).abs().max() < CLOSE
    # theta of what would be left, which is at fault.
    closure = solver([state], fast=False, **options)[0].closure
    lost = [(closure.decode(new, m[:, 0])[0][:, 3:] * (m - new)).sum(1) for m, new in slowed]
    assert torch.cat(lost).min() < -1e-6


@pytest.mark.parametrize("options", [{"time": "ars222"}, {"boundary": "outflow"}])
def test_other_schemes_and_boundaries_have_it_too(options):
    state = mixture(12, 0.1)
    quick, slow = marched([state], 0.01, **options)[0], stepped(state, 0.01, **options)
    assert (quick.U - slow.U).abs().max() < CLOSE


@pytest.mark.parametrize("gas", GASES, ids=named)
def test_sums_are_conserved(gas):
    state = mixture(16, 0.1, boost=0.5)
    end, quick = marched([state], 0.02, gas=gas)
    drift = (end.U - solver([state], gas=gas)[1]).sum(0) / quick.cells
    assert drift.abs().max() < 1e-14


@pytest.mark.parametrize("gas", GASES, ids=named)
def test_a_uniform_gas_stays_what_it_is(gas):
    state = uniform(8, 1.3, 0.3, 0.8)
    end, _ = marched([state], 0.05, gas=gas)
    assert (end.U - solver([state], gas=gas)[1]).abs().max() < 1e-13
    assert end.m.abs().max() < 1e-11


def test_a_trajectory_does_not_depend_on_its_companions_nor_on_threads(monkeypatch):
    states = [mixture(12, 0.1), mixture(12, 3.0), mixture(12, 1e-3, boost=0.4)]
    alone = [marched([state], 0.01)[0] for state in states]
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        together = marched(states, 0.01)[0]
        for b, one in enumerate(alone):
            rows = slice(12 * b, 12 * (b + 1))
            assert torch.equal(one.U, together.U[rows])
            assert torch.equal(one.theta, together.theta[rows])


@torch.no_grad()
def test_a_failure_names_the_cell_and_the_time():
    quick, U, m = solver([mixture(8), mixture(8)])
    m[3] = 100.0
    with pytest.raises(Failure, match="no distribution") as caught:
        quick.decode(U, m, None)
    assert caught.value.cells.tolist() == [3]
    state = quick.decode(U, torch.zeros_like(m), None)
    state.U[11, 2] = 0.1 * state.U[11, 1] ** 2
    state.m[:] = 0.0
    with pytest.raises(Failure, match="not positive") as caught:
        quick.march(state, torch.tensor([0.25, 0.25]).double(), 0.5)
    assert caught.value.time.tolist()[1] == 0.25
    assert caught.value.cells.tolist() == [11]


def test_a_trajectory_that_fails_stops_no_other(monkeypatch):
    whole = CompiledReduced.march

    def failing(self, state, time, stop):
        if self.batch == 2 and stop > 0.004:
            cells, when = torch.tensor([7]), torch.tensor([0.004, 0.0035], dtype=torch.float64)
            raise Failure(cells, state.frame, "no reason", when)
        return whole(self, state, time, stop)

    monkeypatch.setattr(CompiledReduced, "march", failing)
    closure = load("entropy", 9, fast=True, gas=Gas(2))
    states = [mixture(6), mixture(6)]
    options = {"end": 0.006, "snapshots": 3, "collision": BGK(), "boundary": None}
    good, bad = run_batch(closure, states, scheme=SchemeConfig(), **options)
    assert good.sizes["time"] == 3
    assert isinstance(bad, NonPhysicalState)
    assert (bad.time, bad.cell) == (0.0035, 1)


def test_dissipation_is_that_of_the_other_solver():
    rng = np.random.default_rng(0)
    state = mixture(10, 0.3)
    for boundary in ("periodic", "outflow"):
        quick, U, m = solver([state], boundary=boundary)
        m = torch.as_tensor(rng.normal(size=m.shape))
        space, gas = quick._space(), quick._gases[0]
        space.U[0], space.m[:] = U.numpy(), m.numpy()
        T = 0.5 * (2.0 * U[:, 2] / U[:, 0] - (U[:, 1] / U[:, 0]) ** 2)
        space.frame[0, :, 1] = T.sqrt().numpy()
        slow, found = np.full(10, 0.7), np.empty_like(space.m)
        _dissipate(space, 0, gas, 0.05, slow, found)
        a, d = quick._dissipation
        diffusion = 0.05 * U[:, 0] * T * d
        excess = 1.7 + 0.05 * a
        m = m.T[:, None]
        zero = torch.zeros_like(m)
        one = dissipate(m, zero, excess, diffusion, U[None, :, 0], 0.1, boundary)
        assert np.allclose(found, one[:, 0].T.numpy(), rtol=0, atol=1e-13)


def test_fallbacks_are_in_the_output():
    problem = {"problem": {"name": "wave", "seed": 1}, "cells": 8, "velocity": {"dim": 2}}
    chosen = {"closure": {"name": "entropy", "moments": 9, "fast": True}}
    found = closures.solve(**problem, **chosen, time={"end": 0.002, "snapshots": 2})
    assert found.attrs["newton_fallbacks"] == 0


def test_derivatives_are_those_of_the_other_solver():
    slopes = []
    for fast in (True, False):
        one, U, m = solver([mixture(6, 0.1)], fast=fast)
        V = U.clone().requires_grad_()
        now = one.decode(V, m, None)
        one.step(now, one.largest_step(now).detach()).m.sum().backward()
        slopes.append(V.grad)
    assert torch.equal(*slopes)


@pytest.mark.parametrize("spec", ["hermite-9-fast", "navier_stokes-1-fast"])
def test_other_closures_have_no_compiled_solver(spec):
    with pytest.raises(InvalidInput):
        parse(spec, gas=Gas(2))
