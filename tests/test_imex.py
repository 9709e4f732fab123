"""IMEX tableaux: what they check, their order in time, and their Shu-Osher form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from kinetic.imex import ARS222, HSZ2, TABLEAUX, ImexStepper, ImexTableau
from kinetic.solver import MAX_CFL

each_tableau = pytest.mark.parametrize("tableau", TABLEAUX.values(), ids=TABLEAUX.keys())


# A relaxation system of Jin & Xin type in place of f: one cell, two components (u, w),
# u' = -w - u^2, w' = u - w u + (g(u) - w) / eps, where u plays the conserved moments.
def equilibrium(u):
    return 0.5 * u**2 + 0.3


def slope(f, out):
    u, w = f[:, 0], f[:, 1]
    out[:, 0], out[:, 1] = -w - u**2, u - w * u


def relaxation(eps):
    def relax(f, step, correction, time):
        keep = 1.0 / ((1.0 + step / eps) * (1.0 + correction / eps**2))
        f[:, 1] = keep * f[:, 1] + (1.0 - keep) * equilibrium(f[:, 0])

    return relax


def advance(tableau, eps, steps, w0, end=1.0):
    f = np.array([[1.0, w0]])
    stepper = ImexStepper(tableau, slope, relaxation(eps), f.shape)
    for n in range(steps):
        stepper.step(f, n * end / steps, end / steps)
    return f[0]


def exact(eps, w0, end=1.0):
    def rate(_, y):
        u, w = y
        return [-w - u**2, u - w * u + (equilibrium(u) - w) / eps]

    return solve_ivp(rate, (0, end), [1.0, w0], method="Radau", rtol=1e-12, atol=1e-13).y[:, -1]


def limit():
    """u and w as eps -> 0: w is at equilibrium."""
    solution = solve_ivp(lambda _, u: -equilibrium(u) - u**2, (0, 1), [1.0], rtol=1e-12, atol=1e-13)
    u = solution.y[0, -1]
    return np.array([u, equilibrium(u)])


def observed_order(tableau, eps, w0, target, steps=40):
    coarse, fine = (np.abs(advance(tableau, eps, n, w0) - target).max() for n in (steps, 2 * steps))
    return np.log2(coarse / fine)


@each_tableau
@pytest.mark.parametrize("eps", [10.0, 1.0, 0.2])
def test_claimed_order(tableau, eps):
    order = observed_order(tableau, eps, 0.5, exact(eps, 0.5), steps=80)
    assert order > tableau.order - 0.1


@each_tableau
def test_claimed_order_in_the_limit_from_equilibrium(tableau):
    assert observed_order(tableau, 1e-10, equilibrium(1.0), limit()) > tableau.order - 0.1


def test_default_keeps_its_order_in_the_limit_from_any_initial_data():
    # ARS methods transport the unrelaxed f^n in their first stage, an error O(dt).
    assert observed_order(HSZ2, 1e-10, 2.0, limit()) > 1.9
    assert observed_order(ARS222, 1e-10, 2.0, limit()) < 1.2


@each_tableau
def test_driver_steps_in_the_butcher_form(tableau):
    # On f' = a f - f / eps, a = 1 / eps = 1, every stage is known from the tableaux alone.
    explicit, implicit = tableau.matrices
    dt = 0.1
    stages = np.linalg.solve(
        np.eye(len(explicit)) - dt * explicit + dt * implicit, np.ones(len(explicit))
    )

    def growth(f, out):
        out[:] = f

    def decay(f, step, correction, time):
        f /= (1.0 + step) * (1.0 + correction)

    f = np.array([[1.0]])
    ImexStepper(tableau, growth, decay, f.shape).step(f, 0.0, dt)
    assert f[0, 0] == pytest.approx(stages[-1] / (1.0 + tableau.correction * dt**2), rel=1e-14)


@each_tableau
def test_weights_of_a_stage_sum_to_exactly_one(tableau):
    alpha, _ = tableau.shu_osher
    for row in alpha[1:]:
        assert sum(row) == 1.0


def test_default_is_convex_up_to_the_largest_time_step_allowed():
    assert HSZ2.positivity > MAX_CFL
    assert HSZ2.positivity == pytest.approx(0.5247, abs=1e-4)
    assert ARS222.positivity == 0.0


@pytest.mark.parametrize("index", [(1, 1), (2, 1), (3, 1), (3, 2), (3, 3)])
@pytest.mark.parametrize("part", ["explicit", "implicit"])
def test_a_mistyped_coefficient_is_refused(part, index):
    matrix = np.array(getattr(HSZ2, part), float)
    matrix[index] += 1e-6
    rows = tuple(map(tuple, matrix))
    with pytest.raises(ValueError, match="hsz2"):
        replace(HSZ2, **{part: rows})


def test_inconsistent_tableaux_are_refused():
    with pytest.raises(ValueError, match="order condition b c is off"):
        replace(HSZ2, correction=0.0)
    with pytest.raises(ValueError, match="order condition"):
        replace(ARS222, order=3)
    with pytest.raises(ValueError, match="square"):
        replace(ARS222, explicit=HSZ2.explicit)
    with pytest.raises(ValueError, match="first stage"):
        ImexTableau("euler", 1, ((0.0,),), ((1.0,),))
