"""Commands that are killed, interrupted or started twice, random configurations, surroundings."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import closures
from kinetic.cli import main as kinetic_main
from kinetic.output import read_solution
from kinetic.resources import config_dir

BENCHMARKS = config_dir().parent / "benchmarks"
SMALL = ["cells=8", "time.end=0.01", "time.snapshots=2"]
PROGRAM = "from kinetic.cli import main; raise SystemExit(main())"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def breaker() -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARKS / "break_commands.py"), run_name="break_commands")


def test_a_sweep_that_is_killed_goes_on_to_the_same_bits(
    breaker: dict[str, Any], tmp_path: Path
) -> None:
    case = breaker["cases"](tmp_path)["sweep"]
    trial = breaker["trial_of"](case, tmp_path / "straight")
    assert trial.kill(tmp_path / "killed", np.random.default_rng(3)) == ""
    assert trial.finish(tmp_path / "killed") == ""


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARKS / "random_configurations.py"), run_name="random")


@pytest.mark.parametrize("number", range(10))
def test_random_configurations_end_well(drawn: dict[str, Any], tmp_path: Path, number: int) -> None:
    command = drawn["command"](5, number, tmp_path)
    assert command == drawn["command"](5, number, tmp_path)
    outcome = drawn["run"](command, tmp_path / "run")
    assert outcome.kind != "DEFECT", (command, outcome.message)


@pytest.mark.parametrize(
    "surroundings",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TZ": "Pacific/Apia"},
        {"LC_ALL": "tr_TR.UTF-8", "TZ": ":nowhere"},
    ],
)
def test_locale_and_time_zone_do_not_matter(tmp_path: Path, surroundings: dict[str, str]) -> None:
    folder = tmp_path / "Mönch ıİ"
    command = [sys.executable, "-c", PROGRAM, "solve", *SMALL, f"hydra.run.dir='{folder}'"]
    found = subprocess.run(command, env=os.environ | surroundings, capture_output=True)
    assert found.returncode == 0, found.stderr.decode(errors="replace")
    assert read_solution(folder / "solution.zarr").sizes["x"] == 8


def test_a_clock_that_goes_back_does_not_stop_a_run_from_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["solve", "--multirun", *SMALL, "knudsen=1", f"hydra.sweep.dir={tmp_path}"]
    assert kinetic_main(command) == 0
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 1e9)
    for path in tmp_path.rglob("*"):
        os.utime(path, (now + 1e9, now + 1e9))
    assert kinetic_main(command) == 0
    assert "done before" in capfd.readouterr().out


def test_an_interrupted_command_ends_with_130(tmp_path: Path) -> None:
    long = ["cells=40", "time.end=5000", "time.snapshots=2", f"hydra.run.dir={tmp_path / 'run'}"]
    # A shell lets what it starts in the background ignore the signal.
    heeding = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {PROGRAM}"
    command = [sys.executable, "-c", heeding, "solve", *long]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run").exists():
        time.sleep(0.01)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    assert "Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert names(tmp_path / "run") <= {".hydra"}


@pytest.mark.parametrize("dim", [2, 3])
def test_a_single_hermite_moment_is_a_closure_too(dim: int) -> None:
    solution = closures.solve(
        problem="shock",
        knudsen=0.1,
        cells=8,
        time={"end": 0.01, "snapshots": 2},
        velocity={"dim": dim},
        closure={"name": "hermite", "moments": 1},
    )
    assert solution.sizes["k"] == 1
    assert float(abs(solution.density.mean("x").diff("time")).max()) < 1e-13
