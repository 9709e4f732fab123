"""Training: gradient and samples, the same bits however it was interrupted, and refusals."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import load, save

import closures
from closures import checkpoint, distil, training
from closures.cli import main
from closures.encoder import Encoder
from closures.features import trapezoid, unit_maxwellian
from closures.library import read_model
from closures.objective import DUAL, Objective
from closures.samples import Samples, local_frame, read_samples
from closures.stages import Run
from closures.training import BASIS, TrainConfig, Trained, TrainOptions, train
from closures.unrolling import read_windows, rollout_error
from kinetic.commandline import DONE, INVALID
from kinetic.config import SEED_RANGES
from kinetic.dataset import generate, open_dataset
from kinetic.errors import InvalidInput
from kinetic.maxwellian import maxwellian
from kinetic.trajectories import consolidate
from kinetic.velocity import VelocityGrid

ROOT = Path(__file__).resolve().parent.parent
GRID = VelocityGrid()
FLOOR = TrainOptions(data="any").floor
DATA: dict[str, Any] = {"cells": 24, "time": {"end": 0.02, "snapshots": 5}}
OPTIONS: dict[str, Any] = {
    "steps": 30,
    "batch": 64,
    "patience": 100,
    "updates": 2,
    "trajectories": 2,
}


class InterruptionError(Exception):
    """Stands for whatever ends a run before its time."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets of the three ranges of seeds."""
    path = tmp_path_factory.mktemp("data")
    for name, (first, _) in SEED_RANGES.items():
        size = {"seed": first, "trajectories": 8, "workers": 1}
        generate(DATA | {"dataset": size}, path / f"{name}.zarr", progress=False)
    return path


@pytest.fixture(scope="module")
def samples(folder: Path) -> Samples:
    return read_samples(open_dataset(folder / "training.zarr"), BASIS, 10_000, seed=0)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit the start of the compiled solver in a moment; `test_fast` is about it."""
    monkeypatch.setattr(distil, "STEPS", 5)
    monkeypatch.setattr(distil, "CASES", 1)
    monkeypatch.setattr(distil, "END", 0.01)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the validation set every ten steps."""
    monkeypatch.setattr(training, "CHECK_EVERY", {"moments": 10, "rollout": 1})


def settings(folder: Path, moments: int = 4, **options: Any) -> dict[str, Any]:
    """Return the configuration of a training run of a second."""
    data = {"data": folder / "training.zarr", "validation": folder / "validation.zarr"}
    return {"closure": {"moments": moments}, "train": data | OPTIONS | options}


def files(trained: Trained) -> dict[str, bytes]:
    """Return the files of the model by name."""
    return {path.name: path.read_bytes() for path in trained.folder.iterdir()}


def mixture(v: Any) -> Any:
    """Two beams."""
    return maxwellian(1.0, -0.6, 0.5, v) + maxwellian(0.4, 1.1, 1.2, v)


# Samples


def exact_frame(density: Callable[[Any], Any], c: Any) -> Any:
    """Return g(c) by its definition, moments by a fine quadrature."""
    v = np.linspace(-12.0, 12.0, 4001)
    f, dv = density(v), v[1] - v[0]
    rho = f.sum() * dv
    u = (f * v).sum() * dv / rho
    T = (f * (v - u) ** 2).sum() * dv / rho
    return density(u + np.sqrt(T) * c) * np.sqrt(T) / rho


@pytest.mark.parametrize("state", [(1.0, 0.0, 1.0), (1.3, 0.7, 0.4), (0.01, -1.5, 0.9)])
def test_a_maxwellian_becomes_the_unit_maxwellian(state: tuple[float, float, float]) -> None:
    c = np.linspace(-5.0, 5.0, 61)
    g = local_frame(maxwellian(*state, GRID.nodes)[None], GRID.nodes, c)[0]
    assert np.abs(g - unit_maxwellian(torch.as_tensor(c)).numpy()).max() < 5e-11


def test_a_mixture_is_interpolated_to_high_order() -> None:
    c = np.linspace(-4.0, 4.0, 81)
    defects = []
    for points in (81, 161):
        v = VelocityGrid(points).nodes
        defects.append(np.abs(local_frame(mixture(v)[None], v, c)[0] - exact_frame(mixture, c)))
    assert defects[0].max() < 1e-4
    assert defects[1].max() < defects[0].max() / 10  # fourth order


