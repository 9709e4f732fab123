"""Speed of the closed systems: seconds per step and per trajectory, and where they go.

`make bench` prints, for 1 and for 50 trajectories of 100 cells, the time of a step and of a
trajectory to t = 0.1 on one thread, the shares of the dual problem, of the face values and of the
encoding, and the time of a trajectory relative to the kinetic solver in the same run; then how many
times faster the compiled solver of `closures.fast` makes its steps, at 100 and at 10 000 cells, and
how many times faster than the reference the compiled closures of two dimensions are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

import closures
from closures.closure import MomentClosure
from closures.dual import DualSolver
from closures.fast import CompiledVolume
from closures.finite_volume import FiniteVolume, Scheme, State
from closures.gas import Gas
from closures.library import SHIPPED, parse
from closures.solution import initial_moments, run_batch
from closures.solvers import solver_of
from kinetic.collisions import BGK
from kinetic.config import SchemeConfig
from kinetic.problems import InitialState, problem
from kinetic.reference import solve

CELLS, STEPS = 100, 5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def start(name: str, trajectories: int) -> tuple[FiniteVolume, State]:
    closure = parse(name)
    states = [problem("mix", seed=seed, cells=CELLS) for seed in range(trajectories)]
    eps = torch.as_tensor(np.stack([state.knudsen for state in states]))
    solver = FiniteVolume(closure, eps, BGK(), "periodic", Scheme())
    parts = [initial_moments(closure, state) for state in states]
    U, W = (torch.cat(part) for part in zip(*parts, strict=True))
    with torch.no_grad():
        return solver, advance(solver, solver.decode(U, W / U[:, :1], None))


def advance(solver: FiniteVolume, state: State) -> State:
    with torch.no_grad():
        for _ in range(STEPS):
            state = solver.step(state, solver.largest_step(state))
    return state


@cache
def kinetic_seconds() -> float:
    """Of one trajectory of 100 cells and 81 velocities, the best of three."""
    runs = (solve(problem={"name": "mix", "seed": 0}, cells=CELLS) for _ in range(3))
    return min(run.attrs["solver_seconds"] for run in runs)


class Shares:
    """Wraps functions of the solver and adds up the time spent in each."""

    PARTS = ((DualSolver, "solve"), (FiniteVolume, "_faces"), (MomentClosure, "encode"))

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = {name: 0.0 for _, name in self.PARTS}
        for owner, name in self.PARTS:
            monkeypatch.setattr(owner, name, self._timed(name, getattr(owner, name)))

    def _timed(self, name, function):  # type: ignore[no-untyped-def]
        def timed(*arguments):  # type: ignore[no-untyped-def]
            begin = time.perf_counter()
            result = function(*arguments)
            self.seconds[name] += time.perf_counter() - begin
            return result

        return timed


@pytest.mark.parametrize("trajectories", [1, 50])
@pytest.mark.parametrize("name", ["entropy-6", "entropy-9"])
def test_step(
    name: str,
    trajectories: int,
    benchmark: BenchmarkFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    solver, state = start(name, trajectories)
    benchmark.pedantic(advance, (solver, state), rounds=5, warmup_rounds=1)
    best = benchmark.stats.stats.min / STEPS
    shares = Shares(monkeypatch)
    begin = time.perf_counter()
    advance(solver, state)
    whole = time.perf_counter() - begin
    figures = {part: f"{100 * value / whole:.0f} %" for part, value in shares.seconds.items()}
    per_trajectory = best / trajectories
    benchmark.extra_info |= {
        "milliseconds per step and trajectory": 1e3 * per_trajectory,
        **figures,
    }
    print(
        f"\n{name}, {trajectories}: {1e3 * per_trajectory:.2f} ms a step and trajectory; {figures}"
    )


@pytest.mark.parametrize("trajectories", [1, 50])
@pytest.mark.parametrize("name", ["entropy-6", "entropy-9"])
def test_trajectory(name: str, trajectories: int, benchmark: BenchmarkFixture) -> None:
    closure = parse(name)
    states = [problem("mix", seed=seed, cells=CELLS) for seed in range(trajectories)]

    def run() -> None:
        run_batch(
            closure,
            states,
            end=0.1,
            snapshots=11,
            collision=BGK(),
            boundary=None,
            scheme=SchemeConfig(),
        )

    benchmark.pedantic(run, rounds=1 if trajectories > 1 else 3)
    seconds = benchmark.stats.stats.min / trajectories
    ratio = seconds / kinetic_seconds()
    benchmark.extra_info |= {"seconds per trajectory": seconds, "of the kinetic time": ratio}
    print(
        f"\n{name}, {trajectories}: {seconds:.3f} s a trajectory, {ratio:.1f} of the kinetic time"
    )


@pytest.mark.parametrize("cells", [100, 10_000])
@pytest.mark.parametrize("name", ["entropy-6", "entropy-9"])
def test_compiled_steps(name: str, cells: int, benchmark: BenchmarkFixture) -> None:
    """The two solvers take turns, so that what else the machine does slows both."""
    state = problem("mix", seed=0, cells=cells)
    slow, begin = _solver(name, state)
    fast, _ = _solver(f"{name}-fast", state)
    assert isinstance(fast, CompiledVolume)
    advance(fast, begin)  # compiles
    seconds: dict[FiniteVolume, list[float]] = {slow: [], fast: []}

    def turn() -> None:
        for solver, times in seconds.items():
            before = time.perf_counter()
            advance(solver, begin)
            times.append((time.perf_counter() - before) / STEPS)

    benchmark.pedantic(turn, rounds=10 if cells == 100 else 3)
    newton, compiled = (min(times) for times in seconds.values())
    benchmark.extra_info |= {"seconds a step": compiled, "times faster": newton / compiled}
    print(
        f"\n{name}, {cells} cells: {1e3 * newton:.2f} ms a step, compiled {1e3 * compiled:.2f} ms: "
        f"{newton / compiled:.1f} times faster"
    )


def _solver(name: str, state: InitialState) -> tuple[FiniteVolume, State]:
    closure = parse(name)
    eps = torch.as_tensor(state.knudsen)[None]
    solver = solver_of(closure, eps, BGK(), "periodic", Scheme())
    assert isinstance(solver, FiniteVolume)
    U, W = initial_moments(closure, state)
    with torch.no_grad():
        return solver, advance(solver, solver.decode(U, W / U[:, :1], None))


GASES = [gas for gas in SHIPPED if gas.dimension == 2]


@pytest.mark.parametrize(
    ("gas", "moments"), [(gas, K) for gas in GASES for K in SHIPPED[gas]], ids=str
)
def test_reference_and_compiled_closure(
    gas: Gas, moments: int, benchmark: BenchmarkFixture
) -> None:
    """The reference in D = 2 and the compiled closure solve one case by turns, on one thread."""
    case = {
        "problem": {"name": "mix", "seed": 0},
        "knudsen": 0.1,
        "cells": CELLS,
        "velocity": {"dim": 2},
        "collision": gas.collision,
        "time": {"end": 0.1, "snapshots": 2},
    }
    closure = {"name": "entropy", "moments": moments, "fast": True}
    seconds: dict[str, list[float]] = {"reference": [], "closure": []}
    closures.solve(**case, closure=closure)  # compiles

    def turn() -> None:
        for name, run in (
            ("reference", lambda: solve(**case)),
            ("closure", lambda: closures.solve(**case, closure=closure)),
        ):
            seconds[name].append(run().attrs["solver_seconds"])

    benchmark.pedantic(turn, rounds=2 if gas.collision == "boltzmann" else 5)
    reference, learned = (min(times) for times in seconds.values())
    benchmark.extra_info |= {"seconds": learned, "times faster": reference / learned}
    print(
        f"\nD = 2 {gas.collision}, {moments} moments: reference {reference:.2f} s, compiled "
        f"closure {1e3 * learned:.0f} ms: {reference / learned:.1f} times faster"
    )
