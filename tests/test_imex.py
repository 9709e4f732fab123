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


def conduction(tableau, z):
    """Return phi(z) of `kinetic.imex`: w' = 1 - w / eps is driven to w = eps, and u' = w."""
    eps = 1.0 / z  # dt = 1

    def flow(f, out):
        out[:, 0], out[:, 1] = f[:, 1], 1.0

    def relax(f, step, correction, time):
        f[:, 1] /= (1.0 + step / eps) * (1.0 + correction / eps**2)

    f = np.array([[0.0, eps]])
    stepper = ImexStepper(tableau, flow, relax, f.shape)
    for _ in range(50 + int(20.0 / z)):
        before = f[0, 0]
        stepper.step(f, 0.0, 1.0)
    return (f[0, 0] - before) / eps


@pytest.mark.parametrize("z", [0.1, 1.0, 10.0, 1e3, 1e5])
@pytest.mark.parametrize("tableau", [ARS222, TABLEAUX["ars443"]], ids=lambda one: one.name)
def test_ars_methods_conduct_heat_as_they_should(tableau, z):
    assert conduction(tableau, z) == pytest.approx(1.0, rel=1e-9)


def test_default_conducts_heat_as_its_docstring_says():
    z = np.logspace(-1, 6, 57)
    found = np.array([conduction(HSZ2, one) for one in z])
    # Measured: 0.0720 at z = 8.5, and O(z^2) below.
    assert np.max(np.abs(found - 1.0) / z) == pytest.approx(0.072, abs=1e-3)
    assert np.abs(found[0] - 1.0) < 0.2 * z[0] ** 2
    assert conduction(HSZ2, 1.0) == pytest.approx(0.960, abs=1e-3)
    assert conduction(HSZ2, 3.0) == pytest.approx(1.093, abs=1e-3)
    assert found[-1] == pytest.approx(0.5 / HSZ2.implicit[2][2], rel=1e-4)


def worst_error(tableau, steps):
    """Largest error over dt / eps from 1e-3 to 1e3, started in equilibrium."""
    w0 = equilibrium(1.0)
    numbers = np.logspace(-3, 3, 13) / steps
    return max(
        np.abs(advance(tableau, eps, steps, w0) - exact(eps, w0))[0] for eps in map(float, numbers)
    )


@pytest.mark.parametrize(("tableau", "order"), [(HSZ2, 1.0), (ARS222, 2.0)])
def test_order_uniform_in_the_knudsen_number(tableau, order):
    coarse, fine = (worst_error(tableau, steps) for steps in (40, 80))
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.1)


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


def test_what_follows_from_the_order_conditions_is_what_was_published():
    explicit, implicit = HSZ2.matrices
    found = [explicit[3, 1], explicit[3, 2], implicit[1, 1], implicit[3, 2], implicit[3, 3]]
    # The ten digits of Hu, Shu & Zhang, section 2.6.1, as other codes hold them.
    published = [0.3215281691, 0.6784718309, 0.6286351712, 0.0746432814, 0.4449916135]
    assert found == pytest.approx(published, abs=1e-10)
    assert HSZ2.correction == pytest.approx(0.2797373792, abs=1e-10)


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


@pytest.mark.parametrize("tableau", TABLEAUX.values(), ids=TABLEAUX)
def test_the_penalty_keeps_explicit_collisions_stable(tableau: ImexTableau) -> None:
    """|R| < 1 for deviations that relax at lambda, of any dt / eps, beside upwind transport."""
    explicit, implicit = tableau.matrices
    one = np.eye(len(explicit))
    shift = np.exp(1j * np.linspace(0.0, np.pi, 13))
    face = 1.0 + (1.0 - 1.0 / shift) / 6.0 + (shift - 1.0) / 3.0
    transport = np.concatenate([-cfl * face * (1.0 - 1.0 / shift) for cfl in (0.0, 0.2, 0.4)])
    rates = np.array([0.05, 0.25, 0.5, 0.75, 1.0, 0.25 + 0.2j, 0.5 + 0.2j, 0.75 + 0.2j])
    for z in np.logspace(-1.0, 7.0, 17):
        # Twice as dense a gas collides twice as often; the penalty does not know its density.
        for density in (0.5, 1.0, 2.0):
            rate = z * density * float(tableau.penalty_at(np.array(z)))
            slopes = np.ravel(transport[:, None] + rate - z * density * rates)
            matrices = one + rate * implicit - slopes[:, None, None] * explicit
            last = np.linalg.solve(matrices, np.ones((len(one), 1)))[:, -1, 0]
            assert np.abs(last).max() < 1.0 + tableau.correction * rate**2
