"""Two and three velocity dimensions against results that no part of the project computes.

Viscosity and heat conductivity are those of Chapman and Enskog, the limit is Euler's equations.
"""

from __future__ import annotations

import numpy as np
import pytest

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
