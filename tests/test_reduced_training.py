"""Training of closures of gases with two velocity dimensions, collisions of Boltzmann included."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from training_data import write_data

import closures
from closures.gas import Gas
from closures.learned import Learned
from closures.learning_data import gas_of_data
from closures.library import load
from closures.linear_response import in_frame, linear_response, operator_of
from closures.reduced import ReducedClosure
from closures.reduced_features import ReducedHermiteFeatures, ReducedSplineFeatures
from closures.reduced_samples import reduce
from closures.samples import drawn
from closures.training import train
from kinetic.dataset import open_dataset

ROUGH = 0.02
"""How well a grid of 32 points holds functions that are not smooth in their tails."""

SMALL = {
    "velocity": {"dim": 2, "points": 32, "extent": 8.0},
    "collision": {"name": "boltzmann", "angles": 4},
    "cells": 8,
    "time": {"end": 0.01, "snapshots": 3},
}
OPTIONS = {"steps": 20, "samples": 1000, "batch": 64, "updates": 1, "trajectories": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small data sets of Boltzmann's equation."""
    return write_data(tmp_path_factory.mktemp("boltzmann"), SMALL, 2)


def trained(folder: Path, where: Path) -> Path:
    names = {"data": "training", "validation": "validation"}
    data = {key: str(folder / f"{name}.zarr") for key, name in names.items()}
    config = {"closure": {"name": "entropy", "moments": 5}, "train": OPTIONS | data}
    return train(config, where, progress=False).folder


def test_a_model_is_trained_again_to_the_bit_and_solves(folder: Path, tmp_path: Path) -> None:
    one, other = (trained(folder, tmp_path / name) for name in "ab")
    weights = "weights.safetensors"
    assert (one / weights).read_bytes() == (other / weights).read_bytes()
    manifest = json.loads((one / "model.json").read_text())
    assert (manifest["dimension"], manifest["collision"]) == (2, "boltzmann")
    gas = gas_of_data(open_dataset(folder / "training.zarr"))
    closure = load("model", path=one, gas=gas)
    assert isinstance(closure, ReducedClosure)
    assert closure.moments == 5
    assert isinstance(closure.features, ReducedSplineFeatures)
    assert closure.response is not None
    operator = operator_of(open_dataset(folder / "training.zarr"))
    same = closure.features.parity[:, None] == closure.features.parity
    asked = torch.where(same, linear_response(closure.features, operator), 0.0)
    assert torch.allclose(closure.response.matrix, asked, rtol=0.0, atol=1e-12)
    solution = closures.solve(**SMALL, closure={"name": "model", "path": str(one)}, knudsen=0.1)
    assert np.isfinite(solution.energy.values).all()


def test_the_operator_moves_stress_and_heat_flux_at_their_rates(folder: Path) -> None:
    # d_t of the stress is -1/2 of it and of the heat flux -1/4, rho/eps = 1: Maxwell molecules,
    # near equilibrium or far from it.
    data = open_dataset(folder / "training.zarr")
    operator, hermite = operator_of(data), ReducedHermiteFeatures(2, 2)
    for stored, v in drawn(data, 30, seed=0):
        f = stored.astype(np.float64)
        gh = reduce(f, v, 2)
        m, R = (hermite.integrate(*in_frame(q, gh, v, 2)) for q in (gh, reduce(operator(f), v, 2)))
        m = m * torch.as_tensor(gh[0].sum(1) * (v[1] - v[0]))[:, None]  # that is per rho^2
        for k, (rate, most) in enumerate(((0.5, 0.02), (0.25, 0.05))):
            error = (R[:, k] + rate * m[:, k]).abs() / (rate * m[:, k].abs() + 1e-4)
            assert error.median() < most  # a coarse grid, which cuts some tails
    rates = torch.diag(torch.tensor([0.5, 0.25]).double())
    assert torch.allclose(linear_response(hermite, operator), rates, atol=2e-3)


def test_the_linear_response_is_symmetric_positive_and_keeps_parity(folder: Path) -> None:
    features = Learned(9, Gas(2, "boltzmann")).requires_grad_(False).encoder.features()
    assert isinstance(features, ReducedSplineFeatures)
    A = linear_response(features, operator_of(open_dataset(folder / "training.zarr")))
    assert torch.equal(A, A.T)
    assert torch.linalg.eigvalsh(A)[0] > 0.2  # nothing relaxes slower than the heat flux, 1/4
    mixed = features.parity[:, None] != features.parity
    assert A[mixed].abs().max() < ROUGH
