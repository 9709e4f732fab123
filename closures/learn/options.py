"""The configuration of concurrent learning (``closures learn``)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar

from closures.gas import TRAINED, Gas, check_gas
from closures.library import ClosureConfig
from kinetic.config import Physics, TimeConfig, VelocityConfig, seed
from kinetic.errors import InvalidInput
from kinetic.execution import ExecutionConfig
from kinetic.options import Options, choice, flag, integer, positive

SELECTIONS = ("indicator", "random")
"""How the gases to label are chosen: by what the ensemble says of them, or blindly."""


@dataclass(frozen=True)
class LearnOptions(Options):
    """How many gases are explored and labelled, and how long is trained; see `conf/learn`."""

    PREFIX: ClassVar[str] = "learn"

    seed: Annotated[int, seed] = 0
    selection: Annotated[str, choice(SELECTIONS)] = "indicator"
    members: Annotated[int, integer(1, 5)] = 2
    rounds: Annotated[int, integer(1, 10_000)] = 4
    first: Annotated[int, integer(5, 100_000)] = 10
    labels: Annotated[int, integer(1, 100_000)] = 10
    window: Annotated[int, integer(1, 10_000)] = 2
    draws: Annotated[int, integer(1, 1_000_000)] = 140
    climbs: Annotated[int, integer(0, 1000)] = 4
    parents: Annotated[int, integer(4, 100_000)] = 16
    children: Annotated[int, integer(1, 1_000_000)] = 32
    width: Annotated[float, positive(1e-6, 1.0)] = 0.2
    rarity: Annotated[float, positive(1.0, 100.0)] = 16.0
    cells: Annotated[int, integer(4, 10_000)] = 16
    quantile: Annotated[float, positive(1e-6, 1.0)] = 0.8
    share: Annotated[float, positive(1e-9, 1.0)] = 0.02
    worst: Annotated[float, positive(1e-3, 1e6)] = 2.0
    steps: Annotated[int, integer(1, 1_000_000)] = 300
    batch: Annotated[int, integer(16, 1_000_000)] = 256
    samples: Annotated[int, integer(1000, 10_000_000)] = 40_000
    updates: Annotated[int, integer(1, 1_000_000)] = 6
    trajectories: Annotated[int, integer(1, 10_000)] = 4
    update_rate: Annotated[float, positive(1e-8, 10.0)] = 0.03
    retry: Annotated[bool, flag] = False


@dataclass(frozen=True)
class LearnConfig(Physics):
    """Everything that defines a run of concurrent learning.

    The grids, the scheme and ``time`` are those of the labels; explored is on fewer cells.
    """

    cells: Annotated[int, integer(4, 1_000_000)] = 32
    velocity: VelocityConfig = field(default_factory=lambda: VelocityConfig(1, 97, 9.6))
    time: TimeConfig = field(default_factory=lambda: TimeConfig(0.1, 6))
    closure: ClosureConfig = field(default_factory=lambda: ClosureConfig(moments=9))
    learn: LearnOptions = field(default_factory=LearnOptions)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_gas(Gas.of(self), TRAINED)
        if self.closure.name != "entropy":
            raise InvalidInput("closure", self.closure.name, "only entropy learns concurrently")
        for key in ("knudsen", "boundary"):
            if getattr(self, key) is not None:
                allowed = "is explored here; leave it out"
                raise InvalidInput(key, getattr(self, key), allowed)
        if self.learn.members < 2 and self.learn.selection == "indicator":
            raise InvalidInput("learn.members", self.learn.members, "one cannot disagree; give 2")
        if self.learn.window >= self.time.snapshots:
            allowed = f"must be below time.snapshots={self.time.snapshots}, as many as it may span"
            raise InvalidInput("learn.window", self.learn.window, allowed)
        completed = self.closure.completed(self.velocity.dim)
        object.__setattr__(self, "closure", completed)

    @property
    def physics(self) -> Physics:
        """What the labels depend on beside the gas."""
        return Physics(**{item.name: getattr(self, item.name) for item in fields(Physics)})

    def identity(self) -> dict[str, Any]:
        """What determines what a round does, and nothing else; more rounds go on with a run."""
        values = self.to_mapping()
        del values["execution"]
        for name in ("rounds", "share", "worst", "retry"):
            del values["learn"][name]
        return values