def test_what_lies_beyond_the_velocity_grid_is_zero() -> None:
    g = local_frame(maxwellian(1.0, 0.0, 4.0, GRID.nodes)[None], GRID.nodes, np.array([0.0, 4.5]))
    assert g[0, 0] > 0.3
    assert g[0, 1] == 0.0


def test_averages_and_divergence_are_those_of_direct_quadrature(
    folder: Path, samples: Samples
) -> None:
    trajectory = open_dataset(folder / "training.zarr")[2]
    f = trajectory.distribution.reshape(-1, GRID.points).astype(float)
    rho = f.sum(1) * GRID.spacing
    u = f @ GRID.nodes * GRID.spacing / rho
    T = f @ GRID.nodes**2 * GRID.spacing / rho - u**2
    c = torch.as_tensor((GRID.nodes - u[:, None]) / np.sqrt(T)[:, None])
    averages = BASIS.integrate(c, torch.as_tensor(f * GRID.spacing / rho[:, None]))
    M = maxwellian(rho[:, None], u[:, None], T[:, None], GRID.nodes)
    divergence = (f * np.log(np.maximum(f, 1e-300) / M)).sum(1) * GRID.spacing / rho
    rows = torch.arange(2 * len(f), 3 * len(f))
    found = samples.take(rows)
    assert (found.averages - averages).abs().max() < 2e-4
    assert np.abs(found.divergence.numpy() - divergence).max() < 6e-5


def test_samples_are_drawn_evenly_and_by_seed(folder: Path) -> None:
    data = open_dataset(folder / "training.zarr")
    first, again, other = (read_samples(data, BASIS, 80, seed) for seed in (0, 0, 1))
    assert len(first) == 80
    assert torch.equal(first.averages, again.averages)
    assert not torch.equal(first.averages, other.averages)


# Objective


