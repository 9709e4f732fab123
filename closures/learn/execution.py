"""Labels are made in this process while that is quicker than to start others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter

from kinetic.execution import Executor, Failed, Item, Local, Result

WORTHWHILE = 10.0
"""Seconds of work in this process that are worth starting others, which takes some seconds."""


@dataclass(frozen=True)
class HereFirst:
    """Does items in this process; what would still take long, as far as is known, elsewhere.

    Attributes:
        elsewhere: where that is done.
    """

    elsewhere: Executor

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | Failed]]:
        """Yield each item with its result, as `kinetic.execution.Executor` does."""
        left, begin = list(items), perf_counter()
        for done in range(len(left)):
            spent = perf_counter() - begin
            if done and spent / done * (len(left) - done) > WORTHWHILE:
                yield from self.elsewhere.map(function, left[done:])
                return
            yield from Local(1).map(function, left[done : done + 1])
