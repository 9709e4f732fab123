"""The labels of a run, each under a key that says what is in it.

    KEY.safetensors   the arrays of a label; its header holds who asked for it
    KEY.failed.json   why there is none: {reason, request}

KEY is a hash of configuration and gas (`closures.learn.label`), so a label that exists is never
made again, whichever round asks. A file appears under its name only when it is complete; what a
killed writer leaves has another name, and is removed by `clean`. Nothing is executed on reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closures.arrays import read_arrays, write_arrays
from kinetic.config import Physics
from kinetic.errors import InvalidInput
from kinetic.files import read_json, write_json
from kinetic.storage import Place
from kinetic.trajectories import Trajectory, TrajectorySet
from kinetic.velocity import VelocityGrid

FAILED = ".failed.json"
NAMES = ("distribution", "conserved", "knudsen", "decade")


@dataclass(frozen=True)
class LabelStore:
    """The labels in a directory, which need not exist yet."""

    path: Path

    def has(self, key: str) -> bool:
        """Whether there is a label."""
        return self._file(key).exists()

    def write(self, key: str, arrays: Mapping[str, NDArray[Any]], request: Any) -> None:
        """Write a label, complete or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_arrays(self._file(key), arrays, request=request)

    def read(self, key: str) -> dict[str, NDArray[Any]]:
        """Read a label.

        Raises:
            InvalidInput: it is missing or damaged.
        """
        try:
            arrays = read_arrays(self._file(key))
        except (OSError, ValueError) as error:
            allowed = f"label {key} is damaged ({error}); delete it to have it made again"
            raise InvalidInput("hydra.run.dir", self.path, allowed) from error
        if set(arrays) != set(NAMES):
            raise InvalidInput("hydra.run.dir", self.path, f"{key} is no label; delete it")
        return arrays

    def fail(self, key: str, reason: str, request: Any) -> None:
        """Record why a label could not be made."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self._failure(key), {"reason": reason, "request": request}, indent=None)

    def failure(self, key: str) -> str | None:
        """Why there is no label, None if that was never found out.

        Raises:
            InvalidInput: what was recorded is damaged.
        """
        try:
            return str(read_json(self._failure(key))["reason"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            allowed = f"{key}{FAILED} is damaged ({error}); delete it to have the label made again"
            raise InvalidInput("hydra.run.dir", self.path, allowed) from error

    def failures(self) -> dict[str, str]:
        """All failures: key and reason."""
        keys = sorted(one.name.removesuffix(FAILED) for one in self.path.glob(f"*{FAILED}"))
        return {key: self.failure(key) or "" for key in keys}

    def forgive(self, key: str) -> None:
        """Forget a failure, so that the label is asked for again."""
        self._failure(key).unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove what killed writers left behind; only one run may use the store by now."""
        for partial in self.path.glob("*.partial"):
            partial.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self.path / f"{key}.safetensors"

    def _failure(self, key: str) -> Path:
        return self.path / f"{key}{FAILED}"


class LabelSet(TrajectorySet):
    """Labels as a data set to train on; each is read when it is asked for.

    Its times are those within a window, as windows that begin later are no different to learn from.

    Args:
        store: where they are.
        keys: which they are.
        physics: what made them.
        length: intervals between snapshots in a window.
    """

    def __init__(
        self, store: LabelStore, keys: Sequence[str], physics: Physics, length: int
    ) -> None:
        velocity, time = physics.velocity, physics.time
        self.path, self._store, self.keys = Place.of(store.path), store, tuple(keys)
        self.dim = velocity.dim
        self.time = np.linspace(0.0, length * time.end / (time.snapshots - 1), length + 1)
        self.v = VelocityGrid(velocity.points, velocity.extent, velocity.dim).nodes
        self.x = (np.arange(physics.cells) + 0.5) / physics.cells
        self.families = ("explored",) * len(self.keys)
        self.seeds = np.arange(len(self.keys))
        self.failures: list[dict[str, Any]] = []
        self.configuration = physics.to_mapping()
        self.seed_range = "training"

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, position: int) -> Trajectory:
        arrays = self._arrays(position)
        return Trajectory(
            family=self.families[position],
            seed=position,
            time=self.time,
            x=self.x,
            v=self.v,
            knudsen=arrays["knudsen"],
            conserved=arrays["conserved"],
            distribution=arrays["distribution"],
            dim=self.dim,
        )

    def _arrays(self, position: int) -> dict[str, NDArray[Any]]:
        """The arrays of a label of these cells, times and velocities."""
        key, cells = self.keys[position], len(self.x)
        arrays = self._store.read(key)
        f = VelocityGrid(len(self.v), float(self.v[-1]), self.dim).shape
        shapes = ((len(self.time), cells, *f), (len(self.time), cells, 3), (cells,), (1,))
        for name, shape in zip(NAMES, shapes, strict=True):
            one = arrays[name]
            if one.shape != shape or one.dtype.kind not in "fi" or not np.isfinite(one).all():
                allowed = f"label {key} holds no {name} of shape {shape}; delete it"
                raise InvalidInput("hydra.run.dir", self._store.path, allowed)
        return arrays

    def __iter__(self) -> Iterator[Trajectory]:
        return (self[position] for position in range(len(self)))

    def take(self, positions: Sequence[int]) -> LabelSet:
        """Some of the labels."""
        keys = [self.keys[position] for position in positions]
        chosen: LabelSet = object.__new__(LabelSet)
        chosen.__dict__.update(self.__dict__)
        chosen.keys = tuple(keys)
        return chosen

    def decades(self) -> list[int]:
        """The decade of the Knudsen number of each label."""
        return [int(self._arrays(position)["decade"][0]) for position in range(len(self))]
