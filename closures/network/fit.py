"""Training of the closure in the two stages of `closures.network.objectives`.

Each stage takes `steps` steps of Adam at most and keeps its best on the validation data. Same data,
configuration and seed: same bits, however often the run was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from closures.checkpoint import Checkpoint, group, optimizer_tensors, restore_optimizer
from closures.learning_data import open_data
from closures.library import ClosureConfig
from closures.memory import keep_freed_memory
from closures.network.closure import Architecture, NetworkClosure, Networks
from closures.network.files import VARIANTS, write_network
from closures.network.labels import Samples, read_samples
from closures.network.objectives import (
    FluxObjective,
    MomentObjective,
    Objective,
    encode,
    set_scales,
)
from closures.network.speeds import characteristic_speeds
from closures.training import TrainOptions
from kinetic.dataset import TrajectorySet
from kinetic.errors import InvalidInput
from kinetic.options import Options
from kinetic.output import package_version
from kinetic.progress import ProgressBar

CHECK_EVERY = 100
"""Steps between two looks at the validation set, each of which leaves a checkpoint."""

STAGES = ("moments", "fluxes")

SPEED_SAMPLES = 2000
"""Samples of which the characteristic speeds are found."""


@dataclass(frozen=True)
class NetworkTrainConfig(Options):
    """Everything that defines the training of a closure of networks (``closures train``)."""

    closure: ClosureConfig = field(default_factory=lambda: ClosureConfig("network"))
    train: TrainOptions = field(default_factory=TrainOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.closure.name not in VARIANTS:
            allowed = "must be one of " + ", ".join(VARIANTS)
            raise InvalidInput("closure", self.closure.name, allowed)

    @property
    def architecture(self) -> Architecture:
        """What is trained."""
        frame, features = VARIANTS[self.closure.name]
        return Architecture(frame, features, self.closure.moments or 0)

    def recipe(self) -> dict[str, Any]:
        """The configuration without the places of files, which change nothing."""
        recipe = self.to_mapping()
        for key in ("data", "validation"):
            del recipe["train"][key]
        return recipe


@dataclass(frozen=True)
class TrainedNetwork:
    """What a training run made: the model's directory, and how its validation loss went."""

    folder: Path
    history: Mapping[str, list[float]]

    def __str__(self) -> str:
        reached = f"{min(self.history['validation']):.3g}"
        return f"{self.folder} (relative error of fluxes, squared: {reached} on validation data)"


