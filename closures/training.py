"""Learning the moments: the w(c) whose averages say most about f.

With the maximum-entropy decoder, KL(f || f_hat) = eta(f) - eta(f_hat) >= 0 is both the error of the
reconstruction and the entropy that it has too much. For a sample in its own frame

    KL(g || g_hat) = KL(g || Mc) - 1 - <psi> + min_theta D(theta),

D the dual function (`closures.dual`) with the prior Mc exp(psi) (`closures.prior`) as its measure,
and the loss is a mean of the share that is lost of the information that Mc does not hold,

    < [KL(g || g_hat) / (KL(g || Mc) + floor)]^POWER >,

so that a weak wave counts as much as a shock, and badly held samples count most. At the minimum,
its gradient in w and psi needs theta but not its derivative (envelope theorem), so the dual is
solved without a graph. Training is a pure function of data, configuration and seed; it goes on from
its checkpoint to the bit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from closures.dual import MAX_EXPONENT, DualSolver
from closures.encoder import Encoder
from closures.features import (
    INVARIANTS,
    SplineFeatures,
    invariants,
    trapezoid,
    unit_maxwellian,
)
from closures.library import MAX_WIDTH, ClosureConfig, write_model
from closures.memory import keep_freed_memory
from closures.prior import Prior
from closures.samples import Samples, read_samples
from closures.splines import SplineBasis
from kinetic.config import SEED_RANGES
from kinetic.dataset import TrajectorySet, generate, open_dataset
from kinetic.errors import InvalidInput
from kinetic.options import Options, integer, optional, positive, text
from kinetic.output import package_version
from kinetic.progress import ProgressBar

CHECK_EVERY = 100
"""Steps between two looks at the validation set, each of which leaves a checkpoint."""

DAMAGE = (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError)
"""What reading a damaged checkpoint raises."""

POWER = 1.5
"""Of the loss: the larger, the more it looks at the samples that are held worst."""

PRIOR_RATE = 0.1
"""Learning rate of psi, as a fraction of that of w."""

BASIS = SplineBasis(extent=6.0, intervals=24)
DUAL = DualSolver(tolerance=1e-6, regularization=1e-7)
EXTENT, NODES = 6.0, 49


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
    prior: Annotated[int, integer(0, MAX_WIDTH)] = 48
    floor: Annotated[float, positive(1e-12, 1.0)] = 1e-5
    patience: Annotated[int, integer(1, 1_000_000)] = 8

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
            raise InvalidInput("closure", self.closure.name, "only entropy is trained")
        if self.closure.moments is None or self.closure.moments < 2:
            allowed = "must be 2 or more, odd and even ones"
            raise InvalidInput("closure.moments", self.closure.moments, allowed)


@dataclass(frozen=True)
class Trained:
    """What a training run made: the model's directory and how its validation loss went."""

    folder: Path
    history: Mapping[str, list[float]]

    def __str__(self) -> str:
        best = min(self.history["validation"])
        steps = int(self.history["step"][-1])
        lost = f"{100 * best ** (1 / POWER):.3g} % of the information beyond the Maxwellian is lost"
        return f"{self.folder} ({steps} steps; {lost} on validation data)"


