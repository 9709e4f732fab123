"""Solutions as labelled arrays and as files: how they are made, written, read and checked.

The layout is specified in ``docs/data-format.md``; kinetic and closed moment solutions share it.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from zarr.codecs import ZstdCodec

from kinetic.claims import METADATA, check_store
from kinetic.errors import InvalidInput
from kinetic.files import parse_json, remove_partials, replacing
from kinetic.moments import primitive
from kinetic.velocity import VelocityGrid

SCHEMA_VERSION = "1.0"
SCALING = (
    "dimensionless: d_t f + v d_x f = Q(f)/eps on x in [0,1], density rho = int f dv, "
    "M = rho (2 pi T)^(-D/2) exp(-|v-u|^2/(2T)), pressure p = rho T, "
    "eps is the Knudsen number"
)

#: Dimensions and meaning of every variable that a solution holds, and of those that it may hold.
REQUIRED: dict[str, tuple[tuple[str, ...], str]] = {
    "density": (("time", "x"), "rho = int f dv"),
    "velocity": (("time", "x"), "u along x, rho u = int v_1 f dv"),
    "temperature": (("time", "x"), "T, D rho T = int |v-u|^2 f dv"),
    "energy": (("time", "x"), "E = 1/2 int |v|^2 f dv"),
    "heat_flux": (("time", "x"), "q = 1/2 int |v-u|^2 (v-u) f dv"),
    "knudsen": (("x",), "Knudsen number eps"),
}
OPTIONAL: dict[str, tuple[tuple[str, ...], str]] = {
    "moments": (("time", "x", "k"), "moments W carried by the closure"),
    "momentum": (("time", "x"), "rho u, to the bit, for a closure to restart from"),
    "kinetic": (("time", "x"), "1 where the kinetic solver ran, 0 where the closure did"),
}
#: What `distribution`, which a solution may hold too, is called for by velocity dimension.
DISTRIBUTION: dict[int, tuple[tuple[str, ...], str]] = {
    1: (("time", "x", "v"), "distribution function f"),
    2: (("time", "x", "v1", "v2"), "distribution function f"),
    3: (("time", "x", "v1", "power"), "int (v2^2 + v3^2)^(power/2) f dv2 dv3"),
}
COORDINATES = {
    "time": "time",
    "x": "cell centre",
    "v": "velocity node",
    "v1": "node of the velocity along x",
    "v2": "node of the velocity across x",
    "power": "power of the speed across x",
    "k": "index of the moment",
}
POSITIVE = ("density", "temperature", "knudsen")


@cache
def package_version() -> str:
    """Return the version of the installed distribution, or "unknown" in a bare checkout."""
    try:
        return version("kinetic-closures")
    except PackageNotFoundError:
        return "unknown"


def to_dataset(
    coordinates: Mapping[str, ArrayLike],
    conserved: ArrayLike,
    heat_flux: ArrayLike,
    knudsen: ArrayLike,
    *,
    configuration: Mapping[str, Any],
    solver_seconds: float,
    dim: int = 1,
    **optional: ArrayLike,
) -> xr.Dataset:
    """Label the snapshots of a solution.

    Args:
        coordinates: ``time`` and ``x``, and those of velocity or ``k`` where `optional` needs them.
        conserved: U = (rho, rho u, E), shape (time, x, 3).
        heat_flux: q, shape (time, x).
        knudsen: eps, shape (x,).
        configuration: the whole configuration of the run, stored as JSON.
        solver_seconds: wall time of the solve alone.
        dim: velocity dimensions D.
        optional: ``distribution``, with the dimensions in `DISTRIBUTION`, or ``moments``.
    """
    U = np.asarray(conserved)
    rho, u, T = primitive(U, dim)
    values = {
        "density": rho,
        "velocity": u,
        "temperature": T,
        "energy": U[..., 2],
        "heat_flux": heat_flux,
        "knudsen": knudsen,
        **optional,
    }
    described = REQUIRED | OPTIONAL | {"distribution": DISTRIBUTION[dim]}
    attributes = {
        "schema_version": SCHEMA_VERSION,
        "scaling": SCALING,
        "configuration": json.dumps(configuration, sort_keys=True),
        "package_version": package_version(),
        "solver_seconds": solver_seconds,
    }
    variables = {
        name: (described[name][0], np.asarray(value), _about(described[name][1]))
        for name, value in values.items()
    }
    labels = {
        name: (name, np.asarray(value), _about(COORDINATES[name]))
        for name, value in coordinates.items()
    }
    return xr.Dataset(variables, coords=labels, attrs=attributes)


def _about(meaning: str) -> dict[str, str]:
    return {"long_name": meaning, "units": "1"}


def velocity_coordinates(grid: VelocityGrid) -> dict[str, ArrayLike]:
    """Return the coordinates of the columns of a grid, by the names of their dimensions."""
    values = {"v": grid.nodes, "v1": grid.nodes, "v2": grid.nodes, "power": np.array([0, 2])}
    return {name: values[name] for name in DISTRIBUTION[grid.dim][0][2:]}


def dimension_of(solution: xr.Dataset) -> int:
    """Return the velocity dimensions of the distribution that a solution holds."""
    found = solution["distribution"].dims
    return next(dim for dim, (dims, _) in DISTRIBUTION.items() if dims == found)


def configuration_of(solution: xr.Dataset) -> dict[str, Any]:
    """Return the configuration stored with a solution.

    Raises:
        KeyError, TypeError, ValueError: there is none, or one that is no mapping.
    """
    configuration = parse_json(solution.attrs["configuration"])
    if not isinstance(configuration, dict):
        raise ValueError("the configuration is no mapping")
    return configuration


def write_solution(solution: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a solution as a Zarr v3 directory, replacing an earlier one only when complete.

    Raises:
        InvalidInput: `path` is taken by something that is not a Zarr directory.
        OSError: there is no room or no permission; what was there stays.
    """
    target = Path(path)
    if target.exists() and not (target / METADATA).is_file():
        raise InvalidInput("path", target, "exists and is not a Zarr directory; choose another")
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_partials(target.parent)
    with replacing(target) as partial:
        _write_zarr(solution, partial)
    return target


