"""Concurrent learning: a run from nothing, stopping, failures, and what a kill leaves."""

from __future__ import annotations

import json
import math
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import closures
from closures import distil
from closures.cli import main
from closures.gas import Gas
from closures.learn import execution, label, loop
from closures.learn.ensemble import FAILED_ERROR, ShortRollout, new
from closures.learn.execution import HereFirst
from closures.learn.label import Labeller, Request, make_label
from closures.learn.loop import Finished, learn
from closures.learn.options import LearnConfig
from closures.learn.space import DIMENSION
from closures.learn.status import read_rows, read_status
from closures.learn.store import LabelSet, LabelStore
from closures.library import gas_of, read_model
from closures.report.learning import curve_figure, write_report
from closures.training import TrainOptions
from closures.unrolling import rollout_error
from kinetic.commandline import DONE, INVALID
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.execution import Failed

ROOT = Path(__file__).resolve().parent.parent
SMALL: dict[str, Any] = {
    "cells": 12,
    "time": {"end": 0.004, "snapshots": 3},
    "closure": {"moments": 2},
    "execution": {"workers": 1},
    "learn": {
        "members": 2,
        "rounds": 1,
        "first": 5,
        "labels": 3,
        "window": 1,
        "draws": 12,
        "climbs": 1,
        "parents": 4,
        "children": 4,
        "cells": 8,
        "steps": 4,
        "batch": 16,
        "samples": 1000,
        "updates": 1,
        "trajectories": 2,
    },
}
PROGRAM = """
from closures import distil
distil.STEPS, distil.CASES, distil.END = 1, 1, 0.001
from closures.cli import main
raise SystemExit(main())
"""


def small(**options: Any) -> dict[str, Any]:
    """Return the configuration of a run of seconds."""
    return SMALL | {"learn": SMALL["learn"] | options}


def overrides(config: dict[str, Any]) -> list[str]:
    """Return a configuration as on a command line."""
    flat = {
        f"{g}.{k}": v
        for g in ("time", "closure", "execution", "learn")
        for k, v in config[g].items()
    }
    return [f"cells={config['cells']}", *(f"{key}={value}" for key, value in flat.items())]


def model_files(folder: Path) -> dict[str, bytes]:
    """Return the files of the model by name."""
    return {path.name: path.read_bytes() for path in (folder / "model").iterdir()}


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """Fit the start of the compiled solver in a moment; `test_fast` is about it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("STEPS", 1), ("CASES", 1), ("END", 0.001)):
            patch.setattr(distil, name, value)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, short: None) -> Finished:
    """A run that nothing disturbed."""
    return learn(small(), tmp_path_factory.mktemp("learn"), progress=False)


def folder_of(finished: Finished) -> Path:
    """Return the directory of a run."""
    return finished.model.parent


# A run


def test_a_run_starts_from_nothing_and_its_model_solves(finished: Finished) -> None:
    assert finished.reason == "the budget of 1 rounds is spent"
    assert [row["labelled"] for row in finished.rows] == [5, 3]
    assert [row["explored"] for row in finished.rows] == [5, 16]
    row = finished.rows[1]
    assert row["accurate"] + row["candidate"] + row["failed"] == row["explored"]
    assert row["share"] == 8 / 21
    closure = {"name": "model", "path": str(finished.model)}
    solution = closures.solve(cells=12, time={"end": 0.01, "snapshots": 2}, closure=closure)
    assert solution.sizes["k"] == 2


def test_another_seed_is_another_model(finished: Finished, tmp_path: Path) -> None:
    other = learn(small(seed=1), tmp_path, progress=False)
    weights = "weights.safetensors"
    assert model_files(other.model.parent)[weights] != model_files(folder_of(finished))[weights]


def test_members_go_on_from_their_weights_and_differ(finished: Finished) -> None:
    files = [
        (folder_of(finished) / f"rounds/{number:03}/member-{member}.safetensors").read_bytes()
        for number in (0, 1)
        for member in (0, 1)
    ]
    assert len(set(files)) == 4


def test_a_finished_run_is_only_looked_at(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = model_files(folder_of(finished))
    for name in ("Labeller", "validation_errors"):
        monkeypatch.setattr(loop, name, lambda *_: None)
    again = learn(small(), folder_of(finished), progress=False)
    assert again.rows == finished.rows
    assert model_files(folder_of(finished)) == before


def test_a_larger_budget_goes_on(finished: Finished, tmp_path: Path) -> None:
    shorter = learn(small(), tmp_path, progress=False)
    assert model_files(tmp_path) == model_files(folder_of(finished))
    longer = learn(small(rounds=2), tmp_path, progress=False)
    assert longer.rows[:2] == shorter.rows
    assert len(longer.rows) == 3
    assert model_files(tmp_path) != model_files(folder_of(finished))


def test_tighter_criteria_go_on_and_write_the_row_of_the_stop_again(
    finished: Finished, tmp_path: Path
) -> None:
    stopped = learn(small(share=1.0, worst=1e6), tmp_path, progress=False)
    assert "are candidates" in stopped.reason
    assert [row["labelled"] for row in stopped.rows] == [5, 0]
    again = learn(small(), tmp_path, progress=False)
    assert model_files(tmp_path) == model_files(folder_of(finished))
    assert [untimed(row) for row in again.rows] == [untimed(row) for row in finished.rows]
    assert learn(small(), tmp_path, progress=False).rows == again.rows
    loose = learn(small(share=1.0, worst=1e6), tmp_path, progress=False)
    assert [untimed(row) for row in loose.rows] == [untimed(row) for row in stopped.rows]


def untimed(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without what its round took."""
    return {key: value for key, value in row.items() if key != "seconds"}


