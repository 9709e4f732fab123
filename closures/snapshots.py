"""profiles.json: solutions in time of the cases that a report shows, all closures side by side.

Strict JSON; the numbers of a field are little-endian float32 in base64, times before cells:

    schema_version
    cases    [{name, title, dimension, x, knudsen, times, solutions, failed}]: x and knudsen are
             lists over the cells, dimension is D of the velocities
             solutions  {closure: {density, velocity, temperature, heat_flux}}; one that failed has
                        the times before its failure
             failed     {closure: time or null}, the closures that failed, and when if it is known

Momentum is rho u and energy rho u^2/2 + D rho T/2. Everything is dimensionless.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from kinetic.errors import InvalidInput
from kinetic.files import read_json, write_json

SCHEMA_VERSION = "1.0"
FILE = "profiles.json"
QUANTITIES = ("density", "velocity", "temperature", "heat_flux")
NUMBERS = np.dtype("<f4")


@dataclass(frozen=True)
class Profile:
    """One case: its solutions at common times.

    Attributes:
        name, title: for files, and for people.
        dimension: D of the velocities.
        x, knudsen: cell centres and eps, shape (n,).
        times: shape (s,).
        solutions: closure -> quantity -> values (s, n), fewer times for a closure that failed.
        failed: closure -> when it failed, None where that is not known.
    """

    name: str
    title: str
    dimension: int
    x: NDArray[np.float64]
    knudsen: NDArray[np.float64]
    times: NDArray[np.float64]
    solutions: Mapping[str, Mapping[str, NDArray[np.float32]]]
    failed: Mapping[str, float | None]

    def record(self) -> dict[str, Any]:
        """Return the entry in profiles.json."""
        return {
            "name": self.name,
            "title": self.title,
            "dimension": self.dimension,
            "x": _rounded(self.x),
            "knudsen": _rounded(self.knudsen),
            "times": _rounded(self.times),
            "solutions": {
                closure: {name: _encode(values) for name, values in fields.items()}
                for closure, fields in self.solutions.items()
            },
            "failed": dict(self.failed),
        }


def fields(solution: xr.Dataset) -> dict[str, NDArray[np.float32]]:
    """Return the `QUANTITIES` of a solution, each (time, x)."""
    return {name: solution[name].values.astype(NUMBERS) for name in QUANTITIES}


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.7g}") for value in values]


def _encode(values: NDArray[np.float32]) -> str:
    return b64encode(values.astype(NUMBERS).tobytes()).decode("ascii")


def write_profiles(folder: Path, profiles: Sequence[Profile]) -> Path:
    """Write profiles.json to `folder`, complete or not at all."""
    content = {"schema_version": SCHEMA_VERSION, "cases": [one.record() for one in profiles]}
    return write_json(folder / FILE, content, indent=None)


def read_profiles(path: Path) -> list[Profile]:
    """Read and check a profiles.json.

    Raises:
        InvalidInput: under ``report.runs``, if it is too large, damaged or of another version.
    """
    try:
        content = read_json(path)
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"its schema_version is not {SCHEMA_VERSION}")
        return [_profile(entry) for entry in content["cases"]]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InvalidInput("report.runs", path, f"is no profiles.json: {error}") from error


def _profile(entry: Mapping[str, Any]) -> Profile:
    """Read one case.

    Raises:
        KeyError, TypeError, ValueError: it is not as the module says.
    """
    x, knudsen, times = (np.array(entry[name], float) for name in ("x", "knudsen", "times"))
    if not (x.ndim == times.ndim == 1 and len(x) and len(times) and knudsen.shape == x.shape):
        raise ValueError("x, knudsen and times are no matching lists")
    solutions = {
        str(closure): {name: _decode(each[name], len(times), len(x)) for name in QUANTITIES}
        for closure, each in entry["solutions"].items()
    }
    ends = entry["failed"].items()
    failed = {str(closure): None if t is None else float(t) for closure, t in ends}
    name, title, dimension = str(entry["name"]), str(entry["title"]), int(entry["dimension"])
    if not re.fullmatch(r"[\w-]{1,100}", name):
        raise ValueError(f"{name} is no name for files")
    return Profile(name, title, dimension, x, knudsen, times, solutions, failed)


def _decode(text: str, times: int, cells: int) -> NDArray[np.float32]:
    try:
        values = np.frombuffer(b64decode(text, validate=True), NUMBERS)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    if len(values) % cells or len(values) > times * cells:
        raise ValueError(f"{len(values)} numbers are no times of {cells} cells")
    return values.reshape(-1, cells)
