"""Small data sets to train closures on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kinetic.dataset import generate


def write_data(folder: Path, recipe: Mapping[str, Any], trajectories: int) -> Path:
    """Write training.zarr and validation.zarr of mixtures, and return `folder`."""
    for name, seed in (("training", 0), ("validation", 500_000)):
        content = {"trajectories": trajectories, "families": ["mix"], "seed": seed, "workers": 1}
        generate({**recipe, "dataset": content}, folder / f"{name}.zarr", progress=False)
    return folder
