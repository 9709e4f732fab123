"""Speed of the kinetic solver: nanoseconds per cell, velocity and stage on one core.

A stage is one transport and one relaxation: `hsz2` evaluates the transport twice a step, so a step
is counted as two stages although it relaxes three times. `make bench` prints the figures.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from kinetic.imex import TABLEAUX
from kinetic.limiters import LIMITERS
from kinetic.maxwellian import maxwellian
from kinetic.moments import Array, moments_of, primitive
from kinetic.problems import problem as kinetic_problem
from kinetic.solver import Scheme, Solver
from kinetic.space import SpaceGrid
from kinetic.velocity import VelocityGrid

CELLS = 100
STEPS = 20
GRID = VelocityGrid()
GOAL = 15.0


def problem(eps: float, scheme: Scheme) -> tuple[Solver, Array]:
    space = SpaceGrid(CELLS)
    s = np.sin(2.0 * np.pi * space.centers)[:, None]
    f0 = maxwellian(0.6 + 0.25 * s, 0.2 * s, 0.6 - 0.25 * s, GRID.nodes)
    return Solver(GRID, space, np.full(CELLS, eps), scheme=scheme), f0


def advance(solver: Solver, f0: Array) -> None:
    dt = solver.scheme.cfl * solver.space.dx / GRID.extent
    for _ in solver.evolve(f0, end=STEPS * dt, snapshots=2):
        pass


def nanoseconds(benchmark: BenchmarkFixture) -> float:
    """Best time per cell, velocity and transport evaluation of `hsz2`."""
    stages = int(np.count_nonzero(np.any(TABLEAUX["hsz2"].matrices[0], axis=0)))
    return float(1e9 * benchmark.stats["min"] / (STEPS * stages * CELLS * GRID.points))


@pytest.mark.parametrize("eps", [1e-8, 1e-2, 10.0])
@pytest.mark.parametrize("limiter", LIMITERS)
def test_stage(benchmark: BenchmarkFixture, limiter: str, eps: float) -> None:
    solver, f0 = problem(eps, Scheme(limiter=limiter))
    benchmark.pedantic(advance, (solver, f0), rounds=20, warmup_rounds=2)
    ns = nanoseconds(benchmark)
    benchmark.extra_info["ns per cell x velocity x stage"] = ns
    print(f"\nBGK, {limiter}, eps={eps:g}: {ns:.1f} ns per cell x velocity x stage (goal {GOAL:g})")


def moved_by_a_step(cells: int, columns: int) -> int:
    """Return the bytes that a step of `hsz2` must move if no array stays in a cache.

    Its arrays are f, two stages and the slope of each. The first stage reads f and is written; each
    transport reads a stage and writes its slope; the second stage reads f, the first and its slope;
    the end reads all five and writes f. The relaxation happens on the way.
    """
    arrays = 2 + 2 * 2 + 4 + 6
    return arrays * 8 * cells * columns


@pytest.mark.parametrize("dim", [2, 3])
def test_step_in_more_dimensions(benchmark: BenchmarkFixture, dim: int) -> None:
    grid, space = VelocityGrid(48, 9.2, dim), SpaceGrid(CELLS)
    f = kinetic_problem("mix", seed=1, cells=CELLS).on_grid(grid)
    solver = Solver(grid, space, np.full(CELLS, 1e-2), scheme=Scheme())
    dt = solver.scheme.cfl * space.dx / grid.extent
    stepper, other = solver.stepper(dt), np.empty_like(f)
    copies = timeit.repeat(lambda: np.copyto(other, f), number=20, repeat=20)
    benchmark.pedantic(stepper.step, (f, 0.0, dt), rounds=50, warmup_rounds=3)
    copies += timeit.repeat(lambda: np.copyto(other, f), number=20, repeat=20)
    copy = min(copies) / 20
    seconds, moved = benchmark.stats["min"], moved_by_a_step(CELLS, grid.columns)
    bandwidth, copied = moved / seconds / 1e9, 2 * f.nbytes / copy / 1e9
    benchmark.extra_info |= {"GB/s": bandwidth, "GB/s of a copy": copied}
    print(
        f"\nBGK, D = {dim}, {CELLS} cells x {grid.columns} columns: a step moves "
        f"{moved / 1e6:.1f} MB in {1e3 * seconds:.2f} ms, {bandwidth:.1f} GB/s; "
        f"copying f: {copied:.1f} GB/s; {bandwidth / copied:.0%} of it (goal 50 % in D = 2)"
    )


def minmod(a: Array, b: Array) -> Array:
    return np.maximum(0.0, np.minimum(a, b)) + np.minimum(0.0, np.maximum(a, b))


def faces(f: Array) -> Array:
    """The limiter `third` in NumPy: right face values of every cell, periodic."""
    behind = f - np.roll(f, 1, axis=0)
    ahead = np.roll(behind, -1, axis=0)
    d = ahead - behind
    curvature = minmod(d, np.roll(d, -1, axis=0))
    ends = np.stack([np.zeros_like(f), ahead, 0.5 * (ahead - curvature)])
    upper = np.stack([ends[0], 2.0 * behind, 0.5 * behind + 4 / 3 * np.roll(curvature, 1, axis=0)])
    low = np.maximum(ends.min(axis=0), upper.min(axis=0))
    high = np.minimum(ends.max(axis=0), upper.max(axis=0))
    return f + np.clip((behind + 2.0 * ahead) / 6.0, low, high)


def numpy_transport(f: Array, out: Array) -> None:
    face, mirrored = faces(f), faces(f[::-1])[::-1]
    rightward = np.roll(face, 1, axis=0) - face
    leftward = mirrored - np.roll(mirrored, -1, axis=0)
    out[:] = GRID.nodes * CELLS * np.where(GRID.nodes >= 0.0, rightward, leftward)


def numpy_relaxation(eps: float) -> Callable[[Array, float, float, float], None]:
    """BGK in NumPy; one Newton step makes the moments exact on this grid."""
    phi = np.stack([np.ones_like(GRID.nodes), GRID.nodes, 0.5 * GRID.nodes**2], axis=-1)
    products = (phi[:, :, None] * phi[:, None, :]).reshape(GRID.points, 9) * GRID.spacing

    def relax(f: Array, step: float, correction: float, time: float) -> None:
        U = moments_of(f, GRID)
        rho, u, T = primitive(U)
        M = maxwellian(rho[:, None], u[:, None], T[:, None], GRID.nodes)
        defect = U - moments_of(M, GRID)
        delta = np.linalg.solve((M @ products).reshape(-1, 3, 3), defect[:, :, None])[:, :, 0]
        M *= 1.0 + delta @ phi.T
        keep = 1.0 / ((1.0 + step / eps) * (1.0 + correction / eps**2))
        f[:] = keep * f + (1.0 - keep) * M

    return relax


def numpy_step(f: Array, dt: float, relax: Callable[[Array, float, float, float], None]) -> Array:
    """One step of `hsz2` in its Shu-Osher form."""
    tableau = TABLEAUX["hsz2"]
    alpha, beta = tableau.shu_osher
    stages, slopes = [f], [f]
    for i in range(1, len(alpha)):
        used = [j for j in range(i) if alpha[i, j] != 0.0]
        stage = sum(alpha[i, j] * stages[j] for j in used)
        stage = sum((dt * beta[i, j] * slopes[j] for j in used if beta[i, j] != 0.0), stage)
        last = i == len(alpha) - 1
        relax(stage, dt * tableau.implicit_diagonal[i], last * tableau.correction * dt**2, 0.0)
        slope = np.empty_like(f)
        if tableau.transported[i]:
            numpy_transport(stage, slope)
        stages.append(stage)
        slopes.append(slope)
    return stages[-1]


def test_numpy_version_of_the_same_step(benchmark: BenchmarkFixture) -> None:
    eps = 1e-2
    solver, f0 = problem(eps, Scheme())
    count, dt = solver.steps_per(STEPS * solver.scheme.cfl * solver.space.dx / GRID.extent)
    relax = numpy_relaxation(eps)

    def advance_numpy() -> Array:
        f = f0
        for _ in range(count):
            f = numpy_step(f, dt, relax)
        return f

    f = benchmark.pedantic(advance_numpy, rounds=5, warmup_rounds=1)
    *_, compiled = solver.evolve(f0, end=count * dt, snapshots=2)
    assert np.allclose(f, compiled.f, rtol=0.0, atol=1e-13)
    ratio = benchmark.stats["min"] / best_of(20, solver, f0)
    benchmark.extra_info["slower than Numba by"] = ratio
    ns = nanoseconds(benchmark)
    print(f"\nBGK in NumPy: {ns:.0f} ns per cell x velocity x stage, {ratio:.1f} times Numba")


def best_of(rounds: int, solver: Solver, f0: Array) -> float:
    """Best time of `advance` in seconds."""
    return min(timeit.repeat(lambda: advance(solver, f0), number=1, repeat=rounds))