def test_the_gradient_is_that_of_finite_differences(
    samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envelope theorem: the dual's minimiser needs no derivative."""
    monkeypatch.setattr("closures.objective.DUAL", replace(DUAL, tolerance=1e-11))
    encoder, objective = Encoder(2, 2, BASIS), Objective(FLOOR)
    objective(encoder, samples).backward()
    generator = torch.Generator().manual_seed(5)
    for parameter in encoder.parameters():
        assert parameter.grad is not None
        direction = torch.randn(parameter.shape, generator=generator).double()
        slope = float((parameter.grad * direction).sum())
        values, step = [], 1e-4
        with torch.no_grad():
            for sign in (1.0, -2.0):
                parameter += sign * step * direction
                values.append(float(objective(encoder, samples)))
            parameter += step * direction
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_a_maxwellian_loses_nothing() -> None:
    c, h = trapezoid(6.0, 49)
    averages = (unit_maxwellian(c) * h) @ BASIS.matrix(c)
    equilibrium = Samples(averages[None], torch.zeros(1).double())
    assert abs(float(Objective(FLOOR)(Encoder(2, 2, BASIS), equilibrium).detach())) < 1e-5


def test_more_moments_lose_less(samples: Samples) -> None:
    objective = Objective(FLOOR)
    losses = [
        float(objective(Encoder((k + 1) // 2, k // 2, BASIS), samples).detach()) for k in (2, 4, 8)
    ]
    assert 1.0 > losses[0] > losses[1] > losses[2] > 0.0


# Runs


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("moments", [2, 5])
def test_training_lowers_the_loss_and_its_model_solves(
    folder: Path, tmp_path: Path, moments: int
) -> None:
    trained = train(settings(folder, moments, steps=60), tmp_path, progress=False)
    history = trained.histories["moments"]
    assert history["step"] == [0, 10, 20, 30, 40, 50, 60]
    assert min(history["validation"]) < 0.98 * history["validation"][0]
    assert "% error of the closed equations" in str(trained)
    assert trained.histories["rollout"]["step"] == [0, 1, 2]
    model = read_model(trained.folder, moments)
    assert model.history == history
    assert model.rollout == trained.histories["rollout"]
    closure = {"name": "model", "path": str(trained.folder)}
    solution = closures.solve(cells=16, time={"end": 0.02, "snapshots": 2}, closure=closure)
    assert solution.sizes["k"] == moments


@pytest.mark.usefixtures("often")
def test_the_bits_depend_on_the_seed_alone(folder: Path, tmp_path: Path) -> None:
    models = [
        files(train(settings(folder, 2, seed=seed, steps=60), tmp_path / name, progress=False))
        for seed, name in ((0, "first"), (0, "second"), (1, "third"))
    ]
    assert models[0] == models[1]
    assert models[0]["weights.safetensors"] != models[2]["weights.safetensors"]


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("place", ["before", "tensors", "declaration"])
def test_an_interrupted_run_goes_on_to_the_same_bits(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    config = settings(folder)
    straight = files(train(config, tmp_path / "straight", progress=False))
    with monkeypatch.context() as patch:
        interrupt(patch, place)
        with pytest.raises(InterruptionError):
            train(config, tmp_path / "broken", progress=False)
    record = json.loads((tmp_path / "broken/checkpoint/checkpoint.json").read_text())
    assert record["histories"]["moments"]["step"] == [0, 10]
    assert files(train(config, tmp_path / "broken", progress=False)) == straight
    kept = {path.name for path in (tmp_path / "broken/checkpoint").iterdir()}
    assert len(kept) == 2  # nothing is left of the run before


def interrupt(patch: pytest.MonkeyPatch, place: str) -> None:
    """End the run at its second checkpoint: before, in, or between its two files."""
    calls = []

    def second(function: Callable[..., Any], only: str = "") -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            calls.append(only in str(arguments[0]))
            if sum(calls) == 2 and calls[-1]:
                raise InterruptionError
            return function(*arguments)

        return wrapped

    if place == "before":
        patch.setattr(Run, "_save", second(Run._save))
    elif place == "tensors":
        patch.setattr(checkpoint, "save", second(save))
    else:
        patch.setattr(Path, "replace", second(Path.replace, "checkpoint.json"))


def test_a_killed_run_goes_on_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    config = settings(folder, steps=400, batch=256)
    options = [f"train.{key}={value}" for key, value in config["train"].items()]
    arguments = ["train", "closure.moments=4", *options, f"hydra.run.dir={tmp_path / 'killed'}"]
    code = "from closures.cli import main; raise SystemExit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    record = tmp_path / "killed/checkpoint/checkpoint.json"
    limit = time.monotonic() + 60.0
    while not record.exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert json.loads(record.read_text())["histories"]["moments"]["step"][-1] < 400
    assert not (tmp_path / "killed/model").exists()
    assert main(arguments) == DONE
    straight = train(config, tmp_path / "straight", progress=False)
    assert files(replace(straight, folder=tmp_path / "killed/model")) == files(straight)


@pytest.mark.usefixtures("often")
def test_a_finished_run_is_only_looked_at(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(folder, steps=10)
    first = files(train(config, tmp_path, progress=False))
    monkeypatch.setattr(training, "read_samples", None)
    monkeypatch.setattr(training, "read_windows", None)
    assert files(train(config, tmp_path, progress=False)) == first


@pytest.mark.usefixtures("often")
def test_a_run_stops_when_it_gains_nothing_and_keeps_its_best(folder: Path, tmp_path: Path) -> None:
    config = settings(folder, steps=1000, learning_rate=1.0, patience=3)
    trained = train(config, tmp_path, progress=False)
    losses = trained.histories["moments"]["validation"]
    assert trained.histories["moments"]["step"][-1] < 1000
    assert losses.index(min(losses)) == len(losses) - 1 - 3
    held_out = read_windows(open_dataset(folder / "validation.zarr"), BASIS, 100)
    rows = torch.arange(len(held_out))
    best = rollout_error(read_model(trained.folder), held_out, rows, len(held_out.time))
    assert float(best) == pytest.approx(min(trained.histories["rollout"]["validation"]), rel=1e-9)


@pytest.mark.usefixtures("often")
def test_a_validation_set_of_other_seeds_is_made_if_none_is_given(
    folder: Path, tmp_path: Path
) -> None:
    train(settings(folder, validation=None, steps=10), tmp_path, progress=False)
    made, data = open_dataset(tmp_path / "validation.zarr"), open_dataset(folder / "training.zarr")
    assert made.seed_range == "validation"
    assert not set(made.seeds) & set(data.seeds)
    assert set(made.families) == set(data.families)
    assert (made.x == data.x).all()


# Files


@pytest.fixture
def stopped(folder: Path, tmp_path: Path, often: None) -> dict[str, Any]:
    """A finished run in `tmp_path`; its configuration."""
    config = settings(folder, steps=20)
    train(config, tmp_path, progress=False)
    return config


def test_every_file_is_tensors_or_json_and_readable_like_any_other(
    stopped: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "ordinary").touch()
    mode = (tmp_path / "ordinary").stat().st_mode
    for path in (*(tmp_path / "model").iterdir(), *(tmp_path / "checkpoint").iterdir()):
        assert path.suffix in (".safetensors", ".json")
        assert path.stat().st_mode == mode
        if path.suffix == ".json":
            json.loads(path.read_text())
        else:
            assert all(tensor.is_contiguous() for tensor in load(path.read_bytes()).values())


def test_the_model_names_no_places(stopped: dict[str, Any], tmp_path: Path, folder: Path) -> None:
    text = (tmp_path / "model/model.json").read_text()
    assert str(tmp_path) not in text
    assert str(folder) not in text
    assert json.loads(text)["training"]["data"]["cells"] == DATA["cells"]


def test_the_checkpoint_of_another_configuration_is_not_taken_up(
    stopped: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    other = settings(folder, steps=20, floor=1e-3)
    fresh = files(train(other, tmp_path / "fresh", progress=False))
    assert files(train(other, tmp_path, progress=False)) == fresh


def damage(path: Path, kind: str) -> None:
    """Damage a checkpoint."""
    record, tensors = path / "checkpoint.json", next(path.glob("*.safetensors"))
    match kind:
        case "no tensors":
            tensors.unlink()
        case "truncated tensors":
            tensors.write_bytes(tensors.read_bytes()[:-20])
        case "empty tensors":
            tensors.write_bytes(b"")
        case "other tensors":
            tensors.write_bytes(save({"encoder.weight": torch.zeros(2)}))
        case "truncated record":
            record.write_text(record.read_text()[:40])
        case "list for a record":
            record.write_text("[]")
        case "binary record":
            record.write_bytes(bytes(range(128, 256)))


@pytest.mark.parametrize(
    "kind",
    [
        "no tensors",
        "truncated tensors",
        "empty tensors",
        "other tensors",
        "truncated record",
        "list for a record",
        "binary record",
    ],
)
def test_a_damaged_checkpoint_is_refused(
    stopped: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    damage(tmp_path / "checkpoint", kind)
    with pytest.raises(InvalidInput, match="damaged checkpoint") as refusal:
        train(stopped, tmp_path, progress=False)
    assert refusal.value.key == "hydra.run.dir"
    assert "\n" not in str(refusal.value)


# Refusals


@pytest.mark.parametrize(
    ("key", "config"),
    [
        ("train.data", {}),
        ("closure", {"closure": "hermite", "train": {"data": "d.zarr"}}),
        ("closure.moments", {"closure": {"moments": 1}, "train": {"data": "d.zarr"}}),
        ("train.steps", {"train": {"data": "d.zarr", "steps": 0}}),
        ("train.learning_rate", {"train": {"data": "d.zarr", "learning_rate": -1.0}}),
        ("train.stpes", {"train": {"data": "d.zarr", "stpes": 3}}),
    ],
)
def test_a_configuration_is_refused_by_key(key: str, config: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        TrainConfig.from_mapping(config)
    assert refusal.value.key == key
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("key", "data", "why"),
    [
        ("data", "absent.zarr", "does not exist"),
        ("data", "text.zarr", "must be a data set"),
        ("data", "test.zarr", "has test seeds"),
        ("data", "validation.zarr", "has validation seeds"),
        ("data", "shakhov.zarr", "collision=shakhov"),
        ("validation", "training.zarr", "has training seeds"),
        ("validation", "test.zarr", "has test seeds"),
    ],
)
def test_data_of_the_wrong_kind_are_refused(
    folder: Path, tmp_path: Path, key: str, data: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "text.zarr").write_text("no data set")
    if data == "shakhov.zarr":
        as_shakhov(folder / "training.zarr", folder / data)
    options = {"data": "training.zarr", "validation": "validation.zarr"} | {key: data}
    given = [f"train.{name}={folder / path}" for name, path in options.items()]
    assert main(["train", *given, f"hydra.run.dir={tmp_path}"]) == INVALID
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert f"train.{key}={folder / data}" in printed
    assert why in printed


def as_shakhov(source: Path, target: Path) -> None:
    """Copy a data set and let it say that it is of another operator."""
    shutil.copytree(source, target)
    store = zarr.open_group(target, mode="r+")
    configuration = json.loads(str(store.attrs["configuration"]))
    configuration["collision"]["name"] = "shakhov"
    store.attrs["configuration"] = json.dumps(configuration)
    consolidate(target)
