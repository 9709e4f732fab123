"""One run of a command: its outcome, the exit status it stands for, and the record it leaves.

Every run writes ``status.json`` beside its results: exit status, message, seconds and a fingerprint
of the configuration. A sweep that is started again in the same directory skips the jobs whose
record says that this very configuration is done, and whose results are still there.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinetic.commandline import (
    DONE,
    FAILED,
    INVALID,
    NON_PHYSICAL,
    Command,
    Configuration,
    telling,
)
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.files import explain_storage, locked, read_json, remove_partials, write_json
from kinetic.interrupts import noticed

if TYPE_CHECKING:
    import xarray as xr

RECORD = "status.json"
FOLDER = "hydra.run.dir"


class IncompleteError(ArithmeticError):
    """A command did its work except for a part that became non-physical; `str()` says which."""


#: What a command raises when it ends badly, and the exit status that stands for it.
ENDINGS = (
    (InvalidInput, INVALID),
    (NonPhysicalState, NON_PHYSICAL),
    (IncompleteError, NON_PHYSICAL),
)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: exit status, a message of one line, seconds, and its configuration's key."""

    status: int
    message: str
    seconds: float
    fingerprint: str

    @classmethod
    def from_record(cls, values: Any) -> Outcome:
        """The outcome that a record holds.

        Raises:
            TypeError, ValueError: it is no record.
        """
        outcome = cls(**values)
        kinds = ((outcome.message, str), (outcome.fingerprint, str), (outcome.status, int))
        if not all(isinstance(value, kind) for value, kind in kinds):
            raise TypeError("a record holds a status, a message and a fingerprint")
        return replace(outcome, seconds=float(outcome.seconds))

    def print(self, label: str) -> int:
        """Print the message, to standard error unless the run is done; return the exit status."""
        if self.status != DONE:
            print(f"{label}: error: {self.message}", file=sys.stderr, flush=True)
            return self.status
        with telling(label) as status:
            print(f"{label}: {self.message} [{self.seconds:.1f} s]", flush=True)
        return status[0]


def fingerprint(config: Mapping[str, Any]) -> str:
    """Return twelve hexadecimal digits that identify a configuration of this package version."""
    from kinetic.output import package_version

    text = json.dumps([package_version(), config])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Job:
    """One run of a command.

    Attributes:
        label: what its messages begin with.
        command: what is run.
        folder: where results and record are left.
        resume: do not repeat a run whose record says that it is done, unless its results are gone.
        tracebacks: show them for bad input and non-physical states too; those of a defect of the
            program always are.
    """

    label: str
    command: Command
    folder: Path
    resume: bool
    tracebacks: bool

    def run(self, configure: Callable[[], Configuration]) -> int:
        """Run the command for the configuration that `configure` returns; return the exit status.

        The outcome is printed and recorded; nothing is raised, unless the user interrupts.
        """
        try:
            config = configure()
        except InvalidInput as refusal:
            Outcome(INVALID, str(refusal), 0.0, "").print(self.label)
            return INVALID
        if assists():
            outcome = self._outcome(config)
            return DONE if outcome.status == DONE else outcome.print(self.label)
        earlier = finished(config, self.folder) if self.resume else None
        if earlier and self.command.has_left(config, self.folder):
            return earlier.print(f"{self.label}: done before")
        try:
            with locked(self.folder, FOLDER):
                remove_partials(self.folder)
                outcome = self._outcome(config)
                write_json(self.folder / RECORD, asdict(outcome), indent=2)
        except (InvalidInput, OSError) as failure:  # of the directory itself
            status, message = self._ending(failure)
            outcome = Outcome(status, message, 0.0, "")
        return outcome.print(self.label)

    def _outcome(self, config: Configuration) -> Outcome:
        """Run the command and return how it ended."""
        start = time.perf_counter()
        with noticed() as check:
            try:
                status, message = DONE, self.command.run(config, self.folder)
            except Exception as failure:
                check()
                status, message = self._ending(failure)
            check()
        seconds = round(time.perf_counter() - start, 3)
        return Outcome(status, message, seconds, fingerprint(config))

    def _ending(self, failure: Exception) -> tuple[int, str]:
        """Return the exit status and the message of what a command raised."""
        if isinstance(failure, OSError):
            failure = explain_storage(failure, FOLDER, self.folder) or failure
        status = next((status for kind, status in ENDINGS if isinstance(failure, kind)), FAILED)
        if status == FAILED or self.tracebacks:
            traceback.print_exc()
        if status == FAILED:
            return FAILED, f"{type(failure).__name__}: {failure}"
        return status, "; ".join([str(failure), *getattr(failure, "__notes__", [])])


def assists() -> bool:
    """Whether this process helps another one with its run, and so keeps no record of it.

    So do all that `torchrun` starts but the first.
    """
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK") != "0"


def finished(config: Configuration, folder: Path) -> Outcome | None:
    """Return the outcome recorded in `folder` if it shows that `config` is done, else None.

    A configuration that names a file is never taken as done: its contents may have changed.
    """
    if any(isinstance(leaf, str) and Path(leaf).exists() for leaf in _leaves(config)):
        return None
    try:
        outcome = Outcome.from_record(read_json(folder / RECORD))
    except (OSError, ValueError, TypeError, OverflowError):
        return None
    same = outcome.fingerprint == fingerprint(config)
    return outcome if same and outcome.status == DONE else None


def solve_into(
    solver: Callable[..., xr.Dataset], config: Configuration, folder: Path
) -> xr.Dataset:
    """Write ``solver(**config)`` to ``solution.zarr`` in `folder` and return it.

    Raises:
        InvalidInput: the solver refuses the configuration; nothing is written.
        NonPhysicalState: the snapshots before the failure are written first.
    """
    from kinetic.output import write_solution

    path = folder / "solution.zarr"
    try:
        solution = solver(**config)
    except NonPhysicalState as failure:
        if failure.solution is not None:
            write_solution(failure.solution, path)
            failure.add_note(f"the snapshots before it are in {path}")
        raise
    write_solution(solution, path)
    return solution


def describe_solution(solution: xr.Dataset, folder: Path) -> str:
    """Return one line on a stored solution: where it is, its size, and its Knudsen number."""
    low, high = float(solution.knudsen.min()), float(solution.knudsen.max())
    span = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    sizes = f"{solution.sizes['x']} cells, {solution.sizes['time']} times"
    return f"{folder / 'solution.zarr'} ({sizes}, Knudsen number {span})"


def _leaves(value: Any) -> list[Any]:
    """Return the values of nested mappings and lists, in order."""
    if isinstance(value, Mapping):
        return _leaves(list(value.values()))
    if isinstance(value, list | tuple):
        return [leaf for entry in value for leaf in _leaves(entry)]
    return [value]
