"""Two and three velocity dimensions against results that no part of the project computes.

Viscosity and heat conductivity are those of Chapman and Enskog, the limit is Euler's equations.
Closures have the coefficients that the operators have: small waves are those of the kinetic solver.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from moment_cases import start

from closures import gas
from closures.library import parse
from kinetic.collisions import BGK, Collision, EllipsoidalBGK, Shakhov
from kinetic.exact.riemann import Gas, solve_riemann
from kinetic.moments import Array, heat_flux, moments_of, primitive, stress
from kinetic.penalised import Boltzmann
from kinetic.problems import Component, InitialState, cell_centers, problem
from kinetic.solver import Scheme, Solver
from kinetic.space import SpaceGrid
from kinetic.velocity import VelocityGrid

#: Operator, dimensions, viscosity mu / (p eps) and Prandtl number.
COEFFICIENTS: list[tuple[Collision, int, float, float]] = [
    (BGK(), 2, 1.0, 1.0),
    (BGK(), 3, 1.0, 1.0),
    (EllipsoidalBGK(), 2, 1.0, 1 / 2),
    (EllipsoidalBGK(), 3, 1.0, 2 / 3),
    (EllipsoidalBGK(prandtl=0.8), 2, 1.0, 0.8),
    (Shakhov(), 2, 1.0, 1 / 2),
    (Shakhov(), 3, 1.0, 2 / 3),
    (Boltzmann(8), 2, 2.0, 1 / 2),
]


def measured(operator: Collision, dim: int, eps: float) -> tuple[float, float]:
    """Return mu / eps and kappa / eps of a gas with rho = T = 1.

    They are the ratios of the stress of a sound wave to d_x u, and of the heat flux of a wave of T
    at constant pressure to d_x T, after many mean free times.
    """
    cells, k, amplitude, gamma = 16, 2.0 * np.pi, 1e-3, (dim + 2) / dim
    points, extent = (48, 9.2) if isinstance(operator, Boltzmann) else (24, 6.0)
    grid, x = VelocityGrid(points, extent, dim), cell_centers(cells)
    s = amplitude * np.sin(k * x)

    def after(component: Component) -> Array:
        state = InitialState(x, np.full(cells, eps), (component,))
        run = Solver(grid, SpaceGrid(cells), state.knudsen, operator, scheme=Scheme("ars222"))
        return list(run.evolve(state.on_grid(grid), end=0.1, snapshots=2))[-1].f

    def ratio(flux: Array, field: Array) -> float:
        first, second = (np.fft.rfft(a)[1] for a in (flux, field))
        return float(-np.real(first / (1j * k * second))) / eps

    sound = after((1.0 + s, np.sqrt(gamma) * s, 1.0 + (gamma - 1.0) * s))
    heat = after((1.0 + s, 0.0 * s, 1.0 / (1.0 + s)))
    _, u, _ = primitive(moments_of(sound, grid), dim)
    _, _, T = primitive(moments_of(heat, grid), dim)
    shear = 2.0 * (dim - 1) / dim  # p_11 - p = -shear mu d_x u
    return ratio(stress(sound, grid), u) / shear, ratio(heat_flux(heat, grid), T)


@pytest.mark.parametrize(("operator", "dim", "viscosity", "prandtl"), COEFFICIENTS)
def test_viscosity_and_conductivity_are_those_of_chapman_and_enskog(
    operator: Collision, dim: int, viscosity: float, prandtl: float
) -> None:
    mu, kappa = measured(operator, dim, 0.0025)
    assert mu == pytest.approx(viscosity, rel=2e-3)
    assert kappa == pytest.approx(0.5 * (dim + 2) * viscosity / prandtl, rel=6e-3)
    assert 0.5 * (dim + 2) * mu / kappa == pytest.approx(prandtl, rel=8e-3)


@pytest.mark.parametrize("operator", [BGK(), EllipsoidalBGK(), Shakhov()])
@pytest.mark.parametrize("dim", [2, 3])
def test_the_limit_is_the_euler_equations_of_the_gas(operator: Collision, dim: int) -> None:
    grid, end = VelocityGrid(28, 6.5, dim), 0.12
    errors = []
    for cells in (50, 200):
        state = problem("sod", cells=cells, knudsen=1e-7)
        run = Solver(grid, SpaceGrid(cells), state.knudsen, operator, "outflow")
        *_, last = run.evolve(state.on_grid(grid), end=end, snapshots=2)
        exact = solve_riemann(Gas(1.0, 0.0, 1.0), Gas(0.125, 0.0, 0.8), gamma=(dim + 2) / dim)
        fields = primitive(moments_of(last.f, grid), dim)
        expected = exact((state.x - 0.5) / end)
        errors.append([np.abs(a - b).mean() for a, b in zip(fields, expected, strict=True)])
    coarse, fine = np.array(errors)
    assert np.all(fine < 0.011)
    assert np.all(coarse > 2.0 * fine)


#: Operators that relax stress and heat flux at rates of their own.
GASES = [
    gas.Gas(2, "es_bgk"),
    gas.Gas(3, "es_bgk"),
    gas.Gas(1, "shakhov"),
    gas.Gas(2, "shakhov"),
    gas.Gas(3, "shakhov", prandtl=1.5),
]
WAVE_CELLS, WAVE_END = 16, 0.1


def small_wave(dim: int, eps: float) -> InitialState:
    """A gas of one temperature, in which a wave of 1 % has sound and heat."""
    x = cell_centers(WAVE_CELLS)
    s = 0.01 * np.sin(2.0 * np.pi * x)
    return InitialState(x, np.full(WAVE_CELLS, eps), ((1.0 + s, s, np.ones(WAVE_CELLS)),))


@cache
def kinetic_wave(of: gas.Gas, eps: float) -> Array:
    """U of the small wave by the kinetic solver."""
    operators = {"es_bgk": EllipsoidalBGK, "shakhov": Shakhov}
    operator = operators[of.collision](prandtl=of.prandtl)
    grid, wave = VelocityGrid(28, 6.0, of.dimension), small_wave(of.dimension, eps)
    run = Solver(grid, SpaceGrid(WAVE_CELLS), wave.knudsen, operator)
    return moments_of(list(run.evolve(wave.on_grid(grid), end=WAVE_END, snapshots=2))[-1].f, grid)


@torch.no_grad()
def wave_error(name: str, of: gas.Gas, eps: float) -> float:
    """Distance of a closure from the kinetic solver over the size of the wave."""
    solver, now = start(parse(name, gas=of), [small_wave(of.dimension, eps)])
    steps = int(np.ceil(WAVE_END / float(solver.largest_step(now))))
    dt = torch.tensor([WAVE_END / steps], dtype=torch.float64)
    for _ in range(steps):
        now = solver.step(now, dt)
    expected = kinetic_wave(of, eps)
    wave = np.linalg.norm(expected - expected.mean(axis=0))
    return float(np.linalg.norm(now.U.numpy() - expected) / wave)


@pytest.mark.parametrize("of", GASES, ids=str)
def test_navier_stokes_is_right_to_second_order_in_the_knudsen_number(of: gas.Gas) -> None:
    coarse, fine = (wave_error("navier_stokes", of, eps) for eps in (0.02, 0.01))
    assert fine < 0.01
    assert coarse / fine > 3.0


@pytest.mark.parametrize("of", GASES, ids=str)
@pytest.mark.parametrize("name", ["hermite-9", "entropy-9"])
def test_small_waves_of_moments_are_those_of_the_kinetic_solver(name: str, of: gas.Gas) -> None:
    assert wave_error(name, of, 0.02) < 4e-4
