"""Initial data from a file: a CSV table of macroscopic fields, or a solution to restart from."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr

from kinetic.errors import InvalidInput, nearest
from kinetic.files import read_file
from kinetic.moments import moments_of, primitive
from kinetic.output import (
    configuration_of,
    dimension_of,
    loaded,
    read_solution,
    velocity_coordinates,
)
from kinetic.problems import DEFAULT_KNUDSEN, Array, Component, InitialState, cell_centers
from kinetic.velocity import VelocityGrid

KEY = "problem.path"
REQUIRED = ("x", "density", "velocity", "temperature")
COLUMNS = (*REQUIRED, "knudsen")
#: What a positive column may hold; far wider than any gas that a velocity grid can hold.
SMALLEST, LARGEST = 1e-12, 1e12
MIN_CELLS = 4
#: Of a table.
MOST_BYTES = 1 << 28
#: Greatest distance of x from a uniform cell centre, as a fraction of the cell.
X_TOLERANCE = 1e-3
#: Greatest distance of the coordinates of a solution from uniform ones, as a share of the largest.
COORDINATE_TOLERANCE = 1e-10
#: Greatest difference of int f dv and the density of a solution, as a fraction of it. The f_hat of
#: splines ends between two nodes, which on the coarsest grid that holds the gas makes up to 0.005.
MASS_TOLERANCE = 0.01
#: Greatest difference of f(v1, v2) and f(v1, -v2), as a fraction of the largest f.
SYMMETRY = 1e-10
#: Of the largest f of a cell: a spline of log f overshoots where f falls to zero between two nodes,
#: as at the edge of a closure's f_hat, and below this there is only round-off of operators that do
#: not keep f positive.
FLOOR = 1e-9


@dataclass(frozen=True)
class SampledState:
    """A distribution known on a velocity grid as `f`, shape (cells, *grid.shape); see `State`.

    `v` holds the nodes along an axis. At its own nodes f is returned as it is, to the bit;
    elsewhere log f, f no less than `FLOOR` of its largest, is interpolated by a cubic spline, and
    beyond the outermost nodes f = 0.
    """

    x: Array
    knudsen: Array
    v: Array
    f: Array
    boundary: str
    time: float
    dim: int = 1

    @cached_property
    def grid(self) -> VelocityGrid:
        """The velocity grid of f."""
        return VelocityGrid(len(self.v), float(self.v[-1]), self.dim)

    def on_grid(self, grid: VelocityGrid) -> Array:
        """Return f of shape (cells, columns).

        Raises:
            InvalidInput: `grid` is not the own one.
        """
        if (grid.dim, grid.points) != (self.dim, len(self.v)) or np.any(grid.nodes != self.v):
            own = (
                f"velocity.dim={self.dim} velocity.points={len(self.v)} "
                f"velocity.extent={self.v[-1]:g}"
            )
            given = f"({grid.dim} dimensions, {grid.points} points, extent {grid.extent:g})"
            raise InvalidInput("velocity", given, f"a restart keeps its grid: {own}")
        return self.f.reshape(len(self.x), grid.columns)

    def distribution(self, v: Array, *across: Array) -> Array:
        """Return f of shape (cells, n) at velocities of shape (n,) or (cells, n); see `State`.

        Raises:
            InvalidInput: f has other dimensions than the velocities, or is reduced (D = 3).
        """
        if self.dim != 1 + len(across) or self.dim == 3:
            allowed = f"the distribution of {KEY} has velocity.dim={self.dim}"
            raise InvalidInput("velocity.dim", 1 + len(across), allowed)
        if not across and np.array_equal(v, self.v):
            return self.f
        nodes = [np.broadcast_to(w, (len(self.x), np.shape(v)[-1])) for w in (v, *across)]
        floor = FLOOR * self.f.max(axis=tuple(range(1, self.f.ndim)), keepdims=True)
        log_f = np.log(np.maximum(self.f, floor))
        rows = zip(log_f, *nodes, strict=True)
        return np.stack([self._interpolated(*row) for row in rows])

    def _interpolated(self, log_f: Array, *v: Array) -> Array:
        """Return f of one cell at velocities v, each of shape (n,)."""
        # Imported here: it takes a sixth of the start, and only restarts need it.
        from scipy.interpolate import CubicSpline, RectBivariateSpline

        if len(v) == 1:
            values = CubicSpline(self.v, log_f, extrapolate=False)(v[0])
            return np.nan_to_num(np.exp(values), nan=0.0)
        inside = (np.abs(v[0]) <= self.v[-1]) & (np.abs(v[1]) <= self.v[-1])
        values = np.exp(RectBivariateSpline(self.v, self.v, log_f).ev(v[0], v[1]))
        return np.where(inside, values, 0.0)

    def conserved(self, dim: int | None = None) -> Array:
        """Return U = (rho, rho u, E) by quadrature on the nodes, shape (cells, 3).

        Raises:
            InvalidInput: f has other dimensions than `dim`.
        """
        if dim not in (None, self.dim):
            allowed = f"the distribution of {KEY} has velocity.dim={self.dim}"
            raise InvalidInput("velocity.dim", dim, allowed)
        return moments_of(self.f.reshape(len(self.x), -1), self.grid)

    @property
    def components(self) -> tuple[Component, ...]:
        """The Maxwellian with the moments of f, in every cell."""
        return (primitive(self.conserved(), self.dim),)


def read_problem(path: str, knudsen: float | None = None) -> InitialState | SampledState:
    """Read initial data from a CSV table or from the last time of a solution.zarr.

    A constant `knudsen` replaces the Knudsen number of the file.

    Raises:
        InvalidInput: under ``problem.path``, when the file is missing, damaged or not allowed.
    """
    if os.path.isdir(path):
        state: InitialState | SampledState = read_restart(path)
    elif os.path.isfile(path):
        state = read_csv(path)
    else:
        raise InvalidInput(KEY, path, "does not exist; must be a CSV file or a solution.zarr")
    if knudsen is None:
        return state
    return replace(state, knudsen=np.full_like(state.x, knudsen))


def read_restart(path: str) -> SampledState:
    """Read the last snapshot of a solution that holds its distribution.

    Raises:
        InvalidInput: it is damaged, holds no distribution, or one that is no distribution, its
            coordinates are not those of uniform grids, or its density is not that of f.
    """
    solution = read_solution(path, KEY)
    if "distribution" not in solution:
        allowed = "holds no distribution to restart from; run again with output.distribution=true"
        raise InvalidInput(KEY, path, allowed)
    last = loaded(solution.isel(time=-1), path, KEY)
    dim = dimension_of(solution)
    check_centers(path, last["x"].values)
    _check_velocities(path, last, dim)
    f = last["distribution"].values
    if not np.isfinite(f).all() or not (f.reshape(len(f), -1).sum(axis=1) > 0.0).all():
        raise InvalidInput(KEY, path, "its distribution must be finite, with mass in every cell")
    if dim == 2 and not np.allclose(f, f[:, :, ::-1], rtol=0.0, atol=SYMMETRY * np.max(f)):
        raise InvalidInput(KEY, path, "its distribution must be even in v2")
    state = SampledState(
        x=last["x"].values,
        knudsen=last["knudsen"].values,
        v=last["v" if dim == 1 else "v1"].values,
        f=f,
        boundary=configuration_of(solution).get("boundary") or "periodic",
        time=float(last["time"]),
        dim=dim,
    )
    if not np.allclose(state.conserved()[:, 0], last["density"], rtol=MASS_TOLERANCE, atol=0.0):
        raise InvalidInput(KEY, path, "its distribution has another mass than its density says")
    return state


def check_centers(path: str, x: Array) -> None:
    """Refuse a solution whose x are not the centres of uniform cells on [0, 1].

    Raises:
        InvalidInput: under ``problem.path``.
    """
    if not np.allclose(x, cell_centers(len(x)), rtol=0.0, atol=COORDINATE_TOLERANCE):
        raise InvalidInput(KEY, path, f"its x must be the centres of {len(x)} cells on [0, 1]")


def _check_velocities(path: str, solution: xr.Dataset, dim: int) -> None:
    """Compare the axes of the distribution with those of a `VelocityGrid`, its quadrature.

    Raises:
        InvalidInput: under ``problem.path``.
    """
    v = solution["v" if dim == 1 else "v1"].values
    try:
        grid = VelocityGrid(len(v), float(v.max(initial=0.0)), dim)
    except InvalidInput as error:
        raise InvalidInput(KEY, path, f"its {error}") from error
    atol = COORDINATE_TOLERANCE * grid.extent
    for name, nodes in velocity_coordinates(grid).items():
        found = solution[name].values
        if found.shape != np.shape(nodes) or not np.allclose(found, nodes, rtol=0.0, atol=atol):
            allowed = f"its {name} must be that of {grid.points} uniform velocities about zero"
            raise InvalidInput(KEY, path, allowed)


def read_csv(path: str) -> InitialState:
    """Read a table with the columns x, density, velocity, temperature and optionally knudsen.

    Columns may come in any order; x holds the centres of uniform cells on [0, 1], so the rows give
    the cells. The gas starts Maxwellian.

    Raises:
        InvalidInput: naming the line and the column at fault.
    """
    header, *rows = _read_rows(path)
    columns = _check_header(path, header[1])
    table = np.array([_read_row(path, line, columns, row) for line, row in rows])
    if len(rows) < MIN_CELLS:
        raise InvalidInput(KEY, path, f"has {len(rows)} rows; must have at least {MIN_CELLS}")
    fields = {name: table[:, i] for i, name in enumerate(columns)}
    x = cell_centers(len(rows))
    _check_uniform(path, fields["x"], x, [line for line, _ in rows])
    knudsen = fields.get("knudsen", np.full_like(x, DEFAULT_KNUDSEN))
    component = (fields["density"], fields["velocity"], fields["temperature"])
    return InitialState(x, knudsen, (component,))


def _read_rows(path: str) -> list[tuple[int, list[str]]]:
    """Return the non-blank rows of a CSV file, each with the number of its line."""
    try:
        text = read_file(Path(path), MOST_BYTES).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except UnicodeDecodeError as error:
        raise InvalidInput(KEY, path, "must be a text file (CSV in UTF-8)") from error
    except (OSError, ValueError, csv.Error) as error:
        raise InvalidInput(KEY, path, f"must be a readable CSV file: {error}") from error
    if not rows:
        raise InvalidInput(KEY, path, "is empty; must have the columns " + ", ".join(REQUIRED))
    return rows


def _check_header(path: str, header: Sequence[str]) -> list[str]:
    """Return the names of the columns, each known, none missing and none twice."""
    names = [name.strip() for name in header]
    for name in names:
        if name not in COLUMNS:
            allowed = f"line 1: unknown column '{name[:40]}'; columns are {', '.join(COLUMNS)}"
            raise InvalidInput(KEY, path, allowed + nearest(name, COLUMNS))
        if names.count(name) > 1:
            raise InvalidInput(KEY, path, f"line 1: column {name} appears twice")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise InvalidInput(KEY, path, f"line 1: column {', '.join(missing)} is missing")
    return names


def _read_row(path: str, line: int, columns: Sequence[str], row: Sequence[str]) -> list[float]:
    """Return the numbers of one row."""
    if len(row) != len(columns):
        allowed = f"line {line} has {len(row)} fields; the header names {len(columns)} columns"
        raise InvalidInput(KEY, path, allowed)
    return [_read_number(path, line, *entry) for entry in zip(columns, row, strict=True)]


def _read_number(path: str, line: int, column: str, entry: str) -> float:
    """Return one entry of the table, finite, and positive where the physics asks for it."""
    place = f"line {line}, column {column}: '{entry.strip()[:40]}'"
    try:
        value = float(entry)
    except ValueError as error:
        raise InvalidInput(KEY, path, f"{place} is not a number") from error
    lowest = -LARGEST if column in ("x", "velocity") else SMALLEST
    if not lowest <= value <= LARGEST:  # also true for NaN
        raise InvalidInput(KEY, path, f"{place} must lie between {lowest:g} and {LARGEST:g}")
    return value


def _check_uniform(path: str, found: Array, x: Array, lines: Sequence[int]) -> None:
    """Compare the column x with the centres of uniform cells."""
    wrong = np.flatnonzero(np.abs(found - x) > X_TOLERANCE / len(x))
    if len(wrong):
        cell = wrong[0]
        place = f"line {lines[cell]}, column x: {found[cell]:g}"
        allowed = f"must be {x[cell]:.6g}, the centre of cell {cell} of {len(x)} on [0, 1]"
        raise InvalidInput(KEY, path, f"{place} {allowed}")
