"""The main job, end to end and small: data set, training, solution, comparison and report.

Every step resumes or repeats quickly, so an interrupted demonstration goes on under the same
command.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import closures
from closures.comparison import CompareConfig, compare
from closures.gas import TRAINED, Gas, check_gas
from closures.library import parse
from closures.solution import ClosureSolveConfig
from closures.training import TrainConfig, train
from kinetic.commandline import Configuration
from kinetic.config import DatasetRunConfig
from kinetic.dataset import generate
from kinetic.jobs import IncompleteError, solve_into

PHYSICS = ("collision", "velocity", "cells", "knudsen", "time", "boundary", "scheme")


@dataclass(frozen=True)
class Plan:
    """The configurations of the steps, read before the first begins."""

    dataset: DatasetRunConfig
    training: TrainConfig
    problem: ClosureSolveConfig
    comparison: CompareConfig

    @classmethod
    def read(cls, config: Configuration, folder: Path) -> Plan:
        """Give each step its part of the configuration, and what earlier steps leave in `folder`.

        Raises:
            InvalidInput: a part of the configuration is not allowed.
        """
        dataset = DatasetRunConfig.from_mapping(_part(config, ["dataset"]))
        check_gas(Gas.of(dataset), TRAINED)
        data = dataset.dataset.path or str(folder / "dataset.zarr")
        learning = config["train"] | {"data": data}
        trained = {"name": "model", "moments": None, "path": str(folder / "model")}
        comparison = CompareConfig.from_mapping(_part(config, ["closure", "compare"]))
        for spec in comparison.closures:
            parse(spec, comparison.closure.moments, Gas.of(comparison))
        compared = [*comparison.closures, trained["path"]]
        with_trained = {"compare": comparison.to_mapping()["compare"] | {"closures": compared}}
        return cls(
            dataset,
            TrainConfig.from_mapping({"closure": config["closure"], "train": learning}),
            ClosureSolveConfig.from_mapping(_part(config, ["problem"]) | {"closure": trained}),
            CompareConfig.from_mapping(comparison.to_mapping() | with_trained),
        )


def run(config: Configuration, folder: Path) -> str:
    """Do the steps in `folder`, print a line after each, and return where the report is.

    Raises:
        InvalidInput: a part of the configuration is not allowed.
        NonPhysicalState: the solution with the trained closure failed.
        IncompleteError: trajectories of the data set failed.
    """
    plan = Plan.read(config, folder)
    made = generate(plan.dataset, plan.dataset.dataset.path or folder / "dataset.zarr")
    if made.failures:
        raise IncompleteError(str(made))
    _tell("data set", made)
    _tell("training", train(plan.training, folder))
    solve_into(closures.solve, plan.problem.to_mapping(), folder)
    _tell("solution", folder / "solution.zarr")
    _tell("comparison", compare(plan.comparison, folder))
    return str(folder / "report.html")


def _part(config: Configuration, groups: Iterable[str]) -> Configuration:
    """Return the physics of a configuration with some of its other groups."""
    return {key: config[key] for key in (*PHYSICS, *groups)}


def _tell(step: str, result: object) -> None:
    print(f"{step}: {result}", flush=True)
