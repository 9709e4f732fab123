"""The ensemble: members that learn from the same labels, each leaving out others to check itself.

In every round each member goes on from its last weights, through the stages of
`closures.training`. The first learns from all labels; it becomes the model. Member M > 0 leaves out
the labels j with j mod `FOLDS` = M, so members differ, and what was left out measures an error that
is not one of fitting. With so few parameters as a closure has, none of the labels is needed to tell
when to stop. A member's weights are a pure function of the labels, the configuration and the round;
its training goes on from a checkpoint to the bit.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from closures.arrays import read_arrays, write_arrays
from closures.closure import Closure, MomentClosure
from closures.fast import FastClosure
from closures.finite_volume import Failure
from closures.gas import Gas
from closures.learn.options import LearnConfig
from closures.learn.store import LabelSet
from closures.learned import Learned
from closures.stages import Run
from closures.training import Moments, Rollout, TrainOptions
from closures.unrolling import Windows, rollout_error
from kinetic.dataset import TrajectorySet
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.output import package_version
from kinetic.progress import ProgressBar

FOLDS = 5
"""One label in so many is left out by a member that leaves any out."""

FAILED_ERROR = 1.0
"""The error of a closure that has no solution: as large as the solution itself."""

CHECKED = 8
"""Labels on which the end of training through the solver is compared with its beginning."""


@dataclass(frozen=True)
class Member:
    """One member of the ensemble in one round: where its weights are kept, and its number."""

    folder: Path
    config: LearnConfig
    round: int
    number: int

    @property
    def file(self) -> Path:
        """The weights at the end of the round."""
        return self.folder / f"member-{self.number}.safetensors"

    def train(self, labels: LabelSet, start: Mapping[str, Tensor] | None, bar: ProgressBar) -> None:
        """Train from the weights `start`, or from the beginning, unless that is done."""
        work = self.folder / f"member-{self.number}"
        if self.file.exists():
            shutil.rmtree(work, ignore_errors=True)
            return
        options = self._options()
        learned = new(self.config)
        if start is not None:
            learned.load_state_dict(dict(start))
        own, _ = self.split(labels)
        stages = Moments(options), ShortRollout(options)
        run = Run(learned, stages, work, self._key(labels, start))
        run.learn(own, own, bar)
        self._write(learned.state_dict())
        shutil.rmtree(work)

    def split(self, labels: LabelSet) -> tuple[LabelSet, LabelSet]:
        """The labels to learn from, and those left out."""
        left_out = [j for j in range(len(labels)) if self.number and j % FOLDS == self.number]
        own = [j for j in range(len(labels)) if j not in left_out]
        return labels.take(own), labels.take(left_out)

    def weights(self) -> dict[str, Tensor]:
        """The weights at the end of the round.

        Raises:
            InvalidInput: the file is missing or damaged.
        """
        try:
            found = {name: torch.from_numpy(one) for name, one in read_arrays(self.file).items()}
            new(self.config).load_state_dict(found)
            return found
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            allowed = f"{self.file.name} is damaged ({error}); delete its directory"
            raise InvalidInput("hydra.run.dir", self.folder, allowed) from error

    def closure(self) -> Closure:
        """The closure of these weights, compiled where it can be."""
        return compiled(learned_of(self.weights(), self.config))

    def _options(self) -> TrainOptions:
        learn = self.config.learn
        seeds = np.random.SeedSequence([learn.seed, self.round, self.number])
        return TrainOptions(
            data=str(self.folder),
            seed=int(seeds.generate_state(1)[0] % 2**31),
            steps=learn.steps,
            batch=learn.batch,
            samples=learn.samples,
            updates=learn.updates,
            trajectories=learn.trajectories,
            update_rate=learn.update_rate,
        )

    def _key(self, labels: LabelSet, start: Mapping[str, Tensor] | None) -> str:
        """What a checkpoint must agree with to be gone on with."""
        weights = b"" if start is None else save(dict(start))
        known = [package_version(), self.config.identity(), self.round, self.number, labels.keys]
        return hashlib.sha256(json.dumps(known).encode() + weights).hexdigest()

    def _write(self, weights: Mapping[str, Tensor]) -> None:
        write_arrays(self.file, {name: one.numpy() for name, one in weights.items()})


class ShortRollout(Rollout):
    """Training through the solver that looks at a few labels only, evenly spread.

    Among what is labelled are gases that closures have no solution of. A step learns from those of
    its windows that have one; a look counts the others with `FAILED_ERROR`.
    """

    def loss(self, learned: Learned, step: int) -> Tensor:
        try:
            return super().loss(learned, step)
        except NonPhysicalState as lost:
            each = _alone(learned, self.windows, *self.drawn(step))
            known = [error for error in each if error is not None]
            if not known:
                raise
            left_out = f"{len(each) - len(known)} of {len(each)} windows"
            print(f"step {step} leaves out {left_out}: {lost}", file=sys.stderr, flush=True)
            return torch.stack(known).mean()

    def validate(self, learned: Learned) -> float:
        try:
            return super().validate(learned)
        except NonPhysicalState:
            rows = torch.arange(len(self.held_out))
            each = _alone(learned, self.held_out, rows, len(self.held_out.time))
            return float(np.mean([FAILED_ERROR if one is None else float(one) for one in each]))

    def read(self, data: TrajectorySet, validation: TrajectorySet) -> None:
        assert isinstance(validation, LabelSet)
        places = np.linspace(0, len(validation) - 1, min(CHECKED, len(validation)))
        super().read(data, validation.take(np.unique(places.round()).astype(int).tolist()))


def _alone(learned: Learned, windows: Windows, rows: Tensor, length: int) -> list[Tensor | None]:
    """The error of each trajectory; None where the closed equations have no solution."""
    found: list[Tensor | None] = []
    for row in rows:
        try:
            found.append(rollout_error(learned.closure(), windows, row[None], length))
        except Failure:
            found.append(None)
    return found


def new(config: LearnConfig) -> Learned:
    """What is learned, before the first round."""
    return Learned(config.closure.moments or 0, Gas.of(config))


def learned_of(weights: Mapping[str, Tensor], config: LearnConfig) -> Learned:
    """What was learned."""
    learned = new(config)
    learned.load_state_dict(dict(weights))
    return learned.requires_grad_(False)


def compiled(learned: Learned) -> Closure:
    """The closure of what was learned, with its compiled solver if there is one."""
    with torch.no_grad():
        closure = learned.closure()
    if not isinstance(closure, MomentClosure):
        return closure
    return FastClosure(**{one.name: getattr(closure, one.name) for one in fields(MomentClosure)})
