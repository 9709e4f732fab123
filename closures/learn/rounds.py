"""The files of a round: what was explored, what was selected, and the weights of the members.

    explored-G.safetensors   what generation G of the exploration found
    selection.json           what is labelled, and what the exploration said
    member-M.safetensors     weights of member M of the ensemble at the end of the round

Each appears only when it is complete, so what exists is done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load, save

from closures.learn.explore import EXPLORED, Explored
from closures.learn.label import Request
from closures.learn.status import ByDecade
from kinetic.errors import InvalidInput


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
            arrays = load(file.read_bytes())
            return Explored(*(arrays[name] for name in EXPLORED))
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise self._damaged(file, error) from error

    def keep_explored(self, generation: int, explored: Explored) -> None:
        """Keep what a generation found."""
        arrays = {name: getattr(explored, name) for name in EXPLORED}
        self._replace(self._explored(generation), save(arrays))

    def selection(self) -> Selection | None:
        """What was selected, None if that is not done."""
        file = self.path / "selection.json"
        if not file.exists():
            return None
        try:
            values: dict[str, Any] = json.loads(file.read_text())
            requests = tuple(map(Request.from_mapping, values.pop("requests")))
            return Selection(requests, **values)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(file, error) from error

    def keep_selection(self, selection: Selection) -> None:
        """Keep what was selected."""
        values: Mapping[str, Any] = asdict(selection)
        text = json.dumps(values, allow_nan=False, indent=1) + "\n"
        self._replace(self.path / "selection.json", text.encode())

    def _explored(self, generation: int) -> Path:
        return self.path / f"explored-{generation}.safetensors"

    def _replace(self, file: Path, content: bytes) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.partial")
        partial.write_bytes(content)
        partial.replace(file)

    def _damaged(self, file: Path, error: Exception) -> InvalidInput:
        allowed = f"{file.name} is damaged ({error}); delete it to have it made again"
        return InvalidInput("hydra.run.dir", self.path, allowed)
