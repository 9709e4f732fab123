"""Executors: every item once, failures told, a worker that dies replaced and its work redone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from execution_work import square, square_if_physical, work

from kinetic.cli import main as kinetic_main
from kinetic.commandline import INVALID
from kinetic.dataset import generate
from kinetic.errors import InvalidInput
from kinetic.execution import AT_HAND, DIED, SHORT, Dask, ExecutionConfig, Executor, Failed, Local

distributed = pytest.importorskip("distributed")

PRELOAD = ("kinetic.dataset", "execution_work")
SMALL: dict[str, Any] = {
    "cells": 16,
    "velocity": {"points": 41},
    "time": {"end": 0.02, "snapshots": 3},
    "dataset": {"trajectories": 6},
}


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a running scheduler that gives nothing to a second worker by itself."""
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture(params=["local", "dask"])
def executor(request: pytest.FixtureRequest) -> Executor:
    if request.param == "local":
        return Local(2, PRELOAD)
    return Dask(address=request.getfixturevalue("scheduler"))


def traces(folder: Path) -> dict[int, int]:
    """How often each item was begun."""
    return {int(file.name): len(file.read_text().split()) for file in folder.iterdir()}


def test_every_item_comes_back_once_with_its_result(executor: Executor) -> None:
    found = list(executor.map(square, range(20)))
    assert sorted(found) == [(n, n * n) for n in range(20)]


def test_no_items_give_no_results(executor: Executor) -> None:
    assert list(executor.map(square, [])) == []


def test_items_are_taken_as_workers_become_free() -> None:
    taken = []

    def items() -> Iterator[int]:
        for n in range(50):
            taken.append(n)
            yield n

    results = Local(2, PRELOAD).map(square, items())
    next(results)
    assert len(taken) <= 4
    results.close()  # type: ignore[attr-defined]


def test_a_non_physical_state_is_told_and_stops_nothing(executor: Executor) -> None:
    found = dict(executor.map(square_if_physical, range(6)))
    assert isinstance(found[3], Failed)
    assert "cell 7" in found[3].reason
    assert [found[n] for n in (0, 1, 2, 4, 5)] == [0, 1, 4, 16, 25]


def test_other_errors_end_the_work(executor: Executor) -> None:
    with pytest.raises(ZeroDivisionError):
        list(executor.map(partial(divmod, 1), [0, 1, 2]))


@pytest.mark.parametrize("seconds", [SHORT / 5, SHORT])
def test_a_worker_killed_in_the_middle_costs_its_own_work_only(
    executor: Executor, tmp_path: Path, seconds: float
) -> None:
    found = dict(executor.map(partial(work, tmp_path, 1, seconds), range(24)))
    assert sorted(found) == list(range(24))
    assert all(isinstance(result, int) for result in found.values())
    begun = Counter(traces(tmp_path))
    assert begun[5] == 2
    # Of a cluster's worker also what was done and not yet fetched, or travelled with it.
    again = sum(begun.values()) - 24 - 1
    assert again <= (0 if isinstance(executor, Local) else AT_HAND * round(SHORT / seconds))
    first, second = (tmp_path / "5").read_text().split()
    assert first != second


def test_work_that_kills_its_worker_twice_has_failed(executor: Executor, tmp_path: Path) -> None:
    found = dict(executor.map(partial(work, tmp_path, 9, SHORT / 5), range(12)))
    assert found.pop(5) == Failed(DIED)
    assert all(isinstance(result, int) for result in found.values())
    assert traces(tmp_path)[5] == 2


def contents(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_dask_makes_the_data_set_of_one_process(scheduler: str, tmp_path: Path) -> None:
    straight, dask = tmp_path / "straight.zarr", tmp_path / "dask.zarr"
    generate(SMALL | {"execution": {"workers": 1}}, straight, progress=False)
    report = generate(SMALL | {"execution": {"name": "dask", "address": scheduler}}, dask, False)
    assert (report.made, report.failures) == (6, [])
    assert contents(dask) == contents(straight)


def test_a_cluster_of_this_machine_is_made_and_ends() -> None:
    assert sorted(Dask(workers=1).map(square, [2, 3])) == [(2, 4), (3, 9)]


def test_an_address_without_a_scheduler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinetic.execution.PATIENCE", "0.3s")
    with pytest.raises(InvalidInput, match=r"execution\.address=tcp://127\.0\.0\.1:9"):
        list(Dask(address="tcp://127.0.0.1:9").map(square, [1]))


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"name": "slurm"}, "execution.name"),
        ({"workers": 0}, "execution.workers"),
        ({"address": "tcp://a:1"}, "execution.address"),
        ({"name": "dask", "address": "tcp://a:1", "workers": 2}, "execution.workers"),
    ],
)
def test_executions_that_make_no_sense_are_refused(config: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        ExecutionConfig.from_mapping(config)
    assert refusal.value.key == key


def test_the_configuration_chooses_the_executor() -> None:
    assert ExecutionConfig().executor() == Local()
    assert ExecutionConfig("dask", workers=3).executor() == Dask(3)


def test_jobs_of_a_sweep_run_under_submitit_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    sweep = ["solve", "knudsen=0.1,-1", "cells=12", "time.end=0.01", "--multirun"]
    sweep += ["hydra.sweep.dir=sweep", "hydra/launcher=submitit_local"]
    assert kinetic_main(sweep) == INVALID
    solution = tmp_path / "sweep/0/solution.zarr/zarr.json"
    before = solution.stat().st_mtime_ns
    assert kinetic_main(sweep) == INVALID
    assert solution.stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]