def test_random_selection_explores_nothing(tmp_path: Path) -> None:
    run = learn(small(selection="random", members=1), tmp_path, progress=False)
    assert [row["labelled"] for row in run.rows] == [5, 3]
    assert run.rows[-1]["share"] == 1.0
    assert not list(tmp_path.rglob("explored-*"))


@pytest.mark.parametrize("collision", ["bgk", "boltzmann"])
def test_gases_of_two_velocity_dimensions_are_learned(collision: str, tmp_path: Path) -> None:
    wide = {
        "collision": collision,
        "velocity": {"dim": 2, "points": 48, "extent": 9.2},
        "time": {"end": 0.002, "snapshots": 3},
    }
    run = learn(small(labels=1, draws=6, steps=2) | wide, tmp_path, progress=False)
    assert run.rows[-1]["explored"] == 10
    assert gas_of(read_model(run.model, 2)) == Gas(2, collision)


def test_another_configuration_is_refused(finished: Finished) -> None:
    with pytest.raises(InvalidInput, match="another configuration"):
        learn(small(seed=5), folder_of(finished), progress=False)


# Kills


def test_a_killed_run_goes_on_to_the_same_bits(finished: Finished, tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "benchmarks/kill_learning.py"))
    script["start"].__globals__["PROGRAM"] = PROGRAM
    said = script["kill_often"](tmp_path / "killed", 3, 0, overrides(small()), haste=100.0)
    assert not any("missed" in one for one in said), said
    assert model_files(tmp_path / "killed") == model_files(folder_of(finished))


class InterruptionError(Exception):
    """Stands for whatever ends a run before its time."""


