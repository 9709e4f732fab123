"""The compiled solver of `entropy`: the solution of the other one, its fallbacks and its files."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from moment_cases import UNLIKE, conserved, mixture, uniform
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

import closures
from closures import distil as distillation
from closures import fast, finite_volume
from closures.distil import compare, distil, distil_model, fit
from closures.fast import CompiledVolume, FastClosure
from closures.finite_volume import Failure, FiniteVolume, Scheme
from closures.gas import Gas
from closures.learned import Learned
from closures.library import load, parse, read_model, write_model
from closures.model_files import DIGEST, MANIFEST, WEIGHTS
from closures.solution import initial_moments, run_batch
from closures.solvers import solver_of
from closures.start import StartNetwork
from kinetic.collisions import BGK
from kinetic.config import LIMITERS, TABLEAUX, SchemeConfig
from kinetic.dataset import generate, open_dataset
from kinetic.errors import InvalidInput
from kinetic.output import write_solution
from kinetic.problems import problem

#: Of solutions whose dual problems are solved to 1e-9 each.
TOLERANCE = 2e-7
PARITY = torch.tensor([-1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of three moments with a network to start from."""
    folder = tmp_path_factory.mktemp("fast") / "model"
    with torch.no_grad():
        closure = Learned(3).closure()
        m = 0.3 * torch.randn(500, 3, dtype=torch.float64, generator=torch.Generator())
        theta, good = closure.decode(m, torch.ones(500))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distillation, "STEPS", 800)
        network = fit(m[good], theta[good], PARITY, seed=0)
    with torch.no_grad():
        write_model(folder, closure, {}, network)
    return folder


def solvers(states, closure=None, boundary="periodic", collision=None, **scheme):
    """The solver in torch, the compiled one, and U and m to start from."""
    closure = closure or parse("entropy-6")
    eps = torch.as_tensor(np.stack([state.knudsen for state in states]))
    options = (eps, collision or BGK(), boundary, Scheme(**scheme))
    parts = [initial_moments(closure, state) for state in states]
    U, W = (torch.cat(part) for part in zip(*parts, strict=True))
    pair = solver_of(closure, *options), solver_of(FastClosure.of(closure), *options)
    assert [type(one) for one in pair] == [FiniteVolume, CompiledVolume]
    return *pair, U, W / U[:, :1]


@torch.no_grad()
def difference(states, steps=6, **options):
    """Largest difference of U, m and theta after some steps of the two solvers."""
    slow, quick, U, m = solvers(states, **options)
    a, b = slow.decode(U, m, None), quick.decode(U, m, None)
    for _ in range(steps):
        dt = slow.largest_step(a)
        a, b = slow.step(a, dt), quick.step(b, dt)
    return max(
        float((getattr(a, name) - getattr(b, name)).abs().max()) for name in ("U", "m", "theta")
    )


@pytest.mark.parametrize("limiter", LIMITERS)
@pytest.mark.parametrize("time", TABLEAUX)
def test_steps_are_those_of_the_other_solver(limiter, time):
    if limiter != "third" and time != "hsz2":
        pytest.skip("limiters do not depend on the method")
    states = [mixture(12, eps, boost) for eps, boost in ((1e-4, 0.0), (0.1, -1.5), (5.0, 6.0))]
    assert difference(states, limiter=limiter, time=time) < TOLERANCE


@pytest.mark.parametrize("family", ["wave", "mix", "shock", "transition"])
@pytest.mark.parametrize("moments", [6, 9])
def test_trajectories_are_those_of_the_other_solver(family, moments):
    found = compare(load("entropy", moments), None, [family])
    assert found["failed"] == 0
    assert max(found["error"].values()) < TOLERANCE


@pytest.mark.parametrize("gas", [Gas(), Gas(1, "shakhov", 0.4)], ids=str)
@pytest.mark.parametrize("frequency", ["density", "power"])
def test_other_collisions_and_open_ends(frequency, gas):
    states = [mixture(12, 0.02), mixture(12, 2.0, boost=1.0)]
    options = {"boundary": "outflow", "collision": BGK(frequency, 0.6)}
    assert difference(states, closure=parse("entropy-6", gas=gas), **options) < TOLERANCE


def test_collisions_that_would_raise_the_entropy_are_slowed_likewise():
    closure, states = replace(parse("entropy-9"), response=UNLIKE), [mixture(12, 0.05)]
    assert difference(states, closure=closure) < TOLERANCE


@pytest.mark.parametrize("gas", [Gas(), Gas(1, "shakhov")], ids=str)
def test_cells_that_dissipation_strains_go_without_it_likewise(gas, monkeypatch):
    monkeypatch.setattr(finite_volume, "STRAINED", 0.02)
    assert difference([mixture(12, 0.5)], closure=parse("entropy-6", gas=gas)) < TOLERANCE


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_few_cells(cells):
    assert difference([mixture(cells, 0.5, boost=0.3)]) < TOLERANCE


