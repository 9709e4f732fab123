"""The kinetic solver against exact solutions: in every limit the error converges, at its order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from kinetic.exact import (
    Gas,
    eigenvalues,
    free_riemann,
    free_transport,
    mode,
    relaxed,
    solve_riemann,
)
from kinetic.maxwellian import discrete_maxwellian, maxwellian
from kinetic.moments import heat_flux, moments_of, primitive
from kinetic.problems import draw, problem
from kinetic.solver import Scheme, Solver
from kinetic.space import SpaceGrid
from kinetic.velocity import VelocityGrid

SOD = Gas(1.0, 0.0, 1.0), Gas(0.125, 0.0, 0.8)
END = 0.1


def final(solver: Solver, f0: np.ndarray) -> np.ndarray:
    """Return f at t = 0.1."""
    *_, last = solver.evolve(f0, end=END, snapshots=2)
    return last.f


def observed_order(sizes: Sequence[int], errors: Sequence[float]) -> float:
    """Return the slope of log error against log mesh width."""
    return -float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def sod_error(cells: int, points: int, eps: float, exact: Callable) -> np.ndarray:
    """Return the L1 errors of the fields that `exact(xi)` gives, for Sod's problem."""
    state, grid = problem("sod", cells=cells, knudsen=eps), VelocityGrid(points)
    solver = Solver(grid, SpaceGrid(cells), state.knudsen, boundary="outflow")
    f = final(solver, state.distribution(grid.nodes))
    found = [*primitive(moments_of(f, grid)), heat_flux(f, grid)]
    pairs = zip(found, exact((state.x - 0.5) / END), strict=False)
    return np.array([np.abs(a - b).mean() for a, b in pairs])


def test_euler_limit_is_the_riemann_solution() -> None:
    """At eps = 1e-8 with gamma = 3: first order at the shock, two thirds at the contact."""
    cells = (50, 100, 200, 400)
    exact = solve_riemann(*SOD, gamma=3.0)
    errors = np.array([sod_error(n, 81, 1e-8, exact) for n in cells])
    # Measured on 400 cells: 0.0022, 0.0019, 0.0079; orders 0.84, 1.05, 0.81.
    assert np.all(errors[-1] < [0.0024, 0.0021, 0.0086])
    assert all(observed_order(cells, column) > 0.75 for column in errors.T)


def test_free_molecular_limit_is_the_closed_form() -> None:
    """Without collisions every velocity carries its jump; cells and velocities refine together."""
    cells = (50, 100, 200)
    errors = np.array(
        [sod_error(n, 8 * n // 5 + 1, 1e8, lambda xi: free_riemann(*SOD, xi)) for n in cells]
    )
    # Measured on 200 cells: rho 2.1e-4, u 6.0e-4, T 8.9e-4, q 2.7e-4; order 1.5.
    assert np.all(errors[-1] < [2.3e-4, 6.5e-4, 9.6e-4, 3.0e-4])
    assert all(observed_order(cells, column) > 1.45 for column in errors.T)


@pytest.mark.parametrize("seed", [1, 2])
def test_smooth_free_transport(seed: int) -> None:
    """The whole f against its characteristics, with waves as short as a quarter of the domain."""
    cells, grid = (50, 100, 200), VelocityGrid()
    profile, _ = draw("wave", seed)
    errors = []
    for n in cells:
        state = problem("wave", seed=seed, cells=n, knudsen=1e8)
        f = final(Solver(grid, SpaceGrid(n), state.knudsen), state.distribution(grid.nodes))
        exact = free_transport(profile, state.x, grid.nodes, END)
        errors.append(np.abs(f - exact).sum() / exact.sum())
    # Measured: 3.0 and 2.4.
    assert observed_order(cells, errors) > 2.2


@pytest.mark.parametrize(
    ("scheme", "order", "error"),
    [("hsz2", 1.9, 1.9e-5), ("ars222", 1.9, 7.3e-6), ("ars443", 2.9, 9.3e-8)],
)
def test_homogeneous_relaxation(scheme: str, order: float, error: float) -> None:
    """Two streams relax to the Maxwellian; cells only set the time step."""
    cells, eps, grid = (4, 8, 16, 32), 0.05, VelocityGrid(161, 10.0)
    streams = maxwellian(0.5, -1.0, 0.5, grid.nodes) + maxwellian(0.5, 1.2, 1.0, grid.nodes)
    errors = []
    for n in cells:
        f0 = np.tile(streams, (n, 1))
        M = discrete_maxwellian(moments_of(f0, grid), grid)
        solver = Solver(grid, SpaceGrid(n), np.full(n, eps), scheme=Scheme(time=scheme))
        difference = final(solver, f0) - relaxed(f0, M, END, eps)
        errors.append(np.abs(difference).max() / np.abs(f0 - M).max())
    assert errors[-1] < error
    assert observed_order(cells, errors) > order


@pytest.mark.parametrize("eps", [1e-3, 1e-2, 0.08])
@pytest.mark.parametrize("which", [0, 1], ids=["sound", "heat"])
def test_linear_spectrum(eps: float, which: int) -> None:
    """One eigenmode of amplitude 1e-6 evolves by its factor exp(lambda t)."""
    k, amplitude, grid = 2.0 * np.pi, 1e-6, VelocityGrid()
    lam = eigenvalues(k, eps)[which]
    shape, M = mode(lam, k, eps, grid.nodes), maxwellian(1.0, 0.0, 1.0, grid.nodes)
    cells, errors = (16, 32, 64), []
    for n in cells:
        space = SpaceGrid(n)
        wave = np.exp(1j * k * space.centers)[:, None]
        f0 = M + amplitude * (shape * wave).real
        f = final(Solver(grid, space, np.full(n, eps)), f0)
        density = (f - M).sum(axis=1) * grid.spacing / amplitude
        # A real mode holds wave and conjugate, each with half of the amplitude.
        found = 2.0 * np.mean(density * wave[:, 0].conj())
        errors.append(abs(found - np.exp(lam * END)))
    # Measured on 64 cells: at most 1.2e-4.
    assert errors[-1] < 1.3e-4
    assert observed_order(cells, errors) > 2.6
