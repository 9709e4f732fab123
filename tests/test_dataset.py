"""Data sets: the same bits however they were made, nothing lost, nothing foreign accepted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

import kinetic.dataset
import kinetic.output
from kinetic.claims import check_claim
from kinetic.config import DatasetRunConfig, SolveConfig
from kinetic.dataset import generate, open_dataset
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.reference import run
from kinetic.storage import Place
from kinetic.trajectories import consolidate, create_store, finished, open_store

SMALL: dict[str, Any] = {
    "cells": 16,
    "velocity": {"points": 41},
    "time": {"end": 0.02, "snapshots": 3},
    "dataset": {"trajectories": 8, "workers": 1},
}
ROOT = Path(__file__).resolve().parent.parent


def contents(path: Path) -> dict[str, bytes]:
    """Return every file beneath a directory, by its relative path."""
    return {
        str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("straight") / "dataset.zarr"
    report = generate(SMALL, path)
    assert (report.found, report.made, report.failures) == (0, 8, [])
    return path


@pytest.fixture
def copy(straight: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(straight, tmp_path / "dataset.zarr"))


def test_trajectories_are_those_of_the_solver(straight: Path) -> None:
    data = open_dataset(straight)
    assert len(data) == 8
    assert data.families == ("wave", "shock", "mix", "transition") * 2
    assert data.seeds.tolist() == list(range(8))
    assert data.seed_range == "training"
    solve_keys = {name: SMALL[name] for name in ("cells", "velocity", "time")}
    for trajectory in data:
        problem = {"name": trajectory.family, "seed": trajectory.seed}
        solution = run(
            SolveConfig.from_mapping(
                solve_keys | {"problem": problem, "output": {"distribution": True}}
            )
        )
        f = solution["distribution"].values
        np.testing.assert_array_equal(trajectory.distribution, f.astype(np.float32))
        np.testing.assert_array_equal(trajectory.conserved[..., 0], solution["density"].values)
        np.testing.assert_array_equal(trajectory.conserved[..., 2], solution["energy"].values)
        np.testing.assert_array_equal(trajectory.knudsen, solution["knudsen"].values)
        np.testing.assert_allclose(trajectory.time, solution["time"].values, rtol=1e-15)
        np.testing.assert_array_equal(trajectory.v, solution["v"].values)


def test_xarray_reads_it_without_a_warning(straight: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xr.open_zarr(straight)
    assert data["distribution"].dims == ("trajectory", "time", "x", "v")
    assert data["distribution"].dtype == np.float32
    assert data["conserved"].dtype == np.float64


def test_finished_data_set_is_left_alone(copy: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in copy.rglob("c/**/*") if file.is_file()}
    report = generate(SMALL, copy)
    assert (report.found, report.made) == (8, 0)
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_workers_do_not_change_the_result(straight: Path, tmp_path: Path) -> None:
    path = tmp_path / "dataset.zarr"
    generate(SMALL | {"dataset": {"trajectories": 8, "workers": 2}}, path)
    assert contents(path) == contents(straight)


@pytest.mark.parametrize(("workers", "kills"), [(1, (3, 12)), (2, (6,))])
def test_killed_run_goes_on_to_the_same_bits(
    tmp_path: Path, workers: int, kills: tuple[int, ...]
) -> None:
    config = {**SMALL, "cells": 40, "dataset": {"trajectories": 24, "workers": workers}}
    script = f"from kinetic.dataset import generate; generate({config!r}, 'killed.zarr')"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed, straight = tmp_path / "killed.zarr", tmp_path / "straight.zarr"
    for done in kills:
        process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=environment)
        deadline = time.monotonic() + 60.0
        while len(finished(killed)) < done and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    left = len(finished(killed))
    assert kills[-1] <= left < 24
    with pytest.raises(InvalidInput, match="incomplete"):
        open_dataset(killed)
    # A worker notices the end of its parent within milliseconds.
    time.sleep(0.5)
    assert len(finished(killed)) - left <= workers
    config["dataset"]["workers"] = 1
    assert generate(config, killed).found >= left
    generate(config, straight)
    assert contents(killed) == contents(straight)


def test_leftovers_of_a_killed_writer_are_removed(straight: Path, copy: Path) -> None:
    (copy / "done" / "c" / "5").unlink()
    chunk = copy / "distribution/c/5/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:100])
    (chunk.parent / "0.123abc.partial").write_bytes(b"half")
    (copy / "done" / "c" / "6.456def.partial").write_bytes(b"")
    report = generate(SMALL, copy)
    assert (report.found, report.made) == (7, 1)
    assert contents(copy) == contents(straight)


def test_kill_while_the_metadata_are_written(straight: Path, tmp_path: Path) -> None:
    path = tmp_path / "dataset.zarr"
    create_store(DatasetRunConfig.from_mapping(SMALL), tmp_path / "other.zarr")
    left = tmp_path / f".dataset.zarr.{2**30}.partial"  # no process has such a number
    (tmp_path / "other.zarr").rename(left)
    (left / "zarr.json").unlink()
    generate(SMALL, path)
    assert contents(path) == contents(straight)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_failures_are_reported_kept_and_tried_again(
    straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_on_shocks(config: SolveConfig, **options: Any) -> xr.Dataset:
        if config.problem.name == "shock":
            raise NonPhysicalState(0.01, 3, {"rho": -1.0}, "rho must be positive")
        return run(config, **options)

    path = tmp_path / "dataset.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(kinetic.dataset, "run", fails_on_shocks)
        report = generate(SMALL, path)
    assert [failure["trajectory"] for failure in report.failures] == [1, 5]
    assert "2 failed: trajectory 1 (shock, seed 1): non-physical state at t=0.01" in str(report)
    data = open_dataset(path)
    assert data.failures == report.failures
    assert len(data) == 6
    assert "shock" not in data.families
    assert data[-1].seed == 7
    assert generate(SMALL, path).made == 2
    assert contents(path) == contents(straight)


@pytest.mark.parametrize("workers", [1, 2])
def test_grid_that_cannot_hold_the_data_is_refused(tmp_path: Path, workers: int) -> None:
    size = {"trajectories": 4, "workers": workers}
    narrow = SMALL | {"velocity": {"extent": 2.0}, "dataset": size}
    with pytest.raises(InvalidInput, match=r"velocity\.extent"):
        generate(narrow, tmp_path / "dataset.zarr")


def test_other_configuration_is_refused(copy: Path) -> None:
    with pytest.raises(InvalidInput, match="cells=16 not 20"):
        generate(SMALL | {"cells": 20}, copy)


def test_other_version_is_refused(copy: Path) -> None:
    _set_attribute(copy, package_version="0.0.1")
    with pytest.raises(InvalidInput, match=r"package_version=0\.0\.1 not"):
        generate(SMALL, copy)


def test_two_writers_are_refused(copy: Path) -> None:
    with (
        kinetic.dataset._locked(Place.of(copy)),
        pytest.raises(InvalidInput, match="another process"),
    ):
        generate(SMALL, copy)


@pytest.mark.parametrize("content", [None, b"not a data set"])
def test_never_writes_into_something_else(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "thesis"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match="must be a data set"):
        generate(SMALL, path)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def _set_attribute(path: Path, **attributes: Any) -> None:
    zarr.open_group(path, mode="r+").attrs.update(attributes)


def _replace_array(path: Path, name: str, values: np.ndarray) -> None:
    store = zarr.open_group(path, mode="r+")
    del store[name]
    store.create_array(name, data=values)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "missing": shutil.rmtree,
    "empty": lambda path: (shutil.rmtree(path), path.mkdir()),
    "a file": lambda path: (shutil.rmtree(path), path.write_bytes(b"PK\x03\x04")),
    "truncated metadata": lambda path: _truncate(path / "zarr.json"),
    "truncated chunk": lambda path: _truncate(path / "distribution/c/2/0/0/0"),
    "missing chunk": lambda path: (path / "conserved/c/7/0/0/0").unlink(),
    "missing array": lambda path: _replace_array(path, "knudsen", np.ones(3)),
    "wrong type": lambda path: _replace_array(path, "v", np.arange(41)),
    "other schema": lambda path: _set_attribute(path, schema_version="7"),
    "foreign group": lambda path: _set_attribute(path, schema="climate"),
    "every trajectory failed": lambda path: shutil.rmtree(path / "done" / "c"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_data_set_is_refused(copy: Path, damage: Callable[[Path], Any]) -> None:
    damage(copy)
    with pytest.raises(InvalidInput) as caught:
        open_dataset(copy, key="train.data")
    assert caught.value.key == "train.data"
    assert "\n" not in str(caught.value)


def test_corrupted_chunk_is_found_by_its_checksum(copy: Path) -> None:
    chunk = copy / "distribution/c/2/0/0/0"
    data = bytearray(chunk.read_bytes())
    data[1000] ^= 1
    chunk.write_bytes(bytes(data))
    opened = open_dataset(copy)
    assert opened[1].family == "shock"
    with pytest.raises(InvalidInput, match="distribution of trajectory 2 is damaged"):
        opened[2]


PUBLISHED: dict[str, Any] = {
    "velocity": {"dim": 2, "points": 48},
    "time": {"snapshots": 101},
    "collision": "boltzmann",
    "dataset": {"trajectories": 200},
}


def test_what_is_read_at_once_is_bounded_and_not_the_data_set(tmp_path: Path) -> None:
    """18.6 GB of f in 200 trajectories are read one at a time; more than that at once is not."""
    path = tmp_path / "dataset.zarr"
    create_store(DatasetRunConfig.from_mapping(PUBLISHED), path)
    store = open_store(path, mode="r+")
    store.attrs["complete"] = True
    consolidate(path)
    with pytest.raises(InvalidInput, match="every trajectory failed"):  # and not its size
        open_dataset(path)
    metadata = store["distribution"].metadata.to_dict()
    metadata["chunk_grid"]["configuration"]["chunk_shape"] = (200, 101, 100, 48, 48)
    with pytest.raises(ValueError, match="distribution claims 18616320000 bytes"):
        check_claim("distribution", metadata, by_chunk=True)


def test_a_solution_is_not_a_data_set(tmp_path: Path) -> None:
    path = tmp_path / "solution.zarr"
    solution = run(SolveConfig.from_mapping({"cells": 16, "time": {"end": 0.01}}))
    kinetic.output.write_solution(solution, path)
    with pytest.raises(InvalidInput, match="must be a data set"):
        open_dataset(path)


@pytest.fixture
def bucket() -> Iterator[str]:
    """The URL of a store that is no directory."""
    fsspec = pytest.importorskip("fsspec")
    yield "memory://bucket"
    files = fsspec.filesystem("memory")
    if files.exists("/bucket"):
        files.rm("/bucket", recursive=True)


def test_a_data_set_goes_to_any_store_that_fsspec_reaches(straight: Path, bucket: str) -> None:
    url = f"{bucket}/dataset.zarr"
    report = generate(SMALL, url, progress=False)
    assert (report.found, report.made, report.failures) == (0, 8, [])
    for here, there in zip(open_dataset(straight), open_dataset(url), strict=True):
        assert (here.family, here.seed) == (there.family, there.seed)
        np.testing.assert_array_equal(here.distribution, there.distribution)
    assert generate(SMALL, url, progress=False).found == 8


def test_a_remote_data_set_goes_on_where_it_was_left(bucket: str) -> None:
    url = f"{bucket}/dataset.zarr"
    generate(SMALL, url, progress=False)
    files = Place.of(url)
    files.remove("done", "c", "3")
    files.remove("done", "c", "6")
    files.remove("conserved", "c", "6")
    report = generate(SMALL, url, progress=False)
    assert (report.found, report.made) == (6, 2)
    assert len(open_dataset(url)) == 8


def test_what_a_killed_creation_left_at_a_url_is_replaced(bucket: str) -> None:
    url = f"{bucket}/dataset.zarr"
    attributes = {"schema": "kinetic-closures data set", "schema_version": "1.0"}
    zarr.create_group(Place.of(url).zarr(), zarr_format=3, attributes=attributes)
    assert generate(SMALL, url, progress=False).made == 8


def test_a_url_with_something_else_and_one_of_no_store_are_refused(bucket: str) -> None:
    zarr.create_group(Place.of(f"{bucket}/other").zarr(), zarr_format=3)
    with pytest.raises(InvalidInput, match="must be a data set of schema"):
        generate(SMALL, f"{bucket}/other", progress=False)
    with pytest.raises(InvalidInput, match="cannot be reached"):
        generate(SMALL, "nowhere://at/all", progress=False)


def test_workers_write_to_a_url(straight: Path, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/dataset.zarr"
    generate(SMALL | {"dataset": {"trajectories": 8, "workers": 2}}, url, progress=False)
    assert contents(tmp_path / "dataset.zarr") == contents(straight)
