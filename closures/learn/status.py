"""What a run of concurrent learning reports: a row a round, and where it is at the moment.

    rounds.jsonl    a JSON object a line for each round that is finished, see `Row`
    progress.json   {round, phase, done, total, finished, message}: what the run is doing

Both are in the directory of the run and can be read while it runs, or when it was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from closures.learn.space import DECADES
from kinetic.errors import InvalidInput
from kinetic.files import MOST_JSON, parse_json, read_file, read_json, write_file

ROUNDS, PROGRESS, LOCK = "rounds.jsonl", "progress.json", "lock"
PLACE = {"round", "phase", "done", "total", "finished", "message"}
NONE = "-"

ByDecade = dict[str, float | None]
"""A number for each decade of the Knudsen number, by the exponent it begins with."""


def by_decade(values: Mapping[int, float | None]) -> ByDecade:
    """Numbers by decade, as JSON has them."""
    return {str(decade): values.get(decade) for decade in DECADES}


@dataclass(frozen=True)
class Row:
    """What a round did.

    Attributes:
        round: its number; round 0 labels gases drawn at random.
        explored, accurate, candidate, failed: gases rolled out in this round, and how many were
            which (`closures.learn.selection`).
        labelled, unlabelled: labels made for this round, and those that the kinetic solver refused.
        total_explored, total_labelled: of all rounds so far; share: of the second in the first.
        candidate_share: of candidates and failed ones among the gases drawn at random.
        level, worst: of the indicator, by decade; worst of the gases drawn at random.
        error: of the closures on labels they did not learn from, by decade.
        seconds: {explore, label, train, validate}: wall time of what was done for this round, but
            for what a run found done that had been killed.
    """

    round: int
    explored: int
    accurate: int
    candidate: int
    failed: int
    labelled: int
    unlabelled: int
    total_explored: int
    total_labelled: int
    share: float | None
    candidate_share: float | None
    level: ByDecade
    worst: ByDecade
    error: ByDecade
    seconds: dict[str, float] = field(default_factory=dict)


def heading() -> str:
    """The two lines above the rows of the table."""
    decades = " ".join(f"{f'1e{decade}':>6}" for decade in DECADES)
    counts = "round  explored accurate candidate failed labelled   share"
    over = f"{'':{len(counts)}} | {'worst indicator, %':^27} | {'validation error, %':^27}"
    return f"{over}\n{counts} | {decades} | {decades}"


def line(row: Mapping[str, Any]) -> str:
    """A row of the table."""
    share = NONE if row["share"] is None else f"{100 * row['share']:.2f} %"
    counts = (
        f"{row['round']:5}  {row['explored']:8} {row['accurate']:8} {row['candidate']:9} "
        f"{row['failed']:6} {row['labelled']:8} {share:>7}"
    )
    return f"{counts} | {_percent(row['worst'])} | {_percent(row['error'])}"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The whole table."""
    return "\n".join([heading(), *map(line, rows)])


def _percent(values: Mapping[str, float | None]) -> str:
    shown = (NONE if one is None else f"{100 * one:.3g}" for one in values.values())
    return " ".join(f"{one:>6}" for one in shown)


@dataclass(frozen=True)
class Status:
    """The rows and the present place of a run, as its directory says.

    Attributes:
        rows: of the rounds that are finished.
        progress: what `Log.progress` wrote last, empty before that.
        running: whether a process is at work on it.
    """

    rows: Sequence[Mapping[str, Any]]
    progress: Mapping[str, Any]
    running: bool

    def __str__(self) -> str:
        return f"{table(self.rows)}\n{self.state}"

    @property
    def state(self) -> str:
        """Whether it runs, and what it does or why it stopped."""
        if self.progress.get("finished"):
            return f"finished: {self.progress['message']}"
        if not self.progress:
            return "not begun"
        state = "running" if self.running else "stopped; the same command goes on"
        done = f"{self.progress['done']} of {self.progress['total']}"
        return f"{state}: round {self.progress['round']}, {self.progress['phase']}, {done}"


def read_status(folder: Path) -> Status:
    """Read how far the run in a directory is, whether or not it is at work.

    Raises:
        InvalidInput: there is none.
    """
    if not (folder / LOCK).is_file():
        raise InvalidInput("status", folder, "must be the directory of a run of closures learn")
    return Status(read_rows(folder), _read_progress(folder), _is_locked(folder))


def _read_progress(folder: Path) -> dict[str, Any]:
    """What `Log.progress` wrote last, empty before that."""
    if not (folder / PROGRESS).exists():
        return {}
    try:
        place: dict[str, Any] = dict(read_json(folder / PROGRESS))
        lacking = PLACE - set(place)
        if lacking:
            raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
        return place
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput("status", folder, f"{PROGRESS} is damaged: {error}") from error


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of the rounds that are finished.

    Raises:
        InvalidInput: they are damaged.
    """
    if not (folder / ROUNDS).exists():
        return []
    try:
        text = read_file(folder / ROUNDS, MOST_JSON).decode("utf-8")
        rows = [parse_json(one) for one in text.splitlines()]
        for number, row in enumerate(rows):
            if row["round"] != number:
                raise ValueError(f"round {number} is missing")
            line(row)  # which refuses what is no row
        return rows
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        allowed = f"{ROUNDS} is damaged ({error}); delete it to have it written again"
        raise InvalidInput("hydra.run.dir", folder, allowed) from error


class Log:
    """Writes what `read_status` reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, row: Row) -> None:
        """Add the row of a round, or replace it."""
        rows = [one for one in read_rows(self.folder) if one["round"] < row.round]
        lines = (json.dumps(one, allow_nan=False) for one in [*rows, asdict(row)])
        self._replace(ROUNDS, "\n".join(lines) + "\n")

    def progress(self, number: int, phase: str, done: int = 0, total: int = 1) -> None:
        """Say what the run does now."""
        place = {"round": number, "phase": phase, "done": done, "total": total}
        self._replace(PROGRESS, json.dumps({**place, "finished": False, "message": ""}))

    def finish(self, number: int, message: str) -> None:
        """Say that the run is finished."""
        place = {"round": number, "phase": "finished", "done": 1, "total": 1}
        self._replace(PROGRESS, json.dumps({**place, "finished": True, "message": message}))

    def _replace(self, name: str, text: str) -> None:
        write_file(self.folder / name, text)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the directory of a run for this process; the system releases it however that ends.

    Raises:
        InvalidInput: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise InvalidInput("hydra.run.dir", folder, "is in use by another process") from error
    finally:
        os.close(descriptor)


def _is_locked(folder: Path) -> bool:
    descriptor = os.open(folder / LOCK, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
