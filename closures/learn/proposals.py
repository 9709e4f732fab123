"""What a round labels: gases drawn at random, or the candidates of an exploration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closures.learn import selection as select
from closures.learn.ensemble import Member
from closures.learn.explore import Array, Explored, explore
from closures.learn.label import Request
from closures.learn.options import LearnConfig
from closures.learn.rounds import RoundFolder, Selection
from closures.learn.space import offspring, random_points
from closures.learn.status import Log, by_decade


@dataclass(frozen=True)
class Proposals:
    """Finds out what the rounds of a run label.

    Attributes:
        config: of the run.
        files: the directory of a round.
        members: the ensemble at the end of a round.
        log: where the progress is noted.
    """

    config: LearnConfig
    files: Callable[[int], RoundFolder]
    members: Callable[[int], list[Member]]
    log: Log

    def drawn(self, number: int) -> Selection:
        """Gases and windows drawn at random."""
        options, rng = self.config.learn, self._random(number, 0)
        count = options.labels if number else options.first
        points = random_points(rng, count, options.rarity)
        first = rng.integers(self.config.time.snapshots - options.window, size=count)
        nothing = by_decade({})
        requests = self._requests(number, points, first)
        return Selection(requests, count, 0, 0, 0, None, nothing, nothing)

    def explored(self, number: int) -> Selection:
        """The candidates of an exploration, in windows around the peaks of their indicators."""
        options = self.config.learn
        drawn = self._generation(number, 0, [])
        levels = self._levels(number, drawn)
        found, before = [drawn], self._everything(number - 1)
        for generation in range(1, options.climbs + 1):
            found.append(self._generation(number, generation, [*before, Explored.joined(found)]))
        everything = Explored.joined(found)
        rows = select.choose(everything, levels, options.labels)
        last = self.config.time.snapshots - 1 - options.window
        first = np.clip(everything.peak[rows] - options.window // 2, 0, last)
        return Selection(
            self._requests(number, everything.points[rows], first),
            len(everything),
            **select.classify(everything, levels).counts(),
            candidate_share=float(1.0 - select.classify(drawn, levels).accurate.mean()),
            level=by_decade(levels),
            worst=by_decade(select.worst(drawn)),
        )

    def _levels(self, number: int, drawn: Explored) -> dict[int, float]:
        """Those of the first exploration, ever after."""
        before = self.files(number - 1).selection()
        if number > 1 and before is not None:
            return before.levels()
        return select.levels(drawn, self.config.learn.quantile)

    def _everything(self, number: int) -> list[Explored]:
        """All that a round explored, empty if it explored nothing."""
        generations = (self.files(number).explored(g) for g in range(self.config.learn.climbs + 1))
        parts = [one for one in generations if one is not None]
        return [Explored.joined(parts)] if parts else []

    def _generation(self, number: int, generation: int, before: Sequence[Explored]) -> Explored:
        """Gases drawn at random, or the offspring of the worst of each of `before`.

        They are rolled out, unless they were found before.
        """
        files, climbs = self.files(number), self.config.learn.climbs
        self.log.progress(number, "exploration", generation, climbs + 1)
        found = files.explored(generation)
        if found is None:
            points = self._points(self._random(number, generation), before)
            closures = [member.closure() for member in self.members(number - 1)]
            found = explore(closures, points, self.config)
            files.keep_explored(generation, found)
        return found

    def _points(self, rng: np.random.Generator, before: Sequence[Explored]) -> Array:
        options = self.config.learn
        if not before:
            return random_points(rng, options.draws, options.rarity)
        parents = [one.points[select.parents(one, options.parents)] for one in before]
        return offspring(rng, np.concatenate(parents), options.children, options.width)

    def _requests(self, number: int, points: Array, first: NDArray[Any]) -> tuple[Request, ...]:
        window, seed = self.config.learn.window, self.config.learn.seed
        return tuple(
            Request(tuple(point.tolist()), int(begin), window, seed, number, place)
            for place, (point, begin) in enumerate(zip(points, first, strict=True))
        )

    def _random(self, number: int, generation: int) -> np.random.Generator:
        return np.random.default_rng([self.config.learn.seed, number, generation])
