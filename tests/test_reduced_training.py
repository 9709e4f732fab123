"""Training of closures of gases with two velocity dimensions, collisions of Boltzmann included."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from training_data import write_data

import closures
from closures.collision_samples import linear_response, operator_of, read_collisions
from closures.gas import Gas
from closures.learned import BASIS, Learned
from closures.learning_data import gas_of_data
from closures.library import load
from closures.production import relative_error
from closures.reduced import ReducedClosure
from closures.reduced_features import ReducedHermiteFeatures, ReducedSplineFeatures
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
    assert closure.production is not None
    A = closure.production(torch.zeros((1, 5), dtype=torch.float64))[0]
    operator = operator_of(open_dataset(folder / "training.zarr"))
    assert torch.allclose(A, linear_response(closure.features, operator), atol=ROUGH)
    solution = closures.solve(**SMALL, closure={"name": "model", "path": str(one)}, knudsen=0.1)
    assert np.isfinite(solution.energy.values).all()


def test_the_operator_moves_stress_and_heat_flux_at_their_rates(folder: Path) -> None:
    # d_t of the stress is -1/2 of it and of the heat flux -1/4, rho/eps = 1: Maxwell molecules.
    data = open_dataset(folder / "training.zarr")
    samples = read_collisions(data, BASIS, 30, seed=0)
    c = torch.linspace(-6, 6, 400, dtype=torch.float64)
    first_two = ReducedHermiteFeatures(2, 2)
    B = BASIS.matrix(c).expand(2, -1, -1)
    splines = torch.linalg.lstsq(B, first_two.matrix(c), driver="gels").solution
    table = splines.flatten(0, 1)
    m, R = samples.averages @ table, samples.rates @ table
    for k, (rate, most) in enumerate(((0.5, 0.02), (0.25, 0.05))):
        error = (R[:, k] + rate * m[:, k]).abs() / (rate * m[:, k].abs() + 1e-4)
        assert error.median() < most  # a coarse grid, which cuts some tails
    features = ReducedSplineFeatures(BASIS, splines, first_two.parity)
    A = linear_response(features, operator_of(data))
    assert torch.allclose(A, torch.diag(torch.tensor([0.5, 0.25]).double()), atol=2e-3)


def test_the_linear_response_is_symmetric_positive_and_keeps_parity(folder: Path) -> None:
    features = Learned(9, Gas(2, "boltzmann")).requires_grad_(False).encoder.features()
    assert isinstance(features, ReducedSplineFeatures)
    A = linear_response(features, operator_of(open_dataset(folder / "training.zarr")))
    assert torch.equal(A, A.T)
    assert torch.linalg.eigvalsh(A)[0] > 0.2  # nothing relaxes slower than the heat flux, 1/4
    mixed = features.parity[:, None] != features.parity
    assert A[mixed].abs().max() < ROUGH


def test_the_error_of_the_production_is_none_where_it_is_right() -> None:
    learned = Learned(5, Gas(2, "boltzmann"))
    assert learned.production is not None
    m = torch.randn(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    error = relative_error(learned.production, m, m, -0.5 * m)  # A begins as one half
    assert float(error.detach()) < 1e-12