def train(
    config: TrainConfig | Mapping[str, Any], folder: str | os.PathLike[str], progress: bool = True
) -> Trained:
    """Train a closure and write it to ``folder/model``.

    Run again, it goes on from its last checkpoint, or finds the model done.

    Raises:
        InvalidInput: the configuration or a data set is not allowed.
    """
    if not isinstance(config, TrainConfig):
        config = TrainConfig.from_mapping(config)
    folder = Path(folder)
    options = config.train
    data = open_dataset(str(options.data), key="train.data")
    _check(data, "training", "train.data")
    validation = _validation(data, options, folder)
    run = _Run(config, folder / "checkpoint", _fingerprint(config, data, validation))
    if not run.finished:
        keep_freed_memory()
        samples = read_samples(data, BASIS, options.samples, options.seed)
        held_out = read_samples(validation, BASIS, options.samples // 10, options.seed)
        with ProgressBar(progress, "training") as bar:
            run.learn(samples, held_out, bar)
    made = {"configuration": _recipe(config), "data": data.configuration}
    history = {name: list(values) for name, values in run.history.items()}
    write_model(folder / "model", *run.best(), {"training": made, "history": history})
    return Trained(folder / "model", history)


def _check(data: TrajectorySet, kind: str, key: str) -> None:
    """Refuse other dimensions; keep training, validation and test trajectories apart."""
    dimension = data.configuration["velocity"]["dim"]
    if dimension != 1:
        raise InvalidInput(key, data.path, f"has velocity.dim={dimension}; must have 1")
    if data.seed_range != kind:
        first, end = SEED_RANGES[kind]
        allowed = f"has {data.seed_range} seeds; must have seeds in [{first}, {end})"
        raise InvalidInput(key, data.path, allowed)


def _validation(data: TrajectorySet, options: TrainOptions, folder: Path) -> TrajectorySet:
    """Open the validation set, made like the training set with other seeds if none is given."""
    path = options.validation
    if path is None:
        path = str(folder / "validation.zarr")
        recipe = {key: value for key, value in data.configuration.items() if key != "dataset"}
        families = list(data.configuration["dataset"]["families"])
        recipe["dataset"] = {
            "families": families,
            "seed": SEED_RANGES["validation"][0],
            "trajectories": max(len(families), len(data) // 5),
        }
        generate(recipe, path, progress=False)
    validation = open_dataset(path, key="train.validation")
    _check(validation, "validation", "train.validation")
    return validation


def _recipe(config: TrainConfig) -> dict[str, Any]:
    """The configuration without the places of files, which change nothing."""
    recipe = config.to_mapping()
    for key in ("data", "validation"):
        del recipe["train"][key]
    return recipe


def _fingerprint(config: TrainConfig, *data: TrajectorySet) -> str:
    """What a checkpoint must agree with to be gone on with."""
    known = [package_version(), _recipe(config), *(d.configuration for d in data)]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


class Learned(nn.Module):
    """What is learned: w, and psi if `width` is not zero."""

    def __init__(self, moments: int, width: int, seed: int) -> None:
        super().__init__()
        self.encoder = Encoder((moments + 1) // 2, moments // 2, BASIS)
        self.prior: Prior | None = None
        if width:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.prior = Prior(self.encoder.features().parity, BASIS, width)


class Objective:
    """The loss of a batch of samples."""

    def __init__(self, floor: float) -> None:
        c, h = trapezoid(EXTENT, NODES)
        self.c, self.measure, self.floor = c, unit_maxwellian(c) * h, floor
        self.B = BASIS.matrix(c)

    def __call__(self, learned: Learned, samples: Samples) -> Tensor:
        """Mean of (KL(g || g_hat)/(KL(g || Mc) + floor))^POWER."""
        w = learned.encoder.features().coefficients
        phi = torch.cat((invariants(self.c), self.B @ w), dim=1)
        m = samples.averages @ w
        mu = torch.cat((torch.ones(len(m), 1), torch.zeros(len(m), INVARIANTS - 1)), dim=1)
        mu = torch.cat((mu.to(m), m), dim=1)
        measure, expected = self.measure.expand(len(m), -1), 0.0
        if learned.prior is not None:
            psi = learned.prior(m, samples.knudsen)
            measure = measure * torch.exp(psi @ self.B.T)
            expected = (psi * samples.averages).sum(1)
        with torch.no_grad():
            theta, _ = DUAL.solve(phi, measure, mu, torch.zeros_like(mu))
        density = (torch.exp((theta @ phi.T).clamp(max=MAX_EXPONENT)) * measure).sum(1)
        lost = samples.divergence - 1.0 - expected + density - (theta * mu).sum(1)
        return (lost.clamp(min=0.0) / (samples.divergence + self.floor)).pow(POWER).mean()


class _Run:
    """A training run that can be stopped at any moment and gone on with."""

    def __init__(self, config: TrainConfig, path: Path, key: str) -> None:
        self.options, self.path, self.key = config.train, path, key
        self.learned = Learned(config.closure.moments or 0, self.options.prior, self.options.seed)
        self.best_parameters = self._parameters()
        self.optimizer = torch.optim.Adam(self.learned.encoder.parameters())
        if self.learned.prior is not None:
            self.optimizer.add_param_group({"params": list(self.learned.prior.parameters())})
        self.objective = Objective(self.options.floor)
        self.history: dict[str, list[float]] = {"step": [], "train": [], "validation": []}
        self.step = 0
        self._resume()

    @property
    def finished(self) -> bool:
        """Whether the last step is done, or the validation loss has stopped falling."""
        values = self.history["validation"]
        stalled = bool(values) and len(values) > self.options.patience + values.index(min(values))
        return stalled or self.step >= self.options.steps

    def learn(self, data: Samples, validation: Samples, bar: ProgressBar) -> None:
        """Go on until the run is finished, with a checkpoint at every look at `validation`."""
        if not self.history["step"]:
            with torch.no_grad():
                self._normalise(data)
                self._look(float(self._loss(0, data)), validation)
        while not self.finished:
            until = min(self.step + CHECK_EVERY, self.options.steps)
            losses = [self._update(step, data) for step in range(self.step, until)]
            self.step = until
            self._look(sum(losses) / len(losses), validation)
            self._save()
            bar.update(self.step, self.options.steps)

    def best(self) -> tuple[SplineFeatures, Prior | None]:
        """w and psi of the lowest validation loss."""
        self.learned.load_state_dict(self.best_parameters)
        with torch.no_grad():
            return self.learned.encoder.features(), self.learned.prior

    def _normalise(self, data: Samples) -> None:
        """Put the scale of the moments at the start into the prior."""
        if self.learned.prior is not None:
            m = data.averages @ self.learned.encoder.features().coefficients
            self.learned.prior.scale.copy_(m.std(0))

    def _update(self, step: int, data: Samples) -> float:
        """One step of Adam; return the loss before it."""
        fraction = step / self.options.steps
        rate = 0.5 * (1.0 + torch.cos(torch.tensor(torch.pi * fraction)).item())
        for group, share in zip(self.optimizer.param_groups, (1.0, PRIOR_RATE), strict=False):
            group["lr"] = self.options.learning_rate * share * rate
        loss = self._loss(step, data)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def _loss(self, step: int, data: Samples) -> Tensor:
        """The loss of the batch of a step, which depends on seed and step alone."""
        rng = np.random.default_rng([self.options.seed, step])
        rows = torch.as_tensor(rng.integers(len(data), size=self.options.batch))
        return self.objective(self.learned, data.take(rows))

    def _look(self, train_loss: float, validation: Samples) -> None:
        with torch.no_grad():
            loss = float(self.objective(self.learned, validation))
        if not self.history["validation"] or loss < min(self.history["validation"]):
            self.best_parameters = self._parameters()
        for name, value in (("step", self.step), ("train", train_loss), ("validation", loss)):
            self.history[name].append(value)

    def _parameters(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.learned.state_dict().items()}

    def _save(self) -> None:
        """Leave a checkpoint: the tensors first, then by renaming the file that declares them."""
        self.path.mkdir(parents=True, exist_ok=True)
        tensors = {f"learned.{name}": value for name, value in self._parameters().items()}
        tensors |= {f"best.{name}": value for name, value in self.best_parameters.items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{name}": value for name, value in state.items()}
        # Named after the run, so that what a checkpoint declares is never another run's tensors.
        name = f"{self.key[:12]}-{self.step}.safetensors"
        whole = {key: value.contiguous() for key, value in tensors.items()}
        (self.path / name).write_bytes(save(whole))
        record = {"key": self.key, "step": self.step, "file": name, "history": self.history}
        partial = self.path / "checkpoint.json.partial"
        partial.write_text(json.dumps(record))
        partial.replace(self.path / "checkpoint.json")
        for old in self.path.glob("*.safetensors"):
            if old.name != name:
                old.unlink()

    def _resume(self) -> None:
        """Take up the checkpoint of this very run, if there is one."""
        if not (self.path / "checkpoint.json").exists():
            return
        try:
            record = json.loads((self.path / "checkpoint.json").read_text())
            if record["key"] == self.key:
                tensors = load((self.path / Path(record["file"]).name).read_bytes())
                self._restore(tensors)
                self.step, self.history = record["step"], record["history"]
        except DAMAGE as error:
            why = str(error).partition("\n")[0]
            allowed = f"holds a damaged checkpoint ({why}); delete it to start again"
            raise InvalidInput("hydra.run.dir", self.path, allowed) from error

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put the tensors of a checkpoint where they were."""
        groups: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            groups.setdefault(group, {})[rest] = value
        self.learned.load_state_dict(groups["learned"])
        self.best_parameters = groups["best"]
        state = self.optimizer.state_dict()
        for name, value in groups["adam"].items():
            index, _, rest = name.partition(".")
            state["state"].setdefault(int(index), {})[rest] = value
        self.optimizer.load_state_dict(state)
