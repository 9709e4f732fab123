"""The data sets of a training run: opened, checked, and the one for validation made if need be."""

from __future__ import annotations

from pathlib import Path

from closures.gas import TRAINED, Gas, is_known, known
from kinetic.config import SEED_RANGES
from kinetic.dataset import TrajectorySet, generate, open_dataset
from kinetic.errors import InvalidInput


def open_data(
    data: str, validation: str | None, folder: Path
) -> tuple[TrajectorySet, TrajectorySet]:
    """Open the data to learn from and those to validate with.

    Args:
        data: a dataset.zarr of training seeds.
        validation: one of validation seeds; None: one like `data` is made in `folder`, a fifth of
            its size.
        folder: directory of the run.

    Raises:
        InvalidInput: a data set is missing, damaged or of a gas that closures are not trained
            with, or its seeds are of another range.
    """
    training = open_dataset(data, key="train.data")
    _check(training, "training", "train.data")
    if validation is None:
        validation = str(folder / "validation.zarr")
        _make_alike(training, validation)
    held_out = open_dataset(validation, key="train.validation")
    _check(held_out, "validation", "train.validation")
    if gas_of_data(held_out) != gas_of_data(training):
        allowed = f"is of {gas_of_data(held_out)}; train.data is of {gas_of_data(training)}"
        raise InvalidInput("train.validation", validation, allowed)
    return training, held_out


def gas_of_data(data: TrajectorySet) -> Gas:
    """The gas of the trajectories."""
    return Gas(data.dim, data.configuration["collision"]["name"])


def _check(data: TrajectorySet, kind: str, key: str) -> None:
    """Refuse gases without closures; keep training, validation and test trajectories apart."""
    gas = gas_of_data(data)
    if not is_known(gas, TRAINED):
        allowed = f"is of {gas}, of which closures are not trained; {known(TRAINED)}"
        raise InvalidInput(key, data.path, allowed)
    if data.seed_range != kind:
        first, end = SEED_RANGES[kind]
        allowed = f"has {data.seed_range} seeds; must have seeds in [{first}, {end})"
        raise InvalidInput(key, data.path, allowed)


def _make_alike(data: TrajectorySet, path: str) -> None:
    """Make a data set of validation seeds like `data`."""
    recipe = {key: value for key, value in data.configuration.items() if key != "dataset"}
    families = list(data.configuration["dataset"]["families"])
    recipe["dataset"] = {
        "families": families,
        "seed": SEED_RANGES["validation"][0],
        "trajectories": max(len(families), len(data) // 5),
    }
    generate(recipe, path, progress=False)