def solution(state, closure="entropy-6-fast", end=0.1, snapshots=2):
    (found,) = run_batch(
        parse(closure),
        [state],
        end=end,
        snapshots=snapshots,
        collision=BGK(),
        boundary=None,
        scheme=SchemeConfig(),
    )
    return found


@pytest.mark.parametrize("eps", [1e-6, 1e-2, 10.0])
def test_mass_momentum_and_energy_are_conserved(eps):
    U = conserved(solution(mixture(30, eps, boost=0.2), end=0.5)).sum(axis=1)
    assert (np.abs(U[-1] - U[0]) / U[0]).max() < 1e-13


@pytest.mark.parametrize(("u", "T"), [(0.0, 1.0), (0.7, 0.3), (-12.0, 2.0)])
def test_a_uniform_state_stays(u, T):
    U = conserved(solution(uniform(6, 0.8, u, T), end=0.05))
    assert np.abs(U[-1] - U[0]).max() < 1e-13 * np.abs(U).max()


def test_mirrored_data_give_the_mirrored_solution():
    state = mixture(20, 0.05)
    parts = tuple((rho[::-1].copy(), -u[::-1], T[::-1].copy()) for rho, u, T in state.components)
    U, mirrored = (
        conserved(solution(one))[-1] for one in (state, replace(state, components=parts))
    )
    assert np.allclose(mirrored[::-1] * [1, -1, 1], U, rtol=0, atol=1e-12)


