"""Solutions on disk: identical when read back, never half written, refused when damaged."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import kinetic.output
from kinetic.errors import InvalidInput
from kinetic.output import REQUIRED, SCHEMA_VERSION, read_solution, to_dataset, write_solution
from kinetic.reference import solve


@pytest.fixture(scope="module")
def solution() -> xr.Dataset:
    return solve(cells=16, time={"end": 0.01, "snapshots": 3}, output={"distribution": True})


@pytest.fixture
def stored(solution: xr.Dataset, tmp_path: Path) -> Path:
    return write_solution(solution, tmp_path / "solution.zarr")


def test_layout(solution: xr.Dataset) -> None:
    for name, (dims, _) in REQUIRED.items():
        assert solution[name].dims == dims
        assert solution[name].attrs["units"] == "1"
    assert solution["distribution"].dims == ("time", "x", "v")
    assert solution.attrs["schema_version"] == SCHEMA_VERSION
    assert json.loads(solution.attrs["configuration"])["cells"] == 16
    assert solution.attrs["solver_seconds"] > 0.0


def test_energy_is_consistent(solution: xr.Dataset) -> None:
    rho, u, T = solution.density, solution.velocity, solution.temperature
    np.testing.assert_allclose(solution.energy, 0.5 * rho * (u**2 + T), rtol=1e-14)


def test_xarray_reads_it_back_without_a_warning(solution: xr.Dataset, stored: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert xr.open_zarr(stored).identical(solution)
        assert read_solution(stored).identical(solution)


def test_moments_of_a_closure_are_stored(tmp_path: Path) -> None:
    U = np.tile([1.0, 0.0, 0.5], (2, 4, 1))
    solution = to_dataset(
        {"time": [0.0, 1.0], "x": np.arange(4.0), "k": np.arange(6)},
        U,
        np.zeros((2, 4)),
        np.ones(4),
        configuration={},
        solver_seconds=1.0,
        moments=np.zeros((2, 4, 6)),
    )
    assert read_solution(write_solution(solution, tmp_path / "s.zarr")).identical(solution)


def test_replaces_an_earlier_solution(solution: xr.Dataset, stored: Path) -> None:
    write_solution(solution.isel(time=[0, 1]), stored)
    assert read_solution(stored).sizes["time"] == 2
    assert [entry.name for entry in stored.parent.iterdir()] == [stored.name]


def test_failed_write_keeps_the_earlier_solution(
    solution: xr.Dataset, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_write(_: xr.Dataset, path: Path) -> None:
        path.mkdir()
        raise OSError("no space left on device")

    monkeypatch.setattr(kinetic.output, "_write_zarr", half_write)
    with pytest.raises(OSError, match="no space"):
        write_solution(solution.isel(time=[0]), stored)
    assert read_solution(stored).identical(solution)
    assert [entry.name for entry in stored.parent.iterdir()] == [stored.name]


def test_never_overwrites_something_else(solution: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InvalidInput, match="not a Zarr directory"):
        write_solution(solution, tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10])


def _set_attribute(path: Path, **attributes: object) -> None:
    zarr.open_group(path, mode="r+").attrs.update(attributes)


DAMAGE = {
    "missing": shutil.rmtree,
    "empty": lambda path: (shutil.rmtree(path), path.mkdir()),
    "a file": lambda path: (shutil.rmtree(path), path.write_bytes(b"\x00\xff\x93NUMPY")),
    "truncated metadata": lambda path: _truncate(path / "zarr.json"),
    "truncated chunk": lambda path: _truncate(path / "density/c/0/0"),
    "missing chunk": lambda path: (path / "temperature/c/0/0").unlink(),
    "missing variable": lambda path: shutil.rmtree(path / "heat_flux"),
    "other schema": lambda path: _set_attribute(path, schema_version="9"),
    "bad configuration": lambda path: _set_attribute(path, configuration="{"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_file_is_refused(stored: Path, damage) -> None:  # type: ignore[no-untyped-def]
    damage(stored)
    with pytest.raises(InvalidInput) as caught:
        read_solution(stored, key="problem.path")
    assert caught.value.key == "problem.path"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("density", -1.0), ("knudsen", 0.0), ("heat_flux", np.nan)]
)
def test_values_are_checked(solution: xr.Dataset, tmp_path: Path, name: str, value: float) -> None:
    broken = solution.copy(deep=True)
    broken[name].values[..., 3] = value
    with pytest.raises(InvalidInput, match=name):
        read_solution(write_solution(broken, tmp_path / "broken.zarr"))


def test_transposed_variable_is_refused(solution: xr.Dataset, tmp_path: Path) -> None:
    broken = solution.assign(density=solution.density.transpose())
    with pytest.raises(InvalidInput, match="dimensions"):
        read_solution(write_solution(broken, tmp_path / "broken.zarr"))


def test_older_zarr_format_is_refused(solution: xr.Dataset, tmp_path: Path) -> None:
    """Format 2 may hold pickled objects."""
    path = tmp_path / "old.zarr"
    solution.to_zarr(path, zarr_format=2, consolidated=False)
    with pytest.raises(InvalidInput):
        read_solution(path)
