"""Files that are written whole, full disks, and files that are damaged or hostile."""

from __future__ import annotations

import json
import os
import resource
import runpy
import signal
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kinetic
from closures.arrays import read_arrays, write_arrays
from closures.cli import main as closures_main
from kinetic.claims import check_store
from kinetic.cli import main as kinetic_main
from kinetic.dataset import generate
from kinetic.errors import InvalidInput
from kinetic.files import (
    explain_storage,
    locked,
    parse_json,
    read_file,
    remove_partials,
    replacing,
    write_file,
    write_json,
)
from kinetic.output import read_solution, write_solution
from kinetic.resources import config_dir

BENCHMARKS = config_dir().parent / "benchmarks"
SMALL = ["cells=8", "time.end=0.01", "time.snapshots=2"]
NO_PROCESS = 2**30


@pytest.fixture(scope="module")
def fuzzer() -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARKS / "fuzz_files.py"), run_name="fuzz_files")


@pytest.fixture
def solution(tmp_path: Path) -> Path:
    made = kinetic.solve(problem="wave", cells=8, time={"end": 0.01, "snapshots": 2})
    return write_solution(made, tmp_path / "solution.zarr")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# Writing


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: a write fails after a part of it, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def beyond_the_room(path: Path) -> None:
    with largest_file(1000):
        write_file(path, b"x" * 5000)


def interrupted(path: Path) -> None:
    with replacing(path) as partial:
        partial.mkdir() if path.is_dir() else partial.write_text("half")
        raise KeyboardInterrupt


def not_json(path: Path) -> None:
    write_json(path, {"new": float("nan")})


@pytest.mark.parametrize("write", [beyond_the_room, interrupted, not_json])
def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises((OSError, KeyboardInterrupt, ValueError)):
        write(path)
    assert json.loads(path.read_bytes()) == {"old": 1}
    write_file(path, "new\n")
    assert path.read_bytes() == b"new\n"
    assert names(tmp_path) == {"a.json"}


def test_a_directory_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "store"
    for number in range(2):
        with replacing(path) as partial:
            partial.mkdir()
            (partial / str(number)).touch()
    assert names(path) == {"1"}
    with pytest.raises(OSError, match="not empty"), replacing(path, over=False) as partial:
        partial.mkdir()
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert (names(path), names(tmp_path)) == ({"1"}, {"store"})


def test_what_the_dead_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    dead = f".a.json.{NO_PROCESS}.partial"
    kept = {f".a.json.{os.getpid()}.partial", "a.partial", ".hidden", "a.1.partial"}
    for name in (dead, *kept):
        (tmp_path / name).touch()
    for name in ("b.zarr", f".b.zarr.{NO_PROCESS}.old"):
        (tmp_path / name).mkdir()
    outside = tmp_path.parent / "outside"
    outside.mkdir(exist_ok=True)
    (tmp_path / f".c.{NO_PROCESS}.partial").symlink_to(outside)
    remove_partials(tmp_path)
    assert names(tmp_path) == {*kept, "b.zarr"}
    assert outside.is_dir()


@pytest.mark.parametrize("renamed", [1, 2, 3])
def test_a_kill_while_a_directory_is_replaced_loses_nothing(tmp_path: Path, renamed: int) -> None:
    path = tmp_path / "store"
    path.mkdir()
    (path / "before").touch()
    if not (child := os.fork()):
        try:
            die_after_renames(renamed)
            with replacing(path) as partial:
                partial.mkdir()
                (partial / "after").touch()
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    remove_partials(tmp_path)
    assert (names(tmp_path), names(path)) == ({"store"}, {"before" if renamed == 1 else "after"})


def die_after_renames(count: int) -> None:
    """Let this process be killed as soon as it has renamed so many paths."""
    rename, left = Path.rename, iter(range(count - 1))

    def renaming(path: Path, target: Path) -> Path:
        rename(path, target)
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return target

    Path.rename = renaming  # type: ignore[method-assign, assignment]


def test_a_directory_in_use_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["solve", *SMALL, f"hydra.run.dir={tmp_path}"]
    with locked(tmp_path, "hydra.run.dir"):
        assert kinetic_main(command) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert f"hydra.run.dir={tmp_path}: is being written by another process" in said
    assert not {"solution.zarr", "status.json"} & names(tmp_path)
    assert kinetic_main(command) == 0


def test_a_file_system_without_locks_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unknown)
    with locked(tmp_path, "hydra.run.dir"):
        pass


COMMANDS: dict[str, tuple[Callable[[list[str]], int], list[str]]] = {
    "solve": (kinetic_main, ["solve", *SMALL]),
    "dataset": (
        kinetic_main,
        ["dataset", *SMALL, "dataset.trajectories=2", "dataset.workers=1"],
    ),
    "closures solve": (closures_main, ["solve", *SMALL, "closure=euler"]),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("size", [0, 30, 300])
def test_a_full_disk_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, size: int
) -> None:
    main, arguments = COMMANDS[name]
    command = [*arguments, f"hydra.run.dir={tmp_path / 'run'}"]
    with largest_file(size):
        assert main(command) == 2
    said = capsys.readouterr().err
    assert (said.count("\n"), said.count("File too large")) == (1, 1)
    assert "hydra.run.dir=" in said
    left = [path.name for path in tmp_path.rglob("*") if path.name.startswith(".")]
    assert set(left) <= {".hydra"}
    assert main(command) == 0


