"""Free transport: order of every limiter, conservation, bounds, symmetry and boundaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kinetic.errors import InvalidInput
from kinetic.limiters import LIMITERS
from kinetic.space import BOUNDARIES, SpaceGrid, ghosted_rows
from kinetic.transport import Transport
from kinetic.velocity import VelocityGrid

GRID = VelocityGrid(9, 1.0)
ORDERS = {"third": 2.95, "minmod": 1.8, "van_leer": 1.9, "mc": 1.85, "van_albada": 1.85}
each_limiter = pytest.mark.parametrize("limiter", LIMITERS)
each_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)


def transport(cells, limiter, boundary="periodic", courant=0.4, grid=GRID):
    space = SpaceGrid(cells)
    return Transport(grid, space, boundary, limiter, courant * space.dx / grid.extent)


def slope(operator, f):
    out = np.full_like(f, np.nan)
    operator(f, out)
    return out


def advance(operator, f, time):
    """Shu & Osher's third-order Runge-Kutta method up to `time` = 1."""
    steps = int(np.ceil(time / operator.step))
    dt = time / steps
    for _ in range(steps):
        f1 = f + dt * slope(operator, f)
        f2 = 0.75 * f + 0.25 * (f1 + dt * slope(operator, f1))
        f = (f + 2.0 * (f2 + dt * slope(operator, f2))) / 3.0
    return f


def wave(x):
    return np.exp(0.5 * np.sin(2.0 * np.pi * x))


def shape_of(name, cells):
    x = SpaceGrid(cells).centers
    profile = wave(x) if name == "wave" else np.where(np.abs(x - 0.5) < 0.2, 1.0, 0.1)
    return np.repeat(profile[:, None], GRID.points, axis=1)


def error(limiter, cells, norm):
    operator = transport(cells, limiter)
    f = advance(operator, shape_of("wave", cells), 0.4)
    exact = wave(operator.space.centers[:, None] - 0.4 * GRID.nodes)
    return norm(np.abs(f - exact))


@each_limiter
def test_order_in_the_mean(limiter):
    coarse, fine = (error(limiter, cells, np.mean) for cells in (80, 160))
    assert np.log2(coarse / fine) > ORDERS[limiter]


def test_third_keeps_its_order_at_extrema():
    coarse, fine = (error("third", cells, np.max) for cells in (80, 160))
    assert np.log2(coarse / fine) > 2.95


def reference(operator, f, limiter, boundary):
    """L(f) of one column at a time, straight from the definitions of the limiters."""
    space, rows = operator.space, ghosted_rows(operator.space.cells, boundary)
    result = np.empty_like(f)
    for k, v in enumerate(operator.grid.nodes):
        ghosted = f[rows, k] if v >= 0.0 else f[rows[::-1], k]
        d = np.diff(ghosted)
        d2 = np.diff(d)
        faces = [
            ghosted[i] + LIMITERS[limiter](d[i - 1], d[i], d2[i - 2], d2[i])
            for i in range(2, rows.size - 3)
        ]
        change = -abs(v) / space.dx * np.diff(faces)
        result[:, k] = change if v >= 0.0 else change[::-1]
    return result


@each_boundary
@each_limiter
def test_kernels_are_what_their_limiters_say(limiter, boundary):
    # The small step keeps the clamp of positivity out of the way.
    operator = transport(12, limiter, boundary, courant=1e-6)
    f = np.random.default_rng(1).uniform(0.5, 1.0, (12, GRID.points))
    expected = reference(operator, f, limiter, boundary)
    assert np.allclose(slope(operator, f), expected, rtol=0.0, atol=1e-12)


@each_limiter
def test_mirrored_data_give_the_mirrored_result_bit_for_bit(limiter):
    f = np.random.default_rng(2).uniform(0.0, 1.0, (15, GRID.points))
    operator = transport(15, limiter, "outflow")
    assert np.array_equal(slope(operator, f[::-1, ::-1].copy()), slope(operator, f)[::-1, ::-1])


@each_limiter
def test_periodic_transport_conserves_every_velocity(limiter):
    f = np.random.default_rng(3).uniform(0.0, 1.0, (50, GRID.points))
    assert np.max(np.abs(np.sum(slope(transport(50, limiter), f), axis=0))) < 1e-13 * 50 * 50


@each_boundary
@each_limiter
@settings(max_examples=25, deadline=None)
@given(
    f=arrays(float, (9, GRID.points), elements=st.sampled_from([0.0, 1e-200, 1e-3, 1.0, 7.0])),
    courant=st.sampled_from([0.2, 0.5, 0.95]),
)
def test_a_forward_step_is_exactly_non_negative(limiter, boundary, f, courant):
    operator = transport(9, limiter, boundary, courant)
    assert np.min(f + operator.step * slope(operator, f)) >= 0.0


@each_limiter
def test_no_new_extrema_at_a_jump(limiter):
    f = advance(transport(60, limiter, courant=1.0 / 3.0), shape_of("jump", 60), 0.5)
    assert np.min(f) >= 0.1 * (1.0 - 1e-13)
    assert np.max(f) <= 1.0 + 1e-13


@each_limiter
def test_outflow_lets_the_gas_leave(limiter):
    operator = transport(40, limiter, "outflow")
    uniform = np.ones((40, GRID.points))
    assert np.max(np.abs(slope(operator, uniform))) == 0.0
    pulse = np.where(np.abs(operator.space.centers - 0.5) < 0.2, 1.0, 0.0)[:, None] * uniform
    left = advance(operator, pulse, 2.0)
    assert np.max(left[:, np.abs(GRID.nodes) > 0.7]) < 1e-6


def test_unknown_names_are_refused():
    with pytest.raises(InvalidInput, match=r"scheme.limiter=minmood: .* 'minmod'"):
        transport(10, "minmood")
    with pytest.raises(InvalidInput, match=r"boundary=wall"):
        transport(10, "third", "wall")