def test_change_by_a_boost_vanishes_with_refinement():
    u0, errors = 5 / 1.2, []  # five of twelve cells in the time of the run
    for cells in (12, 36):
        still, moved = (conserved(solution(mixture(cells, 0.1, u)))[-1] for u in (0.0, u0))
        rho, momentum, energy = np.roll(moved, -5 * cells // 12, axis=0).T
        back = (rho, momentum - rho * u0, energy - momentum * u0 + 0.5 * rho * u0**2)
        errors.append(np.abs(np.stack(back, axis=1) - still).mean())
    assert np.log(errors[0] / errors[1]) / np.log(3.0) > 1.9


def test_restart_is_the_straight_run_bit_for_bit(tmp_path):
    options = {"closure": {"name": "entropy", "fast": True}, "knudsen": 0.03, "cells": 12}
    straight = closures.solve(problem="mix", time={"end": 0.07, "snapshots": 8}, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = str(write_solution(straight.isel(time=slice(0, 3)), tmp_path / "solution.zarr"))
    given = {"name": "file", "path": path}
    rest = closures.solve(problem=given, time={"end": 0.07, "snapshots": 6}, **options)
    for field in ("density", "momentum", "energy", "heat_flux", "moments"):
        assert np.array_equal(rest[field], straight[field][2:]), field


def test_a_trajectory_does_not_depend_on_its_companions():
    states = [mixture(10, eps, boost) for eps, boost in ((1e-3, 0.0), (0.1, 1.5), (5.0, 4.0))]
    closure = parse("entropy-6-fast")
    options = {"end": 0.1, "snapshots": 4, "collision": BGK(), "boundary": None}
    together = run_batch(closure, states, scheme=SchemeConfig(), **options)
    for state, result in zip(states, together, strict=True):
        alone = solution(state, snapshots=4)
        assert np.array_equal(conserved(alone), conserved(result))
        assert alone.attrs["newton_fallbacks"] == result.attrs["newton_fallbacks"]


def test_fallbacks_are_counted_outside_the_trained_range(model):
    closure = load("model", path=model, fast=True)
    near, far = 0.02, 1.0
    counts = []
    for size in (near, far):
        eps = torch.full((2, 8), 0.1, dtype=torch.float64)
        solver = closure.solver(eps, BGK(), "periodic", Scheme())
        U = torch.tensor([[1.0, 0.0, 0.5]], dtype=torch.float64).expand(16, -1)
        m = torch.zeros((16, 3), dtype=torch.float64)
        m[8:, 2] = size
        solver.decode(U, m, None)
        counts.append(solver.take_fallbacks())
        assert solver.take_fallbacks() == [0, 0]
    assert counts == [[0, 0], [0, 8]]


def test_fallbacks_are_in_the_output_of_the_compiled_solver_alone():
    found = [solution(mixture(8), name).attrs for name in ("entropy-6-fast", "entropy-6")]
    assert ["newton_fallbacks" in attributes for attributes in found] == [True, False]


@torch.no_grad()
def test_moments_of_no_distribution_are_a_failure():
    _, solver, U, m = solvers([mixture(6)])
    m[4] = 100.0
    with pytest.raises(Failure, match="no distribution") as caught:
        solver.decode(U, m, None)
    assert caught.value.cells.tolist() == [4]


@torch.no_grad()
def test_a_step_too_far_is_the_failure_of_the_other_solver():
    states = [mixture(6), problem("shock", seed=1, cells=6)]
    dt = torch.tensor([1e-4, 3.0], dtype=torch.float64)
    raised = []
    for solver in solvers(states, time="ars222")[:2]:
        U, m = solvers(states)[2:]
        with pytest.raises(Failure) as caught:
            solver.step(solver.decode(U, m, None), dt)
        raised.append(caught.value)
    slow, quick = raised
    assert (slow.reason, slow.cells.tolist()) == (quick.reason, quick.cells.tolist())
    assert torch.allclose(slow.frame.T, quick.frame.T, rtol=1e-6)


def test_a_batch_goes_on_without_a_trajectory_that_fails():
    closure = parse("entropy-6-fast")
    solver = solver_of(closure, torch.full((2, 6), 0.1).double(), BGK(), "periodic", Scheme())
    part = solver.take(torch.tensor([1]))
    assert isinstance(part, CompiledVolume)
    assert (part.batch, part.cells) == (1, 6)


def test_derivatives_are_those_of_the_other_solver():
    slow, quick, U, m = solvers([mixture(6, 0.1)])
    slopes = []
    for solver in (slow, quick):
        V = U.clone().requires_grad_()
        now = solver.decode(V, m, None)
        solver.step(now, solver.largest_step(now).detach()).m.sum().backward()
        slopes.append(V.grad)
    assert torch.equal(*slopes)


def test_another_device_has_the_other_solver():
    closure = parse("entropy-6-fast")
    knudsen = torch.ones(1, 4, dtype=torch.float64, device="meta")
    assert closure.solver(knudsen, BGK(), "periodic", Scheme(nodes=4)).__class__ is FiniteVolume


def test_the_network_is_odd_and_even_and_vanishes_in_equilibrium(model):
    start = read_model(model).start
    m = 0.3 * torch.randn(20, 3, dtype=torch.float64)
    sign = torch.cat((torch.tensor([1.0, -1.0, 1.0]), PARITY))
    assert torch.allclose(start(PARITY * m), sign * start(m), rtol=0, atol=1e-13)
    assert start(torch.zeros_like(m)).abs().max() < 1e-13


def test_a_model_is_distilled_from_its_data(model, tmp_path, monkeypatch):
    monkeypatch.setattr(distillation, "STEPS", 800)
    recipe = {
        "dataset": {"families": ["wave"], "seed": 0, "trajectories": 2},
        "cells": 20,
        "time": {"end": 0.05, "snapshots": 3},
    }
    generate(recipe, tmp_path / "dataset.zarr", progress=False)
    write_model(tmp_path / "model", read_model(model), {})
    assert read_model(tmp_path / "model").start is None
    found = distil_model(tmp_path / "model", open_dataset(tmp_path / "dataset.zarr"))
    stored = json.loads((tmp_path / "model" / MANIFEST).read_text())["fast"]
    assert stored == found.measured
    assert max(stored["error"].values()) < TOLERANCE
    assert stored["start_residual"] < 1e-3
    start = read_model(tmp_path / "model").start
    for name, value in found.network.state_dict().items():
        assert torch.equal(start.state_dict()[name], value)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("fast.scale", lambda t: t[:-1]),
        ("fast.first.weight", lambda t: t * float("nan")),
        ("fast.second.weight", lambda t: t.to(torch.int64)),
        ("fast.last.bias", None),
        ("fast.more", lambda t: torch.zeros(3)),
    ],
)
def test_damaged_networks_are_refused(model, tmp_path, name, damage):
    tensors = load_tensors((model / WEIGHTS).read_bytes())
    if damage is None:
        del tensors[name]
    else:
        tensors[name] = damage(tensors.get(name, torch.zeros(1)))
    manifest = json.loads((model / MANIFEST).read_text()) | {DIGEST: None}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    (tmp_path / WEIGHTS).write_bytes(save_tensors(tensors))
    with pytest.raises(InvalidInput, match="network of the fast path") as caught:
        read_model(tmp_path)
    assert caught.value.key == "closure"


@pytest.mark.parametrize("spec", ["hermite-6-fast", "entropy-fast", "maxent-4-fast"])
def test_other_closures_have_no_fast_path(spec):
    with pytest.raises(InvalidInput) as caught:
        parse(spec)
    assert caught.value.key == "compare.closures"
    with pytest.raises(InvalidInput) as caught:
        load("hermite", 6, fast=True)
    assert caught.value.key == "closure.fast"


def test_only_splines_and_maximum_entropy_are_distilled():
    with pytest.raises(ValueError, match="splines"):
        distil(parse("hermite-6"), None)


def test_network_shapes():
    network = StartNetwork(PARITY)
    assert network(torch.zeros(4, 3, dtype=torch.float64)).shape == (4, 6)


@torch.no_grad()
def test_threads_do_not_change_the_solution(monkeypatch):
    states = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        monkeypatch.setattr(fast, "SHARE", 8)
        _, solver, U, m = solvers([mixture(30, 0.1, boost=0.5), mixture(30, 3.0)])
        state = solver.decode(U, m, None)
        states.append(solver.step(state, solver.largest_step(state)))
    assert all(torch.equal(getattr(states[0], name), getattr(states[1], name)) for name in "Um")
