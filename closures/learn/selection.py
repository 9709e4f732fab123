"""Which of the explored gases are labelled.

Every gas is one of three: *accurate*, the indicator being below the level of its decade of the
Knudsen number; *candidate*, above it; or *failed*, without a solution of some member, which is a
candidate too. The level of a decade is a quantile of the indicators of gases drawn at random in the
first exploration, so it fits any system, and does not change any more: as the ensemble learns, the
candidates become fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closures.learn.explore import Explored
from closures.learn.space import DECADES

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

Levels = Mapping[int, float]
"""The indicator below which a gas is taken to be accurate, by decade."""


def levels(drawn: Explored, quantile: float) -> dict[int, float]:
    """The quantile of the finite indicators of each decade; zero where there is none."""
    found = {}
    for decade in DECADES:
        values = drawn.indicator[(drawn.decade == decade) & np.isfinite(drawn.indicator)]
        found[decade] = float(np.quantile(values, quantile)) if len(values) else 0.0
    return found


@dataclass(frozen=True)
class Classes:
    """Which gases are accurate, candidates and failed (bool, (n,) each)."""

    accurate: NDArray[np.bool_]
    candidate: NDArray[np.bool_]
    failed: NDArray[np.bool_]

    def counts(self) -> dict[str, int]:
        """How many gases are of each class."""
        return {name: int(getattr(self, name).sum()) for name in self.__dataclass_fields__}


def classify(explored: Explored, thresholds: Levels) -> Classes:
    """Tell apart accurate, candidate and failed gases."""
    failed = ~np.isfinite(explored.indicator)
    bound = np.array([thresholds[int(decade)] for decade in explored.decade])
    candidate = ~failed & (explored.indicator > bound)
    return Classes(~failed & ~candidate, candidate, failed)


def worst(explored: Explored) -> dict[int, float | None]:
    """The largest finite indicator of each decade, None where there is none."""
    found: dict[int, float | None] = {}
    for decade in DECADES:
        values = explored.indicator[(explored.decade == decade) & np.isfinite(explored.indicator)]
        found[decade] = float(values.max()) if len(values) else None
    return found


def choose(explored: Explored, thresholds: Levels, count: int) -> Rows:
    """At most `count` candidates and failed gases that are unlike each other.

    The decades that have any take turns, so that none is forgotten. Within a decade the worst is
    taken, a failed one if there is any, and then again and again the one that is farthest from
    those taken. The worst of all alone would be siblings, which the climb has found by the dozen.
    """
    classes = classify(explored, thresholds)
    eligible = classes.candidate | classes.failed
    own = {d: np.flatnonzero(eligible & (explored.decade == d)) for d in DECADES}
    shares = _turns({decade: len(rows) for decade, rows in own.items()}, count)
    chosen = [_worst_unlike(explored, own[decade], share) for decade, share in shares.items()]
    return np.sort(np.concatenate(chosen))


def _turns(available: Mapping[int, int], count: int) -> dict[int, int]:
    """How many each takes if all take turns, the largest first, until none or `count` are left."""
    taken = dict.fromkeys(available, 0)
    for _ in range(min(count, sum(available.values()))):
        ready = [name for name in available if taken[name] < available[name]]
        taken[min(reversed(ready), key=taken.__getitem__)] += 1
    return taken


def _worst_unlike(explored: Explored, rows: Rows, count: int) -> Rows:
    """`count` of the rows, see `choose`."""
    ranked = rows[np.argsort(-explored.indicator[rows], kind="stable")]
    return ranked[_spread(explored.points[ranked], count)]


def _spread(points: Array, count: int) -> Rows:
    """Rows of points that are far from each other, the first one first."""
    taken: list[int] = []
    distance = np.full(len(points), np.inf)
    for _ in range(min(count, len(points))):
        taken.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[taken[-1]], axis=1))
        distance[taken] = -1.0
    return np.array(taken, dtype=np.int64)


def parents(explored: Explored, count: int) -> Rows:
    """The gases to climb from: as many of each decade, those with the largest indicators."""
    each = max(1, count // len(DECADES))
    rows: list[int] = []
    for decade in DECADES:
        own = np.flatnonzero(explored.decade == decade)
        rows += own[np.argsort(-explored.indicator[own], kind="stable")][:each].tolist()
    return np.array(rows, dtype=np.int64)
