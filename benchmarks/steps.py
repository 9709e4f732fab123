"""What the suite measures inside a process: kinetic steps, collisions, duals, closed systems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from rocket_fft import c2r, r2c
from torch import Tensor

from benchmarks.alternatives import (
    NumpyKinetic,
    numpy_collisions,
    scipy_dual,
)
from benchmarks.measure import Call, Case
from closures import runtime
from closures.closure import MomentClosure
from closures.dual import DualSolver, ExponentialDual
from closures.fast import CompiledVolume, FastClosure, tables
from closures.features import INVARIANTS, invariants
from closures.finite_volume import FiniteVolume, Scheme, State
from closures.learned import BASIS, Learned
from closures.library import LearnedClosure, parse
from closures.objective import DUAL, POWER, Objective
from closures.runtime import Tables
from closures.samples import Samples, basis_averages
from closures.solution import initial_moments
from closures.solvers import solver_of
from kinetic.alignment import aligned, aligned_empty
from kinetic.boltzmann import BoltzmannOperator, boltzmann_operator
from kinetic.collisions import BGK
from kinetic.imex import ImexStepper
from kinetic.moments import Array
from kinetic.problems import problem
from kinetic.reference import solve
from kinetic.solver import Solver
from kinetic.space import SpaceGrid
from kinetic.velocity import VelocityGrid

EPS = 1e-2
CELLS = 100
#: Steps between two snapshots, as many as published problems take.
BETWEEN = 20
#: Arrays of the size of f that a step of `hsz2` reads or writes if none stays in a cache. The first
#: stage reads f and is written; each of two transports reads a stage and writes its slope; the
#: second stage reads f, the first and its slope, and is written; the end reads all five and writes
#: f. Relaxation happens on the way.
MOVED = 2 + 2 * 2 + 4 + 6
#: Size of the matrices whose product tells the rate of arithmetic.
MATRIX = 512


def kinetic_step(
    cells: int,
    dim: int = 1,
    points: int = 81,
    extent: float = 8.0,
    numpy: type[NumpyKinetic] = NumpyKinetic,
) -> Case:
    """A step of BGK, beside copies of as many bytes and the same step by NumPy."""
    stepper, f, dt = stepper_of(cells, dim, points, extent)
    other, copied = aligned_empty(*f.shape), aligned(f)
    copy = Call(partial(np.copyto, other, copied), factor=MOVED / 2)
    by_numpy = numpy(VelocityGrid(points, extent, dim), cells, EPS)
    return Case(steps_call(stepper, f, dt), copy, Call(partial(by_numpy.step, copied, dt)))


def steps_call(stepper: ImexStepper, f: Array, dt: float, count: float = 1.0) -> Call:
    """So many steps, as they follow each other between two snapshots."""

    def steps() -> None:
        for _ in stepper.steps(f, 0.0, dt, BETWEEN):
            pass

    return Call(steps, factor=count / BETWEEN)


def stepper_of(
    cells: int, dim: int = 1, points: int = 81, extent: float = 8.0
) -> tuple[ImexStepper, Array, float]:
    """Return what makes steps of BGK from initial data `mix`, f and the step."""
    grid, space = VelocityGrid(points, extent, dim), SpaceGrid(cells)
    f = aligned(problem("mix", seed=1, cells=cells).on_grid(grid))
    solver = Solver(grid, space, np.full(cells, EPS))
    dt = solver.scheme.cfl * space.dx / extent
    return solver.stepper(dt), f, dt


def relaxation() -> Case:
    """One relaxation of BGK, beside reading and writing f and the same by NumPy."""
    grid = VelocityGrid()
    f = problem("mix", seed=1, cells=CELLS).on_grid(grid)
    relax = BGK().relaxation(grid, np.full(CELLS, EPS))
    by_numpy = NumpyKinetic(grid, CELLS, EPS)
    own, theirs, other = f.copy(), f.copy(), np.empty_like(f)
    return Case(
        Call(lambda: relax(own, 1e-3, 0.0, 0.0)),
        Call(partial(np.copyto, other, f)),
        Call(lambda: by_numpy.relax(theirs, 1e-3, 0.0)),
    )


def collisions() -> Case:
    """Q of Maxwell molecules as the solver takes it, beside its FFTs alone and NumPy's."""
    operator, f = operator_of(48, CELLS)
    whole = boltzmann_operator(48, 9.2, 12)
    return Case(
        Call(partial(operator.spectral_sum, f)),
        bare_ffts(operator, f),
        Call(partial(numpy_collisions, whole, f[:20]), factor=CELLS / 20),
    )


def operator_of(points: int, cells: int) -> tuple[BoltzmannOperator, Array]:
    """Return Q on points^2 velocities and distributions for it."""
    grid = VelocityGrid(points, 9.2 * (points / 48) ** 0.5, 2)
    f = problem("mix", seed=1, cells=cells).on_grid(grid)
    operator = boltzmann_operator(points, grid.extent, 12, even=True)
    return operator, f.reshape(-1, points, points)


