"""The closure of networks in two and three velocity dimensions: identities, training, refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training_data import write_data

import closures
from closures.closure import Frame
from closures.features import trapezoid, unit_maxwellian
from closures.gas import Gas
from closures.library import load
from closures.linear_response import linear_response, operator_of
from closures.network import collisions, stages
from closures.network.closure import Architecture, NetworkClosure, Networks
from closures.network.collisions import AsFeatures
from closures.network.fit import train
from closures.network.labels import Samples, label
from closures.network.moments import EXTENT, NODES, stacked
from closures.network.speeds import characteristic_speeds
from closures.reduced import reduced_invariants
from closures.report.figures import features_figure
from closures.report.style import looks
from closures.solution import initial_moments, run_batch
from closures.structure import transported
from kinetic.collisions import BGK
from kinetic.config import SchemeConfig
from kinetic.dataset import open_dataset
from kinetic.errors import InvalidInput
from kinetic.problems import problem

GASES = (Gas(2), Gas(3), Gas(2, "boltzmann"))
each_gas = pytest.mark.parametrize("gas", GASES, ids=str)


def untrained(gas: Gas, features: str = "learned", moments: int = 5) -> NetworkClosure:
    """A closure with the weights that training starts from."""
    kind = Architecture("galilean", features, moments, 16, 16, 16, gas)
    return NetworkClosure(Networks(kind).requires_grad_(False), 5.0)


def cells(closure: NetworkClosure) -> tuple[Frame, Tensor, Tensor]:
    """Frames and moments of the cells of a mixture, and eps."""
    state = problem("mix", seed=1, cells=12, knudsen=0.1)
    U, W = initial_moments(closure, state)
    return Frame.of(U, closure.dimension), W / U[:, :1], torch.as_tensor(state.knudsen)


@each_gas
@pytest.mark.parametrize("features", ["learned", "hermite"])
def test_functions_are_orthonormal_to_each_other_and_the_invariants(
    gas: Gas, features: str
) -> None:
    c, h = trapezoid(EXTENT, NODES)
    w = untrained(gas, features).networks.moments(c)
    phi = torch.cat((stacked(reduced_invariants(c, gas.dimension)), w), dim=1)
    gram = phi.T @ ((unit_maxwellian(c) * h).repeat(2)[:, None] * phi)
    assert (gram - torch.eye(8)).abs().max() < 1e-10


@each_gas
def test_equilibrium_is_exact_in_every_frame(gas: Gas) -> None:
    closure = untrained(gas, "hermite")
    frame, m, eps = cells(closure)
    none, to = 0.0 * m, frame.take(torch.arange(12).roll(1))
    assert closure.flux(frame, none, eps).abs().max() < 1e-14
    v, g = closure.particles(frame, none)  # of the decoder: the Maxwellian
    assert (g[1] / g[0] - (gas.dimension - 1) * frame.T[:, None]).abs().max() < 1e-12
    W, G = closure.carried(frame, none, to)
    assert (W - to.rho[:, None] * closure.encode(to, v, g)).abs().max() < 1e-8
    assert (G - to.rho[:, None] * closure.encode(to, v, v * g)).abs().max() < 1e-8
    W, _ = closure.carried(frame, m, frame)
    assert (W - frame.rho[:, None] * m).abs().max() < 1e-13


@pytest.mark.parametrize("dimension", [2, 3])
def test_labels_of_hermite_moments_are_those_in_closed_form(dimension: int) -> None:
    # f = M (1 + a w_0 + b w_1): the normalised stress and heat flux.
    closure = untrained(Gas(dimension), "hermite", 3)
    c, h = trapezoid(EXTENT, NODES)
    w, D, (a, b) = closure.networks.moments(c), dimension, (0.1, 0.07)
    one = torch.ones(1, dtype=torch.float64)
    M = torch.cat((unit_maxwellian(c), 0.0 * c))
    f = M + unit_maxwellian(c).repeat(2) * (a * w[:, 0] + b * w[:, 1])
    shift, width = 0.2 * one, 1.1 * one
    samples = Samples(c, f[None], 0.0 * one, one, shift, width, one)
    found = label(samples, closure.networks.moments, False, D)
    assert found.stress.item() == pytest.approx(a * math.sqrt(2.0 * (D - 1) / D), rel=1e-10)
    assert found.heat.item() == pytest.approx(0.5 * b * math.sqrt(2.0 * D + 4.0), rel=1e-10)
    # What the particles say, in the neighbour's frame (u_j, T_j) = (-d/s, 1/s^2).
    frame = Frame(one, 0.0 * one, one)
    to = Frame(one, -shift / width, 1.0 / width**2)
    parts = f.view(2, 1, -1) * h
    across = (D - 1) * parts[0] + math.sqrt(2.0 * (D - 1)) * parts[1]
    masses = torch.stack((parts[0], across))
    A_0, B_0 = closure.carried(frame, torch.zeros(1, 3, dtype=torch.float64), to)
    assert (closure.encode(to, c[None], masses) - A_0 - found.A).abs().max() < 1e-9
    assert (closure.encode(to, c[None], c * masses) - B_0 - found.B).abs().max() < 1e-9


@each_gas
def test_solutions_conserve_and_have_galilean_fluxes(gas: Gas) -> None:
    closure = untrained(gas)
    frame, m, eps = cells(closure)
    boosted = Frame(frame.rho, frame.u + 0.8, frame.T)
    for flux in (closure.heat, closure.stress):
        assert (flux(frame, m, eps) - flux(boosted, m, eps)).abs().max() < 1e-13
        assert flux(frame, m, eps).abs().max() > 1e-6
    collision = BGK("density") if gas.collision == "boltzmann" else BGK()
    states = [problem("transition", seed=1, cells=12), problem("mix", seed=2, cells=12)]
    for one in run_batch(
        closure,
        states,
        end=0.02,
        snapshots=2,
        collision=collision,
        boundary=None,
        scheme=SchemeConfig(),
    ):
        assert not isinstance(one, Exception)
        for field in ("density", "momentum", "energy"):
            assert abs(float(one[field][-1].sum() - one[field][0].sum())) < 1e-13


@each_gas
def test_speeds_in_equilibrium_are_those_of_the_fluxes(gas: Gas) -> None:
    closure = untrained(gas)
    one = torch.ones(1, dtype=torch.float64)
    D = gas.dimension
    U = torch.stack((one, 0.3 * one, 0.5 * (0.09 * one + D * 1.7 * one)), dim=1)
    m = torch.zeros(1, 5, dtype=torch.float64)
    found = characteristic_speeds(closure, 0.3 * one, 1.7 * one, m, one)[0] * math.sqrt(1.7) + 0.3

    def fields(y: Tensor) -> tuple[Tensor, Tensor]:
        return transported(closure, Frame.of(U, D), y[:, :3], y[:, 3:], one)

    y = torch.cat((U, m), dim=1)
    Z, F = (part[0, :, 0] for part in torch.autograd.functional.jacobian(fields, y))
    expected = torch.linalg.eigvals(torch.linalg.solve(Z, F, left=False))
    for speeds in (found, expected):  # in any order
        assert (speeds[:, None] - found).abs().amin(0).max() < 1e-8


def test_collisions_damp_and_keep_equilibrium() -> None:
    closure = untrained(Gas(2, "boltzmann"))
    _, m, _ = cells(closure)
    assert closure.networks.production is not None
    torch.nn.init.normal_(closure.networks.production.last.weight, std=0.3)
    a = torch.full_like(m[:, 0], 0.7)
    A = closure.networks.production(m)
    new = closure.collide(m, a, 0.0 * a)
    assert (new + 0.7 * (A @ new[:, :, None])[:, :, 0] - m).abs().max() < 1e-13
    assert (new.norm(dim=1) <= m.norm(dim=1)).all()
    assert closure.collide(m, 1e8 * a, 1e16 * a).abs().max() < 1e-6 * m.abs().max()
    assert not closure.collide(0.0 * m, a, a).any()


def test_functions_of_pairs_are_drawn_on_two_lines() -> None:
    look = looks({"network": "network"})["network"]
    drawing = features_figure("network", untrained(Gas(2)), look)
    # w_1 to w_3 and w_4, w_5 where c_2 = 0, then where c_2 = 2.
    labels = [axis.get_ylabel() for axis in drawing.figure.axes if axis.get_ylabel()]
    assert labels == ["$w(c_1, 0)$"] * 2 + ["$w(c_1, 2)$"] * 2
    assert sum(len(axis.lines) > 1 for axis in drawing.figure.axes) == 10


SMALL: dict[str, Any] = {
    "velocity": {"dim": 2, "points": 36, "extent": 8.0},
    "collision": {"name": "boltzmann", "angles": 4},
    "cells": 8,
    "time": {"end": 0.01, "snapshots": 5},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets of training and validation."""
    return write_data(tmp_path_factory.mktemp("data"), SMALL, 5)


