"""Problems from files: tables with every defect a user can make, and restarts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinetic.errors import InvalidInput
from kinetic.output import read_solution, write_solution
from kinetic.problem_file import SampledState, read_csv, read_problem
from kinetic.problems import InitialState, cell_centers, problem
from kinetic.reference import solve
from kinetic.velocity import VelocityGrid

HEADER = "x,density,velocity,temperature"
ROWS = ("0.125,1,0,1", "0.375,1.5,0.1,1", "0.625,1,-0.1,0.8", "0.875,1,0,1")


def write_csv(folder: Path, rows: Sequence[str] = ROWS, header: str = HEADER) -> str:
    path = folder / "problem.csv"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return str(path)


def changed(line: int, row: str) -> tuple[str, ...]:
    """Return `ROWS` with the one on `line` of the file (the header is line 1) replaced."""
    return tuple(row if i == line else old for i, old in enumerate(ROWS, start=2))


def test_table_is_read(tmp_path: Path) -> None:
    state = read_csv(write_csv(tmp_path))
    rho, u, T = state.components[0]
    np.testing.assert_array_equal(rho, [1.0, 1.5, 1.0, 1.0])
    np.testing.assert_array_equal(u, [0.0, 0.1, -0.1, 0.0])
    np.testing.assert_array_equal(T, [1.0, 1.0, 0.8, 1.0])
    np.testing.assert_array_equal(state.x, [0.125, 0.375, 0.625, 0.875])
    assert state.boundary == "periodic"


def test_columns_in_any_order_blank_lines_and_byte_order_mark(tmp_path: Path) -> None:
    plain = read_csv(write_csv(tmp_path))
    path = tmp_path / "other.csv"
    lines = [",".join(reversed(line.split(","))) for line in (HEADER, *ROWS)]
    path.write_text("\ufeff" + "\n\n".join(lines) + "\n\n", encoding="utf-8")
    other = read_csv(str(path))
    np.testing.assert_array_equal(other.conserved(), plain.conserved())


def test_knudsen_column_and_its_replacement(tmp_path: Path) -> None:
    rows = [f"{row},{eps}" for row, eps in zip(ROWS, (0.1, 0.2, 0.3, 0.4), strict=True)]
    path = write_csv(tmp_path, rows, HEADER + ",knudsen")
    np.testing.assert_array_equal(read_problem(path).knudsen, [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_array_equal(read_problem(path, 0.7).knudsen, [0.7] * 4)


def test_rows_give_the_cells(tmp_path: Path) -> None:
    solution = solve(
        problem={"name": "file", "path": write_csv(tmp_path)}, time={"end": 0.01, "snapshots": 2}
    )
    assert solution.sizes["x"] == 4


@pytest.mark.parametrize(
    ("rows", "header", "hint"),
    [
        (changed(3, "0.375,nan,0,1"), HEADER, "line 3, column density: 'nan'"),
        (changed(3, "0.375,inf,0,1"), HEADER, "line 3, column density: 'inf'"),
        (changed(4, "0.625,0,0,1"), HEADER, "line 4, column density: '0'"),
        (changed(4, "0.625,1,0,-2"), HEADER, "line 4, column temperature: '-2'"),
        (changed(5, "0.875,1,zero,1"), HEADER, "line 5, column velocity: 'zero' is not a number"),
        (changed(5, "0.875,1,,1"), HEADER, "line 5, column velocity: '' is not a number"),
        (changed(5, "0.875,1"), HEADER, "line 5 has 2 fields"),
        (changed(5, "0.875,1,0,1,9"), HEADER, "line 5 has 5 fields"),
        (changed(3, "0.3,1,0,1"), HEADER, "line 3, column x: 0.3 must be 0.375"),
        (tuple(reversed(ROWS)), HEADER, "line 2, column x: 0.875 must be 0.125"),
        (ROWS[:3], HEADER, "at least 4"),
        ((), HEADER, "at least 4"),
        (ROWS, "x,density,velocity", "line 1: column temperature is missing"),
        (ROWS, "x,density,velocity,temprature", "did you mean 'temperature'"),
        (ROWS, "x,density,density,temperature", "column density appears twice"),
        ([row + ",0" for row in ROWS], HEADER + ",knudsen", "line 2, column knudsen: '0'"),
        (changed(3, '0.375,"1,0,1'), HEADER, "readable CSV"),
    ],
)
def test_defects_are_located(tmp_path: Path, rows: Sequence[str], header: str, hint: str) -> None:
    path = write_csv(tmp_path, rows, header)
    with pytest.raises(InvalidInput) as caught:
        read_problem(path)
    assert caught.value.key == "problem.path"
    assert caught.value.value == path
    assert hint in caught.value.allowed
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "hint"),
    [(b"", "is empty"), (b"\n\n", "is empty"), (b"\x89PNG\r\n\x00\xff", "text file")],
)
def test_empty_or_binary_file(tmp_path: Path, content: bytes, hint: str) -> None:
    path = tmp_path / "problem.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=hint):
        read_problem(str(path))


@pytest.mark.parametrize("name", ["none.csv", "n" * 5000, "nul\0byte"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        read_problem(str(tmp_path / name))


PIECES = st.sampled_from(
    [HEADER, *ROWS, "knudsen", ",", "\n", '"', "nan", "-1", "1e999", "\x00", "é"]
)


@given(st.one_of(st.binary(), st.lists(PIECES).map("".join).map(str.encode)))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "problem.csv"
    path.write_bytes(content)
    with suppress(InvalidInput):
        assert np.all(read_problem(str(path)).conserved()[:, 0] > 0.0)


def test_gas_that_the_velocity_grid_cannot_hold(tmp_path: Path) -> None:
    path = write_csv(tmp_path, changed(3, "0.375,1,9,1"))
    with pytest.raises(InvalidInput, match=r"velocity\.extent"):
        solve(problem={"name": "file", "path": path})


# Restarts

RUN = {
    "problem": {"name": "transition", "seed": 3},
    "cells": 32,
    "output": {"distribution": True},
}


def restart(path: Path, end: float, snapshots: int) -> xr.Dataset:
    return solve(
        problem={"name": "file", "path": str(path)},
        output={"distribution": True},
        time={"end": end, "snapshots": snapshots},
    )


@pytest.mark.parametrize("scheme", ["hsz2", "ars222", "ars443"])
def test_interrupted_run_equals_the_straight_run_to_the_bit(tmp_path: Path, scheme: str) -> None:
    config = RUN | {"scheme": {"time": scheme}}
    straight = solve(**config, time={"end": 0.09, "snapshots": 10})
    half = solve(**config, time={"end": 0.03, "snapshots": 4})
    path = write_solution(half, tmp_path / "half.zarr")
    rest = solve(
        problem={"name": "file", "path": str(path)},
        scheme={"time": scheme},
        output={"distribution": True},
        time={"end": 0.09, "snapshots": 7},
    )
    np.testing.assert_allclose(rest.time, straight.time[3:], rtol=1e-15)
    for name in straight.data_vars:
        expected = straight[name] if name == "knudsen" else straight[name][3:]
        np.testing.assert_array_equal(rest[name].values, expected.values, err_msg=str(name))


def test_restart_keeps_the_boundary(tmp_path: Path) -> None:
    half = solve(problem="sod", cells=16, output={"distribution": True}, time={"end": 0.01})
    state = read_problem(str(write_solution(half, tmp_path / "half.zarr")))
    assert state.boundary == "outflow"
    assert state.time == pytest.approx(0.01)


def test_restart_needs_the_distribution(tmp_path: Path) -> None:
    path = write_solution(solve(cells=16, time={"end": 0.01}), tmp_path / "s.zarr")
    with pytest.raises(InvalidInput, match=r"output\.distribution=true"):
        restart(path, 0.02, 2)


def test_restart_must_go_forward(tmp_path: Path) -> None:
    half = solve(**RUN, time={"end": 0.03, "snapshots": 2})
    path = write_solution(half, tmp_path / "half.zarr")
    with pytest.raises(InvalidInput, match=r"time\.end"):
        restart(path, 0.02, 2)


def test_restart_keeps_its_velocity_grid(tmp_path: Path) -> None:
    half = solve(**RUN, velocity={"points": 91}, time={"end": 0.01, "snapshots": 2})
    path = write_solution(half, tmp_path / "half.zarr")
    with pytest.raises(InvalidInput, match=r"velocity\.points=91 velocity\.extent=8"):
        restart(path, 0.02, 2)


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_restart_checks_the_distribution(tmp_path: Path, value: float) -> None:
    half = solve(**RUN, time={"end": 0.01, "snapshots": 2})
    half["distribution"].values[-1, 5] = value
    path = write_solution(half, tmp_path / "half.zarr")
    with pytest.raises(InvalidInput, match="distribution"):
        restart(path, 0.02, 2)


def nonuniform(v: np.ndarray) -> np.ndarray:
    return np.sign(v) * np.abs(v) ** 1.2 / v[-1] ** 0.2


WRONG_COORDINATES = {
    "reversed v": ("v", lambda v: v[::-1]),
    "nonuniform v": ("v", nonuniform),
    "shifted v": ("v", lambda v: v + v[-1]),
    "negative v": ("v", lambda v: v - 20.0),
    "reversed x": ("x", lambda x: x[::-1]),
    "longer x": ("x", lambda x: 10.0 * x),
}


@pytest.mark.parametrize("defect", WRONG_COORDINATES)
def test_restart_checks_the_coordinates(tmp_path: Path, defect: str) -> None:
    name, change = WRONG_COORDINATES[defect]
    half = solve(**RUN, time={"end": 0.001, "snapshots": 2})
    half = half.assign_coords({name: change(half[name].values)})
    path = str(write_solution(half, tmp_path / "half.zarr"))
    with pytest.raises(InvalidInput, match=f"its .*{name}.* must be") as caught:
        read_problem(path)
    assert caught.value.key == "problem.path"


@pytest.mark.parametrize("part", [{"v": slice(0, 4)}, {"v": slice(0, 0)}, {"x": slice(0, 3)}])
def test_restart_refuses_a_part_of_a_grid(tmp_path: Path, part: dict[str, slice]) -> None:
    half = solve(**RUN, time={"end": 0.001, "snapshots": 2}).isel(part)
    path = str(write_solution(half, tmp_path / "half.zarr"))
    with pytest.raises(InvalidInput) as caught:
        read_problem(path)
    assert caught.value.key == "problem.path"


@pytest.mark.parametrize("factor", [0.98, 1.02])
def test_restart_compares_the_distribution_with_the_density(tmp_path: Path, factor: float) -> None:
    half = solve(**RUN, time={"end": 0.001, "snapshots": 2})
    half["density"].values[-1, 3] *= factor
    path = str(write_solution(half, tmp_path / "half.zarr"))
    with pytest.raises(InvalidInput, match="another mass") as caught:
        read_problem(path)
    assert caught.value.key == "problem.path"


def test_restart_checks_the_velocities_across(tmp_path: Path) -> None:
    gas = {"velocity": {"dim": 2, "points": 18, "extent": 7.0}, "problem": {"name": "sod"}}
    half = solve(**RUN | gas | {"cells": 6}, time={"end": 0.001, "snapshots": 2})
    half = half.assign_coords(v2=2.0 * half.v2.values)
    path = str(write_solution(half, tmp_path / "half.zarr"))
    with pytest.raises(InvalidInput, match="its v2 must be") as caught:
        read_problem(path)
    assert caught.value.key == "problem.path"


def test_restart_from_a_truncated_distribution(tmp_path: Path) -> None:
    path = write_solution(solve(**RUN, time={"end": 0.01, "snapshots": 2}), tmp_path / "half.zarr")
    chunk = path / "distribution/c/1/0/0"
    chunk.write_bytes(chunk.read_bytes()[:50])
    assert "distribution" in read_solution(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        restart(path, 0.02, 2)


def test_sampled_state_interpolates_off_its_nodes() -> None:
    state, grid = problem("mix", seed=1, cells=6), VelocityGrid(121, 12.0)
    assert isinstance(state, InitialState)
    sampled = SampledState(
        state.x, state.knudsen, grid.nodes, state.distribution(grid.nodes), "periodic", 0.0
    )
    np.testing.assert_allclose(sampled.conserved(), state.conserved(), rtol=1e-9, atol=1e-9)
    v = np.linspace(-4.0, 4.0, 33) + np.linspace(-0.1, 0.1, 6)[:, None]
    # Cubic splines at spacing 0.2: the error of log f is of the order 0.2^4.
    np.testing.assert_allclose(sampled.distribution(v), state.distribution(v), rtol=2e-3)
    assert np.all(sampled.distribution(np.array([-13.0, 13.0])) == 0.0)


@pytest.mark.parametrize("beyond", [0.0, -1e-7])
@pytest.mark.parametrize("dim", [1, 2])
def test_a_distribution_that_ends_between_nodes_is_not_overshot(dim: int, beyond: float) -> None:
    grid, one = VelocityGrid(41, 8.0, dim), np.ones(4)
    state = InitialState(cell_centers(4), one, ((one, 0.1 * one, one),))
    whole = state.on_grid(grid).reshape(4, *grid.shape)
    ended = np.where(whole > 1e-6, whole, beyond)
    sampled = SampledState(state.x, one, grid.nodes, ended, "periodic", 0.0, dim)
    v = np.linspace(-7.9, 7.9, 200)
    across = [np.linspace(-7.9, 7.9, 200)[::-1]] * (dim - 1)
    error = sampled.distribution(v, *across) - state.distribution(v, *across)
    assert np.abs(error).max() < 1e-4
