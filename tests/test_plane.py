"""Two velocity dimensions: the whole solver with BGK and with Boltzmann's collisions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kinetic
from kinetic.collisions import BGK, Collision
from kinetic.errors import InvalidInput
from kinetic.exact import bkw
from kinetic.exact.riemann import Gas, solve_riemann
from kinetic.maxwellian import discrete_maxwellian, maxwellian
from kinetic.moments import Array, entropy, heat_flux, moments_of, primitive, stress
from kinetic.output import write_solution
from kinetic.penalised import Boltzmann
from kinetic.problem_file import read_problem
from kinetic.problems import problem
from kinetic.solver import Scheme, Solver
from kinetic.space import SpaceGrid
from kinetic.velocity import VelocityGrid

GRID = VelocityGrid(32, 8.0 * np.sqrt(2.0 / 3.0), 2)
OPERATORS: list[Collision] = [BGK(), Boltzmann(8)]
NAMES = ["bgk", "boltzmann"]
#: A small run of the command line or of `kinetic.solve`.
SMALL: dict[str, Any] = {
    "problem": {"name": "mix", "seed": 3},
    "velocity": {"dim": 2, "points": 32, "extent": 7.5},
    "cells": 16,
    "time": {"end": 0.02, "snapshots": 3},
}


def run(collision: Collision, eps: float, f0: Array, end: float, **options: Any) -> list[Array]:
    """Return f at the snapshots of a run on `GRID`."""
    cells = len(f0)
    scheme = Scheme(**options.pop("scheme", {}))
    solver = Solver(GRID, SpaceGrid(cells), np.full(cells, eps), collision, scheme=scheme)
    return [snapshot.f for snapshot in solver.evolve(f0, end=end, **{"snapshots": 2} | options)]


def test_columns_are_sorted_by_the_velocity_along_x() -> None:
    v1, v2 = np.meshgrid(GRID.nodes, GRID.nodes, indexing="ij")
    assert np.array_equal(GRID.along, v1.ravel())
    assert np.array_equal(GRID.transverse, v2.ravel() ** 2)
    assert GRID.columns == GRID.mass.sum() == 32**2


def test_moments_of_a_mixture_and_of_its_deviation_from_equilibrium() -> None:
    state = problem("mix", seed=2, cells=6)
    f = state.on_grid(GRID)
    np.testing.assert_allclose(moments_of(f, GRID), state.conserved(2), rtol=1e-5)
    v1, v2 = GRID.along, np.tile(GRID.nodes, GRID.points)
    rho, u, T = primitive(moments_of(f, GRID), 2)
    c = v1 - u[:, None]
    assert np.allclose(
        stress(f, GRID), GRID.volume * np.sum((c**2 - T[:, None]) * f, axis=1), atol=1e-12
    )
    q = 0.5 * GRID.volume * np.sum((c**2 + v2**2) * c * f, axis=1)
    assert np.allclose(heat_flux(f, GRID), q, atol=1e-13)
    M = discrete_maxwellian(moments_of(f, GRID), GRID)
    assert np.allclose(moments_of(M, GRID), moments_of(f, GRID), rtol=1e-13, atol=1e-14)
    assert np.abs(stress(M, GRID)).max() < 1e-13
    exact = maxwellian(rho[:, None], u[:, None], T[:, None], v1, v2)
    np.testing.assert_allclose(M, exact, atol=1e-5)
    assert np.all(entropy(M, GRID) <= entropy(f, GRID) + 1e-12)


@pytest.mark.parametrize("eps", [1e-6, 1e-2, 10.0])
@pytest.mark.parametrize("collision", OPERATORS, ids=NAMES)
def test_mass_momentum_and_energy_are_conserved(collision: Collision, eps: float) -> None:
    f0 = problem("mix", seed=1, cells=16).on_grid(GRID)
    before, after = (moments_of(f, GRID).sum(axis=0) for f in run(collision, eps, f0, 0.02))
    assert np.abs(after - before).max() < 1e-13 * np.abs(before).max()


@pytest.mark.parametrize("collision", OPERATORS, ids=NAMES)
def test_f_stays_even_across_x(collision: Collision) -> None:
    f0 = problem("mix", seed=1, cells=8).on_grid(GRID)
    f = run(collision, 0.1, f0, 0.02)[-1].reshape(8, *GRID.shape)
    assert np.abs(f - f[:, :, ::-1]).max() < 1e-15


@pytest.mark.parametrize("collision", OPERATORS, ids=NAMES)
def test_the_limit_is_the_euler_equations_of_a_plane_gas(collision: Collision) -> None:
    cells, grid = 60, VelocityGrid(32, 6.5, 2)
    state = problem("sod", cells=cells, knudsen=1e-6)
    solver = Solver(grid, SpaceGrid(cells), state.knudsen, collision, "outflow")
    *_, last = solver.evolve(state.on_grid(grid), end=0.12, snapshots=2)
    exact = solve_riemann(Gas(1.0, 0.0, 1.0), Gas(0.125, 0.0, 0.8), gamma=2.0)
    found = primitive(moments_of(last.f, grid), 2)
    expected = exact((state.x - 0.5) / 0.12)
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other).mean() < 0.03


def test_bkw_relaxes_as_it_must() -> None:
    v1, v2 = GRID.along, np.tile(GRID.nodes, GRID.points)
    f0 = np.tile(bkw(v1, v2, 1.0), (4, 1))
    f, exact = run(Boltzmann(), 0.5, f0, 0.5)[-1], bkw(v1, v2, 2.0)
    assert np.abs(f - exact).max() < 1e-3 * np.abs(f0[0] - exact).max()


@pytest.mark.parametrize("name", NAMES)
def test_a_solution_can_be_written_and_continued_bit_for_bit(name: str, tmp_path: Path) -> None:
    small = SMALL | {"collision": name, "output": {"distribution": True}}
    whole = kinetic.solve(**small)
    assert whole["distribution"].dims == ("time", "x", "v1", "v2")
    half = kinetic.solve(**small | {"time": {"end": 0.01, "snapshots": 2}})
    path = write_solution(half, tmp_path / "half.zarr")
    assert kinetic.read_solution(path)["distribution"].shape == (2, 16, 32, 32)
    again = {"problem": {"name": "file", "path": str(path)}, "time": {"end": 0.02, "snapshots": 2}}
    rest = kinetic.solve(**small | again)
    assert np.array_equal(rest["distribution"][-1], whole["distribution"][-1])
    for velocity in ({"dim": 1}, {"dim": 2}):
        with pytest.raises(InvalidInput, match=r"velocity.dim=2 velocity.points=32"):
            kinetic.solve(**small | again | {"velocity": velocity, "collision": "bgk"})


def test_the_energy_and_temperature_of_a_solution_are_those_of_a_plane_gas() -> None:
    solution = kinetic.solve(**SMALL)
    state = problem("mix", seed=3, cells=16)
    np.testing.assert_allclose(solution.energy[0], state.conserved(2)[:, 2], rtol=1e-6)
    kinetic_energy = 0.5 * solution.density * solution.velocity**2
    internal = solution.density * solution.temperature
    np.testing.assert_allclose(solution.energy, kinetic_energy + internal, rtol=1e-14)


def test_a_grid_that_cuts_the_gas_is_refused_with_one_that_does() -> None:
    with pytest.raises(InvalidInput, match=r"velocity.extent=.* and velocity.points="):
        kinetic.solve(**SMALL | {"velocity": {"dim": 2, "extent": 3.0}})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A data set, and the configuration that made it."""
    config = {key: value for key, value in SMALL.items() if key != "problem"}
    config |= {"collision": "boltzmann"}
    config["dataset"] = {"trajectories": 3, "families": ["mix"], "workers": 1}
    path = tmp_path_factory.mktemp("plane") / "dataset.zarr"
    assert not kinetic.generate(config, path, progress=False).failures
    return config, path