def _write_zarr(solution: xr.Dataset, path: Path) -> None:
    """Write with one chunk a snapshot for what is large, and the metadata in one place.

    Every chunk ends with a checksum of its content.
    """
    large = (*OPTIONAL, "distribution")
    compressed = {"compressors": (ZstdCodec(level=0, checksum=True),)}
    encoding = {
        str(name): compressed | ({"chunks": (1, *one.shape[1:])} if name in large else {})
        for name, one in solution.variables.items()
    }
    with warnings.catch_warnings():
        # Readers look for consolidated metadata first; that it is an extension is of no concern.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        solution.to_zarr(path, mode="w", zarr_format=3, consolidated=True, encoding=encoding)


def read_solution(path: str | os.PathLike[str], key: str = "path") -> xr.Dataset:
    """Read and check a solution; `distribution` and `moments` stay on disk until they are used.

    Raises:
        InvalidInput: under `key`, when the path is missing, damaged or not a solution.
    """
    if not os.path.exists(path):
        raise InvalidInput(key, path, "does not exist; must be a solution.zarr")
    if not os.path.exists(os.path.join(path, METADATA)):
        raise InvalidInput(key, path, "is no solution.zarr" + _solution_in(path))
    try:
        check_store(Path(path))
        # Format 3 only: format 2 can name a pickle codec, which runs code from the file.
        solution = xr.open_zarr(path, zarr_format=3, consolidated=False, decode_times=False)
        for name in (*REQUIRED, *solution.coords):
            solution[name].load()
    except KeyError as error:
        raise InvalidInput(key, path, f"must be a solution.zarr; it lacks {error}") from error
    except Exception as error:  # a damaged store makes its decoders raise nearly anything
        reason = f"{type(error).__name__}: {error}"
        raise InvalidInput(key, path, f"must be a readable solution.zarr; {reason}") from error
    _check(solution, path, key)
    return solution


def _solution_in(path: str | os.PathLike[str]) -> str:
    """Return ``"; did you mean ..."`` for the directory of a run."""
    inside = os.path.join(path, "solution.zarr")
    return f"; did you mean '{inside}'?" if os.path.isdir(inside) else ""


def loaded(solution: xr.Dataset, path: str | os.PathLike[str], key: str = "path") -> xr.Dataset:
    """Return a solution of `read_solution` with all that it holds in memory.

    Raises:
        InvalidInput: under `key`, when a part is damaged.
    """
    try:
        return solution.load()
    except Exception as error:  # a damaged chunk makes its decoder raise nearly anything
        raise InvalidInput(key, path, f"a part of it cannot be read: {error}") from error


def _check(solution: xr.Dataset, path: str | os.PathLike[str], key: str) -> None:
    """Compare a solution with the specification."""
    found = solution.attrs.get("schema_version")
    if found != SCHEMA_VERSION:
        allowed = f"must be a solution.zarr of schema {SCHEMA_VERSION}; it states {found}"
        raise InvalidInput(key, path, allowed)
    expected: dict[str, Any] = {name: (dims,) for name, (dims, _) in (REQUIRED | OPTIONAL).items()}
    expected["distribution"] = tuple(dims for dims, _ in DISTRIBUTION.values())
    for name, variants in expected.items():
        if name in solution and solution[name].dims not in variants:
            allowed = " or ".join(map(str, variants))
            raise InvalidInput(
                key, path, f"{name} must have dimensions {allowed}, not {solution[name].dims}"
            )
    if not {"time", "x"} <= set(solution.coords):
        raise InvalidInput(key, path, "it must have the coordinates time and x")
    for name in (*REQUIRED, *solution.coords):
        values = solution[name].values
        if name in solution.coords and values.dtype.kind in "iu":
            continue
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise InvalidInput(key, path, f"{name} must hold finite numbers")
        if name in POSITIVE and not (values > 0.0).all():
            raise InvalidInput(key, path, f"{name} must be positive")
    if not solution.sizes["time"] or not solution.sizes["x"]:
        raise InvalidInput(key, path, "it must hold times and cells")
    try:
        configuration_of(solution)
    except (KeyError, TypeError, ValueError) as error:
        allowed = "its attribute configuration must be JSON of a mapping"
        raise InvalidInput(key, path, allowed) from error
