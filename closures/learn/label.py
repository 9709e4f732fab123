"""Labels: what the kinetic solver says of a gas that was selected, in a window of time.

A label holds the snapshots of one window of a trajectory. The solver starts from the initial data,
whose f is known exactly, and stops at the end of the window, so nothing is solved or stored that is
not learned from.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closures.learn.space import DIMENSION, decade, initial_state
from closures.learn.store import LabelStore
from kinetic.config import Physics
from kinetic.errors import InvalidInput
from kinetic.execution import Failed
from kinetic.moments import moments_of
from kinetic.output import package_version
from kinetic.problems import InitialState
from kinetic.reference import discretise
from kinetic.solver import Solver

Array = NDArray[np.float64]

DIGITS = 16
"""Hexadecimal digits of a key."""


@dataclass(frozen=True)
class Request:
    """A label that is asked for.

    Attributes:
        point: of `closures.learn.space`.
        first: the snapshot that the window begins with.
        length: intervals between snapshots in the window.
        seed, round, number: who asked: seed and round of the run, and the place in that round.
    """

    point: tuple[float, ...]
    first: int
    length: int
    seed: int
    round: int
    number: int

    def check(self) -> None:
        """Refuse values of other types.

        Raises:
            TypeError, ValueError: they are not as above.
        """
        whole = (self.first, self.length, self.seed, self.round, self.number)
        if not all(type(one) is int and one >= 0 for one in whole):
            raise TypeError("a request must have whole numbers")
        point = np.asarray(self.point, dtype=np.float64)
        if point.shape != (DIMENSION,) or not ((point >= 0.0) & (point < 1.0)).all():
            raise ValueError(f"a request must have {DIMENSION} numbers from 0 to 1")

    def key(self, physics: Physics) -> str:
        """What the label is stored under: a hash of all that determines its content."""
        content = [package_version(), physics.to_mapping(), self.point, self.first, self.length]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:DIGITS]

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, the inverse of `from_mapping`."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> Request:
        """The request of plain values."""
        return cls(**(values | {"point": tuple(values["point"])}))


@dataclass(frozen=True)
class Labeller:
    """Makes labels into a store, wherever it is carried; what it refuses has failed.

    Attributes:
        physics: what the labels depend on beside the gas.
        store: the directory.
    """

    physics: Physics
    store: Path

    def __call__(self, request: Request) -> str | Failed:
        """The key of the label, or why the velocity grid cannot hold the gas.

        Raises:
            NonPhysicalState: the kinetic solution became non-physical.
        """
        try:
            return make_label(self.physics, self.store, request)
        except InvalidInput as refusal:
            return Failed(str(refusal))


def make_label(physics: Physics, store: Path, request: Request) -> str:
    """Solve for a label, write it to the store and return its key.

    Raises:
        NonPhysicalState: the kinetic solution became non-physical.
        InvalidInput: the velocity grid cannot hold the gas.
    """
    key = request.key(physics)
    arrays = solve_window(physics, request)
    LabelStore(store).write(key, arrays, request.to_mapping())
    return key


def discretised(physics: Physics, request: Request) -> tuple[Solver, Array, InitialState]:
    """The solver of a request, f at its beginning and the gas.

    Raises:
        InvalidInput: the velocity grid cannot hold the gas.
    """
    state = initial_state(np.asarray(request.point), physics.cells)
    return *discretise(physics, state), state  # type: ignore[arg-type]


def solve_window(physics: Physics, request: Request) -> dict[str, NDArray[Any]]:
    """The kinetic solution in the window of a request.

    Returns:
        ``distribution`` (S, N, ...) in float32, ``conserved`` U (S, N, 3), ``knudsen`` (N,) and
        ``decade`` (1,), the exponent of its decade.
    """
    solver, f0, state = discretised(physics, request)
    time, last = physics.time, request.first + request.length
    end = last * time.end / (time.snapshots - 1)
    snapshots = solver.evolve(f0, end=end, snapshots=last + 1)
    kept = [one.f for one in islice(snapshots, request.first, None)]
    shape = (physics.cells, *solver.grid.shape)
    return {
        "distribution": np.stack(kept).astype(np.float32).reshape(-1, *shape),
        "conserved": np.stack([moments_of(f, solver.grid) for f in kept]),
        "knudsen": state.knudsen,
        "decade": np.array([decade(state.knudsen)]),
    }