def shared_collisions(threads: int) -> Call:
    """Q of 100 cells on 48^2 velocities, the cells shared by so many threads."""
    operator, f = operator_of(48, CELLS)
    return Call(partial(operator.spectral_sum, f, threads))


def bare_ffts(operator: BoltzmannOperator, f: Array) -> Call:
    """The transforms of one evaluation, one forward and two back for each product and loss."""
    N = operator.axis.points
    spectrum = np.zeros((1, N, N // 2 + 1), complex)
    modes = np.zeros((operator.angles // 2 + 1, N, N // 2 + 1), complex)
    fields = np.empty((len(modes), N, N))
    return Call(partial(transform, f, np.array([1, 2]), spectrum, modes, fields))


@njit(nogil=True)
def transform(f, axes, spectrum, modes, fields):  # type: ignore[no-untyped-def]
    """Make the transforms of `bare_ffts`, cell by cell."""
    for cell in range(f.shape[0]):
        r2c(f[cell : cell + 1], spectrum, axes, True, 1.0, 1)
        c2r(modes, fields, axes, False, 1.0, 1)


@cache
def moments_of_mix(name: str, cells: int) -> Tensor:
    """Return moments m (cells, K) of a case after some steps of its closure."""
    solver, state = volume(f"{name}-fast", cells)
    with torch.no_grad():
        for _ in range(5):
            state = solver.step(state, solver.largest_step(state))
    return state.m


def volume(name: str, cells: int) -> tuple[FiniteVolume, State]:
    """Return the solver of a closure for initial data `mix`, and the state it starts from."""
    closure, case = parse(name), problem("mix", seed=0, cells=cells)
    eps = torch.as_tensor(case.knudsen)[None]
    solver = solver_of(closure, eps, BGK(), "periodic", Scheme())
    assert isinstance(solver, FiniteVolume)
    U, W = initial_moments(closure, case)
    with torch.no_grad():
        return solver, solver.decode(U, W / U[:, :1], None)


def learned(name: str) -> LearnedClosure:
    """Return a shipped closure of one velocity dimension."""
    closure = parse(name)
    assert isinstance(closure, LearnedClosure)
    return closure


def compiled_dual(closure: LearnedClosure, m: Array) -> Call:
    """The compiled dual solver from equilibrium, for moments m (cells, K)."""
    table, cells = tables(closure, 8), len(m)
    theta, space = np.zeros((cells, len(table.order))), dual_space(table, cells)

    def decode() -> None:
        theta[:] = 0.0
        space.held[:] = False
        runtime.decode(m, theta, np.zeros(cells), table, *space, 0, cells)

    return Call(decode)


class DualSpace(NamedTuple):
    """What the compiled dual solver writes beside theta; see `closures.runtime.Stages`."""

    density: Array
    factors: Array
    held: NDArray[np.bool_]
    status: NDArray[np.int64]


def dual_space(table: Tables, cells: int) -> DualSpace:
    """Return space for the dual problems of so many cells."""
    P, h = len(table.order), table.weights.size
    density, factors = np.empty((cells, 2, h)), np.empty((cells, P, P))
    return DualSpace(density, factors, np.zeros(cells, np.bool_), np.zeros(cells, np.int64))


def newton_step_of_dual(moments: float) -> Call:
    """Duals of 200 cells of a kinetic solution, untrained w, for each of the Newton steps."""
    torch.manual_seed(0)
    network = Learned(int(moments)).requires_grad_(False)
    plain = network.closure()
    assert isinstance(plain, MomentClosure)
    closure = FastClosure(**{one.name: getattr(plain, one.name) for one in fields(plain)})
    m = training_samples(200).averages @ network.encoder.features().table
    mu = torch.cat((torch.ones(len(m), 1).to(m), torch.zeros(len(m), 2).to(m), m), dim=1)
    call = compiled_dual(closure, m.numpy())
    return replace(call, factor=1.0 / newton_steps(closure.phi, closure.measure, mu))


def dual_solve() -> Case:
    """Duals of 1000 cells from equilibrium, beside their flops and scipy's trust regions."""
    name, cells = "entropy-6", 1000
    closure = learned(name)
    m = moments_of_mix(name, CELLS)
    mu = torch.cat((torch.ones(len(m), 1).to(m), torch.zeros(len(m), 2).to(m), m), dim=1)
    phi, measure = closure.phi.numpy(), closure.measure.numpy()
    flops = newton_flops(*closure.phi.shape) * newton_steps(closure.phi, closure.measure, mu)
    few = mu.numpy()[:20]

    def by_scipy() -> None:
        for row in few:
            scipy_dual(phi, measure, row)

    return Case(
        compiled_dual(closure, np.resize(m.numpy(), (cells, m.shape[1]))),
        matrix_rate(flops * cells / len(m)),
        Call(by_scipy, factor=cells / len(few)),
    )


def newton_flops(nodes: int, functions: int) -> float:
    """Return the flops of a Newton step of one dual: exponents, gradient, Hessian, its factors.

    Half of the Hessian is known by symmetry.
    """
    pairs = functions * (functions + 1) / 2
    return nodes * (4 * functions + 2 * pairs) + functions**3 / 3


def newton_steps(phi: Tensor, measure: Tensor, mu: Tensor) -> int:
    """Return how many Newton steps all cells together take from equilibrium."""
    taken = 0

    class Counted(ExponentialDual):
        def newton_step(self, density: Tensor, gradient: Tensor) -> Tensor:
            nonlocal taken
            taken += len(gradient)
            return super().newton_step(density, gradient)

    def counted(*inputs: Tensor) -> ExponentialDual:
        return Counted(*inputs, 1e-9)

    DualSolver().minimise(counted, (phi, measure), mu, torch.zeros_like(mu))
    return taken


def matrix_rate(flops: float) -> Call:
    """The time of so many flops at the rate of a product of matrices."""
    A, B = np.random.default_rng(0).random((2, MATRIX, MATRIX))
    return Call(partial(np.matmul, A, B, out=np.empty_like(A)), factor=flops / (2 * MATRIX**3))


def volume_step(name: str, cells: int) -> Case:
    """A step of the compiled solver, beside its dual solves alone and the solver in torch."""
    fast, state = volume(f"{name}-fast", cells)
    slow, begin = volume(name, cells)
    assert isinstance(fast, CompiledVolume)
    table, m = fast._tables, state.m.numpy().copy()
    theta, space = state.theta.numpy().copy(), dual_space(table, cells)
    solves = partial(runtime.decode, m, theta, np.zeros(cells), table, *space, 0, cells)
    stages = np.count_nonzero(fast._method.diagonal)
    return Case(
        step_call(fast, state),
        Call(solves, factor=int(stages)),
        step_call(slow, begin),
    )


def step_call(solver: FiniteVolume, state: State) -> Call:
    """A step of a closed system."""

    def step() -> None:
        with torch.no_grad():
            solver.step(state, solver.largest_step(state))

    return Call(step)


def training_samples(count: int) -> Samples:
    """Return samples of a kinetic solution."""
    solution = solve(
        problem={"name": "mix", "seed": 1},
        cells=CELLS,
        knudsen=0.3,
        output={"distribution": True},
    )
    f = solution.distribution.values[1:].reshape(-1, solution.sizes["v"])
    averages, divergence = basis_averages(f, solution.v.values, BASIS)
    rows = torch.arange(count) % len(averages)
    return Samples(averages[rows], divergence[rows])


def training_update(samples: float) -> Call:
    """An update of six functions w for so many samples."""
    batch, network, objective = training_samples(int(samples)), Learned(6), Objective(1e-5)
    return update(network, partial(objective, network.encoder, batch))


def update(network: Learned, loss: Callable[[], Tensor]) -> Call:
    """A step of Adam on a loss, always from the same parameters."""
    parameters = list(network.encoder.parameters())
    optimiser = torch.optim.Adam(parameters, lr=0.0)

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return Call(step)


def training_step() -> Case:
    """An update of w for 2048 samples, beside its flops and theta differentiated too."""
    batch, network, objective = training_samples(2048), Learned(6), Objective(1e-5)
    measure = network.encoder.measure
    with torch.no_grad():
        phi, mu = dual_of_samples(network, batch)
        steps = newton_steps(phi, measure, mu)
    # At the solution the dual is evaluated once more, and its derivative costs twice as much.
    flops = (steps + 3 * len(batch)) * newton_flops(*phi.shape)

    def differentiated() -> Tensor:
        phi, mu = dual_of_samples(network, batch)
        theta, _ = DUAL.solve(phi, measure, mu, torch.zeros_like(mu))
        dual = ExponentialDual(phi, measure, DUAL.regularization)
        lost = batch.divergence - 1.0 + dual.value(mu, theta, dual.density(theta))
        return (lost.clamp(min=0.0) / (batch.divergence + objective.floor)).pow(POWER).mean()

    own = update(network, partial(objective, network.encoder, batch))
    return Case(own, matrix_rate(flops), update(network, differentiated))


def dual_of_samples(network: Learned, batch: Samples) -> tuple[Tensor, Tensor]:
    """Return phi (n, P) and the moments (samples, P) of the duals that a loss solves."""
    features, c = network.encoder.features(), network.encoder.c
    m = batch.averages @ features.table
    mu = torch.cat((torch.ones(len(m), 1), torch.zeros(len(m), INVARIANTS - 1)), dim=1)
    phi = torch.cat((invariants(c), features.matrix(c)), dim=-1)
    return phi, torch.cat((mu.to(m), m), dim=1)
