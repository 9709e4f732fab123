"""Solutions of closed systems from configurations, files and batches."""

from __future__ import annotations

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from moment_cases import CLOSURES, FIELDS, mixture, solve_all

import closures
from closures.learned import Learned
from closures.library import write_model
from closures.restart import ATTRIBUTE
from kinetic.config import PROBLEMS
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.output import read_solution, write_solution
from kinetic.problems import problem
from kinetic.reference import solve as solve_kinetic

SMALL = {"cells": 16, "time": {"end": 0.02, "snapshots": 3}}
#: Grad's closure with nine moments leaves the gases that it can describe.
FAILING = {"closure": {"name": "hermite", "moments": 9}, "knudsen": 1.0, "cells": 30}


def spec(name):
    closure, _, moments = name.partition("-")
    return {"name": closure} | ({"moments": int(moments)} if moments else {})


def save(solution, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return str(write_solution(solution, path))


@pytest.mark.parametrize("closure", CLOSURES)
@pytest.mark.parametrize("name", [n for n in PROBLEMS if n != "file"])
def test_every_closure_solves_every_problem(closure, name):
    solution = closures.solve(problem={"name": name, "seed": 3}, closure=spec(closure), **SMALL)
    moments = int(closure.partition("-")[2] or 0)
    assert dict(solution.sizes) == {"time": 3, "x": 16} | ({"k": moments} if moments else {})
    assert np.allclose(solution.time, [0.0, 0.01, 0.02])
    for field in (*FIELDS, "velocity", "temperature", "heat_flux"):
        assert solution[field].dims == ("time", "x")
        assert np.isfinite(solution[field]).all()
    assert ("moments" in solution) == bool(moments)
    initial = problem(name, seed=3, cells=16)
    assert np.array_equal(solution.density[0], initial.conserved()[:, 0])
    assert np.array_equal(solution.knudsen, initial.knudsen)
    configuration = json.loads(solution.attrs["configuration"])
    assert configuration["closure"]["name"] == closure.partition("-")[0]
    assert configuration["boundary"] == initial.boundary
    assert solution.attrs["solver_seconds"] > 0.0


def test_the_layout_is_that_of_the_kinetic_solver(tmp_path):
    options = SMALL | {"output": {"distribution": True}}
    found = closures.solve(problem="mix", closure="entropy", **options)
    reference = solve_kinetic(problem="mix", **options)
    for name, variable in reference.variables.items():
        assert found[name].dims == variable.dims
        assert found[name].dtype == variable.dtype
        assert found[name].attrs == variable.attrs
    assert set(reference.attrs) <= set(found.attrs)
    again = read_solution(save(found, tmp_path / "solution.zarr"))
    xr.testing.assert_identical(again.load(), found)


def test_the_distribution_has_the_moments_of_the_solution():
    found = closures.solve(
        problem="wave", closure="entropy", output={"distribution": True}, **SMALL
    )
    v = found.v.values
    f = found.distribution.values
    # The edge of the support of f_hat falls between two nodes of this grid: 2.2e-5 in the energy.
    for power, field in ((0, found.density), (1, found.momentum), (2, 2 * found.energy)):
        assert np.abs((f * v**power).sum(-1) * (v[1] - v[0]) - field).max() < 4e-5
    third = ((v - found.velocity.values[..., None]) ** 3 * f).sum(-1) * (v[1] - v[0])
    assert np.abs(0.5 * third - found.heat_flux).max() < 1e-4


@pytest.mark.parametrize("closure", CLOSURES)
@pytest.mark.parametrize(("end", "snapshots", "kept"), [(0.07, 8, 3), (0.1, 7, 4), (0.05, 4, 2)])
def test_restart_is_the_straight_run_bit_for_bit(tmp_path, closure, end, snapshots, kept):
    options = {"closure": spec(closure), "knudsen": 0.03, "cells": 12}
    straight = closures.solve(problem="mix", time={"end": end, "snapshots": snapshots}, **options)
    path = save(straight.isel(time=slice(0, kept)), tmp_path / "solution.zarr")
    rest = closures.solve(
        problem={"name": "file", "path": path},
        time={"end": end, "snapshots": snapshots - kept + 1},
        **options,
    )
    assert np.allclose(rest.time, straight.time[kept - 1 :], rtol=1e-14)
    for field in (*FIELDS, "heat_flux", *(["moments"] if "moments" in straight else [])):
        assert np.array_equal(rest[field], straight[field][kept - 1 :]), field


def test_start_from_a_kinetic_solution_with_its_distribution(tmp_path):
    options = {"knudsen": 0.5, "cells": 40}
    whole = solve_kinetic(
        problem="wave", time={"end": 0.06, "snapshots": 2}, output={"distribution": True}, **options
    )
    path = save(whole, tmp_path / "kinetic.zarr")
    later = closures.solve(
        problem={"name": "file", "path": path}, closure="entropy", time={"end": 0.1}
    )
    reference = solve_kinetic(problem="wave", time={"end": 0.1}, **options)
    assert float(later.time[0]) == 0.06
    assert np.abs(later.density[0] - whole.density[-1]).max() < 1e-12
    assert np.abs(later.density[-1] - reference.density[-1]).max() < 5e-3
    assert (later.knudsen == 0.5).all()
    changed = closures.solve(
        problem={"name": "file", "path": path}, knudsen=2.0, time={"end": 0.07, "snapshots": 2}
    )
    assert (changed.knudsen == 2.0).all()


def test_start_from_a_table(tmp_path):
    path = tmp_path / "gas.csv"
    rows = [f"{(j + 0.5) / 10},1.{j},0.1,1,0.{j + 1}" for j in range(10)]
    path.write_text("\n".join(["x,density,velocity,temperature,knudsen", *rows]))
    found = closures.solve(problem={"name": "file", "path": path}, time={"end": 0.01})
    assert np.allclose(found.density[0], [float(f"1.{j}") for j in range(10)])
    assert np.allclose(found.knudsen, [float(f"0.{j + 1}") for j in range(10)])


#: Of two and three velocity dimensions.
GASES = {
    "plane": {"velocity": {"dim": 2, "points": 32, "extent": 7.5}, "collision": "boltzmann"},
    "solid": {"velocity": {"dim": 3, "points": 41, "extent": 7.5}},
}


def conserved_by(f, v, dimension):
    """U of distributions as solutions hold them."""
    dv = v[1] - v[0]
    if dimension == 2:
        g, h = f.sum(-1) * dv, f @ v**2 * dv
    else:
        g, h = f[..., 0], f[..., 1]
    return np.stack([(g @ v), (g @ v**2 + h.sum(-1)) / 2, g.sum(-1)]) * dv


@pytest.mark.parametrize("of", GASES)
@pytest.mark.parametrize("closure", ["euler", "hermite", "entropy"])
def test_distributions_of_more_dimensions_are_written_and_read(tmp_path, of, closure):
    gas = GASES[of] | {"cells": 16, "knudsen": 0.5, "output": {"distribution": True}}
    dimension = gas["velocity"]["dim"]
    times = {"time": {"end": 0.03, "snapshots": 2}}
    whole = solve_kinetic(problem={"name": "mix", "seed": 3}, **gas, **times)
    path = save(whole, tmp_path / "kinetic.zarr")
    problem = {"problem": {"name": "file", "path": path}}
    later = closures.solve(**problem, **gas, closure=closure, time={"end": 0.05, "snapshots": 2})
    assert float(later.time[0]) == 0.03
    assert np.abs(later.temperature[0] - whole.temperature[-1]).max() < 1e-12
    assert np.abs(later.heat_flux[0] - whole.heat_flux[-1]).max() < {
        "euler": 0.3,  # it carries none
        "hermite": 2e-4,
        "entropy": 1.5e-3,
    }.get(closure)
    assert later.distribution.dims == whole.distribution.dims
    assert all(np.array_equal(later[name], whole[name]) for name in later.distribution.dims[2:])
    # What is written has the moments of the solution, as far as this grid resolves splines.
    found = conserved_by(later.distribution.values, later.v1.values, dimension)
    given = np.stack([later.momentum, later.energy, later.density])
    assert np.abs(found - given).max() < (4e-4 if closure == "entropy" else 1e-6)
    # It is nearest to the f that it started from, the more so the more the closure holds.
    apart = (later.distribution[0] - whole.distribution[-1]).values
    error = np.linalg.norm(apart) / np.linalg.norm(whole.distribution[-1].values)
    assert error < (0.1 if closure == "euler" else 0.05)
    again = save(later, tmp_path / "closure.zarr")
    if closure == "entropy":  # whose f_hat is positive
        back = solve_kinetic(
            problem={"name": "file", "path": again}, **gas, time={"end": 0.06, "snapshots": 2}
        )
        assert np.array_equal(back.distribution[0], later.distribution[-1])
    other = closures.solve(
        problem={"name": "file", "path": again},
        closure={"name": "hermite", "moments": 3},
        **gas,
        time={"end": 0.06, "snapshots": 2},
    )
    assert np.abs(other.density[0] - later.density[-1]).max() < 2e-4


@pytest.mark.parametrize("of", GASES)
@pytest.mark.parametrize("closure", ["navier_stokes", "hermite", "entropy"])
def test_more_dimensions_restart_from_tables_and_bit_for_bit(tmp_path, of, closure):
    x = (np.arange(12) + 0.5) / 12
    table = np.stack([x, 1 + 0.2 * np.sin(2 * np.pi * x), 0.1 + 0 * x, 1 + 0.1 * x], axis=1)
    path = tmp_path / "gas.csv"
    header = "x,density,velocity,temperature"
    np.savetxt(path, table, delimiter=",", header=header, comments="")
    gas = GASES[of] | {"closure": closure}
    start = {"name": "file", "path": str(path)}
    straight = closures.solve(problem=start, **gas, time={"end": 0.03, "snapshots": 4})
    assert np.allclose(straight.temperature[0], table[:, 3], rtol=1e-14)
    kept = save(straight.isel(time=slice(0, 2)), tmp_path / "solution.zarr")
    start = {"name": "file", "path": kept}
    rest = closures.solve(problem=start, **gas, time={"end": 0.03, "snapshots": 3})
    for field in (*FIELDS, "heat_flux", *(["moments"] if "moments" in straight else [])):
        assert np.array_equal(rest[field], straight[field][1:]), field


def test_a_solution_of_other_dimensions_is_refused(tmp_path):
    made = closures.solve(problem="mix", closure="euler", **SMALL, velocity={"dim": 2})
    path = save(made, tmp_path / "solution.zarr")
    with pytest.raises(InvalidInput, match=r"has velocity\.dim=2") as caught:
        closures.solve(problem={"name": "file", "path": path}, closure="euler")
    assert caught.value.key == "velocity.dim"
    whole = solve_kinetic(problem="mix", **SMALL, output={"distribution": True})
    path = save(whole, tmp_path / "kinetic.zarr")
    with pytest.raises(InvalidInput, match=r"has velocity\.dim=1") as caught:
        closures.solve(problem={"name": "file", "path": path}, velocity={"dim": 3})
    assert caught.value.key == "velocity.dim"


def test_a_closure_without_a_plane_distribution_stores_none(monkeypatch):
    monkeypatch.setattr("closures.solution.load", lambda *_: SimpleNamespace(name="own"))
    with pytest.raises(InvalidInput, match="own has no f_hat of") as caught:
        closures.solve(problem="mix", velocity={"dim": 2}, output={"distribution": True}, **SMALL)
    assert caught.value.key == "output.distribution"


@pytest.mark.parametrize(
    "velocity", [{"points": 33, "extent": 3.0}, {"points": 9}, {"dim": 2, "extent": 3.0}]
)
def test_a_distribution_is_stored_only_where_the_grid_holds_the_gas(velocity):
    tiny = {"cells": 6, "time": {"end": 0.001, "snapshots": 2}, "velocity": velocity}
    with pytest.raises(InvalidInput, match=r"velocity\.extent=\d.* do") as caught:
        closures.solve(problem="mix", closure="hermite", output={"distribution": True}, **tiny)
    assert caught.value.key == "velocity"
    # Without it no grid is used.
    assert closures.solve(problem="mix", closure="hermite", **tiny).sizes["time"] == 2


def restart(path, closure="entropy", **options):
    time = options.pop("time", {"end": 0.05, "snapshots": 2})
    given = {"name": "file", "path": str(path)}
    return closures.solve(problem=given, closure=closure, time=time, **options)


def damage(folder, variable):
    for chunk in (folder / variable / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"damage")


def test_files_that_cannot_be_continued_are_refused(tmp_path):
    made = closures.solve(problem="mix", closure="entropy", **SMALL)
    path = tmp_path / "solution.zarr"
    save(made, path)
    for closure in ("euler", "hermite", {"name": "entropy", "moments": 9}):
        with pytest.raises(InvalidInput, match="made by entropy with 6 moments") as caught:
            restart(path, closure)
        assert caught.value.key == "problem.path"
    with pytest.raises(InvalidInput, match="after the start") as caught:
        restart(path, time={"end": 0.02})
    assert caught.value.key == "time.end"
    spoiled = {
        "nan": made.assign(moments=made.moments * np.nan),
        "hot": made.assign(momentum=made.momentum + 100.0),
        "cut": made.drop_vars("momentum"),
        "mirrored": made.assign_coords(x=made.x.values[::-1]),
        "none": made.drop_vars(["moments", "momentum"]).assign_attrs({ATTRIBUTE: "[]"}),
    }
    for name, solution in spoiled.items():
        with pytest.raises(InvalidInput) as caught:
            restart(save(solution, tmp_path / name))
        assert caught.value.key == "problem.path"
    damage(path, "moments")
    with pytest.raises(InvalidInput, match="chunk of moments"):
        restart(path)


def test_a_model_continues_its_own_solution_and_no_others(tmp_path):
    with torch.no_grad():
        write_model(tmp_path / "model", Learned(6).closure(), {})
    own = {"name": "model", "path": str(tmp_path / "model")}
    path = save(closures.solve(problem="mix", closure=own, **SMALL), tmp_path / "solution.zarr")
    assert restart(path, own).sizes["k"] == 6
    # The shipped closure has a like name and as many moments, but other ones.
    with pytest.raises(InvalidInput, match="not by this entropy"):
        restart(path, "entropy")


@pytest.mark.parametrize(
    ("config", "key", "hint"),
    [
        ({"closure": "entrpy"}, "closure.name", "entropy"),
        ({"closure": {"name": "hermite", "moments": 0}}, "closure.moments", "from 1"),
        ({"closure": {"name": "entropy", "moments": 7}}, "closure.moments", "6, 9, 12, 16"),
        ({"closure": {"name": "model"}}, "closure.path", "needs the directory"),
        ({"closure": {"name": "model", "path": "none"}}, "closure", "cannot be read"),
        ({"closur": "euler"}, "closur", "closure"),
        (
            {"velocity": {"dim": 2}, "collision": "shakhov", "closure": "maxent"},
            "closure",
            "none of",
        ),
        ({"problem": {"name": "file", "path": "none.csv"}}, "problem.path", "does not exist"),
        ({"knudsen": -1.0}, "knudsen", "number"),
    ],
)
def test_bad_configurations_are_refused(config, key, hint):
    with pytest.raises(InvalidInput, match=hint) as caught:
        closures.solve(**config)
    assert caught.value.key == key
    assert len(str(caught.value).splitlines()) == 1


def test_a_failure_names_time_cell_and_values_and_keeps_the_snapshots():
    with pytest.raises(NonPhysicalState, match="not positive") as caught:
        closures.solve(
            problem={"name": "mix", "seed": 1}, time={"end": 0.1, "snapshots": 51}, **FAILING
        )
    failure = caught.value
    assert 0.0 < failure.time < 0.1
    assert 0 <= failure.cell < 30
    assert min(failure.values["rho"], failure.values["T"]) <= 0.0
    solution = failure.solution
    assert 2 <= solution.sizes["time"] < 51
    assert float(solution.time[-1]) <= failure.time
    assert np.isfinite(solution.density).all()
    assert solution.attrs["solver_seconds"] > 0.0


def test_one_that_fails_stops_no_other():
    bad = [problem("mix", seed=1, knudsen=eps, cells=30) for eps in (1.0, 10.0)]
    states = [mixture(30, 0.01), bad[0], mixture(30, 1.0), bad[1]]
    results = solve_all("hermite-9", states, snapshots=21)
    assert [isinstance(result, NonPhysicalState) for result in results] == [
        False,
        True,
        False,
        True,
    ]
    for index in (0, 2):
        (alone,) = solve_all("hermite-9", [states[index]], snapshots=21)
        assert results[index].sizes["time"] == 21
        assert np.allclose(results[index].moments, alone.moments, rtol=0, atol=1e-9)
    for index in (1, 3):
        (alone,) = solve_all("hermite-9", [states[index]], snapshots=21)
        assert results[index].cell == alone.cell
        assert results[index].time == pytest.approx(alone.time, abs=1e-3)
        assert results[index].solution.sizes == alone.solution.sizes


def test_more_trajectories_than_fit_in_a_batch(monkeypatch):
    states = [mixture(8, eps) for eps in (0.01, 0.1, 1.0)]
    together = solve_all("entropy-6", states, end=0.02)
    monkeypatch.setattr("closures.solution.BATCH_CELLS", 16)
    apart = solve_all("entropy-6", states, end=0.02)
    for a, b in zip(together, apart, strict=True):
        assert np.allclose(a.density, b.density, rtol=0, atol=1e-12)
