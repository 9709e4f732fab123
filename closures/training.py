"""Training of `entropy` in two stages: the moments, then the closed equations.

`moments` finds the w(c) whose averages say most about f (`closures.objective`); `rollout` then lets
the solver run over windows of the data and adjusts w, its dissipation and friction until the closed
equations follow the kinetic one (`closures.unrolling`): from the beginning of a trajectory, over
windows that grow to all of it. Each stage takes steps of Adam, looks at the validation data now and
then, keeps its best and leaves a checkpoint. Training is a pure function of data, configuration and
seed; it goes on from its checkpoint to the bit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from closures import distributed
from closures.closure import MomentClosure
from closures.distil import distil
from closures.finite_volume import Failure
from closures.learned import BASIS, Learned
from closures.learning_data import gas_of_data, open_data
from closures.library import ClosureConfig, write_model
from closures.linear_response import operator_of
from closures.memory import keep_freed_memory
from closures.objective import POWER, Objective
from closures.samples import Samples, read_samples
from closures.stages import History, Run, Stage, patience_is_spent
from closures.unrolling import Windows, read_windows, rollout_error
from kinetic.dataset import TrajectorySet
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.options import Options, integer, optional, positive, text
from kinetic.output import package_version
from kinetic.progress import ProgressBar

CHECK_EVERY = {"moments": 100, "rollout": 4}
"""Steps between two looks at the validation set, each of which leaves a checkpoint."""

WINDOWS = 400
"""Most trajectories that the solver is run on."""

SHORTEST, LONGEST = 0.4, 1.0
"""Windows at the first and the last step, as fractions of the time of a trajectory."""

RAREFIED = 1.0
"""Trajectories with a larger eps somewhere are drawn `favour` times as often: their errors are the
largest, and no collisions help the closure."""

HELD_OUT = {1: 40, 2: 4, 3: 4}
"""Most validation trajectories that the solver is run on, by velocity dimension."""


@dataclass(frozen=True)
class TrainOptions(Options):
    """How a closure is trained; see `conf/train/default.yaml`."""

    PREFIX: ClassVar[str] = "train"

    data: Annotated[str | None, optional(text)] = None
    validation: Annotated[str | None, optional(text)] = None
    seed: Annotated[int, integer(0, 2**31 - 1)] = 0
    steps: Annotated[int, integer(1, 1_000_000)] = 2000
    batch: Annotated[int, integer(16, 1_000_000)] = 2048
    samples: Annotated[int, integer(1000, 10_000_000)] = 200_000
    learning_rate: Annotated[float, positive(1e-8, 1.0)] = 0.03
    floor: Annotated[float, positive(1e-12, 1.0)] = 1e-5
    patience: Annotated[int, integer(1, 1_000_000)] = 8
    updates: Annotated[int, integer(1, 1_000_000)] = 8
    trajectories: Annotated[int, integer(1, 10_000)] = 6
    update_rate: Annotated[float, positive(1e-8, 10.0)] = 0.06
    moment_rate: Annotated[float, positive(1e-8, 10.0)] = 0.1
    favour: Annotated[float, positive(1.0, 1000.0)] = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data is None:
            raise InvalidInput("train.data", None, "must be a dataset.zarr of kinetic dataset")


@dataclass(frozen=True)
class TrainConfig(Options):
    """Everything that defines a training run (``closures train``)."""

    closure: ClosureConfig = field(default_factory=ClosureConfig)
    train: TrainOptions = field(default_factory=TrainOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.closure.name != "entropy":
            raise InvalidInput(
                "closure", self.closure.name, "only entropy and closures of networks are trained"
            )
        if self.closure.moments is not None and self.closure.moments < 2:
            allowed = "must be 2 or more, odd and even ones"
            raise InvalidInput("closure.moments", self.closure.moments, allowed)

    def recipe(self) -> dict[str, Any]:
        """The configuration without the places of files, which change nothing."""
        recipe = self.to_mapping()
        for key in ("data", "validation"):
            del recipe["train"][key]
        return recipe


@dataclass(frozen=True)
class Trained:
    """What a training run made: the model's directory and how its stages went."""

    folder: Path
    histories: Mapping[str, History]

    def __str__(self) -> str:
        moments, rollout = (self.histories[name] for name in ("moments", "rollout"))
        share = 100 * min(moments["validation"]) ** (1 / POWER)
        lost = f"{share:.3g} % of the information beyond the Maxwellian is lost"
        error = f"{100 * min(rollout['validation']):.2g} % error of the closed equations"
        return f"{self.folder} (on validation data {lost}, {error})"


def train(
    config: TrainConfig | Mapping[str, Any], folder: str | os.PathLike[str], progress: bool = True
) -> Trained:
    """Train a closure and write it to ``folder/model``.

    Run again, it goes on from its last checkpoint, or finds the model done.

    Raises:
        InvalidInput: the configuration or a data set is not allowed.
        NonPhysicalState: the closed equations broke down on the training data.
    """
    if not isinstance(config, TrainConfig):
        config = TrainConfig.from_mapping(config)
    with distributed.team():
        return _train(config, Path(folder), progress and distributed.leads())


def _train(config: TrainConfig, folder: Path, progress: bool) -> Trained:
    check_shares(config.train)
    with distributed.leader_first():
        data, validation = open_data(str(config.train.data), config.train.validation, folder)
    key = _fingerprint(config, data, validation)
    gas = gas_of_data(data)
    config = replace(config, closure=config.closure.completed(gas.dimension))
    learned = Learned(config.closure.moments or 0, gas)
    run = Run(learned, _stages(config.train), folder, key)
    keep_freed_memory()
    with ProgressBar(progress, "training") as bar:
        run.learn(data, validation, bar)
    if distributed.leads():
        _write(config, learned, data, folder, run.histories)
    return Trained(folder / "model", run.histories)


