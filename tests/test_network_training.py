"""Training of the closure of networks: the same bits however it was interrupted, and refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load

import closures
from closures.cli import main
from closures.library import NETWORKS, parse
from closures.network import stages
from closures.network.closure import Networks
from closures.network.fit import NetworkTrainConfig, TrainedNetwork, train
from closures.network.labels import read_samples
from closures.stages import Run
from kinetic.commandline import DONE, INVALID
from kinetic.config import SEED_RANGES
from kinetic.dataset import generate, open_dataset
from kinetic.errors import InvalidInput

DATA: dict[str, Any] = {"cells": 24, "time": {"end": 0.03, "snapshots": 5}}
OPTIONS: dict[str, Any] = {
    "steps": 40,
    "batch": 64,
    "samples": 1000,
    "learning_rate": 0.01,
    "patience": 100,
    "updates": 2,
    "trajectories": 2,
    "update_rate": 1e-3,
}


class InterruptionError(Exception):
    """Stands for whatever ends a run before its time."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets of training and validation."""
    path = tmp_path_factory.mktemp("data")
    for name in ("training", "validation"):
        size = {"seed": SEED_RANGES[name][0], "trajectories": 6, "workers": 1}
        generate(DATA | {"dataset": size}, path / f"{name}.zarr", progress=False)
    return path


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the validation set every ten steps, and after each through the solver."""
    monkeypatch.setattr(stages, "CHECK_EVERY", {"moments": 10, "fluxes": 10, "rollout": 1})


def settings(folder: Path, variant: str = "network", **options: Any) -> dict[str, Any]:
    """Return the configuration of a training run of a second."""
    data = {"data": folder / "training.zarr", "validation": folder / "validation.zarr"}
    return {"closure": {"name": variant, "moments": 3}, "train": data | OPTIONS | options}


def files(trained: TrainedNetwork) -> dict[str, bytes]:
    """Return the files of the model by name."""
    return {path.name: path.read_bytes() for path in trained.folder.iterdir()}


@pytest.mark.parametrize("variant", NETWORKS)
def test_training_learns_and_its_model_solves(folder: Path, tmp_path: Path, variant: str) -> None:
    trained = train(settings(folder, variant), tmp_path, progress=False)
    curves = json.loads((trained.folder / "model.json").read_text())["training"]["curves"]
    for curve in curves.values():
        assert min(curve["validation"]) < 0.75 * curve["validation"][0]
        assert all(map(math.isfinite, curve["train"]))
    path = str(trained.folder)
    closure = {"name": "model", "path": path}
    solution = closures.solve(problem="wave", cells=20, time={"end": 0.01}, closure=closure)
    assert solution.moments.shape[1:] == (20, 3)
    assert np.isfinite(solution.density).all()
    assert parse(path).history is not None


def test_training_through_the_solver_adjusts_the_fluxes_alone(folder: Path, tmp_path: Path) -> None:
    config = settings(folder, updates=4)
    begun = train(settings(folder, updates=1, update_rate=1e-8), tmp_path / "a", progress=False)
    trained = train(config, tmp_path / "b", progress=False)
    weights = [load(files(one)["weights.safetensors"]) for one in (begun, trained)]
    changed = {name for name in weights[0] if (weights[0][name] - weights[1][name]).abs().max() > 0}
    assert changed
    assert all(name.startswith("fluxes.of_") for name in changed)
    errors = trained.histories["rollout"]["validation"]
    assert min(errors) < 0.97 * errors[0]


def test_a_solution_that_breaks_down_counts_as_wholly_wrong(folder: Path) -> None:
    config = NetworkTrainConfig.from_mapping(settings(folder))
    networks = Networks(config.architecture())
    stage = stages.Rollout(networks, config.train)
    data = open_dataset(folder / "training.zarr")
    stage.read(data, data)
    with torch.no_grad():
        for weights in networks.fluxes.of_heat.parameters():
            weights.mul_(1e4)
    loss = stage.loss(networks, 1)
    assert float(loss.detach()) == 1.0
    loss.backward()
    assert not any(weights.grad.any() for weights in networks.fluxes.parameters())


def test_the_same_seed_gives_the_same_bits_and_another_others(folder: Path, tmp_path: Path) -> None:
    runs = [
        files(train(settings(folder, seed=seed), tmp_path / name, progress=False))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert runs[0] == runs[1]
    assert runs[0]["weights.safetensors"] != runs[2]["weights.safetensors"]


@pytest.mark.parametrize("variant", NETWORKS)
def test_an_interrupted_run_ends_with_the_same_bits(
    folder: Path, tmp_path: Path, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(folder, variant)
    whole = files(train(config, tmp_path / "whole", progress=False))
    update, left = Run._update, 0

    def limited(*arguments: Any) -> float:
        nonlocal left
        left -= 1
        if left < 0:
            raise InterruptionError
        return update(*arguments)

    monkeypatch.setattr(Run, "_update", limited)
    for left in (25, 18, 26, 31):  # noqa: B007 - ends in the first stage, the second and the third
        with pytest.raises(InterruptionError):
            train(config, tmp_path / "parts", progress=False)
    left = 1000
    assert files(train(config, tmp_path / "parts", progress=False)) == whole
    assert left == 1000 - 1


def test_a_finished_run_is_not_repeated(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = files(train(settings(folder), tmp_path, progress=False))
    monkeypatch.setattr(Run, "_update", None)
    assert files(train(settings(folder), tmp_path, progress=False)) == first


def test_a_damaged_checkpoint_is_refused(folder: Path, tmp_path: Path) -> None:
    train(settings(folder, steps=10), tmp_path, progress=False)
    (tmp_path / "checkpoint/checkpoint.json").write_text("[]")
    with pytest.raises(InvalidInput, match="damaged checkpoint"):
        train(settings(folder, steps=10), tmp_path, progress=False)


def test_the_files_hold_tensors_and_no_places(folder: Path, tmp_path: Path) -> None:
    train(settings(folder, steps=10), tmp_path, progress=False)
    text = (tmp_path / "model/model.json").read_text()
    assert str(tmp_path) not in text
    assert str(folder) not in text
    for path in tmp_path.rglob("*.safetensors"):
        assert all(tensor.is_contiguous() for tensor in load(path.read_bytes()).values())


@pytest.mark.parametrize("fixed", [False, True])
def test_samples_have_the_moments_of_their_frame(folder: Path, fixed: bool) -> None:
    samples = read_samples(open_dataset(folder / "training.zarr"), fixed, 1000, seed=0)
    c, h = samples.c, samples.h
    for f in (samples.f, samples.maxwellian):
        moments = [(f * c**k).sum(1) * h for k in range(3)]
        expected = (1.0 + 0.0 * samples.u, samples.u, samples.u**2 + samples.T)
        for one, other in zip(moments, expected, strict=True):
            assert (one - other).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("key", "config"),
    [
        ("train.data", {}),
        ("closure", {"closure": "entropy", "train": {"data": "d.zarr"}}),
        ("closure.moments", {"closure": {"name": "network", "moments": 0}, "train": {"data": "d"}}),
        ("train.stpes", {"train": {"data": "d.zarr", "stpes": 3}}),
    ],
)
def test_a_configuration_is_refused_by_key(key: str, config: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        NetworkTrainConfig.from_mapping(config)
    assert refusal.value.key == key


def test_from_the_command_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"train.{key}={value}" for key, value in settings(folder, steps=10)["train"].items()]
    chosen = ["train", "closure=network", "closure.moments=2", "train=network"]
    assert main([*chosen, *given, f"hydra.run.dir={tmp_path}"]) == DONE
    assert parse(str(tmp_path / "model")).moments == 2
    given[0] = f"train.data={folder / 'validation.zarr'}"
    assert main([*chosen, *given, f"hydra.run.dir={tmp_path}"]) == INVALID
    assert "has validation seeds" in capsys.readouterr().err
