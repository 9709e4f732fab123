"""Several runs side by side: what comparisons and solutions left in their directories.

A run is a directory with ``metrics.json`` (a comparison) or ``solution.zarr`` (one solution), or
one whose ``status.json`` tells why it has neither. Solutions of the same problem on the same cells
are compared with the kinetic one among them, if there is one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import xarray as xr

from closures.metrics import FIELDS, errors, mean_error
from closures.outcomes import REFERENCE, SCHEMA_VERSION
from closures.snapshots import FILE, Profile, fields, read_profiles
from kinetic.errors import InvalidInput
from kinetic.files import read_json
from kinetic.jobs import RECORD
from kinetic.output import configuration_of, loaded, read_solution

METRICS, SOLUTION = "metrics.json", "solution.zarr"
KEY = "report.runs"

#: Keys of a configuration that are the same in solutions of the same problem.
WHAT = ("problem", "knudsen", "cells", "boundary", "time", "collision")


@dataclass(frozen=True)
class Result:
    """How a closure did in one case of a run.

    Attributes:
        run: name of the run.
        closure, moments: as the run names it, and its K.
        family: of the case, or the name of the problem.
        error: mean relative L2 error of density, momentum and energy; None if it is not known.
        seconds: wall time of the solve alone; None if it is not known.
        reason: why it failed; None if it did not.
    """

    run: str
    closure: str
    moments: int
    family: str
    error: float | None
    seconds: float | None
    reason: str | None = None


@dataclass(frozen=True)
class Run:
    """What one directory holds.

    Attributes:
        name: as much of its path as tells it from the others.
        folder: where it is.
        configuration: the whole of it, as plain values; empty if it left none.
        results: of a comparison, or of one solution.
        profiles: cases of a comparison that can be drawn.
        solution: the solution of a run that is one.
        reason: why it has no results.
    """

    name: str
    folder: Path
    configuration: Mapping[str, Any] = field(default_factory=dict)
    results: tuple[Result, ...] = ()
    profiles: tuple[Profile, ...] = ()
    solution: xr.Dataset | None = None
    reason: str | None = None


def read_runs(folders: Sequence[str | os.PathLike[str]]) -> list[Run]:
    """Read the runs in directories, or in the directories below them such as the jobs of a sweep.

    Raises:
        InvalidInput: under ``report.runs``: a directory has no runs, or what is there is damaged.
    """
    found = [run for folder in folders for run in _found(Path(folder))]
    found = list(dict.fromkeys(path.resolve() for path in found))
    common = os.path.commonpath([path.parent for path in found])
    runs = [_read(path, os.path.relpath(path, common)) for path in found]
    return _compared(runs)


def _found(folder: Path) -> list[Path]:
    """The directories of runs in and below a directory, by name and number."""
    if not folder.is_dir():
        raise InvalidInput(KEY, folder, "is no directory")
    found = sorted(_walk(folder), key=_natural)
    if not found:
        allowed = f"holds no run: neither it nor a directory in it has {METRICS} or {SOLUTION}"
        raise InvalidInput(KEY, folder, allowed)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for place, inside, files in os.walk(folder):
        if METRICS in files or SOLUTION in inside or (RECORD in files and _failed(Path(place))):
            yield Path(place)
        inside[:] = [name for name in inside if not name.endswith((".zarr", ".partial"))]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort 2 before 10."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part) if part.isdigit() else -1, part) for part in parts]


def _failed(folder: Path) -> bool:
    return _record(folder).get("status", 0) != 0


def _record(folder: Path) -> Mapping[str, Any]:
    """The record that a command left, empty if there is none."""
    try:
        record = read_json(folder / RECORD)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _read(folder: Path, name: str) -> Run:
    if (folder / METRICS).is_file():
        return _comparison(folder, name)
    reason = str(_record(folder).get("message")) if _failed(folder) else None
    if not (folder / SOLUTION).is_dir():
        return Run(name, folder, reason=reason)
    solution = read_solution(folder / SOLUTION, KEY).drop_vars("distribution", errors="ignore")
    configuration = configuration_of(solution)
    return Run(
        name,
        folder,
        configuration,
        solution=loaded(solution, folder / SOLUTION, KEY),
        reason=reason,
    )


def _comparison(folder: Path, name: str) -> Run:
    path = folder / METRICS
    try:
        metrics = read_json(path)
        if metrics["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"its schema_version is not {SCHEMA_VERSION}")
        counts = {REFERENCE: 0} | {
            str(spec): int(one["moments"]) for spec, one in metrics["closures"].items()
        }
        results = tuple(_result(name, case, counts) for case in metrics["cases"])
        configuration = dict(metrics["configuration"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InvalidInput(KEY, path, f"is no metrics.json: {error}") from error
    profiles = tuple(read_profiles(folder / FILE)) if (folder / FILE).is_file() else ()
    return Run(name, folder, configuration, results, profiles)


def _result(run: str, case: Mapping[str, Any], counts: Mapping[str, int]) -> Result:
    """One case of a metrics.json.

    Raises:
        KeyError, TypeError, ValueError: it is not as `closures.outcomes` says.
    """
    given, seconds = case["errors"], case["seconds"]
    error = None if given is None else mean_error({name: float(given[name]) for name in FIELDS})
    return Result(
        run,
        case["closure"],
        counts[case["closure"]],
        str(case["family"]),
        error,
        None if seconds is None else float(seconds),
        None if case["status"] == "ok" else str(case.get("reason")),
    )


def problem_of(run: Run) -> str:
    """What solutions must share to be compared: the problem, not how it was solved."""
    shared = {key: run.configuration.get(key) for key in WHAT}
    shared["dimension"] = _group(run, "velocity").get("dim", 1)
    return json.dumps(shared, sort_keys=True)


def closure_of(run: Run) -> str:
    """What solved the problem of a run with one solution, as a comparison would name it."""
    closure = _group(run, "closure")
    if not closure:
        return REFERENCE
    if closure.get("path") is not None:
        return str(closure["path"])
    count = "" if closure.get("moments") is None else f"-{closure['moments']}"
    fast = "-fast" if closure.get("fast") else ""
    hybrid = "" if _group(run, "hybrid").get("threshold") is None else "-hybrid"
    return f"{closure.get('name')}{count}{fast}{hybrid}"


def _group(run: Run, name: str) -> Mapping[str, Any]:
    """A group of the configuration of a run, empty if it has none."""
    found = run.configuration.get(name)
    return found if isinstance(found, Mapping) else {}


def groups(runs: Sequence[Run]) -> list[dict[str, Run]]:
    """Return closure -> run for each problem that runs with one solution have solved.

    The reference comes first. A closure that solved a problem twice, say by two schemes, has a
    number the second time.
    """
    found: dict[str, dict[str, Run]] = {}
    for run in runs:
        if run.solution is not None:
            members = found.setdefault(problem_of(run), {})
            name = closure_of(run)
            again = sum(one.partition(" #")[0] == name for one in members)
            members[f"{name} #{again + 1}" if again else name] = run
    return [
        dict(sorted(members.items(), key=lambda one: one[0] != REFERENCE))
        for members in found.values()
    ]


def _compared(runs: Sequence[Run]) -> list[Run]:
    """The runs, those with one solution judged by the reference of their problem."""
    judged = {
        run.folder: replace(run, results=(_judged(closure, run, members.get(REFERENCE)),))
        for members in groups(runs)
        for closure, run in members.items()
    }
    return [judged.get(run.folder, run) for run in runs]


def _judged(closure: str, run: Run, reference: Run | None) -> Result:
    solution = _solution(run)
    name, seconds = problem_name(run), float(solution.attrs["solver_seconds"])
    error = None
    if reference is not None and reference.reason is None and run.reason is None:
        with suppress(ArithmeticError, ValueError):  # a field of the reference is zero everywhere
            error = mean_error(errors(solution, _solution(reference)))
    return Result(run.name, closure, solution.sizes.get("k", 0), name, error, seconds, run.reason)


def _solution(run: Run) -> xr.Dataset:
    assert run.solution is not None
    return run.solution


def problem_name(run: Run) -> str:
    """The problem of a run with one solution: its family, or the file."""
    given = _group(run, "problem")
    return Path(str(given["path"])).name if given.get("path") else str(given.get("name"))


def profiles(runs: Sequence[Run]) -> list[Profile]:
    """Return every case that can be drawn, with its run or runs in its title."""
    several = len(runs) > 1
    found = [
        replace(one, name=f"{_slug(run.name)}-{one.name}", title=f"{run.name}: {one.title}")
        if several
        else one
        for run in runs
        for one in run.profiles
    ]
    return found + [_together(number, members) for number, members in enumerate(groups(runs))]


def _slug(name: str) -> str:
    """Return a part of the name of a file."""
    return re.sub(r"[^\w-]+", "-", name).strip("-")


def _together(number: int, members: Mapping[str, Run]) -> Profile:
    """The solutions of one problem, with as many times as the longest has."""
    whole = max(members.values(), key=lambda run: _solution(run).sizes["time"])
    solution = _solution(whole)
    eps = solution.knudsen.values
    knudsen = f"{eps[0]:.3g}" if (eps == eps[0]).all() else f"{eps.min():.2g} to {eps.max():.2g}"
    seed = _group(whole, "problem").get("seed")
    title = f"{problem_name(whole)}, " + (f"seed {seed}, " if seed else "") + f"ε = {knudsen}"
    return Profile(
        f"problem-{number}",
        title,
        int(_group(whole, "velocity").get("dim", 1)),
        solution.x.values,
        eps,
        solution.time.values,
        {name: fields(_solution(run)) for name, run in members.items()},
        {name: None for name, run in members.items() if run.reason is not None},
    )
