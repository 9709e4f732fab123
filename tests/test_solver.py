"""The kinetic solver as a whole: order, restart, positivity, entropy, symmetries, failures."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from kinetic.collisions import BGK, FREQUENCIES
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.imex import TABLEAUX
from kinetic.limiters import LIMITERS
from kinetic.maxwellian import maxwellian
from kinetic.moments import entropy, moments_of
from kinetic.solver import Scheme, Solver
from kinetic.space import SpaceGrid
from kinetic.velocity import VelocityGrid

GRID = VelocityGrid(61, 7.0)
KNUDSEN = [1e-8, 1e-6, 1e-2, 1.0]
each_scheme = pytest.mark.parametrize("name", TABLEAUX)


def four_decades(x):
    return 10.0 ** (-3.0 + 4.0 * np.sin(np.pi * x) ** 2)


def solver(cells, eps, grid=GRID, boundary="periodic", collision=None, **scheme):
    space = SpaceGrid(cells)
    knudsen = eps(space.centers) if callable(eps) else np.full(cells, eps)
    return Solver(grid, space, knudsen, collision or BGK(), boundary, Scheme(**scheme))


def last(run, f0, end=0.1):
    *_, snapshot = run.evolve(f0, end=end, snapshots=2)
    return snapshot.f


def smooth(run):
    """Two Maxwellians a cell, away from equilibrium, of the kind of the family `wave`."""
    x = run.space.centers[:, None]
    s, c, v = np.sin(2 * np.pi * x), np.cos(2 * np.pi * x), run.grid.nodes
    first = maxwellian(0.6 + 0.25 * s, 0.2 * c, 0.6 + 0.2 * c, v)
    return 0.5 * first + 0.5 * maxwellian(0.6 + 0.25 * c, -0.25 * s, 0.5 - 0.2 * s, v)


def sod(run):
    left = run.space.centers[:, None] < 0.5
    return maxwellian(np.where(left, 1.0, 0.125), 0.0, np.where(left, 1.0, 0.8), run.grid.nodes)


def streams(run):
    """Two cold streams that collide in the middle and part at the ends: near vacuum there."""
    u = np.where(np.abs(run.space.centers[:, None] - 0.5) < 0.25, 1.5, -1.5)
    return maxwellian(1.0, u, 0.3, run.grid.nodes)


def distance(fine, coarse):
    """Mean relative distance at the centres of the coarse cells; three fine cells make a coarse."""
    return np.abs(fine[1::3] - coarse).mean() / np.abs(coarse).mean()


def refinement_errors(eps, name, cells, **scheme):
    runs = [solver(n, eps, time=name, **scheme) for n in cells]
    states = [moments_of(last(run, smooth(run)), GRID) for run in runs]
    return [distance(b, a) for a, b in pairwise(states)]


@pytest.mark.parametrize(("eps", "order"), [*((eps, 2.7) for eps in KNUDSEN), (four_decades, 2.5)])
def test_order_in_x_and_t_together(eps, order):
    # Second order in time, but the third-order error in x dominates at transport CFL.
    coarse, fine = refinement_errors(eps, "hsz2", (20, 60, 180))
    assert np.log(coarse / fine) / np.log(3.0) > order


@pytest.mark.parametrize("eps", KNUDSEN[1:])
@pytest.mark.parametrize("limiter", [name for name in LIMITERS if name != "third"])
def test_second_order_with_every_limiter(limiter, eps):
    # Clipped extrema cost the TVD limiters a fraction of an order on affordable grids.
    coarse, fine = refinement_errors(eps, "hsz2", (27, 81, 243), limiter=limiter)
    assert np.log(coarse / fine) / np.log(3.0) > 1.75


@pytest.mark.parametrize(("name", "order"), [("hsz2", 1.9), ("ars222", 1.9), ("ars443", 2.75)])
@pytest.mark.parametrize("eps", [1e-2, 1.0])
def test_order_in_time_alone(name, order, eps):
    states = []
    for cfl in (0.4, 0.1, 0.0125):
        run = solver(30, eps, time=name, cfl=cfl)
        states.append(moments_of(last(run, smooth(run)), GRID))
    coarse, fine = (np.abs(state - states[-1]).mean() for state in states[:-1])
    assert np.log(coarse / fine) / np.log(4.0) > order


@each_scheme
@pytest.mark.parametrize("eps", [1e-8, 1e-2, four_decades])
def test_restart_from_a_snapshot_is_bit_for_bit_the_straight_run(name, eps):
    run = solver(30, eps, time=name)
    f0 = smooth(run)
    straight = list(run.evolve(f0, end=0.07, snapshots=8))
    for stop in (2, 5):
        begin = straight[stop]
        rest = list(run.evolve(begin.f, start=begin.time, end=0.07, snapshots=8 - stop))
        assert [s.time for s in rest] == pytest.approx([s.time for s in straight[stop:]])
        for resumed, expected in zip(rest, straight[stop:], strict=True):
            assert np.array_equal(resumed.f, expected.f)


@pytest.mark.parametrize("initial", [sod, streams])
@pytest.mark.parametrize("eps", [1e-8, 1e-4, 1e-2, 10.0, four_decades])
@pytest.mark.parametrize("cfl", [0.4, 0.5])
def test_default_scheme_keeps_f_non_negative_and_entropy_falling(initial, eps, cfl):
    run = solver(60, eps, grid=VelocityGrid(), cfl=cfl)
    snapshots = list(run.evolve(initial(run), end=0.1, snapshots=21))
    assert min(s.f.min() for s in snapshots) >= 0.0
    total = [entropy(s.f, run.grid).sum() for s in snapshots]
    assert np.all(np.diff(total) < 0.0)


@each_scheme
@pytest.mark.parametrize("eps", [1e-8, 1e-2, 10.0])
def test_mirrored_data_give_the_mirrored_solution(name, eps):
    run = solver(30, eps, time=name)
    f0 = smooth(run)
    f, mirrored = last(run, f0), last(run, f0[::-1, ::-1])
    assert np.allclose(mirrored[::-1, ::-1], f, rtol=0.0, atol=2e-13)


def test_boost_changes_the_solution_by_discretisation_error_alone():
    # A boost by 5 dv moves the gas by whole cells in the time of the run.
    nodes, grid = 5, VelocityGrid(71, 7.0)
    time, boost = 0.25, nodes * grid.spacing
    errors = []
    for cells in (20, 40):
        run = solver(cells, 1e-2, grid=grid)
        f0 = smooth(run)
        moved = np.roll(last(run, f0, time), (round(boost * time * cells), nodes), axis=(0, 1))
        errors.append(np.abs(last(run, np.roll(f0, nodes, axis=1), time) - moved).max())
    assert errors[1] < 2e-3
    assert np.log2(errors[0] / errors[1]) > 2.5


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_homogeneous_gas_relaxes_at_the_rate_of_its_frequency(frequency):
    run = solver(4, 0.1, collision=BGK(frequency, 0.6), cfl=0.01)
    rho, shift, T = 0.7, 0.8, 0.5
    v = GRID.nodes
    f0 = 0.5 * rho * (maxwellian(1.0, shift, T, v) + maxwellian(1.0, -shift, T, v))
    equilibrium = maxwellian(rho, 0.0, T + shift**2, v)
    T = T + shift**2
    nu = {"constant": 1.0, "density": rho, "power": rho * T**0.4}[frequency]
    assert run.collision.nu(rho, T) == pytest.approx(nu)
    f = last(run, np.tile(f0, (4, 1)))
    assert np.allclose(f - equilibrium, np.exp(-nu) * (f0 - equilibrium), atol=1e-7)


def test_equilibrium_and_outflow_of_it_are_steady():
    run = solver(8, 1e-3, boundary="outflow")
    f0 = np.tile(maxwellian(0.8, 0.3, 0.9, GRID.nodes), (8, 1))
    assert np.allclose(last(run, f0), f0, rtol=0.0, atol=1e-13)


def test_snapshots_have_their_times_and_do_not_share_memory():
    run = solver(10, 0.1)
    f0 = smooth(run)
    snapshots = list(run.evolve(f0, start=0.5, end=0.6, snapshots=3))
    assert [s.time for s in snapshots] == pytest.approx([0.5, 0.55, 0.6])
    assert [s.steps for s in snapshots] == [0, 9, 18]
    assert np.array_equal(snapshots[0].f, f0)
    assert snapshots[0].f is not f0
    assert not np.shares_memory(snapshots[1].f, snapshots[2].f)


def test_time_step_is_below_cfl_and_divides_the_interval():
    run = solver(100, 0.1)
    for interval in (0.01, 0.013, 1e-6):
        count, dt = run.steps_per(interval)
        assert count * dt == pytest.approx(interval, rel=1e-11)
        assert dt * GRID.extent <= 0.4 * run.space.dx * (1.0 + 1e-9)
    # 0.01 = 28 * 0.4 dx / 4 exactly, whatever the round-off of the quotient.
    assert solver(100, 0.1, grid=VelocityGrid(41, 4.0)).steps_per(0.01)[0] == 10


def test_failure_names_time_cell_and_values():
    # The third-order method loses positivity where cold streams part at eps -> 0.
    run = solver(100, 1e-8, grid=VelocityGrid(), time="ars443")
    middle = np.abs(run.space.centers[:, None] - 0.5) < 0.2
    f0 = maxwellian(np.where(middle, 1, 0.01), np.where(middle, 1, -1), 0.045, run.grid.nodes)
    snapshots = run.evolve(f0, end=0.1, snapshots=11)
    assert next(snapshots).time == 0.0
    with pytest.raises(NonPhysicalState, match="temperature must be positive") as caught:
        list(snapshots)
    assert caught.value.values["T"] < 0.0
    assert 0.0 < caught.value.time < 0.1
    assert 0 <= caught.value.cell < 100


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"scheme": {"time": "hsz3"}}, "scheme.time"),
        ({"scheme": {"limiter": "superbe"}}, "scheme.limiter"),
        ({"scheme": {"cfl": 0.6}}, "scheme.cfl"),
        ({"boundary": "wall"}, "boundary"),
        ({"eps": -1.0}, "knudsen"),
        ({"eps": lambda x: x[:3]}, "knudsen"),
        ({"frequency": "densty"}, "collision.frequency"),
        ({"omega": np.nan}, "collision.omega"),
    ],
)
def test_bad_choices_are_refused(change, key):
    options = {"eps": 0.1, "boundary": "periodic", "scheme": {}} | change
    bgk = {name: options.pop(name) for name in ("frequency", "omega") if name in options}
    with pytest.raises(InvalidInput) as caught:
        solver(
            10,
            options["eps"],
            boundary=options["boundary"],
            collision=BGK(**bgk),
            **options["scheme"],
        )
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("spoil", "arguments", "key"),
    [
        (lambda f: f[:5], {}, "distribution"),
        (lambda f: f - 1.0, {}, "distribution"),
        (lambda f: f * np.nan, {}, "distribution"),
        (lambda f: f, {"end": 0.0}, "time.end"),
        (lambda f: f, {"snapshots": 1}, "time.snapshots"),
    ],
)
def test_bad_runs_are_refused_before_they_start(spoil, arguments, key):
    run = solver(10, 0.1)
    with pytest.raises(InvalidInput) as caught:
        run.evolve(spoil(smooth(run)), **({"end": 0.1, "snapshots": 2} | arguments))
    assert caught.value.key == key


def test_an_empty_cell_is_refused():
    run = solver(10, 0.1)
    f0 = smooth(run)
    f0[3] = 0.0
    with pytest.raises(NonPhysicalState) as caught:
        run.evolve(f0, end=0.1, snapshots=2)
    assert caught.value.cell == 3


CACHED = """
import sys
import numpy as np
from kinetic import limiters, maxwellian, relaxation, solver
grid, space = solver.VelocityGrid(21, 5.0), solver.SpaceGrid(8)
f0 = maxwellian.maxwellian(1.0, 0.0, 1.0, grid.nodes)
f0 = f0 * np.random.default_rng(1).uniform(0.5, 1.5, (8, 21))
for limiter in sys.argv[1:]:
    run = solver.Solver(grid, space, np.ones(8), scheme=solver.Scheme(limiter=limiter))
    *_, last = run.evolve(f0, end=0.1, snapshots=2)
    print(last.f.tobytes().hex())
kernels = [*limiters.TRANSPORTS.values(), relaxation.fill_equilibria]
print(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels))
"""


def test_kernels_are_cached_across_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    def evolve(*limiters):
        command = [sys.executable, "-c", CACHED, *limiters]
        printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        *results, misses = printed.split()
        return results, int(misses)

    compiled = [evolve(limiter) for limiter in LIMITERS]
    assert [misses for _, misses in compiled] == [2, *(1 for _ in compiled[1:])]
    results, misses = evolve(*LIMITERS)
    assert misses == 0
    # Kernels that were compiled in different processes and share a symbol would be mixed up.
    assert results == [result for (result,), _ in compiled]
    assert len(set(results)) == len(LIMITERS)
