"""The closure of networks: identities of its fluxes, its finite volumes, and its files."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from moment_cases import conserved, mixture, refined, solve_all, uniform
from safetensors.torch import load, save

from closures import library
from closures.closure import Frame
from closures.features import invariants, trapezoid, unit_maxwellian
from closures.finite_volume import Failure, Scheme
from closures.gas import Gas
from closures.library import NETWORKS, parse
from closures.library import load as load_closure
from closures.network.closure import Architecture, NetworkClosure, Networks
from closures.network.files import VARIANTS, read_network, write_network
from closures.network.labels import Samples, label
from closures.network.moments import EXTENT, NODES, maxwellian_moments
from closures.network.speeds import characteristic_speeds
from closures.solution import initial_moments, run_batch
from kinetic.collisions import BGK
from kinetic.config import SchemeConfig
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.problems import problem

torch.set_num_threads(1)

SPEED = 5.0
each_variant = pytest.mark.parametrize("variant", NETWORKS)


def untrained(variant, moments=4, seed=0):
    """A closure with the weights that training starts from: a mild, arbitrary one."""
    frame, features = VARIANTS[variant]
    kind = Architecture(frame, features, moments, encoder=16, decoder=16, flux=16)
    return NetworkClosure(Networks(kind, seed).requires_grad_(False), SPEED)


def run(closure, states, **options):
    options = {"end": 0.05, "snapshots": 2, "scheme": SchemeConfig()} | options
    return run_batch(closure, states, collision=BGK(), boundary=None, **options)


def gases(count=7, seed=3):
    """Frames and moments of random cells, and eps."""
    rng = np.random.default_rng(seed)
    rho, T = torch.as_tensor(rng.uniform(0.5, 2.0, (2, count)))
    frame = Frame(rho, torch.as_tensor(rng.uniform(-1.0, 1.0, count)), T)
    eps = torch.as_tensor(10.0 ** rng.uniform(-3.0, 1.0, count))
    return frame, torch.as_tensor(rng.uniform(-0.3, 0.3, (count, 4))), eps


def moved(frame, boost, stretch):
    """The gases as seen by one who moves with -`boost`, velocities in units 1/`stretch`."""
    return Frame(frame.rho, stretch * (frame.u + boost), stretch**2 * frame.T)


# Functions and labels


@each_variant
def test_functions_are_orthonormal_to_each_other_and_the_invariants(variant):
    c, h = trapezoid(EXTENT, NODES)
    phi = torch.cat((invariants(c), untrained(variant).networks.moments(c)), dim=1)
    gram = phi.T @ ((unit_maxwellian(c) * h)[:, None] * phi)
    assert (gram - torch.eye(len(gram))).abs().max() < 1e-10


@pytest.mark.parametrize("fixed", [False, True])
def test_labels_of_hermite_moments_are_those_in_closed_form(fixed):
    # f = M (1 + a He_3 + b He_4), w = He_3/sqrt 6 in a frame at c_j = d + s c'.
    a, b, d, s = 0.05, 0.03, 0.2, 1.1
    c, _ = trapezoid(12.0, 193)
    h3, h4 = c**3 - 3 * c, c**4 - 6 * c**2 + 3
    g = unit_maxwellian(c) * (1 + a * h3 + b * h4)
    one = torch.ones(1, dtype=torch.float64)
    samples = Samples(c, g[None], 0 * one, one, d * one, s * one, one)
    labels = label(samples, lambda c: ((c**3 - 3 * c) / 6**0.5)[..., None], fixed)
    assert labels.heat.item() == pytest.approx(3 * a, rel=1e-12)  # <He_3 c^3> = 6
    assert labels.own.item() == pytest.approx(24 * b / 6**0.5, rel=1e-12)  # c He_3 = He_4 + 3 He_2
    if fixed:
        assert labels.A.item() == pytest.approx(6 * a / 6**0.5, rel=1e-12)
        return
    # He_3(d + s c) = s^3 He_3(c) + 3 d s^2 He_2(c) + ..., of which He_3 alone meets a He_3.
    assert labels.A.item() == pytest.approx(6 * a * s**3 / 6**0.5, rel=1e-12)
    expected = (24 * b * s**3 + 3 * d * s**2 * 6 * a) / 6**0.5
    assert labels.B.item() == pytest.approx(expected, rel=1e-12)


def test_moments_of_a_maxwellian_in_closed_form():
    # <He_3> of a Maxwellian at d with width s: d^3 + 3 d (s^2 - 1).
    c, _ = trapezoid(EXTENT, NODES)
    d, s = torch.tensor([0.4, -1.0]).double(), torch.tensor([0.7, 1.3]).double()
    A, B = maxwellian_moments((c**3 - 3 * c)[:, None], d, s)
    assert torch.allclose(A[:, 0], d**3 + 3 * d * (s**2 - 1), atol=1e-12)
    assert torch.allclose(B[:, 0], s * (3 * d**2 + 3 * s**2 - 3), atol=1e-12)  # Stein: s <w'>


# Fluxes


@each_variant
def test_there_is_nothing_beyond_the_maxwellian_in_equilibrium(variant):
    closure, (frame, _, eps) = untrained(variant), gases()
    v = frame.u[:, None] + frame.T.sqrt()[:, None] * closure.c
    dv = frame.T.sqrt() * (closure.c[1] - closure.c[0])
    M = frame.rho[:, None] * unit_maxwellian(frame.scaled(v)) / frame.T.sqrt()[:, None]
    m = closure.encode(frame, v, M * dv[:, None])
    # In the fixed frame the two quadratures have other nodes.
    quadrature = 5e-6 if closure.networks.kind.fixed else 1e-9
    assert (m - closure.equilibrium(frame)).abs().max() < quadrature
    exact = closure.equilibrium(frame)
    assert closure.heat(frame, exact, eps).abs().max() < 1e-12
    W, G = closure.carried(frame, exact, frame)
    assert torch.allclose(W, frame.rho[:, None] * exact, atol=1e-12)
    seen = closure.networks.moments(closure.seen(frame).scaled(v))
    assert torch.allclose(G, torch.einsum("mn,mnk->mk", M * v * dv[:, None], seen), atol=quadrature)
    assert torch.allclose(closure.distribution(frame, exact)(v), M, atol=1e-14)


@each_variant
def test_in_the_frame_of_the_gas_w_is_rho_m(variant):
    closure, (frame, m, _) = untrained(variant), gases()
    W, _ = closure.carried(frame, m, frame)
    assert torch.allclose(W, frame.rho[:, None] * m, atol=1e-12)


def fluxes(closure, frame, m, to, eps):
    q = closure.heat(frame, m, eps)
    W, G = closure.carried(frame, m, to)
    return q, W, G


@pytest.mark.parametrize(
    ("variant", "invariant"), [*zip(NETWORKS, (True, False, True), strict=True)]
)
def test_fluxes_under_boosts_and_scalings(variant, invariant):
    closure, (frame, m, eps) = untrained(variant), gases()
    to = gases(seed=5)[0]
    boost, stretch = 0.8, 1.7
    q, W, G = fluxes(closure, frame, m, to, eps)
    there = (moved(one, boost, stretch) for one in (frame, to))
    frame_there, to_there = there
    q_there, W_there, G_there = fluxes(closure, frame_there, m, to_there, eps)
    pairs = ((q_there, stretch**3 * q), (W_there, W), (G_there, stretch * (G + boost * W)))
    defects = [float((one - other).abs().max() / other.abs().max()) for one, other in pairs]
    assert (max(defects) < 1e-12) == invariant
    assert invariant or defects[0] > 0.1


# Finite volumes


@each_variant
def test_conserved_to_round_off(variant):
    states = [problem("mix", seed=900_000 + i, knudsen=eps) for i, eps in enumerate((1e-3, 1.0))]
    for one in run(untrained(variant), states):
        U = conserved(one)
        assert np.abs(U[-1].mean(0) - U[0].mean(0)).max() < 1e-14


@each_variant
def test_a_uniform_gas_stays(variant):
    for one in run(untrained(variant), [uniform(8, 1.3, 0.7, 0.6, eps) for eps in (1e-8, 1.0)]):
        U = conserved(one)
        assert np.abs(U[-1] - U[0]).max() < 1e-14
        assert np.abs(one.heat_flux).max() < 1e-9


@each_variant
@pytest.mark.parametrize("eps", [1e-5, 1e-8])
def test_the_limit_of_small_knudsen_numbers_is_that_of_euler(variant, eps):
    far = []
    for cells in (20, 60):
        state = mixture(cells, eps)
        euler, own = (*solve_all("euler", [state], end=0.05), *run(untrained(variant), [state]))
        far.append(np.abs(conserved(own)[-1] - conserved(euler)[-1]).max())
    assert far[1] < 2e-5
    assert far[1] < far[0] / 9.0


@each_variant
def test_the_step_does_not_depend_on_the_knudsen_number(variant):
    closure = untrained(variant)
    states = [mixture(8, eps) for eps in (1e-8, 10.0)]
    eps = torch.as_tensor(np.stack([state.knudsen for state in states]))
    solver = closure.solver(eps, BGK(), "periodic", Scheme())
    U, W = (
        torch.cat(part) for part in zip(*(initial_moments(closure, s) for s in states), strict=True)
    )
    steps = solver.largest_step(solver.decode(U, W / U[:, :1], None))
    assert steps[0] == steps[1] == pytest.approx(float(steps[0]))


@each_variant
@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_second_order_in_smooth_flow(variant, eps):
    closure = untrained(variant)
    U = [
        conserved(run(closure, [mixture(cells, eps)], end=0.02)[0])[-1].T for cells in (20, 60, 180)
    ]
    errors = [
        np.mean([refined(*pair) for pair in zip(a, b, strict=True)])
        for a, b in itertools.pairwise(U)
    ]
    assert np.log(errors[0] / errors[1]) / np.log(3.0) > 1.8


def change_by_a_boost(closure, cells, u0=1.0, time=0.1):
    """Mean relative change of the solution when the gas moves by a tenth of the domain."""
    states = [mixture(cells, 0.1, boost) for boost in (0.0, u0)]
    still, there = (conserved(one)[-1] for one in run(closure, states, end=time))
    rho, momentum, energy = np.roll(there, -round(u0 * time * cells), axis=0).T
    back = np.stack((rho, momentum - rho * u0, energy - momentum * u0 + 0.5 * rho * u0**2), axis=1)
    return np.abs(back - still).mean() / np.abs(still).mean()


@pytest.mark.parametrize(
    ("variant", "invariant"), [*zip(NETWORKS, (True, False, True), strict=True)]
)
def test_the_solution_of_a_boosted_gas(variant, invariant):
    coarse, fine = (change_by_a_boost(untrained(variant), cells) for cells in (20, 60))
    if invariant:
        assert fine < min(3e-5, coarse / 9.0)
    else:
        assert fine > max(3e-4, coarse / 2.0)


@each_variant
def test_batches_do_not_change_a_solution(variant):
    states = [problem("wave", seed=900_000 + i) for i in range(3)]
    together = run(untrained(variant), states, end=0.01)
    alone = [run(untrained(variant), [state], end=0.01)[0] for state in states]
    for one, other in zip(together, alone, strict=True):
        assert np.allclose(conserved(one), conserved(other), rtol=0.0, atol=1e-13)


@each_variant
def test_a_step_is_differentiable(variant):
    closure, state = untrained(variant, moments=2), mixture(6, 0.1)
    U, W = initial_moments(closure, state)
    solver = closure.solver(
        torch.as_tensor(state.knudsen)[None], BGK(), "periodic", Scheme(limiter="mc")
    )
    dt = torch.tensor([1e-3]).double()

    def step(U, m):
        new = solver.step(solver.decode(U, m, None), dt)
        return new.U, new.m

    inputs = (U.requires_grad_(), (W / U[:, :1]).detach().requires_grad_())
    assert torch.autograd.gradcheck(step, inputs, eps=1e-6, atol=1e-6)


def test_eps_of_x_and_outflow(tmp_path):
    states = [problem("transition", seed=900_000), mixture(40, boundary="outflow")]
    for state in states:
        (one,) = run(untrained("network"), [state], end=0.02)
        assert np.isfinite(conserved(one)).all()


def test_a_state_that_stops_being_physical_is_reported():
    closure = untrained("network")
    cold = problem("sod", cells=40)
    violent = replace(
        cold, components=((cold.components[0][0], 30 * (cold.x < 0.5) - 15.0, 1e-4 + 0 * cold.x),)
    )
    (failure,) = run(closure, [violent])
    assert isinstance(failure, NonPhysicalState)
    assert failure.solution is not None


def test_moments_that_are_not_finite_are_reported():
    closure, (frame, m, eps) = untrained("network"), gases(8)
    U = torch.stack((frame.rho, frame.rho * frame.u, 0.5 * frame.rho * (frame.u**2 + frame.T)), 1)
    m[3, 1] = torch.nan
    with pytest.raises(Failure) as failure:
        closure.solver(eps[None], BGK(), "periodic", Scheme()).decode(U, m, None)
    assert failure.value.cells.tolist() == [3]


def test_characteristic_speeds_in_equilibrium_are_those_of_grad():
    # With F~ and G~ of Grad's closure the speeds are roots of a Hermite polynomial; here K_0 and r
    # are set to it, for K = 1: 0.742 and 2.334, the roots of He_4.
    closure = untrained("network_hermite", moments=1)
    fluxes = closure.networks.fluxes
    for network in (fluxes.of_heat, fluxes.of_flux, fluxes.of_change):
        for parameter in network.parameters():
            parameter.zero_()
    fluxes.of_heat.layers[-1].bias.fill_(0.5 * 6**0.5)
    # He_3(d + s c) = He_3 + 3 d He_2 + 3 (s-1) (c^3 - c): A = m + 3 (s-1) m, B = 3 d m.
    fluxes.of_change.layers[-1].bias.copy_(torch.tensor([0.0, 3.0, 3.0, 0.0]))
    one = torch.ones(1, dtype=torch.float64)
    speeds = characteristic_speeds(closure, 0.3 * one, 1.7 * one, 0 * one[:, None], one)
    expected = np.sort(np.polynomial.hermite_e.hermegauss(4)[0])
    assert np.sort(speeds.real.numpy()[0]) == pytest.approx(expected, abs=1e-9)
    assert speeds.imag.abs().max() < 1e-9


# Files


@pytest.fixture
def model(tmp_path):
    closure = untrained("network")
    speeds = {"largest": SPEED, "largest_imaginary": 0.0}
    write_network(tmp_path / "model", closure.networks, speeds, {"training": None})
    return tmp_path / "model"


def test_networks_are_refused_with_collisions_that_they_have_not_learned():
    with pytest.raises(InvalidInput, match="average functions w know collision=shakhov"):
        library.colliding(untrained("network"), Gas(1, "shakhov"))


@pytest.mark.parametrize("read", [parse, partial(load_closure, "model", None)])
def test_a_model_of_bgk_is_no_model_of_other_operators(model, read):
    with pytest.raises(InvalidInput, match=r"is a model of velocity\.dim=1 collision=bgk"):
        read(str(model), gas=Gas(1, "shakhov"))


def test_a_model_is_read_as_it_was_written(model):
    closure, (frame, m, eps) = untrained("network"), gases()
    for read in (parse(str(model)), load_closure("model", 4, model)):
        assert read.name == "network"
        assert read.moments == 4
        for one, other in zip(
            *(fluxes(c, frame, m, frame, eps) for c in (read, closure)), strict=True
        ):
            assert torch.equal(one, other)


def test_another_number_of_moments_is_refused(model):
    with pytest.raises(InvalidInput) as refusal:
        load_closure("model", 5, model)
    assert refusal.value.key == "closure.moments"


@each_variant
def test_none_is_shipped(variant):
    with pytest.raises(InvalidInput, match="train one"):
        load_closure(variant)
    with pytest.raises(InvalidInput, match="must be one of"):
        parse(variant)


@pytest.mark.parametrize(
    "change",
    [
        {"frame": "lagrangian"},
        {"features": 3},
        {"moments": 10**6},
        {"moments": True},
        {"widths": {"encoder": 16, "decoder": 16, "flux": 10**9}},
        {"widths": None},
        {"speeds": {"largest": float("nan")}},
        {"speeds": {"largest": -1.0}},
        {"speeds": "fast"},
        {"schema_version": "99"},
        {"dimension": 4},
        {"collision": "shakhov"},
        {"history": {"step": ["a"]}},
    ],
)
def test_a_manifest_that_does_not_make_sense_is_refused(model, change):
    path = model / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidInput, match=r"model\.json"):
        read_network(model)


def one_changed(name, change):
    def damage(tensors):
        return tensors | {name: change(tensors[name])}

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors: {},
        lambda tensors: tensors | {"more": torch.ones(1).double()},
        one_changed("fluxes.scale", lambda t: t[:2].clone()),
        one_changed("fluxes.scale", lambda t: 0.0 * t),
        one_changed("decoder.scale", lambda t: t.float()),
        one_changed("moments.raw.layers.0.weight", lambda t: t * torch.nan),
        one_changed("moments.raw.layers.2.weight", lambda t: t[:1].expand_as(t).clone()),
    ],
)
def test_weights_that_do_not_fit_are_refused(model, damage):
    path, manifest = model / "weights.safetensors", model / "model.json"
    path.write_bytes(save(damage(load(path.read_bytes()))))
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"weights_sha256": None}))
    with pytest.raises(InvalidInput, match="weights"):
        read_network(model)


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"\xff" * 40])
def test_files_that_are_missing_or_damaged_are_refused(model, name, content):
    path = model / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InvalidInput):
        read_network(model)


def test_particles_are_those_of_a_distribution_that_is_not_negative():
    closure, (frame, m, eps) = untrained("network"), gases()
    theta, found = closure.decode(m, eps)
    assert found.all()
    v, mass = closure.particles(frame, theta)
    assert v.shape == mass.shape == (7, len(closure.c))
    assert (mass >= 0).all()
