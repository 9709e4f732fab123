"""Training in stages that can be stopped at any moment and gone on with to the bit.

Each stage takes steps of Adam, whose learning rates fall like a cosine, looks at the validation
data now and then, keeps its best and leaves a checkpoint (`closures.checkpoint`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from closures import distributed
from closures.checkpoint import Checkpoint, group, optimizer_tensors, restore_optimizer
from kinetic.dataset import TrajectorySet
from kinetic.progress import ProgressBar

M = TypeVar("M", bound=nn.Module)
M_contra = TypeVar("M_contra", bound=nn.Module, contravariant=True)
"""What is learned."""

History = dict[str, list[float]]
"""Of one stage: steps, and the loss on training and validation data there."""


class Stage(Protocol[M_contra]):
    """A part of a training run: what is minimised, over what, and for how long.

    check_every: steps between two looks at the validation data, each of which leaves a checkpoint.
    """

    name: str
    steps: int
    check_every: int

    def rates(self, learned: M_contra) -> list[tuple[nn.Module, float]]:
        """What is adjusted, and the learning rate of each at the start."""
        ...

    def begin(self, learned: M_contra) -> None:
        """Prepare `learned` for the first step."""
        ...

    def read(self, data: TrajectorySet, validation: TrajectorySet) -> None:
        """Read what the stage needs of the data sets, `learned` being at the best so far."""
        ...

    def loss(self, learned: M_contra, step: int) -> Tensor:
        """The loss of a step, which depends on the seed and the number of the step alone.

        Of several processes (`closures.distributed`) each has that of its share of the samples.
        """
        ...

    def validate(self, learned: M_contra) -> float:
        """The loss on validation data."""
        ...

    def stalled(self, history: History) -> bool:
        """Whether the validation loss has stopped falling."""
        ...


def patience_is_spent(history: History, patience: int) -> bool:
    """Whether the validation loss has not fallen for more than `patience` looks."""
    values = history["validation"]
    return bool(values) and len(values) > patience + values.index(min(values))


class Run(Generic[M]):
    """Stages in their order, which can be stopped at any moment and gone on with."""

    def __init__(self, learned: M, stages: Sequence[Stage[M]], folder: Path, key: str) -> None:
        self.learned, self.stages = learned, stages
        self.checkpoint = Checkpoint(folder / "checkpoint", key)
        self.histories: dict[str, History] = {
            stage.name: {"step": [], "train": [], "validation": []} for stage in stages
        }
        self.step = 0
        self.best = self._parameters()
        self.optimizer = self._optimizer(stages[0])
        self._resume()

    def learn(self, data: TrajectorySet, validation: TrajectorySet, bar: ProgressBar) -> None:
        """Go on until all stages are finished; end with the best of the last."""
        # All have read the checkpoint before the first of them replaces it.
        distributed.wait()
        for number, stage in enumerate(self.stages):
            if self._finished(stage):
                continue
            begun = bool(self.histories[stage.name]["step"])
            if not begun:
                self.learned.load_state_dict(self.best)
            stage.read(data, validation)
            if not begun:
                self._begin(stage)
            while not self._finished(stage):
                until = min(self.step + stage.check_every, stage.steps)
                losses = [self._update(stage, step) for step in range(self.step, until)]
                self.step = until
                self._look(stage, sum(losses) / len(losses))
                self._save()
                bar.update(int(100 * (number + self.step / stage.steps)), 100 * len(self.stages))
        self.learned.load_state_dict(self.best)

    def _finished(self, stage: Stage[M]) -> bool:
        history = self.histories[stage.name]
        done = bool(history["step"]) and history["step"][-1] >= stage.steps
        return done or stage.stalled(history)

    def _begin(self, stage: Stage[M]) -> None:
        """Start a stage from what `learned` holds, the best of the one before."""
        stage.begin(self.learned)
        self.step, self.optimizer = 0, self._optimizer(stage)
        with torch.no_grad():
            self._look(stage, float(stage.loss(self.learned, 0)))

    def _optimizer(self, stage: Stage[M]) -> torch.optim.Adam:
        groups = [{"params": list(m.parameters()), "lr": r} for m, r in stage.rates(self.learned)]
        return torch.optim.Adam(groups)

    def _update(self, stage: Stage[M], step: int) -> float:
        """One step of Adam; return the loss before it."""
        fall = 0.5 * (1.0 + math.cos(math.pi * step / stage.steps))
        rates = stage.rates(self.learned)
        for parameters, (_, rate) in zip(self.optimizer.param_groups, rates, strict=True):
            parameters["lr"] = rate * fall
        loss = stage.loss(self.learned, step)
        self.optimizer.zero_grad()
        loss.backward()
        distributed.average_gradients(self.learned.parameters())
        self.optimizer.step()
        return float(loss.detach())

    def _look(self, stage: Stage[M], train_loss: float) -> None:
        """Note the losses, and the parameters if they are the best so far."""
        history = self.histories[stage.name]
        with torch.no_grad():
            loss = stage.validate(self.learned)
        if not history["validation"] or loss < min(history["validation"]):
            self.best = self._parameters()
        for name, value in (("step", self.step), ("train", train_loss), ("validation", loss)):
            history[name].append(value)

    def _parameters(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.learned.state_dict().items()}

    def _save(self) -> None:
        if not distributed.leads():
            return
        tensors = {f"learned.{name}": value for name, value in self._parameters().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        optimizer = optimizer_tensors(self.optimizer)
        tensors |= {f"adam.{name}": value for name, value in optimizer.items()}
        looks = sum(len(history["step"]) for history in self.histories.values())
        self.checkpoint.save(looks, tensors, {"histories": self.histories})

    def _resume(self) -> None:
        """Take up the checkpoint of this very run, if there is one."""
        found = self.checkpoint.load()
        if found is None:
            return
        tensors, record = found
        with self.checkpoint.reading():
            self.histories = {stage.name: record["histories"][stage.name] for stage in self.stages}
            begun = [stage for stage in self.stages if self.histories[stage.name]["step"]]
            self.step = int(self.histories[begun[-1].name]["step"][-1])
            self.learned.load_state_dict(group(tensors, "learned"))
            self.best = group(tensors, "best")
            self.optimizer = self._optimizer(begun[-1])
            restore_optimizer(self.optimizer, group(tensors, "adam"))