def check_shares(options: TrainOptions) -> None:
    """Refuse steps that do not part equally among the processes.

    Raises:
        InvalidInput: under ``train.batch`` or ``train.trajectories``.
    """
    distributed.check_share("train.batch", options.batch)
    distributed.check_share("train.trajectories", options.trajectories)


def _write(
    config: TrainConfig,
    learned: Learned,
    data: TrajectorySet,
    folder: Path,
    histories: Mapping[str, History],
) -> None:
    """Write the model, with its fast path where it has one."""
    with torch.no_grad():
        closure = learned.requires_grad_(False).closure()
    manifest: dict[str, Any] = {
        "training": {"configuration": config.recipe(), "data": data.configuration},
        "history": histories["moments"],
        "rollout": histories["rollout"],
    }
    start = None
    if isinstance(closure, MomentClosure):
        fast = distil(closure, data, config.train.seed)
        manifest["fast"], start = fast.measured, fast.network
    write_model(folder / "model", closure, manifest, start)


def _stages(options: TrainOptions) -> tuple[Stage[Learned], ...]:
    """The stages of training in their order."""
    return Moments(options), Rollout(options)


def _fingerprint(config: TrainConfig, *data: TrajectorySet) -> str:
    """What a checkpoint must agree with to be gone on with."""
    known = [package_version(), config.recipe(), *(d.configuration for d in data)]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


class Moments:
    """The stage that learns w by what it says of f."""

    name = "moments"
    samples: Samples
    held_out: Samples

    def __init__(self, options: TrainOptions) -> None:
        self.options, self.steps = options, options.steps
        self.check_every = CHECK_EVERY[self.name]
        self.objective = Objective(options.floor)

    def rates(self, learned: Learned) -> list[tuple[nn.Module, float]]:
        return [(learned.encoder, self.options.learning_rate)]

    def begin(self, learned: Learned) -> None:
        """Nothing is to be done."""

    def read(self, data: TrajectorySet, validation: TrajectorySet) -> None:
        count, seed = self.options.samples, self.options.seed
        self.samples = read_samples(data, BASIS, count, seed)
        self.held_out = read_samples(validation, BASIS, count // 10, seed)

    def loss(self, learned: Learned, step: int) -> Tensor:
        rng = np.random.default_rng([self.options.seed, step])
        rows = torch.as_tensor(rng.integers(len(self.samples), size=self.options.batch))
        return self.objective(learned.encoder, self.samples.take(distributed.share(rows)))

    def validate(self, learned: Learned) -> float:
        return float(self.objective(learned.encoder, self.held_out))

    def stalled(self, history: History) -> bool:
        return patience_is_spent(history, self.options.patience)


class Rollout:
    """The stage that adjusts w and its dissipation through the solver.

    What Boltzmann's collisions do is known of the w it begins with: these stay as they are.
    """

    name = "rollout"
    data: TrajectorySet
    windows: Windows
    held_out: Windows

    def __init__(self, options: TrainOptions) -> None:
        self.options, self.steps = options, options.updates
        self.check_every = CHECK_EVERY[self.name]

    def rates(self, learned: Learned) -> list[tuple[nn.Module, float]]:
        rate = self.options.update_rate
        if learned.collides:
            return [(learned.dissipation, rate)]
        moments = (learned.encoder, self.options.moment_rate * rate)
        others = [one for one in (learned.dissipation, learned.friction) if one is not None]
        return [moments, *((one, rate) for one in others)]

    def begin(self, learned: Learned) -> None:
        learned.order_by_degree()
        if learned.collides:
            learned.respond_to(operator_of(self.data))

    def read(self, data: TrajectorySet, validation: TrajectorySet) -> None:
        self.data, self.windows = data, read_windows(data, BASIS, WINDOWS)
        self.held_out = read_windows(validation, BASIS, HELD_OUT[data.dim])

    def loss(self, learned: Learned, step: int) -> Tensor:
        return _physical(learned, self.windows, *self.drawn(step))

    def drawn(self, step: int) -> tuple[Tensor, int]:
        """Trajectories and length of the windows of a step."""
        rng = np.random.default_rng([self.options.seed, self.options.steps + step])
        rarefied = (self.windows.knudsen > RAREFIED).any(1).cpu().numpy()
        odds = np.where(rarefied, self.options.favour, 1.0)
        count = min(self.options.trajectories, len(odds))
        rows = torch.as_tensor(rng.choice(len(odds), count, replace=False, p=odds / odds.sum()))
        share = SHORTEST + (LONGEST - SHORTEST) * step / self.steps
        length = max(1, round(share * (len(self.windows.time) - 1)))
        return distributed.share(rows), length

    def validate(self, learned: Learned) -> float:
        rows = torch.arange(len(self.held_out))
        return float(_physical(learned, self.held_out, rows, len(self.held_out.time)))

    def stalled(self, history: History) -> bool:
        return False


def _physical(learned: Learned, windows: Windows, rows: Tensor, length: int) -> Tensor:
    """The error of a rollout, or the error that ended it."""
    try:
        return rollout_error(learned.closure(), windows, rows, length)
    except Failure as failure:
        row = int(failure.cells[0])
        cell = row % windows.knudsen.shape[1]
        names = ("rho", "u", "T")
        values = {name: float(getattr(failure.frame, name)[row].detach()) for name in names}
        time = float(windows.time[0])
        raise NonPhysicalState(time, cell, values, f"training: {failure.reason}") from failure