def train(
    config: NetworkTrainConfig | Mapping[str, Any],
    folder: str | os.PathLike[str],
    progress: bool = True,
) -> TrainedNetwork:
    """Train a closure of networks and write it to ``folder/model``.

    Run again, it goes on from its last checkpoint, or finds the model done.

    Raises:
        InvalidInput: the configuration or a data set is not allowed.
    """
    if not isinstance(config, NetworkTrainConfig):
        config = NetworkTrainConfig.from_mapping(config)
    folder = Path(folder)
    options = config.train
    data, validation = open_data(str(options.data), options.validation, folder)
    run = _Run(config, folder / "checkpoint", _fingerprint(config, data, validation))
    keep_freed_memory()
    fixed = config.architecture.fixed
    samples = read_samples(data, fixed, options.samples, options.seed)
    held_out = read_samples(validation, fixed, options.samples // 10, options.seed)
    with ProgressBar(progress, "training") as bar:
        run.learn(samples, held_out, bar)
    networks = run.networks.requires_grad_(False)
    made = {"configuration": config.recipe(), "data": data.configuration}
    histories = dict(zip(STAGES, run.histories, strict=True))
    manifest = {"training": made | {"curves": histories}, "history": histories["fluxes"]}
    write_network(folder / "model", networks, _speeds(networks, samples), manifest)
    return TrainedNetwork(folder / "model", histories["fluxes"])


def _fingerprint(config: NetworkTrainConfig, *data: TrajectorySet) -> str:
    """What a checkpoint must agree with to be gone on with."""
    known = [package_version(), config.recipe(), *(d.configuration for d in data)]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _speeds(networks: Networks, samples: Samples) -> dict[str, float]:
    """Largest characteristic speed on samples, and the largest imaginary part of one."""
    rows = torch.linspace(0, len(samples) - 1, min(SPEED_SAMPLES, len(samples))).long()
    some = samples.take(rows)
    m = encode(networks, some).m
    closure = NetworkClosure(networks, speed=1.0)
    speeds = characteristic_speeds(closure, some.u, some.T, m, some.knudsen)
    return {
        "largest": float(speeds.abs().max()),
        "largest_imaginary": float(speeds.imag.abs().max()),
    }


class _Run:
    """A training run of both stages that can be stopped at any moment and gone on with."""

    def __init__(self, config: NetworkTrainConfig, path: Path, key: str) -> None:
        self.options = config.train
        self.networks = Networks(config.architecture, self.options.seed)
        self.checkpoint = Checkpoint(path, key)
        self.stage, self.step = 0, 0
        self.histories: list[dict[str, list[float]]] = [
            {"step": [], "train": [], "validation": []} for _ in STAGES
        ]
        self.best = self._parameters()
        self._restored: dict[str, Tensor] = {}
        self._resume()

    def learn(self, data: Samples, validation: Samples, bar: ProgressBar) -> None:
        """Go on until both stages are finished, with a checkpoint at every look at `validation`."""
        if self.stage == 0 and not self.history["step"]:
            set_scales(self.networks, data)
        while self.stage < len(STAGES):
            objective = self._objective()
            known, held_out = objective.prepare(data), objective.prepare(validation)
            self._learn(objective, known, held_out, bar)
            self.networks.load_state_dict(self.best)
            self.stage, self.step = self.stage + 1, 0
            self._restored = {}
            self._save(None)

    def _objective(self) -> Objective:
        kind = (MomentObjective, FluxObjective)[self.stage]
        return kind(self.networks, self.options.floor)

    def _learn(self, objective: Any, data: Any, validation: Any, bar: ProgressBar) -> None:
        optimizer = torch.optim.Adam(objective.parameters, self.options.learning_rate)
        if self._restored:
            with self.checkpoint.reading():
                restore_optimizer(optimizer, self._restored)
        if not self.history["step"]:
            with torch.no_grad():
                self._look(float(objective(self._batch(0, data))), objective, validation)
        while not self.finished:
            until = min(self.step + CHECK_EVERY, self.options.steps)
            losses = [
                self._update(step, objective, optimizer, data) for step in range(self.step, until)
            ]
            self.step = until
            self._look(sum(losses) / len(losses), objective, validation)
            self._save(optimizer)
            done = self.stage * self.options.steps + self.step
            bar.update(done, len(STAGES) * self.options.steps)

    @property
    def history(self) -> dict[str, list[float]]:
        """The curves of the present stage."""
        return self.histories[self.stage]

    @property
    def finished(self) -> bool:
        """Whether the last step of the stage is done, or its validation loss stopped falling."""
        values = self.history["validation"]
        stalled = bool(values) and len(values) > self.options.patience + values.index(min(values))
        return stalled or self.step >= self.options.steps

    def _update(
        self,
        step: int,
        objective: Any,
        optimizer: torch.optim.Optimizer,
        data: Any,
    ) -> float:
        """One step of Adam; return the loss before it."""
        rate = 0.5 * (1.0 + np.cos(np.pi * step / self.options.steps))
        optimizer.param_groups[0]["lr"] = self.options.learning_rate * float(rate)
        value = objective(self._batch(step, data))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return float(value.detach())

    def _batch(self, step: int, data: Any) -> Any:
        """The batch of a step, which depends on seed, stage and step alone."""
        rng = np.random.default_rng([self.options.seed, self.stage, step])
        return data.take(torch.as_tensor(rng.integers(len(data), size=self.options.batch)))

    def _look(self, value: float, objective: Any, validation: Any) -> None:
        with torch.no_grad():
            held_out = float(objective(validation))
        if not self.history["validation"] or held_out < min(self.history["validation"]):
            self.best = self._parameters()
        for name, entry in (("step", self.step), ("train", value), ("validation", held_out)):
            self.history[name].append(entry)

    def _parameters(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.networks.state_dict().items()}

    def _save(self, optimizer: torch.optim.Optimizer | None) -> None:
        tensors = {f"networks.{name}": value for name, value in self._parameters().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        if optimizer is not None:
            adam = optimizer_tensors(optimizer)
            tensors |= {f"adam.{name}": value for name, value in adam.items()}
        record = {"stage": self.stage, "step": self.step, "histories": self.histories}
        number = self.stage * (self.options.steps + 1) + self.step
        self.checkpoint.save(number, tensors, record)

    def _resume(self) -> None:
        """Take up the checkpoint of this very run, if there is one."""
        found = self.checkpoint.load()
        if found is None:
            return
        tensors, record = found
        with self.checkpoint.reading():
            self.networks.load_state_dict(group(tensors, "networks"))
            self.best = group(tensors, "best")
            self._restored = group(tensors, "adam")
            self.stage, self.step = int(record["stage"]), int(record["step"])
            self.histories = record["histories"]