def test_a_data_set_holds_plane_distributions(dataset: tuple[dict[str, Any], Path]) -> None:
    data = kinetic.open_dataset(dataset[1])
    one = {"problem": {"name": "mix", "seed": 1}, "output": {"distribution": True}}
    solution = kinetic.solve(**SMALL | one | {"collision": "boltzmann"})
    trajectory = data[1]
    assert (data.dim, trajectory.dim, trajectory.distribution.shape) == (2, 2, (3, 16, 32, 32))
    assert np.array_equal(trajectory.distribution, solution["distribution"].astype(np.float32))
    assert np.array_equal(trajectory.v, solution["v1"])


def test_a_data_set_is_compressed_and_resumed_to_the_same_bits(
    dataset: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    config, straight = dataset
    path = Path(shutil.copytree(straight, tmp_path / "dataset.zarr"))
    shards = (path / "distribution" / "c").rglob("*")
    files = sorted(file for file in shards if file.is_file())
    assert len(files) == 3
    assert all(file.stat().st_size < 0.9 * 4 * 3 * 16 * 32**2 for file in files)
    (path / "done" / "c" / "1").unlink()
    expected = files[1].read_bytes()
    files[1].write_bytes(b"left by a killed writer")
    report = kinetic.generate(config | {"dataset": config["dataset"] | {"workers": 2}}, path, False)
    assert (report.found, report.made) == (2, 1)
    assert files[1].read_bytes() == expected
    files[1].write_bytes(expected[:-1])
    with pytest.raises(InvalidInput, match="distribution of trajectory 1 is missing or truncated"):
        kinetic.open_dataset(path)
    damaged = bytearray(expected)
    damaged[100] ^= 255
    files[1].write_bytes(damaged)
    with pytest.raises(InvalidInput, match="trajectory 1 is damaged"):
        kinetic.open_dataset(path)[1]


def test_a_chunk_of_a_shard_is_not_expanded_beyond_its_size(
    dataset: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    path = Path(shutil.copytree(dataset[1], tmp_path / "dataset.zarr"))
    shard = path / "distribution/c/1/0/0/0/0"
    content = bytearray(shard.read_bytes())
    start, _, second = np.frombuffer(content[-52:-4], "<u8")[:3].tolist()
    for chunk in (start, second):
        claiming = bytearray(content)
        claiming[chunk + 4 : chunk + 8] = (2**31 - 64).to_bytes(4, "little")
        shard.write_bytes(claiming)
        with pytest.raises(InvalidInput, match="a chunk of it does not hold 65536 bytes"):
            kinetic.open_dataset(path)[1]
    assert kinetic.open_dataset(path)[2].dim == 2


def test_a_shard_with_its_index_elsewhere_is_refused(
    dataset: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    path = Path(shutil.copytree(dataset[1], tmp_path / "dataset.zarr"))
    for metadata in (path / "zarr.json", path / "distribution/zarr.json"):
        metadata.write_text(metadata.read_text().replace('"end"', '"start"'))
    with pytest.raises(InvalidInput, match="distribution has another index"):
        kinetic.open_dataset(path)


def test_reduced_distributions_are_stored_continued_and_collected(tmp_path: Path) -> None:
    small = SMALL | {"velocity": {"dim": 3, "points": 31}, "collision": "es_bgk"}
    small |= {"output": {"distribution": True}}
    whole = kinetic.solve(**small)
    assert whole["distribution"].dims == ("time", "x", "v1", "power")
    assert whole["power"].values.tolist() == [0, 2]
    state = problem("mix", seed=3, cells=16)
    np.testing.assert_allclose(whole.energy[0], state.conserved(3)[:, 2], rtol=1e-6)
    np.testing.assert_array_equal(whole["distribution"][0], state.reduced(whole["v1"].values))
    half = kinetic.solve(**small | {"time": {"end": 0.01, "snapshots": 2}})
    path = str(write_solution(half, tmp_path / "half.zarr"))
    again = {"problem": {"name": "file", "path": path}, "time": {"end": 0.02, "snapshots": 2}}
    assert np.array_equal(
        kinetic.solve(**small | again)["distribution"][-1], whole["distribution"][-1]
    )
    config = {key: small[key] for key in ("velocity", "cells", "time", "collision")}
    config["dataset"] = {"trajectories": 1, "families": ["mix"], "seed": 3}
    kinetic.generate(config, tmp_path / "dataset.zarr", progress=False)
    data = kinetic.open_dataset(tmp_path / "dataset.zarr")
    assert data.dim == 3
    assert np.array_equal(data[0].distribution, whole["distribution"].astype(np.float32))


def test_a_distribution_from_a_file_is_known_at_any_velocity(tmp_path: Path) -> None:
    first = {"time": {"end": 1e-6, "snapshots": 2}, "output": {"distribution": True}}
    path = str(write_solution(kinetic.solve(**SMALL | first), tmp_path / "solution.zarr"))
    state, exact = read_problem(path), problem("mix", seed=3, cells=16)
    rng = np.random.default_rng(1)
    v1, v2 = rng.uniform(-3.0, 3.0, (2, 16, 50))
    np.testing.assert_allclose(state.distribution(v1, v2), exact.distribution(v1, v2), rtol=0.01)
    assert np.all(state.distribution(np.array([0.0, 8.0]), np.array([8.0, 0.0])) == 0.0)
    with pytest.raises(InvalidInput, match=r"has velocity.dim=2"):
        state.distribution(v1)


def test_a_gas_that_moves_across_x_is_refused(tmp_path: Path) -> None:
    solution = kinetic.solve(**SMALL | {"output": {"distribution": True}})
    solution["distribution"] = solution["distribution"].roll(v2=1)
    path = str(write_solution(solution, tmp_path / "solution.zarr"))
    with pytest.raises(InvalidInput, match="must be even in v2"):
        read_problem(path)


@pytest.mark.parametrize("time", ["hsz2", "ars222"])
def test_steps_follow_the_transport_alone_for_every_knudsen_number(time: str) -> None:
    grid, cells, operator = VelocityGrid(32, 7.5, 2), 20, Boltzmann(4)
    f0 = problem("wave", seed=4, cells=cells).on_grid(grid)

    def momentum(scheme: Scheme, eps: float) -> Array:
        run = Solver(grid, SpaceGrid(cells), np.full(cells, eps), operator, scheme=scheme)
        *_, last = run.evolve(f0, end=0.05, snapshots=2)
        return moments_of(last.f, grid)[:, 1]

    for eps in (1.0, 1e-2, 1e-3, 1e-4, 1e-6):
        exact = momentum(Scheme("ars443", cfl=0.1), eps)
        error = np.linalg.norm(momentum(Scheme(time), eps) - exact) / np.linalg.norm(exact)
        assert error < 0.02, f"eps={eps:g}"


@pytest.mark.parametrize("time", ["hsz2", "ars222", "ars443"])
def test_cold_gas_on_a_coarse_grid_is_stable_as_eps_vanishes(time: str) -> None:
    grid, cells = VelocityGrid(24, 6.4, 2), 40
    state = problem("wave", seed=4, cells=cells, knudsen=1e-7)
    run = Solver(grid, SpaceGrid(cells), state.knudsen, Boltzmann(4), scheme=Scheme(time))
    *_, last = run.evolve(state.on_grid(grid), end=0.05, snapshots=2)
    M = discrete_maxwellian(moments_of(last.f, grid), grid)
    assert np.abs(last.f - M).max() < 2e-3 * M.max()