def settings(folder: Path, variant: str = "network") -> dict[str, Any]:
    data = {"data": folder / "training.zarr", "validation": folder / "validation.zarr"}
    options = {"steps": 20, "samples": 1000, "batch": 64, "updates": 1}
    options |= {"trajectories": 1, "learning_rate": 0.005, "update_rate": 1e-4}
    return {"closure": {"name": variant, "moments": 4}, "train": options | data}


def test_a_model_is_trained_again_to_the_bit_and_solves(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "CHECK_EVERY", {"moments": 10, "fluxes": 10, "rollout": 1})
    monkeypatch.setattr(collisions, "CHECK_EVERY", 10)
    one, other = (train(settings(folder), tmp_path / n, progress=False).folder for n in "ab")
    weights = "weights.safetensors"
    assert (one / weights).read_bytes() == (other / weights).read_bytes()
    manifest = json.loads((one / "model.json").read_text())
    assert (manifest["dimension"], manifest["collision"]) == (2, "boltzmann")
    curves = manifest["training"]["curves"]
    assert set(curves) == {"moments", "fluxes", "collisions"}
    for curve in curves.values():
        assert min(curve["validation"]) < 0.9 * curve["validation"][0]
    closure = load("model", path=one, gas=Gas(2, "boltzmann"))
    assert isinstance(closure, NetworkClosure)
    assert closure.networks.production is not None
    A = closure.networks.production(torch.zeros((1, 4), dtype=torch.float64))[0]
    operator = operator_of(open_dataset(folder / "training.zarr"))
    response = linear_response(AsFeatures(closure.networks.moments), operator)
    assert torch.allclose(A, response, atol=1e-12)
    model = {"closure": {"name": "model", "path": str(one)}}
    solution = closures.solve(**SMALL, **model, knudsen=0.1)
    assert np.isfinite(solution.energy.values).all()
    with pytest.raises(InvalidInput, match="the problem has"):
        closures.solve(**SMALL | {"collision": "bgk"}, **model)
    with pytest.raises(InvalidInput, match="has no f_hat of"):
        closures.solve(**SMALL, **model, output={"distribution": True})


def test_a_fixed_frame_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"has velocity\.dim=1") as caught:
        train(settings(folder, "network_fixed"), tmp_path, progress=False)
    assert caught.value.key == "closure"
