"""The public interface of `kinetic`: complete, lazy, and one set of defaults everywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import kinetic
import kinetic.reference
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.output import read_solution, write_solution
from kinetic.solver import Snapshot

ROOT = Path(__file__).resolve().parent.parent


def test_every_public_name_resolves_and_is_documented() -> None:
    for name in kinetic.__all__:
        assert getattr(kinetic, name).__doc__, name
    assert set(kinetic.__all__) <= set(dir(kinetic))


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'slove'"):
        _ = kinetic.slove  # type: ignore[attr-defined]


def test_importing_it_imports_no_library() -> None:
    code = "import sys, kinetic; print({'numpy', 'numba', 'xarray', 'zarr'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


def test_solve_with_the_defaults() -> None:
    solution = kinetic.solve()
    assert dict(solution.sizes) == {"time": 11, "x": 100}
    assert float(solution.time[-1]) == 0.1
    np.testing.assert_allclose(solution.x, (np.arange(100) + 0.5) / 100, rtol=1e-14)


@pytest.mark.parametrize("name", ["wave", "shock", "mix", "transition", "sod"])
def test_first_snapshot_is_the_problem(name: str) -> None:
    solution = kinetic.solve(
        problem={"name": name, "seed": 4}, cells=20, time={"end": 0.01, "snapshots": 2}
    )
    state = kinetic.problem(name, seed=4, cells=20)
    # A Maxwellian cut at |v| = 8 where T reaches 2 has lost 1e-8 of its energy.
    np.testing.assert_allclose(solution.energy[0], state.conserved()[:, 2], rtol=1e-6)
    np.testing.assert_array_equal(solution.knudsen, state.knudsen)


def test_boundary_follows_the_problem_unless_it_is_given() -> None:
    config = {"cells": 20, "time": {"end": 0.2, "snapshots": 2}}
    mass = {
        boundary: float(kinetic.solve(problem="sod", boundary=boundary, **config).density[-1].sum())
        for boundary in (None, "outflow", "periodic")
    }
    assert mass[None] == mass["outflow"]
    assert mass["periodic"] == pytest.approx(20 * 0.5625, rel=1e-12)


def test_same_configuration_gives_the_same_bits() -> None:
    first, second = (kinetic.solve(problem="mix", cells=20, time={"end": 0.02}) for _ in range(2))
    xr.testing.assert_identical(first.drop_attrs(), second.drop_attrs())


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"porblem": "wave"}, "porblem"),
        ({"problem": {"name": "file", "path": "missing.csv"}}, "problem.path"),
        ({"velocity": {"extent": 2.0}}, "velocity"),
        ({"velocity": {"points": 11}}, "velocity"),
    ],
)
def test_refusals(config: dict, key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        kinetic.solve(**config)
    assert caught.value.key == key


def test_failure_keeps_the_snapshots_before_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    evolve = kinetic.reference.Solver.evolve

    def fails_at_the_fourth(self, f0, **options):  # type: ignore[no-untyped-def]
        for count, snapshot in enumerate(evolve(self, f0, **options)):
            if count == 3:
                raise NonPhysicalState(snapshot.time, 5, {"T": -1.0}, "T must be positive")
            assert isinstance(snapshot, Snapshot)
            yield snapshot

    monkeypatch.setattr(kinetic.reference.Solver, "evolve", fails_at_the_fourth)
    with pytest.raises(NonPhysicalState, match="cell 5") as caught:
        kinetic.solve(cells=16, output={"distribution": True})
    kept = caught.value.solution
    assert kept is not None
    np.testing.assert_allclose(kept.time, [0.0, 0.01, 0.02], rtol=1e-14)
    assert read_solution(write_solution(kept, tmp_path / "solution.zarr")).identical(kept)
