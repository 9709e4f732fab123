"""Speed of the collision operator of Maxwell molecules in two dimensions, and of a trajectory.

One evaluation for 100 cells of 48 x 48 velocities on one core is compared with nothing but its real
FFTs, one forward and A + 1 back, on blocks of the same size. Both are timed in turns, so that other
work on the machine slows both. A trajectory to t = 0.1 is timed with as many threads as there are
cores; its processor time tells what it costs where other work takes turns. `make bench` prints the
figures.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter, process_time

import numpy as np
import pytest
import scipy.fft
from pytest_benchmark.fixture import BenchmarkFixture

from kinetic.boltzmann import BoltzmannOperator, boltzmann_operator
from kinetic.exact import bkw
from kinetic.moments import Array
from kinetic.reference import cores, solve

CELLS = 100
POINTS = 48
ROUNDS = 40
GOAL = 1.5
#: Milliseconds for 100 cells.
GOALS = {"float32": 30.0, "float64": 60.0}
#: Seconds for a trajectory on two cores.
TRAJECTORY_GOAL = 15.0


def bare_ffts(operator: BoltzmannOperator, f: Array) -> Callable[[], None]:
    """Return what does the FFTs of one evaluation, and nothing else."""
    size = operator.cells_in_block(f)
    blocks = [f[first : first + size] for first in range(0, CELLS, size)]
    spectra = [scipy.fft.rfft2(block) for block in blocks]

    def run() -> None:
        for block, spectrum in zip(blocks, spectra, strict=True):
            scipy.fft.rfft2(block)
            for _ in range(operator.angles + 1):
                scipy.fft.irfft2(spectrum)

    return run


def best_of_each(calls: list[Callable[[], object]]) -> list[float]:
    """Return the shortest time of each call in milliseconds, all measured in turns."""
    times = np.empty((ROUNDS, len(calls)))
    for row in times:
        for i, call in enumerate(calls):
            start = perf_counter()
            call()
            row[i] = perf_counter() - start
    return [1e3 * float(best) for best in times.min(axis=0)]


@pytest.mark.parametrize("precision", GOALS)
def test_evaluation(benchmark: BenchmarkFixture, precision: str) -> None:
    operator = boltzmann_operator(POINTS)
    f = bkw(*operator.velocities, 0.5) * np.linspace(0.5, 1.5, CELLS)[:, None, None]
    f = f.astype(precision)
    benchmark.pedantic(operator, (f,), rounds=10, warmup_rounds=2)
    whole, bare = best_of_each([lambda: operator(f), bare_ffts(operator, f)])
    benchmark.extra_info.update({"ms": whole, "FFTs alone, ms": bare, "ratio": whole / bare})
    print(
        f"\nBoltzmann, {precision}: {whole:.1f} ms for {CELLS} cells (goal {GOALS[precision]:g}), "
        f"{whole / bare:.2f} times its FFTs alone, {bare:.1f} ms (goal {GOAL:g})"
    )


def test_trajectory(benchmark: BenchmarkFixture) -> None:
    problem, spent = {"name": "mix", "seed": 1}, []

    def trajectory() -> None:
        begin = process_time()
        solve(problem=problem, velocity={"dim": 2}, collision="boltzmann", cells=CELLS)
        spent.append(process_time() - begin)

    benchmark.pedantic(trajectory, rounds=2)
    seconds = benchmark.stats["min"]
    benchmark.extra_info["processor seconds"] = min(spent)
    print(
        f"\nBoltzmann, {CELLS} cells x {POINTS} x {POINTS} to t = 0.1: {seconds:.1f} s with "
        f"{cores()} threads (goal {TRAJECTORY_GOAL:g} with 2), {min(spent):.1f} s of processors"
    )
