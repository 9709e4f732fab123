"""The kinetic solver and a closure as one scheme: conservation, limits, and what lies between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import closures
import kinetic
from closures.cli import main
from closures.gas import Gas, frequency
from closures.hybrid import runtime
from closures.hybrid.collisions import KineticCollisions
from closures.hybrid.config import FARTHEST
from closures.hybrid.indicator import BUFFER, RELEASE, chosen
from closures.hybrid.solver import HybridStepper
from closures.library import load
from closures.metrics import FIELDS, field, relative_l2
from kinetic.config import SolveConfig
from kinetic.errors import InvalidInput
from kinetic.imex import TABLEAUX
from kinetic.moments import moments_of
from kinetic.penalised import Boltzmann
from kinetic.reference import discretise, initial_state
from kinetic.velocity import VelocityGrid

SHOCK: dict[str, Any] = {
    "problem": {"name": "shock", "seed": 500000},
    "cells": 40,
    "knudsen": 0.02,
    "time": {"end": 0.05, "snapshots": 3},
}
GASES: dict[str, dict[str, Any]] = {
    "line": {},
    "plane": {"velocity": {"dim": 2, "points": 32, "extent": 8.0}, "cells": 24},
    "boltzmann": {
        "velocity": {"dim": 2, "points": 32, "extent": 8.0},
        "collision": {"name": "boltzmann", "angles": 4},
        "cells": 24,
    },
    "ellipsoidal": {
        "velocity": {"dim": 2, "points": 32, "extent": 8.0},
        "collision": "es_bgk",
        "cells": 24,
    },
    "space": {"velocity": {"dim": 3, "points": 61, "extent": 8.0}, "cells": 24},
}


def stepper_of(problem: dict[str, Any], threshold: float) -> tuple[HybridStepper, Any]:
    """The hybrid stepper of a problem, and its f0."""
    config = SolveConfig.from_mapping(problem)
    state = initial_state(config.problem, knudsen=config.knudsen, cells=config.cells)
    solver, f0 = discretise(config, state)
    closure = load("entropy", gas=Gas(config.velocity.dim, config.collision.name))
    dt = solver.steps_per(config.time.end / (config.time.snapshots - 1))[1]
    nu = frequency(config.collision)
    return HybridStepper(solver, closure, nu, threshold, dt), f0  # type: ignore[arg-type]


def totals(f: Any, stepper: HybridStepper) -> Any:
    return moments_of(f, stepper.projection.grid).mean(axis=0)


def errors(solution: xr.Dataset, reference: xr.Dataset) -> float:
    """Mean relative error of the three fields at the end."""
    pairs = ((field(solution, n).values[-1], field(reference, n).values[-1]) for n in FIELDS)
    return float(np.mean([relative_l2(a, b) for a, b in pairs]))


@pytest.mark.parametrize("gas", GASES)
def test_mass_momentum_and_energy_stay_while_the_interface_moves(gas: str) -> None:
    stepper, f0 = stepper_of({**SHOCK, **GASES[gas]}, threshold=0.003)
    rng, f = np.random.default_rng(3), f0.copy()
    cells, before, masks = len(f), totals(f0, stepper), set()
    stepper.look(f, 0.01)
    for n in range(24):
        if n % 3 == 0:
            first = int(rng.integers(cells))
            wanted = np.roll(np.arange(cells) < cells // 3, first)
            stepper.turn(f, wanted)
            masks.add(wanted.tobytes())
        stepper.step(f, n * stepper.dt)
    assert len(masks) > 4
    assert np.abs(totals(f, stepper) - before).max() < 3e-15


@pytest.mark.parametrize("gas", GASES)
def test_a_threshold_of_zero_gives_the_kinetic_solution_to_round_off(gas: str) -> None:
    problem = {**SHOCK, **GASES[gas]}
    hybrid = closures.solve(**problem, hybrid={"threshold": 0.0})
    reference = kinetic.solve(**problem)
    for name in ("density", "velocity", "temperature", "energy", "heat_flux"):
        # Measured: 3e-15.
        np.testing.assert_allclose(hybrid[name], reference[name], rtol=0.0, atol=6e-15)
    assert hybrid.kinetic.values.all()


@pytest.mark.parametrize(
    ("gas", "most"), [("line", 4e-4), ("boltzmann", 5e-3), ("ellipsoidal", 8e-3)]
)
def test_the_largest_threshold_gives_the_solution_of_the_closure(gas: str, most: float) -> None:
    problem = {**SHOCK, **GASES[gas]}
    hybrid = closures.solve(**problem, hybrid={"threshold": 2.0})
    alone = closures.solve(**problem, scheme={"cfl": 0.2})  # in steps about as short
    assert not hybrid.kinetic.values.any()
    assert errors(hybrid, alone) < most


def test_between_them_errors_lie_between() -> None:
    problem = {**SHOCK, "cells": 80}
    reference = kinetic.solve(**problem)
    thresholds = (2.0, 0.01, 0.002)
    solutions = [closures.solve(**problem, hybrid={"threshold": one}) for one in thresholds]
    found = [errors(one, reference) for one in solutions]
    shares = [one.attrs["kinetic_share"] for one in solutions]
    assert found[0] > 1.2 * found[1] > 1.2**2 * found[2] > 0.0
    assert shares[0] == 0.0 < shares[1] < shares[2] < 1.0


def test_the_same_configuration_gives_the_same_bits() -> None:
    once, again = (closures.solve(**SHOCK, hybrid={"threshold": 0.005}) for _ in range(2))
    assert np.array_equal(once.energy, again.energy)
    assert np.array_equal(once.kinetic, again.kinetic)


@pytest.mark.parametrize("gas", GASES)
def test_f_hat_on_the_grid_is_that_of_the_closure_with_exact_moments(gas: str) -> None:
    stepper, f0 = stepper_of({**SHOCK, **GASES[gas]}, threshold=0.003)
    own = stepper.projection
    f = f0.copy()
    for n in range(4):
        stepper.step(f, n * stepper.dt)
    particles = own.particles(f)
    U = own.conserved(particles)
    frame = own.frame(U)
    m = own.encode(particles, frame)
    decoded, found = own.decode(m, frame, np.zeros((len(f), m.shape[1] + 3)))
    assert found.all()
    theta, _ = own.closure.decode(torch.from_numpy(m), torch.from_numpy(own.knudsen))
    assert np.abs(decoded.theta - theta.numpy()).max() < 1e-6 * np.abs(decoded.theta).max()
    f_hat = own.written(replace(decoded, U=U))
    assert np.abs(moments_of(f_hat, own.grid) - U).max() < 4e-15
    assert np.abs(own.encode(own.particles(f_hat), frame) - m).max() < 2e-3


def test_moments_of_the_closure_change_as_in_finite_volumes() -> None:
    """To the error of integrals on the velocity grid."""
    problem = {**SHOCK, "problem": {"name": "wave", "seed": 500001}}
    short = {**problem, "time": {"end": 2e-3, "snapshots": 2}}
    hybrid, alone = (closures.solve(**short, hybrid=one) for one in ({"threshold": 2.0}, {}))
    changes = [one.moments.values[-1] - one.moments.values[0] for one in (hybrid, alone)]
    assert np.abs(changes[0] - changes[1]).max() < 0.04 * np.abs(changes[1]).max()


def test_collisions_that_are_kept_are_nearly_those_of_every_stage() -> None:
    problem = {**SHOCK, **GASES["boltzmann"], "knudsen": 0.2}
    fine = {**problem, "scheme": {"cfl": 0.05}}
    end, found, shares = 0.02, [], []
    for threshold in (0.0, 1.0):
        stepper, f = stepper_of(fine, 0.0)
        stepper.collisions.threshold = threshold
        steps = round(end / stepper.dt)
        for n in range(steps):
            stepper.step(f, n * stepper.dt)
        found.append(f)
        shares.append(stepper.collisions.evaluated / (2 * len(f) * steps))
    assert shares[0] == 1.0
    assert shares[1] < 0.08
    assert np.abs(found[1] - found[0]).max() < 2e-5 * found[0].max()


def test_collisions_that_are_kept_change_no_mass_momentum_or_energy() -> None:
    grid = VelocityGrid(32, 8.0, 2)
    eps, dt = np.full(6, 0.5), 1e-3
    collisions = KineticCollisions(Boltzmann(angles=4), grid, eps, TABLEAUX["hsz2"], dt, 0.01)
    collisions.choose(np.array([1, 2, 5]))
    v1, v2 = np.meshgrid(grid.nodes, grid.nodes, indexing="ij")
    f = np.exp(-((v1 - 1) ** 2) - v2**2 / 3).ravel() * np.linspace(0.5, 1.5, 6)[:, None]
    for _ in range(12):
        slope = np.zeros_like(f)
        collisions.add(f, slope, True, 0.0)
        assert np.abs(moments_of(slope, grid)).max() < 1e-12
        assert not slope[[0, 3, 4]].any()
    assert np.abs(slope[[1, 2, 5]]).max() > 1e-2
    # Once in the first step, once in the second, and then once in eight.
    assert collisions.evaluated == 3 * 3


def test_cells_turn_kinetic_beyond_the_threshold_and_back_below_part_of_it() -> None:
    indicator, none = np.zeros(20), np.zeros(20, bool)
    indicator[10] = 1.5
    mask = chosen(indicator, none, 1.0, periodic=True)
    assert np.flatnonzero(mask).tolist() == list(range(10 - BUFFER, 11 + BUFFER))
    indicator[10] = 0.5 * (1.0 + RELEASE)
    assert np.array_equal(chosen(indicator, mask, 1.0, periodic=True), mask)
    assert not chosen(indicator, none, 1.0, periodic=True).any()
    indicator[10] = 0.9 * RELEASE
    assert not chosen(indicator, mask, 1.0, periodic=True).any()
    indicator[0] = 2.0
    assert chosen(indicator, none, 1.0, periodic=True)[-BUFFER:].all()
    assert not chosen(indicator, none, 1.0, periodic=False)[-BUFFER:].any()


def test_the_kinetic_solver_runs_where_the_jump_is() -> None:
    early = {**SHOCK, "knudsen": 0.003, "cells": 100, "time": {"end": 0.004, "snapshots": 2}}
    solution = closures.solve(**early, hybrid=0.003)
    kinetic_cells = solution.kinetic.values[1].astype(bool)
    jumps = np.flatnonzero(np.abs(np.diff(solution.density.values[0])) > 0.2)
    assert jumps.size == 2
    assert kinetic_cells[jumps].all()
    assert kinetic_cells.mean() < 0.4


@pytest.mark.parametrize("gas", ["line", "boltzmann"])
def test_two_cold_beams_are_farther_than_any_threshold_from_what_a_closure_holds(gas: str) -> None:
    stepper, f0 = stepper_of({**SHOCK, **GASES[gas]}, threshold=0.01)
    f = f0.copy()
    beams = f[7].reshape(-1, stepper.projection.columns.mass.size)
    middle, across = len(beams) // 2, beams.shape[1] // 2
    beams[:] = 0.0
    beams[[middle - 9, middle + 9], across] = 1.0
    start = stepper.projection.nothing().theta
    indicator, theta = stepper.indicator(f, stepper.kinetic, start, 0.01)
    assert indicator[7] > FARTHEST
    assert np.isfinite(theta).all()


def test_a_cell_that_no_f_hat_fits_turns_kinetic(monkeypatch: pytest.MonkeyPatch) -> None:
    stepper, f0 = stepper_of(SHOCK, threshold=2.0)
    f, decode = f0.copy(), runtime.decode
    stepper.look(f, 0.01)
    assert not stepper.kinetic.any()

    def without_the_seventh(m: Any, *rest: Any) -> None:
        """In the search of all cells, and in the next one, from equilibrium, of what is left."""
        decode(m, *rest)
        if len(m) == len(f0):
            rest[-1][7] = False
        elif len(m) == 1:
            rest[-1][0] = False

    monkeypatch.setattr(runtime, "decode", without_the_seventh)
    stepper.step(f, 0.0)
    assert np.flatnonzero(stepper.kinetic).tolist() == list(range(7 - BUFFER, 8 + BUFFER))
    assert np.abs(totals(f, stepper) - totals(f0, stepper)).max() < 1e-15


@pytest.mark.parametrize("closure", ["euler", "hermite"])
def test_closures_without_splines_are_refused(closure: str) -> None:
    with pytest.raises(InvalidInput, match="closure=entropy"):
        closures.solve(**SHOCK, closure=closure, hybrid=0.1)


@pytest.mark.parametrize("value", [-0.1, 2.5, "much", True])
def test_thresholds_that_are_no_distance_are_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"hybrid\.threshold"):
        closures.solve(**SHOCK, hybrid={"threshold": value})


def test_the_command_line_writes_where_the_kinetic_solver_ran(tmp_path: Path) -> None:
    overrides = ["problem=shock", "cells=40", "time.end=0.02", "hybrid.threshold=0.003"]
    assert main(["solve", *overrides, f"hydra.run.dir={tmp_path}"]) == 0
    solution = kinetic.read_solution(tmp_path / "solution.zarr")
    assert solution.kinetic.dims == ("time", "x")
    assert set(np.unique(solution.kinetic)) <= {0, 1}
