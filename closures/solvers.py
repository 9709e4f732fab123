"""Which solver advances the equations of a closure, and what every solver offers."""

from __future__ import annotations

from typing import Protocol, Self, runtime_checkable

from torch import Tensor

from closures.closure import Closure
from closures.finite_volume import FiniteVolume, Scheme, State
from kinetic.collisions import BGK


class Solver(Protocol):
    """One step of the closed equations for B trajectories of N cells; see `FiniteVolume`."""

    closure: Closure
    cells: int

    def take(self, trajectories: Tensor) -> Self:
        """The solver of some of the trajectories."""
        ...

    def rows(self, trajectories: Tensor) -> Tensor:
        """The cells of some of the trajectories, as rows of the batch."""
        ...

    def largest_step(self, state: State) -> Tensor:
        """The largest stable step of each trajectory, (B,)."""
        ...

    def step(self, state: State, dt: Tensor) -> State:
        """Advance by dt (B,), positive.

        Raises:
            Failure: some trajectories cannot go on.
        """
        ...

    def decode(self, U: Tensor, m: Tensor, start: Tensor | None) -> State:
        """The state of U and m.

        Raises:
            Failure: there is none.
        """
        ...

    def heat_flux(self, state: State) -> Tensor:
        """q of the cells (M,)."""
        ...


@runtime_checkable
class Marching(Protocol):
    """A solver that takes all its trajectories to a time by itself."""

    def march(self, state: State, time: Tensor, stop: float) -> State:
        """Advance each trajectory from its time (B,) to `stop`.

        Raises:
            Failure: some cannot go on; its `time` says when.
        """
        ...


def solver_of(
    closure: Closure, knudsen: Tensor, collision: BGK, boundary: str, scheme: Scheme
) -> Solver:
    """The solver of a closure: its own if it has a method `solver`, else `FiniteVolume`."""
    build = getattr(closure, "solver", None)
    if build is None:
        return FiniteVolume(closure, knudsen, collision, boundary, scheme)
    solver: Solver = build(knudsen, collision, boundary, scheme)
    return solver
