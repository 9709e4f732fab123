"""Data sets of seeded trajectories: made in parallel, streamed to disk, resumed after a kill.

A trajectory is a pure function of the configuration and its number. Each is computed and written by
one process and marked as done at the very end, so that whatever a killed run leaves behind is
either complete or thrown away, and the finished directory is the same to the bit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from kinetic.config import DatasetRunConfig
from kinetic.errors import InvalidInput
from kinetic.execution import Failed, cores
from kinetic.files import locked
from kinetic.output import package_version
from kinetic.progress import ProgressBar
from kinetic.reference import run, warm_up
from kinetic.solver import Scheme
from kinetic.storage import Location, Place
from kinetic.trajectories import (
    KEY,
    Trajectory,
    TrajectorySet,
    consolidate,
    create_store,
    finished,
    is_begun,
    open_dataset,
    open_store,
    remove_unfinished,
    write_trajectory,
)

__all__ = ["Report", "Trajectory", "TrajectorySet", "generate", "open_dataset"]


@dataclass(frozen=True)
class Report:
    """What `generate` did: trajectories found done, made now, and failed (with the reason)."""

    path: Place
    found: int
    made: int
    failures: list[dict[str, Any]]

    def __str__(self) -> str:
        text = f"{self.path}: {self.made} trajectories made, {self.found} found done"
        listed = "; ".join(
            f"trajectory {failure['trajectory']} ({failure['family']}, seed {failure['seed']}): "
            f"{failure['reason']}"
            for failure in self.failures
        )
        return f"{text}, {len(self.failures)} failed" + (f": {listed}" if listed else "")


def generate(
    config: DatasetRunConfig | Mapping[str, Any],
    path: Location,
    progress: bool = True,
) -> Report:
    """Make a data set, or what is missing of it.

    Args:
        config: what to make; a mapping is read by `DatasetRunConfig.from_mapping`.
        path: directory, or URL for fsspec, to write to. If it holds an unfinished data set of the
            same configuration, that is continued; failed trajectories are tried again.
        progress: show a progress bar on a terminal.

    Raises:
        InvalidInput: the configuration is not allowed, or `path` holds something else or is being
            written by another process.
    """
    if not isinstance(config, DatasetRunConfig):
        config = DatasetRunConfig.from_mapping(config)
    place = Place.of(path)
    if not is_begun(place):
        create_store(config, place)
    _check_same(config, place)
    with _locked(place):
        remove_unfinished(place)
        found = finished(place)
        pending = (i for i in range(config.dataset.trajectories) if i not in found)
        total = config.dataset.trajectories - len(found)
        failures = _make(config, place, pending, total, ProgressBar(progress, "trajectories"))
        _finish(place, failures)
    return Report(place, len(found), total - len(failures), failures)


def _check_same(config: DatasetRunConfig, path: Place) -> None:
    """Refuse to continue a data set of another configuration or version."""
    attributes = open_store(path).attrs
    there = _flat(json.loads(attributes["configuration"]))
    there["package_version"] = attributes["package_version"]
    here = _flat(config.identity()) | {"package_version": package_version()}
    different = [key for key in sorted(here | there) if here.get(key) != there.get(key)]
    if different:
        listed = ", ".join(f"{key}={there.get(key)} not {here.get(key)}" for key in different)
        raise InvalidInput(KEY, path, f"holds another data set ({listed}); choose another path")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings with dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


@contextmanager
def _locked(path: Place) -> Iterator[None]:
    """Hold the directory for this process; the system releases it however the process ends."""
    if path.remote:
        yield
        return
    with locked(path.path, KEY):
        yield


def _make(
    config: DatasetRunConfig, path: Place, pending: Iterable[int], total: int, bar: ProgressBar
) -> list[dict[str, Any]]:
    """Make the pending trajectories and return those that failed, by number."""
    failures = []
    scheme, execution = config.scheme, config.execution
    # Before the workers start: together they would compile the same kernels into one cache.
    warm_up(Scheme(scheme.time, scheme.limiter, scheme.cfl), config.velocity.dim)
    if execution.address is None:
        workers = min(execution.workers or cores(), max(1, total))
        execution = replace(execution, workers=workers)
    alone = execution.name == "local" and execution.workers == 1
    make = partial(make_trajectory, config, path.absolute(), threads=cores() if alone else 1)
    outcomes = execution.executor(("kinetic.dataset",)).map(make, pending)
    with bar:
        for count, (number, outcome) in enumerate(outcomes, 1):
            bar.update(count, total)
            if isinstance(outcome, Failed):
                problem = config.trajectory(number).problem
                failures.append(
                    {
                        "trajectory": number,
                        "family": problem.name,
                        "seed": problem.seed,
                        "reason": outcome.reason,
                    }
                )
    return sorted(failures, key=lambda failure: failure["trajectory"])


def make_trajectory(config: DatasetRunConfig, path: Place, number: int, threads: int = 1) -> None:
    """Compute and write one trajectory.

    Raises:
        InvalidInput: the velocity grid cannot hold the data.
        NonPhysicalState: it ended too soon.
    """
    solution = run(config.trajectory(number), threads=threads, precision=np.float32)
    rho, u, E = (solution[name].values for name in ("density", "velocity", "energy"))
    values = {
        "knudsen": solution["knudsen"].values,
        "conserved": np.stack([rho, rho * u, E], axis=-1),
        "distribution": solution["distribution"].values,
    }
    write_trajectory(open_store(path, mode="r+"), number, values)


def _finish(path: Place, failures: list[dict[str, Any]]) -> None:
    """Record that every trajectory was tried, and which failed."""
    remove_unfinished(path)
    open_store(path, mode="r+").attrs.update({"complete": True, "failures": failures})
    consolidate(path)
