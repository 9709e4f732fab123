"""What the suite measures in processes of their own: cold starts, compilation, data sets."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.alternatives import NumpyKinetic
from benchmarks.measure import Call, Case
from benchmarks.steps import CELLS, EPS, stepper_of, steps_call
from kinetic.config import DatasetRunConfig
from kinetic.velocity import VelocityGrid

#: What the commands stand on, imported at once.
LIBRARIES = {
    "kinetic": "import numpy, numba, scipy.special, xarray, zarr, hydra, kinetic",
    "closures": "import numpy, numba, scipy.special, xarray, zarr, hydra, torch, jinja2, closures",
}
#: Prints the seconds in which Numba compiles for a call; those of one kernel hold what it needs.
COMPILING = """
import time, numba.core.event as event
class Clock(event.Listener):
    depth, begin, total = 0, 0.0, 0.0
    def on_start(self, _):
        self.begin = time.perf_counter() if self.depth == 0 else self.begin
        self.depth += 1
    def on_end(self, _):
        self.depth -= 1
        self.total += time.perf_counter() - self.begin if self.depth == 0 else 0.0
clock = Clock()
with event.install_listener("numba:compile", clock):
    {call}
print(clock.total)
"""
SHORT = "cells=20, time={'end': 1e-3, 'snapshots': 2}"
FIRST_SOLVE = {
    "kinetic": f"import kinetic; kinetic.solve({SHORT})",
    "closures": "import closures; closures.solve(closure={'name': 'entropy', 'moments': 6, "
    f"'fast': True}}, {SHORT})",
    "closures in D = 2": "import closures; closures.solve(closure={'name': 'entropy', "
    f"'moments': 9, 'fast': True}}, velocity={{'dim': 2}}, {SHORT})",
}
GENERATE = "from kinetic.dataset import generate; generate(%r, %r, progress=False)"
TRAJECTORIES = 200


def python(code: str, **environment: str) -> str:
    """Run code in a new interpreter, on one thread, and return what it prints."""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    return ended.stdout


def help_of(program: str, *arguments: str) -> Case:
    """``PROGRAM ... --help``, beside a bare interpreter and importing all libraries at once."""
    command = f"from {program}.cli import main; raise SystemExit(main({[*arguments, '--help']!r}))"
    return Case(
        Call(partial(python, command)),
        Call(partial(python, "pass")),
        Call(partial(python, LIBRARIES[program])),
        rounds=10,
    )


def warm_solve() -> Case:
    """``kinetic solve`` with its kernels cached, beside its libraries alone and an empty cache."""

    def solve(**environment: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            arguments = ["solve", f"cells={CELLS}", f"hydra.run.dir={folder}"]
            command = f"from kinetic.cli import main; raise SystemExit(main({arguments!r}))"
            python(command, **environment)

    def cold() -> None:
        with tempfile.TemporaryDirectory() as kernels:
            solve(NUMBA_CACHE_DIR=kernels)

    libraries = Call(partial(python, LIBRARIES["kinetic"]))
    return Case(Call(solve), libraries, Call(cold, once=True), rounds=3)


def compilation(first: str) -> Case:
    """What Numba compiles for a first solution, beside that solution with and without a cache."""
    solution = FIRST_SOLVE[first]
    walls: list[float] = []

    def compiling() -> float:
        begin = perf_counter()
        with tempfile.TemporaryDirectory() as kernels:
            printed = python(COMPILING.format(call=solution), NUMBA_CACHE_DIR=kernels)
        walls.append(perf_counter() - begin)
        return float(printed.split()[-1])

    warm = Call(partial(python, solution), once=True)
    cold = Call(lambda: walls[-1], reports=True)  # the run just measured
    return Case(Call(compiling, reports=True), warm, cold, rounds=1)


def data_set() -> Case:
    """Trajectories made by all cores, beside their steps alone and the same steps by NumPy."""
    workers = os.cpu_count() or 1
    stepper, f, dt = stepper_of(CELLS)
    by_numpy = NumpyKinetic(VelocityGrid(), CELLS, EPS)
    steps = TRAJECTORIES * round(DatasetRunConfig().time.end / dt) / workers
    return Case(
        generation(workers, TRAJECTORIES),
        steps_call(stepper, f, dt, steps),
        Call(partial(by_numpy.step, f.copy(), dt), factor=steps),
        rounds=2,
    )


def generation(workers: int, trajectories: int) -> Call:
    """A data set of 100 cells x 81 velocities to t = 0.1, made by so many processes."""

    def generate() -> None:
        with tempfile.TemporaryDirectory() as folder:
            config: dict[str, Any] = {
                "dataset": {"trajectories": trajectories},
                "execution": {"workers": workers},
            }
            python(GENERATE % (config, str(Path(folder) / "dataset.zarr")))

    return Call(generate, once=True)
