"""The main job, end to end and small: data set, training, solution, comparison and report.

Every step resumes or repeats quickly, so an interrupted demonstration goes on under the same
command.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import closures
from closures.comparison import compare
from closures.training import train
from kinetic.commandline import Configuration
from kinetic.dataset import generate
from kinetic.jobs import IncompleteError, solve_into

PHYSICS = ("collision", "velocity", "cells", "knudsen", "time", "boundary", "scheme")


def run(config: Configuration, folder: Path) -> str:
    """Do the steps in `folder`, print a line after each, and return where the report is.

    Raises:
        InvalidInput: a part of the configuration is not allowed.
        NonPhysicalState: the solution with the trained closure failed.
        IncompleteError: trajectories of the data set failed.
    """
    dataset = folder / "dataset.zarr"
    made = generate(_part(config, ["dataset"]), dataset)
    if made.failures:
        raise IncompleteError(str(made))
    _tell("data set", made)
    learning = config["train"] | {"data": str(dataset)}
    _tell("training", train({"closure": config["closure"], "train": learning}, folder))
    trained = {"name": "model", "moments": None, "path": str(folder / "model")}
    problem = _part(config, ["problem"]) | {"closure": trained}
    solve_into(closures.solve, problem, folder)
    _tell("solution", folder / "solution.zarr")
    comparison = _part(config, ["closure", "compare"])
    entries = [*comparison["compare"]["closures"], trained["path"]]
    comparison["compare"] = comparison["compare"] | {"closures": entries}
    _tell("comparison", compare(comparison, folder))
    return str(folder / "report.html")


def _part(config: Configuration, groups: Iterable[str]) -> Configuration:
    """Return the physics of a configuration with some of its other groups."""
    return {key: config[key] for key in (*PHYSICS, *groups)}


def _tell(step: str, result: object) -> None:
    print(f"{step}: {result}", flush=True)
