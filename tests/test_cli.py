"""The command line: what it prints, which exit status it returns, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import kinetic
from closures.cli import CLOSURES, closure_directories
from closures.cli import main as closures_main
from closures.resources import closures_dir
from kinetic.cli import KINETIC
from kinetic.cli import main as kinetic_main
from kinetic.commandline import DONE, INTERRUPTED, INVALID, NON_PHYSICAL, Program
from kinetic.config import OPERATORS
from kinetic.resources import config_dir

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["cells=8", "time.end=0.01", "time.snapshots=3"]
PROGRAMS = [(KINETIC, kinetic_main), (CLOSURES, closures_main)]
COMMANDS = [
    pytest.param(main, command.name, id=f"{program.name}-{command.name}")
    for program, main in PROGRAMS
    for command in program.commands
]
#: The commands that solve something, which therefore have cells and a collision operator.
SOLVING = [command for command in COMMANDS if command.values[1] not in ("train", "report")]

Main = Callable[[list[str]], int]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


def refusal(main: Main, arguments: list[str], capsys: Capture) -> str:
    """Return the one line that a refused command prints to standard error."""
    assert main(arguments) == INVALID
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(("program", "main"), PROGRAMS, ids=lambda case: getattr(case, "name", ""))
@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_without_a_command_the_commands_are_listed(
    program: Program, main: Main, arguments: list[str], capsys: Capture
) -> None:
    assert main(arguments) == DONE
    listing = capsys.readouterr().out
    assert all(f"  {command.name} " in listing for command in program.commands)


def test_an_unknown_command_is_refused_with_the_nearest(capsys: Capture) -> None:
    line = refusal(kinetic_main, ["slove"], capsys)
    assert "command=slove" in line
    assert "did you mean 'solve'?" in line


@pytest.mark.parametrize(("main", "command"), COMMANDS)
def test_help_and_cfg_show_the_configuration_and_run_nothing(
    main: Main, command: str, tmp_path: Path, capsys: Capture
) -> None:
    for option in (["--help"], ["--cfg", "job"]):
        assert main([command, *option]) == DONE
        assert ": null\n" in capsys.readouterr().out  # some key that has no value by default
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("main", "command"), SOLVING)
@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("cels=10", ["cels=10", "did you mean 'cells'?"]),
        ("velocity.pionts=10", ["velocity.pionts=10", "did you mean 'velocity.points'?"]),
        ("points=10", ["points=10", "did you mean 'velocity.points'?"]),
        ("collision=bkg", ["collision=bkg", "bgk", "did you mean 'bgk'?"]),
        ("collision=3", ["collision=3", "bgk"]),
        ("collision=[bgk]", ["collision=[bgk]", "one option"]),
        ("cells=10,20", ["cells=10,20", "--multirun"]),
        ("cells", ["argument=cells", "key=value"]),
        ("cells=[10", ["cells=[10", "cannot be read"]),
        ("--multrun", ["option=--multrun", "did you mean '--multirun'?"]),
        ("--cfg=jb", ["option=--cfg", "job"]),
        ("hydra.run.dir=/dev/null/out", ["hydra.run.dir=/dev/null/out", "Not a directory"]),
    ],
)
def test_what_hydra_refuses_is_told_in_one_line(
    main: Main, command: str, argument: str, expected: list[str], capsys: Capture
) -> None:
    line = refusal(main, [command, argument], capsys)
    assert all(part in line for part in expected), line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["problem=wvae"], ["problem=wvae", "transition", "did you mean 'wave'?"]),
        (["cells=few"], ["cells=few", "whole number"]),
        (["knudsen=-1"], ["knudsen=-1"]),
        (["boundary=perodic"], ["boundary=perodic", "did you mean 'periodic'?"]),
        (["scheme.limiter=minmud"], ["scheme.limiter=minmud", "did you mean 'minmod'?"]),
        (["velocity.dim=4"], ["velocity.dim=4", "from 1 to 3"]),
        (["collision=boltzmann"], ["collision.name=boltzmann", "velocity.dim=2"]),
        (["collision=boltzman"], ["collision=boltzman", "did you mean 'boltzmann'?"]),
        (["cells=${cell}"], ["cells=${...}", "'cell' not found"]),
        (["+viscosity=1"], ["viscosity=1", "unknown key"]),
        (["problem=file"], ["problem.path", "CSV"]),
        (["problem=file", "problem.path=no.csv"], ["problem.path=no.csv", "does not exist"]),
    ],
)
@pytest.mark.parametrize("main", [kinetic_main, closures_main])
def test_what_a_solver_refuses_is_told_in_one_line(
    main: Main, arguments: list[str], expected: list[str], capsys: Capture
) -> None:
    line = refusal(main, ["solve", *arguments], capsys)
    assert all(part in line for part in expected), line


def test_every_operator_has_a_configuration_file() -> None:
    assert OPERATORS.keys() == {file.stem for file in (config_dir() / "collision").glob("*.yaml")}


def test_a_velocity_grid_that_cuts_the_gas_is_refused_with_one_that_does(capsys: Capture) -> None:
    line = refusal(kinetic_main, ["solve", "velocity.extent=2"], capsys)
    assert all(part in line for part in ("velocity", "extent=2", "velocity.points=")), line


def test_the_traceback_is_shown_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    for argument in ("knudsen=-1", "knudson=1"):
        assert kinetic_main(["solve", argument]) == INVALID
        assert "Traceback" in capsys.readouterr().err
    assert os.environ["HYDRA_FULL_ERROR"] == "1"


@pytest.mark.parametrize("main", [kinetic_main, closures_main])
def test_solve_writes_a_solution_and_says_so(main: Main, capsys: Capture) -> None:
    assert main(["solve", *SMALL, "hydra.run.dir=out"]) == DONE
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1
    assert "out/solution.zarr (8 cells, 3 times" in printed.out
    assert printed.err == ""
    solution = xr.open_zarr("out/solution.zarr")
    assert dict(solution.sizes) | {"x": 8, "time": 3} == dict(solution.sizes)
    record = json.loads(Path("out/status.json").read_text())
    assert (record["status"], record["seconds"] > 0) == (DONE, True)


def test_the_command_line_and_python_give_the_same_bits() -> None:
    assert kinetic_main(["solve", *SMALL, "knudsen=0.1", "hydra.run.dir=out"]) == DONE
    expected = kinetic.solve(knudsen=0.1, cells=8, time={"end": 0.01, "snapshots": 3})
    xr.testing.assert_equal(xr.open_zarr("out/solution.zarr").load(), expected)


def test_a_path_may_hold_characters_that_hydra_reserves(capsys: Capture) -> None:
    folder = Path("a=b, [c]")
    folder.mkdir()
    rows = [f"{(j + 0.5) / 8},1,0,1" for j in range(8)]
    (folder / "it's.csv").write_text("\n".join(["x,density,velocity,temperature", *rows]))
    given = ["problem=file", f"problem.path={folder}/it's.csv", "time.end=0.01"]
    assert kinetic_main(["solve", *given, "hydra.run.dir=out"]) == DONE


@pytest.mark.parametrize("main", [kinetic_main, closures_main])
def test_cells_beside_a_file_are_those_of_the_file(main: Main, capsys: Capture) -> None:
    rows = [f"{(j + 0.5) / 8},1,0,1" for j in range(8)]
    Path("own.csv").write_text("\n".join(["x,density,velocity,temperature", *rows]))
    given = ["solve", "problem=file", "problem.path=own.csv", "time.end=0.01"]
    assert main([*given, "cells=16", "hydra.run.dir=out"]) == INVALID
    line = capsys.readouterr().err
    assert "cells=16" in line
    assert "8" in line
    assert main([*given, "cells=8", "hydra.run.dir=out"]) == DONE


def test_a_non_physical_state_keeps_the_snapshots(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    failure = kinetic.NonPhysicalState(0.05, 3, {"rho": -1.0}, "density is not positive")
    failure.solution = kinetic.solve(cells=8, time={"end": 0.01, "snapshots": 2})

    def fail(**config: Any) -> xr.Dataset:
        raise failure

    monkeypatch.setattr(kinetic, "solve", fail, raising=False)
    assert kinetic_main(["solve", "hydra.run.dir=out"]) == NON_PHYSICAL
    line = capsys.readouterr().err
    parts = ("t=0.05", "cell 3", "rho=-1", "not positive", "out/solution.zarr")
    assert all(part in line for part in parts)
    assert line.count("\n") == 1
    assert kinetic.read_solution("out/solution.zarr").sizes["time"] == 2


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]])
def test_a_sweep_runs_every_job_and_returns_the_largest_status(
    launcher: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = ["solve", "knudsen=-1,0.1,1", *SMALL, "--multirun", "hydra.sweep.dir=sweep", *launcher]
    assert kinetic_main(sweep) == INVALID
    printed = capfd.readouterr()
    assert printed.err.count("\n") == 1
    assert "knudsen=-1: must be" in printed.err
    assert printed.out.count("solution.zarr") == 2
    for job, knudsen in ((1, 0.1), (2, 1.0)):
        assert (kinetic.read_solution(f"sweep/{job}/solution.zarr").knudsen == knudsen).all()


SWEEP = """
import sys, kinetic.cli
sys.exit(kinetic.cli.main(sys.argv[1:]))
"""


def test_no_job_of_a_sweep_compiles(tmp_path: Path) -> None:
    """On a fresh installation the parent compiles before the jobs start together."""
    cache, sweep = tmp_path / "cache", tmp_path / "sweep"
    jobs = ["scheme.limiter=third,mc", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    command = ["solve", *SMALL, *jobs, "--multirun", f"hydra.sweep.dir={sweep}"]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", SWEEP, *command], check=True, env=environment)
    compiled = [file.stat().st_mtime_ns for file in cache.rglob("*.nb?")]
    started = [(sweep / job / ".hydra/config.yaml").stat().st_mtime_ns for job in "01"]
    assert compiled
    assert max(compiled) < min(started)


def test_a_sweep_is_resumed_by_the_same_command(capsys: Capture) -> None:
    sweep = ["solve", *SMALL, "--multirun", "hydra.sweep.dir=sweep"]
    assert kinetic_main([*sweep, "knudsen=0.1"]) == DONE
    written = Path("sweep/0/status.json").stat().st_mtime_ns
    assert kinetic_main([*sweep, "knudsen=0.1,1"]) == DONE
    assert Path("sweep/0/status.json").stat().st_mtime_ns == written
    assert capsys.readouterr().out.count("done before") == 1
    assert kinetic_main([*sweep, "knudsen=10"]) == DONE
    assert (kinetic.read_solution("sweep/0/solution.zarr").knudsen == 10.0).all()


def test_a_data_set_goes_on_under_the_same_command(capsys: Capture) -> None:
    command = ["dataset", "dataset.trajectories=2", "dataset.workers=1", *SMALL]
    assert kinetic_main(command) == DONE
    assert kinetic_main(command) == DONE
    first, second = capsys.readouterr().out.splitlines()
    assert "2 trajectories made, 0 found" in first
    assert "0 trajectories made, 2 found" in second
    assert kinetic_main([*command, "dataset.seed=5"]) == DONE
    assert len(list(Path("outputs/dataset").iterdir())) == 2


def test_interruption_ends_with_130() -> None:
    code = "import sys, kinetic.cli; sys.exit(kinetic.cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "solve", "cells=2000", "time.end=100"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [*command, "hydra.run.dir=out"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        # A shell that runs the tests in the background lets its children ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while not Path("out/.hydra/overrides.yaml").exists():
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.read() == "kinetic solve: interrupted\n"
    assert process.returncode == INTERRUPTED


def test_a_directory_is_taken_for_a_closure_also_in_a_sweep() -> None:
    Path("model").mkdir()
    rewritten = closure_directories(["closure=euler,runs/a,model", "cells=8"])
    mapping = "{{name:model,moments:null,path:'{}'}}".format
    assert rewritten == [f"closure=euler,{mapping('runs/a')},{mapping('model')}", "cells=8"]
    assert closure_directories(["closure=entropy"]) == ["closure=entropy"]


@pytest.mark.parametrize("value", ["nothing/here", "entrpy"])
def test_an_unknown_closure_is_refused(value: str, capsys: Capture) -> None:
    line = refusal(closures_main, ["solve", f"closure={value}"], capsys)
    assert value in line


def test_a_model_directory_is_solved_with(capsys: Capture) -> None:
    shipped = next(closures_dir().glob("entropy-d1-*"))
    command = ["solve", f"closure={shipped},euler", *SMALL, "--multirun", "hydra.sweep.dir=sweep"]
    assert closures_main(command) == DONE
    assert "moments" in kinetic.read_solution("sweep/0/solution.zarr")
