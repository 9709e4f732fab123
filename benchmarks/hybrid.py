"""Costs and errors of the hybrid solver, beside the closure alone and the kinetic solver.

python benchmarks/hybrid.py --threshold 0.01
python benchmarks/hybrid.py --dim 1 --collision bgk --moments 6

Of the draws of each family, with jumps `--strength` times as large (`benchmarks/robustness.py`), it
takes those with the strongest jumps of log p. Errors are against the kinetic solution (mean of the
three fields, `closures.metrics`); costs are seconds of processor time with one thread. The last two
lines are the ratios over all the cases: of the mean errors of hybrid and closure, and of the costs
of the hybrid and the kinetic solver.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from robustness import state_of

from closures.gas import Gas, frequency
from closures.hybrid.solver import HybridSolver, HybridStepper
from closures.library import load
from closures.metrics import FIELDS, Array, field, relative_errors
from closures.solution import run_batch
from kinetic.config import (
    SEED_RANGES,
    CollisionConfig,
    SchemeConfig,
    SolveConfig,
    TimeConfig,
    VelocityConfig,
)
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.moments import moments_of
from kinetic.problems import InitialState
from kinetic.reference import discretise, warm_up
from kinetic.solver import Scheme
from kinetic.velocity import VelocityGrid

END = 0.1
EXTENT = 11.0
"""Of the velocity grid, for the tails of gases hotter than those of the families; it has as few
points as the coldest of the gas allows."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome:
    """Errors of closure (None: it failed) and hybrid, seconds of all three, and shares."""

    closure: float | None
    hybrid: float
    seconds: tuple[float, float, float]
    kinetic_share: float
    collision_share: float

    def __str__(self) -> str:
        closure = "failed" if self.closure is None else f"{self.closure:.2e}"
        kinetic, alone, hybrid = self.seconds
        return (
            f"error {closure} closure, {self.hybrid:.2e} hybrid; "
            f"seconds {kinetic:.1f} kinetic, {alone:.1f} closure, {hybrid:.1f} hybrid; "
            f"kinetic cells {100 * self.kinetic_share:.0f} %, "
            f"collisions {100 * self.collision_share:.0f} %"
        )


def timed(function: Callable[[], Result]) -> tuple[Result, float]:
    """Return what `function` returns, and the processor time that it took."""
    begin = time.process_time()
    result = function()
    return result, time.process_time() - begin


def jump(state: InitialState) -> float:
    """Return the largest jump of log p between two cells."""
    U = state.conserved(1)
    rho, u = U[:, 0], U[:, 1] / U[:, 0]
    pressure = 2.0 * U[:, 2] - rho * u**2
    return float(np.abs(np.diff(np.log(pressure))).max())


def strongest(family: str, asked: argparse.Namespace) -> list[int]:
    """Return the seeds of the draws of a family with the strongest jumps."""
    seeds = range(asked.seed, asked.seed + asked.draws)
    by_jump = sorted(seeds, key=lambda s: -jump(state_of(family, s, asked.strength)))
    return sorted(by_jump[: asked.cases])


def mean_error(U: Array, reference: Array) -> float:
    """Return the mean relative error of the three fields."""
    return float(np.mean(relative_errors(U.T, reference.T)))


def configuration(state: InitialState, asked: argparse.Namespace) -> SolveConfig:
    """Return the problem on the coarsest velocity grid that holds the gas."""
    for points in range(48, 400, 2):
        grid = VelocityGrid(points, EXTENT, asked.dim)
        try:
            for component in state.components:
                grid.check_resolution(*component)
        except InvalidInput:
            continue
        break
    return SolveConfig(
        velocity=VelocityConfig(points=points, extent=EXTENT, dim=asked.dim),
        time=TimeConfig(END, 2),
        collision=CollisionConfig(asked.collision),
    )


def outcome(state: InitialState, asked: argparse.Namespace) -> Outcome:
    """Solve one problem in three ways."""
    config = configuration(state, asked)
    solver, f0 = discretise(config, state)
    closure = load("entropy", asked.moments, gas=Gas(asked.dim, asked.collision))
    nu = frequency(config.collision)

    def kinetic() -> Array:
        *_, last = solver.evolve(f0, end=END, snapshots=2)
        return moments_of(last.f, solver.grid)

    def alone() -> Array | None:
        scheme = SchemeConfig()
        (found,) = run_batch(
            closure, [state], end=END, snapshots=2, collision=nu, boundary=None, scheme=scheme
        )
        if isinstance(found, NonPhysicalState):
            return None
        return np.stack([field(found, name).values[-1] for name in FIELDS], axis=-1)

    def together() -> tuple[Array, HybridStepper]:
        hybrid = HybridSolver(solver, closure, nu, asked.threshold)
        *_, (last, stepper) = hybrid.evolve(f0, np.array([0.0, END]))
        return moments_of(last.f, solver.grid), stepper

    (U, first), (U_closure, second), ((U_hybrid, stepper), third) = map(
        timed, (kinetic, alone, together)
    )
    cells, kinetic_cells = stepper.cell_steps
    evaluations = sum(stepper.tableau.transported) * cells
    return Outcome(
        None if U_closure is None else mean_error(U_closure, U),
        mean_error(U_hybrid, U),
        (first, second, third),
        kinetic_cells / cells,
        stepper.collisions.evaluated / evaluations,
    )


def compile_kernels(asked: argparse.Namespace) -> None:
    """Solve a problem of every kind for a few steps, so that compilation costs no case."""
    warm_up(Scheme(), asked.dim)
    state = state_of("shock", 0, 1.0)
    config = configuration(state, asked)
    solver, f0 = discretise(config, state)
    closure = load("entropy", asked.moments, gas=Gas(asked.dim, asked.collision))
    hybrid = HybridSolver(solver, closure, frequency(config.collision), asked.threshold)
    for _ in hybrid.evolve(f0, np.array([0.0, 0.005])):
        pass


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description="errors and costs of the hybrid solver")
    parser.add_argument("--dim", type=int, default=2, help="velocity.dim")
    parser.add_argument("--collision", default="boltzmann")
    parser.add_argument("--moments", type=int, default=None, help="closure.moments")
    parser.add_argument("--threshold", type=float, default=0.01, help="hybrid.threshold")
    parser.add_argument("--families", nargs="+", default=["shock", "mix", "transition"])
    parser.add_argument("--draws", type=int, default=20, help="draws of each family looked at")
    parser.add_argument("--cases", type=int, default=3, help="of these, the strongest")
    parser.add_argument("--seed", type=int, default=SEED_RANGES["test"][0], help="of the first")
    parser.add_argument("--strength", type=float, default=1.5, help="of amplitudes and jumps")
    return parser.parse_args()


def main() -> None:
    """Print every case and the ratios of their means."""
    torch.set_num_threads(1)
    asked = arguments()
    compile_kernels(asked)
    found = []
    for family in asked.families:
        for seed in strongest(family, asked):
            found.append(outcome(state_of(family, seed, asked.strength), asked))
            print(f"{family} {seed}: {found[-1]}", flush=True)
    solved = [one for one in found if one.closure is not None]
    errors = np.mean([[one.hybrid, one.closure] for one in solved], axis=0)
    costs = np.sum([one.seconds for one in found], axis=0)
    print(f"error of the hybrid over that of the closure: {errors[0] / errors[1]:.3f}")
    print(f"cost of the hybrid over that of the kinetic solver: {costs[2] / costs[0]:.3f}")


if __name__ == "__main__":
    main()