def test_a_directory_that_cannot_be_written_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for folder in ("/proc/none", "/sys/none", "/dev/null/none"):
        assert kinetic_main(["solve", *SMALL, f"hydra.run.dir={folder}"]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert said.startswith("kinetic solve: error: hydra.run.dir=/")
    assert explain_storage(OSError(30, "Read-only file system"), "a", "b") is not None
    assert explain_storage(OSError(2, "No such file or directory"), "a", "b") is None


# Reading


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "NaN",
        "-Infinity",
        "1e999",
        "9" * 5000,
        "9" * 400,
        "{",
        b"\xff",
        "",
    ],
)
def test_json_is_strict(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(text)


def test_only_ordinary_files_of_moderate_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    for name in ("pipe", "zeros", "large", "."):
        with pytest.raises(ValueError, match=r"not a file|larger"):
            read_file(tmp_path / name, 1000)


TARGETS = {
    "csv": 60,
    "solution": 30,
    "restart": 25,
    "closed": 20,
    "dataset": 20,
    "dataset 2": 8,
    "model": 30,
    "old model": 20,
    "network": 30,
    "checkpoint": 40,
    "report": 12,
    "record": 40,
    "labels": 40,
    "round": 40,
    "log": 40,
    "blocks": 20,
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_refused_or_harmless(fuzzer: dict[str, Any], name: str) -> None:
    assert {target.name for target in fuzzer["TARGETS"]} == set(TARGETS)
    target = next(target for target in fuzzer["TARGETS"] if target.name == name)
    counts, said = fuzzer["fuzz"](target, TARGETS[name], 1)
    assert not said, said[0]
    assert counts.total() == TARGETS[name]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def grid(*chunk: int) -> dict[str, Any]:
    return {"name": "regular", "configuration": {"chunk_shape": chunk}}


def keys(separator: str) -> dict[str, Any]:
    return {"name": "default", "configuration": {"separator": separator}}


CLAIMS: dict[str, dict[str, Any]] = {
    "a huge array": {"shape": [2**40, 8], "chunk_grid": grid(2**40, 8)},
    "many chunks": {"shape": [2**20, 2**10], "chunk_grid": grid(1, 1)},
    "a huge chunk": {"chunk_grid": grid(2**40, 8)},
    "negative": {"shape": [-1, 8]},
    "no numbers": {"shape": ["2", 8]},
    "objects": {"data_type": "object"},
    "a codec that can expand without bound": {"codecs": [{"name": "bytes"}, {"name": "gzip"}]},
    "a codec that runs code": {"codecs": [{"name": "numcodecs.pickle"}]},
    "chunks under other names": {"chunk_key_encoding": {"name": "v2"}},
    "chunks in no directory": {"chunk_key_encoding": keys(".")},
    "chunks under no names": {"chunk_key_encoding": None},
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_metadata_claim_is_not_allocated(solution: Path, claim: str) -> None:
    edit(solution / "density/zarr.json", **CLAIMS[claim])
    with pytest.raises(ValueError, match=r"density|shape"):
        check_store(solution)
    with pytest.raises(InvalidInput, match=r"solution\.zarr"):
        read_solution(solution)


def test_a_chunk_that_expands_is_not_expanded(solution: Path) -> None:
    chunk = solution / "density/c/0/0"
    frame = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**40)  # claims 2^40 bytes
    chunk.write_bytes(frame + b"\x03\x00\x00")
    with pytest.raises(InvalidInput, match="chunk of density"):
        read_solution(solution)
    chunk.write_bytes(zlib.compress(b"\0" * 10_000_000))
    with pytest.raises(InvalidInput, match="chunk of density"):
        read_solution(solution)


def test_no_bit_of_a_solution_changes_unseen(solution: Path) -> None:
    chunk = solution / "density/c/0/0"
    content = chunk.read_bytes()
    for bit in range(0, 8 * len(content), 41):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        chunk.write_bytes(damaged)
        with pytest.raises(InvalidInput):
            read_solution(solution)
    chunk.write_bytes(content)
    read_solution(solution)


def test_no_bit_of_arrays_changes_unseen(tmp_path: Path) -> None:
    path, arrays = tmp_path / "a.safetensors", {"a": np.arange(5.0), "b": np.ones(3, np.int8)}
    write_arrays(path, arrays, asked=1)
    content = path.read_bytes()
    for bit in range(8 * len(content) - 8 * 43, 8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="digest"):
            read_arrays(path)
    path.write_bytes(content)
    assert all((read_arrays(path)[name] == one).all() for name, one in arrays.items())


def test_nothing_outside_is_removed_through_a_link(tmp_path: Path) -> None:
    """A data set from a stranger whose chunks are links, gone on with."""
    config = {
        "cells": 8,
        "time": {"end": 0.01, "snapshots": 2},
        "dataset": {"trajectories": 2, "workers": 1},
    }
    path, victim = tmp_path / "dataset.zarr", tmp_path / "victim"
    generate(config, path, progress=False)
    victim.mkdir()
    (victim / "precious").write_text("precious")
    (path / "done/c/1").unlink()
    (path / "distribution/c/7").symlink_to(victim)
    (path / "knudsen/c/8").symlink_to(victim / "precious")
    generate(config, path, progress=False)
    assert (victim / "precious").read_text() == "precious"
    assert not (path / "distribution/c/7").is_symlink()
    assert len(kinetic.open_dataset(path)) == 2
