"""Training of the closure of networks in the stages of `closures.network.stages`.

Each keeps its best on the validation data. Same data, configuration and seed: same bits, however
often the run was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from closures import distributed
from closures.gas import BGK_GAS, Gas
from closures.learning_data import gas_of_data, open_data
from closures.library import ClosureConfig
from closures.memory import keep_freed_memory
from closures.network.closure import Architecture, Networks
from closures.network.collisions import Collisions
from closures.network.files import VARIANTS, write_network
from closures.network.labels import read_samples
from closures.network.objectives import FluxObjective, MomentObjective
from closures.network.stages import SPEED_SAMPLES, Fit, Rollout, speeds_of
from closures.stages import History, Run, Stage
from closures.training import TrainOptions, check_shares
from kinetic.dataset import TrajectorySet
from kinetic.errors import InvalidInput
from kinetic.options import Options
from kinetic.output import package_version
from kinetic.progress import ProgressBar


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

    def architecture(self, gas: Gas = BGK_GAS) -> Architecture:
        """What is trained for a gas.

        Raises:
            InvalidInput: the frame is the fixed one, and velocities have more than one dimension.
        """
        frame, features = VARIANTS[self.closure.name]
        if frame == "fixed" and gas.dimension > 1:
            allowed = f"has velocity.dim=1; train.data is of {gas}"
            raise InvalidInput("closure", self.closure.name, allowed)
        count = self.closure.completed(gas.dimension).moments or 0
        return Architecture(frame, features, count, gas=gas)

    def recipe(self) -> dict[str, Any]:
        """The configuration without the places of files, which change nothing."""
        recipe = self.to_mapping()
        for key in ("data", "validation"):
            del recipe["train"][key]
        return recipe


@dataclass(frozen=True)
class TrainedNetwork:
    """What a training run made: the model's directory, and how its stages went."""

    folder: Path
    histories: Mapping[str, History]

    def __str__(self) -> str:
        fluxes, error = (min(self.histories[name]["validation"]) for name in ("fluxes", "rollout"))
        fitted = f"relative error of fluxes, squared: {fluxes:.3g}"
        return f"{self.folder} (on validation data {fitted}, {100 * error:.2g} % in the solution)"


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
    with distributed.team():
        return _train(config, Path(folder), progress and distributed.leads())


def _train(config: NetworkTrainConfig, folder: Path, progress: bool) -> TrainedNetwork:
    options = config.train
    check_shares(options)
    with distributed.leader_first():
        data, validation = open_data(str(options.data), options.validation, folder)
    networks = Networks(config.architecture(gas_of_data(data)), options.seed)
    stages: list[Stage[Networks]] = [
        Fit("moments", 0, MomentObjective(networks, options.floor), options),
        Fit("fluxes", 1, FluxObjective(networks, options.floor), options),
        Rollout(networks, options),
    ]
    if networks.production is not None:
        stages.insert(2, Collisions(networks, options))
    run = Run(networks, stages, folder, _fingerprint(config, data, validation))
    keep_freed_memory()
    with ProgressBar(progress, "training") as bar:
        run.learn(data, validation, bar)
    if distributed.leads():
        _write(config, networks, data, folder, run.histories)
    return TrainedNetwork(folder / "model", run.histories)


def _write(
    config: NetworkTrainConfig,
    networks: Networks,
    data: TrajectorySet,
    folder: Path,
    curves: Mapping[str, History],
) -> None:
    """Write the model."""
    networks.requires_grad_(False)
    samples = read_samples(data, networks.kind.fixed, SPEED_SAMPLES, 0)
    made = {"configuration": config.recipe(), "data": data.configuration}
    fitted = {name: curve for name, curve in curves.items() if name != "rollout"}
    manifest = {
        "training": made | {"curves": fitted},
        "history": curves["fluxes"],
        "rollout": curves["rollout"],
    }
    write_network(folder / "model", networks, speeds_of(networks, samples), manifest)


def _fingerprint(config: NetworkTrainConfig, *data: TrajectorySet) -> str:
    """What a checkpoint must agree with to be gone on with."""
    known = [package_version(), config.recipe(), *(d.configuration for d in data)]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
