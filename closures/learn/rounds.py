"""The files of a round: what was explored, what was selected, and the weights of the members.

    explored-G.safetensors   what generation G of the exploration found
    selection.json           what is labelled, and what the exploration said
    member-M.safetensors     weights of member M of the ensemble at the end of the round

Each appears only when it is complete, so what exists is done.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from closures.arrays import read_arrays, write_arrays
from closures.learn.explore import EXPLORED, Explored
from closures.learn.label import Request
from closures.learn.space import DECADES
from closures.learn.status import ByDecade
from kinetic.errors import InvalidInput
from kinetic.files import read_json, remove_partials, write_json


@dataclass(frozen=True)
class Selection:
    """What a round labels, and what its exploration said.

    Attributes:
        requests: the labels it asks for.
        explored, accurate, candidate, failed: numbers of gases, see `closures.learn.selection`.
        candidate_share: of candidates and failed ones among the gases drawn at random; None where
            nothing was explored.
        level, worst: see `closures.learn.status.Row`.
    """

    requests: tuple[Request, ...]
    explored: int
    accurate: int
    candidate: int
    failed: int
    candidate_share: float | None
    level: ByDecade
    worst: ByDecade

    def check(self) -> None:
        """Refuse values of other types.

        Raises:
            TypeError, ValueError: a count is no whole number, a decade none, or a level no number.
        """
        counts = (self.explored, self.accurate, self.candidate, self.failed)
        if not all(type(count) is int and count >= 0 for count in counts):
            raise TypeError("counts must be whole numbers")
        for request in self.requests:
            request.check()
        shares = [self.candidate_share, *self.level.values(), *self.worst.values()]
        if not all(one is None or isinstance(one, int | float) for one in shares):
            raise TypeError("levels and shares must be numbers")
        if not set(map(int, [*self.level, *self.worst])) <= set(DECADES):
            raise ValueError("there are other decades than of the Knudsen number")

    def levels(self) -> dict[int, float]:
        """The levels of the indicator by decade, as numbers."""
        return {int(decade): level or 0.0 for decade, level in self.level.items()}


@dataclass(frozen=True)
class RoundFolder:
    """The directory of a round."""

    path: Path

    def explored(self, generation: int) -> Explored | None:
        """What a generation found, None if it is not done."""
        file = self._explored(generation)
        if not file.exists():
            return None
        try:
            arrays = read_arrays(file)
            explored = Explored(*(arrays[name] for name in EXPLORED))
            explored.check()
            return explored
        except (OSError, ValueError, KeyError) as error:
            raise self._damaged(file, error) from error

    def keep_explored(self, generation: int, explored: Explored) -> None:
        """Keep what a generation found."""
        self._prepare()
        arrays = {name: getattr(explored, name) for name in EXPLORED}
        write_arrays(self._explored(generation), arrays)

    def selection(self) -> Selection | None:
        """What was selected, None if that is not done."""
        file = self.path / "selection.json"
        if not file.exists():
            return None
        try:
            values: dict[str, Any] = dict(read_json(file))
            requests = tuple(map(Request.from_mapping, values.pop("requests")))
            selection = Selection(requests, **values)
            selection.check()
            return selection
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(file, error) from error

    def keep_selection(self, selection: Selection) -> None:
        """Keep what was selected."""
        self._prepare()
        write_json(self.path / "selection.json", asdict(selection))

    def _explored(self, generation: int) -> Path:
        return self.path / f"explored-{generation}.safetensors"

    def _prepare(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        remove_partials(self.path)

    def _damaged(self, file: Path, error: Exception) -> InvalidInput:
        allowed = f"{file.name} is damaged ({error}); delete it to have it made again"
        return InvalidInput("hydra.run.dir", self.path, allowed)