@pytest.mark.parametrize("suffix", ["selection.json", "member-0.safetensors", "model.json"])
def test_files_appear_when_they_are_complete(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    replace = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        if Path(target).name == suffix:
            raise InterruptionError
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(InterruptionError):
            learn(small(), tmp_path, progress=False)
    learn(small(), tmp_path, progress=False)
    assert model_files(tmp_path) == model_files(folder_of(finished))
    assert not list(tmp_path.rglob("*.partial"))


# Labels


def request(number: int) -> Request:
    """Return what asks for the label of a gas in the middle of the space."""
    return Request((0.5,) * DIMENSION, 0, 1, 0, 0, number)


def test_labels_are_shared_by_what_is_in_them(tmp_path: Path) -> None:
    physics = LearnConfig.from_mapping(small()).physics
    keys = {make_label(physics, tmp_path, request(number)) for number in (0, 1)}
    assert len(keys) == 1
    other = LearnConfig.from_mapping(small() | {"cells": 16}).physics
    assert request(0).key(other) not in keys


def test_a_label_is_the_window_of_a_trajectory(tmp_path: Path) -> None:
    physics = LearnConfig.from_mapping(small()).physics
    store = LabelStore(tmp_path)
    whole, late = (
        store.read(make_label(physics, tmp_path, Request((0.5,) * DIMENSION, *span, 0, 0, 0)))
        for span in ((0, 2), (1, 1))
    )
    assert whole["distribution"].shape[0] == 3
    assert np.array_equal(whole["distribution"][1:], late["distribution"])
    assert np.array_equal(whole["conserved"][1:], late["conserved"])


def test_processes_make_the_same_bits(finished: Finished, tmp_path: Path) -> None:
    learn(small() | {"execution": {"workers": 2}}, tmp_path, progress=False)
    assert model_files(tmp_path) == model_files(folder_of(finished))


def test_no_process_is_started_for_labels_of_a_moment(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("kinetic.execution._Desk", refuse)
    learn(small() | {"execution": {"workers": None}}, tmp_path, progress=False)
    assert model_files(tmp_path) == model_files(folder_of(finished))


@pytest.mark.parametrize(("worthwhile", "here"), [(60.0, 4), (0.0, 1)])
def test_what_would_take_long_here_is_done_elsewhere(
    monkeypatch: pytest.MonkeyPatch, worthwhile: float, here: int
) -> None:
    class Elsewhere:
        def map(self, function: Any, items: Any) -> Iterator[tuple[Any, Any]]:
            yield from ((item, "elsewhere") for item in items)

    monkeypatch.setattr(execution, "WORTHWHILE", worthwhile)
    done = list(HereFirst(Elsewhere()).map(str, range(4)))
    assert done == [(i, str(i) if i < here else "elsewhere") for i in range(4)]


def test_a_gas_that_the_velocity_grid_cannot_hold_has_failed(tmp_path: Path) -> None:
    narrow = LearnConfig.from_mapping(small() | {"velocity": {"points": 33, "extent": 3.0}})
    result = Labeller(narrow.physics, tmp_path)(request(0))
    assert isinstance(result, Failed)
    assert "velocity.extent" in result.reason
    assert not LabelStore(tmp_path).has(request(0).key(narrow.physics))


def test_a_run_without_any_label_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["learn", *overrides(small()), f"hydra.run.dir={tmp_path}"]
    assert main([*command, "velocity.extent=2"]) == INVALID
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("closures learn: error: velocity=(points=97, extent=2): ")

    def breaking(*_: Any) -> str:
        raise NonPhysicalState(0.01, 2, {"rho": -1.0}, "made to fail")

    monkeypatch.setattr(label, "make_label", breaking)
    with pytest.raises(InvalidInput, match=r"no label could be made: .* made to fail") as refused:
        learn(small(), tmp_path / "broken", progress=False)
    assert refused.value.key == "learn.first"


def test_one_label_is_enough_to_train_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(physics: Any, store: Path, asked: Request) -> str:
        if asked.number:
            raise NonPhysicalState(0.01, 2, {"rho": -1.0}, "made to fail")
        return make_label(physics, store, asked)

    monkeypatch.setattr(label, "make_label", breaking)
    run = learn(small(), tmp_path, progress=False)
    assert run.rows[0]["total_labelled"] == 1


def test_failures_are_listed_and_retried_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(physics: Any, store: Path, asked: Request) -> str:
        if asked.number == 0 and asked.round == 1:
            raise NonPhysicalState(0.01, 2, {"rho": -1.0}, "made to fail")
        return make_label(physics, store, asked)

    with monkeypatch.context() as patch:
        patch.setattr(label, "make_label", breaking)
        run = learn(small(), tmp_path, progress=False)
    assert run.rows[1]["unlabelled"] == 1
    assert run.rows[1]["labelled"] == 2
    assert "made to fail" in next(iter(run.failures.values()))
    assert "1 labels failed" in str(run)
    assert "made to fail" in write_report(tmp_path).read_text()
    again = learn(small(retry=True, rounds=2), tmp_path, progress=False)
    assert not again.failures
    assert [row["total_labelled"] for row in again.rows] == [5, 7, 11]


def test_a_damaged_label_is_refused(tmp_path: Path) -> None:
    physics = LearnConfig.from_mapping(small()).physics
    key = make_label(physics, tmp_path, request(0))
    file = tmp_path / f"{key}.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InvalidInput, match="is damaged"):
        LabelStore(tmp_path).read(key)


def test_training_leaves_out_windows_without_a_solution(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = LearnConfig.from_mapping(small())
    points = np.random.default_rng(0).random((2, DIMENSION))
    asked = [Request(tuple(point.tolist()), 0, 1, 0, 0, 0) for point in points]
    keys = [make_label(config.physics, tmp_path, one) for one in asked]
    labels = LabelSet(LabelStore(tmp_path), keys, config.physics, 1)
    stage, learned = ShortRollout(TrainOptions(data="labels", trajectories=2)), new(config)
    stage.read(labels, labels)
    learned.requires_grad_(False)
    whole = rollout_error(learned.closure(), stage.windows, torch.tensor([1]), 1)
    for one in (stage.windows, stage.held_out):
        one.averages[0] = math.nan
    assert float(stage.loss(learned, 0)) == float(whole)
    assert "leaves out 1 of 2 windows" in capsys.readouterr().err
    assert stage.validate(learned) == (FAILED_ERROR + float(whole)) / 2
    stage.windows.averages[:] = math.nan
    with pytest.raises(NonPhysicalState):
        stage.loss(learned, 0)


# Status and command line


def test_status_is_that_of_a_run_that_goes_on(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(finished)
    assert main(["learn", f"status={folder}"]) == DONE
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 2 + len(finished.rows) + 1
    assert shown[-1] == f"finished: {finished.reason}"
    assert json.loads((folder / "rounds.jsonl").read_text().splitlines()[1]) == finished.rows[1]
    assert main(["learn", f"status={tmp_path}"]) == INVALID
    assert "must be the directory of a run" in capsys.readouterr().err


def test_the_command_learns_and_reports(tmp_path: Path) -> None:
    assert main(["learn", *overrides(small()), f"hydra.run.dir={tmp_path}"]) == DONE
    page = (tmp_path / "report.html").read_text()
    assert "validation error" in page
    assert {f.name for f in (tmp_path / "figures").glob("*.png")} == {
        "gases.png",
        "learning-decades.png",
    }


def test_a_run_in_use_is_refused_and_seen(finished: Finished) -> None:
    folder = folder_of(finished)
    code = f"""
import sys, time
from pathlib import Path
from closures.learn.status import locked
with locked(Path({str(folder)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert read_status(folder).running
        with pytest.raises(InvalidInput, match="in use"):
            learn(small(), folder, progress=False)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    limit = time.monotonic() + 10.0
    while read_status(folder).running and time.monotonic() < limit:
        time.sleep(0.01)
    assert not read_status(folder).running
    assert read_rows(folder) == finished.rows


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"window": 3}, "learn.window"),
        ({"members": 1}, "learn.members"),
        ({"selection": "best"}, "learn.selection"),
        ({"rounds": 0}, "learn.rounds"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        LearnConfig.from_mapping(small(**options))
    assert refused.value.key == key


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ({"knudsen": 0.1}, "knudsen"),
        ({"closure": "euler"}, "closure"),
        ({"boundary": "outflow"}, "boundary"),
    ],
)
def test_what_is_not_explored_is_refused(part: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        LearnConfig.from_mapping(small() | part)
    assert refused.value.key == key


def test_the_curve_shows_every_way_and_seed() -> None:
    point = {"labels": 5, "error": {"-1": 0.01, "0": 0.02}}
    drawing = curve_figure({name: [[point, point]] * 2 for name in ("random", "indicator")})
    assert len(drawing.figure.axes) == 3
    assert all(len(axis.get_lines()) == 6 for axis in drawing.figure.axes)
