"""Comparisons: the error that they state, metrics.json, failures, and what is refused."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from fake_closures import (
    SMALL,
    failing_batch,
    fake_batch,
    fake_structure,
    infinite_batch,
    kinetic_at,
)

import kinetic
from closures import comparison
from closures.blocks import Blocks, identify
from closures.comparison import CompareConfig, compare, judge, showcases
from closures.gas import Gas
from closures.library import SHIPPED, parse
from closures.metrics import FIELDS, errors, mean_error, relative_l2
from closures.outcomes import REFERENCE, Case, Comparison, Outcome, by_decade
from closures.structure import PROPERTIES
from kinetic.errors import InvalidInput, NonPhysicalState
from kinetic.problems import problem


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not measure the structure of the closures."""
    monkeypatch.setattr(comparison, "structure", fake_structure)


def solution(density: Any, velocity: Any, energy: Any, end: float = 0.1) -> xr.Dataset:
    """Label fields of shape (2, cells)."""
    fields = {"density": density, "velocity": velocity, "energy": energy}
    cells = len(density[0])
    return xr.Dataset(
        {name: (("time", "x"), np.array(values, float)) for name, values in fields.items()},
        coords={"time": [0.0, end], "x": (np.arange(cells) + 0.5) / cells},
    )


def test_the_error_is_the_relative_l2_norm() -> None:
    # ||(3, 4) - (3, 2)|| / ||(3, 2)|| = 2 / sqrt(13)
    assert relative_l2([3.0, 4.0], [3.0, 2.0]) == pytest.approx(2.0 / math.sqrt(13.0), rel=1e-15)
    assert relative_l2([3.0, 2.0], [3.0, 2.0]) == 0.0


@pytest.mark.parametrize("noise", [0.0, 1e-17])
def test_the_momentum_of_a_gas_at_rest_is_relative_to_that_of_its_particles(noise: float) -> None:
    rest = solution([[2, 2]] * 2, [[noise, -noise]] * 2, [[1, 1]] * 2)
    moving = solution([[2, 2]] * 2, [[0.1, 0.1]] * 2, [[1, 1]] * 2)
    # rho u is 0.2 off, and sqrt(2 rho E) is 2.
    assert errors(moving, rest)["momentum"] == pytest.approx(0.1, rel=1e-14)
    assert errors(rest, rest)["momentum"] == 0.0


@pytest.mark.parametrize("speed", [1e-11, 1.0])
def test_other_momenta_are_relative_to_themselves(speed: float) -> None:
    pair = [solution([[1, 1]] * 2, [[v, 2 * v]] * 2, [[1, 1]] * 2) for v in (0.9 * speed, speed)]
    assert errors(*pair)["momentum"] == relative_l2(*(one.velocity[-1] for one in pair))


@pytest.mark.parametrize("factor", [1e-8, -1.0, 1e8])
def test_the_error_does_not_depend_on_units(factor: float) -> None:
    q, q_ref = np.array([1.0, 2.0, -0.5]), np.array([1.1, 1.9, -0.4])
    scaled = relative_l2(factor * q, factor * q_ref)
    assert scaled == pytest.approx(relative_l2(q, q_ref), rel=1e-14)


def test_errors_are_those_of_density_momentum_and_energy_at_the_last_time() -> None:
    reference = solution([[9, 9], [1, 1]], [[9, 9], [1, 2]], [[9, 9], [3, 4]])
    other = solution([[0, 0], [1, 2]], [[0, 0], [1, 1]], [[0, 0], [3, 5]])
    found = errors(other, reference)
    # rho u is (1, 2) in both: momentum is compared, not velocity.
    expected = {"density": 1.0 / math.sqrt(2.0), "momentum": 0.0, "energy": 0.2}
    assert found == pytest.approx(expected, rel=1e-14)
    assert mean_error(found) == pytest.approx(sum(expected.values()) / 3.0, rel=1e-14)


def test_solutions_that_cannot_be_compared_are_refused() -> None:
    pair, triple = [[1, 1]] * 2, [[1, 1, 1]] * 2
    with pytest.raises(ValueError, match="different cells"):
        errors(solution(triple, triple, triple), solution(pair, pair, pair))
    with pytest.raises(ValueError, match=r"different times, 0\.2 and 0\.1"):
        errors(solution(pair, pair, pair, end=0.2), solution(pair, pair, pair))
    with pytest.raises(ValueError, match="shapes"):
        relative_l2([1.0], [1.0, 2.0])
    with pytest.raises(ZeroDivisionError):
        relative_l2([1.0], [0.0])


def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, batch: Any = fake_batch, **changes: Any
) -> Comparison:
    """Compare without drawing and without measuring what closures keep."""
    monkeypatch.setattr(comparison, "run_batch", batch)
    monkeypatch.setattr(comparison, "write_report", lambda _: None)
    return compare(SMALL | changes, folder, progress=False)


def read(folder: Path) -> dict[str, Any]:
    """Read metrics.json strictly."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Contents of metrics.json of the small comparison."""
    run(tmp_path, monkeypatch)
    return read(tmp_path)


def timeless(metrics: dict[str, Any]) -> dict[str, Any]:
    """Leave out the seconds, which differ from run to run."""
    summary = [one for families in metrics["summary"].values() for one in families.values()]
    for entry in metrics["cases"] + summary:
        del entry["seconds"]
    return metrics


def test_metrics_list_every_case_of_every_closure_in_order(metrics: dict[str, Any]) -> None:
    keys = [(case["family"], case["closure"], case["seed"]) for case in metrics["cases"]]
    names = ("kinetic", "euler", "hermite-3", "entropy")
    assert keys == [
        (family, name, seed)
        for family in ("wave", "transition")
        for name in names
        for seed in (900000, 900001)
    ]
    assert metrics["schema_version"] == "1.0"
    assert {"python", "numpy", "numba", "torch"} <= set(metrics["versions"])
    assert metrics["configuration"]["compare"]["seed"] == 900000
    assert metrics["closures"]["entropy"] == {"name": "entropy", "moments": 6}
    for case in metrics["cases"]:
        eps = problem(case["family"], seed=case["seed"], cells=12).knudsen
        assert case["knudsen"] == (None if case["family"] == "transition" else eps[0])
        assert case["seconds"] > 0.0


def test_the_reference_is_listed_without_error(metrics: dict[str, Any]) -> None:
    zero = dict.fromkeys(FIELDS, 0.0)
    own = [case for case in metrics["cases"] if case["closure"] == REFERENCE]
    assert [case["errors"] for case in own] == [zero] * 4
    assert all(zero.items() <= one.items() for one in metrics["summary"][REFERENCE].values())


def test_a_failure_is_counted_with_its_reason_and_stops_nothing(metrics: dict[str, Any]) -> None:
    failed = [case for case in metrics["cases"] if case["status"] == "failed"]
    assert [(case["closure"], case["seed"]) for case in failed] == [("hermite-3", 900000)] * 2
    assert all(case["errors"] is None for case in failed)
    assert all("density is not positive" in case["reason"] for case in failed)
    summary = metrics["summary"]["hermite-3"]["wave"]
    (left,) = [
        case
        for case in metrics["cases"]
        if (case["closure"], case["family"], case["status"]) == ("hermite-3", "wave", "ok")
    ]
    assert (summary["failed"], summary["cases"]) == (1, 2)
    assert {name: summary[name] for name in FIELDS} == left["errors"]


def test_decades_hold_the_means_of_their_cases(metrics: dict[str, Any]) -> None:
    for closure, families in metrics["decades"].items():
        assert list(families) == ["wave"]  # the Knudsen number of transition varies in x
        spans = [(one["from"], one["to"]) for one in families["wave"]]
        assert spans == sorted(spans)
        assert all(end == pytest.approx(10 * begin) for begin, end in spans)
        assert sum(one["cases"] for one in families["wave"]) == 2
        for one in families["wave"]:
            own = [
                case
                for case in metrics["cases"]
                if (case["closure"], case["family"]) == (closure, "wave")
                and one["from"] <= case["knudsen"] < one["to"]
            ]
            good = [case["errors"] for case in own if case["errors"] is not None]
            assert (one["cases"], one["failed"]) == (len(own), len(own) - len(good))
            for name in FIELDS:
                mean = np.mean([errors[name] for errors in good]) if good else None
                assert one[name] == (mean if mean is None else pytest.approx(mean, rel=1e-14))


def test_a_decade_holds_its_lower_end() -> None:
    cases = [case("wave", i, eps) for i, eps in enumerate((1e-3, 2e-3, 1e-2, 1.0, 10.0))]
    found = by_decade([Outcome(one, "euler", dict.fromkeys(FIELDS, 0.1), 1.0) for one in cases])
    spans = [(one["from"], one["to"], one["cases"]) for one in found]
    assert spans == [(1e-3, 1e-2, 2), (1e-2, 0.1, 1), (1.0, 10.0, 1), (10.0, 100.0, 1)]
    assert by_decade([Outcome(case("transition", 0, None), "euler", None, None, "lost")]) == []


def test_the_structure_of_every_closure_is_stated(metrics: dict[str, Any]) -> None:
    assert set(metrics["structure"]) == {"euler", "hermite-3", "entropy"}
    assert metrics["structure"]["hermite-3"]["positivity"] == {"value": -0.25, "passes": False}
    assert metrics["structure"]["hermite-3"]["entropy"] == {"value": None, "passes": False}
    assert all(set(kept) == set(PROPERTIES) for kept in metrics["structure"].values())


def test_the_summary_holds_means(metrics: dict[str, Any]) -> None:
    cases = [
        case["errors"]["momentum"]
        for case in metrics["cases"]
        if (case["closure"], case["family"]) == ("euler", "wave")
    ]
    mean = metrics["summary"]["euler"]["wave"]["momentum"]
    assert mean == pytest.approx(np.mean(cases), rel=1e-14)
    assert mean > 0.0


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (failing_batch(RuntimeError("no convergence")), "no convergence"),
        (failing_batch(ZeroDivisionError("division by zero")), "division by zero"),
    ],
)
def test_a_closure_that_breaks_down_loses_its_own_cases_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: Any, reason: str
) -> None:
    found = run(tmp_path, monkeypatch, batch)
    metrics = read(tmp_path)
    assert {one.reason for one in found.outcomes if one.closure == "euler"} == {reason}
    assert metrics["summary"]["euler"]["wave"]["density"] is None
    assert metrics["summary"]["euler"]["wave"]["seconds"] is None
    assert metrics["summary"]["entropy"]["wave"]["failed"] == 0
    assert "euler –, 4 of 4 failed" in str(found)


def test_a_solution_that_is_not_finite_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, monkeypatch, infinite_batch)
    reasons = {c["reason"] for c in read(tmp_path)["cases"] if c["closure"] == "euler"}
    assert reasons == {"the solution is not finite"}


def test_without_a_reference_there_is_no_error() -> None:
    state = problem("wave", cells=8)
    broken = NonPhysicalState(0.01, 2, {"T": -1.0}, "temperature is not positive")
    one = Case("wave", 0, state)
    found = judge(one, "euler", kinetic_at(state, 0.01, 2), broken)
    assert found.failed
    assert found.errors is None
    assert found.reason == f"the reference failed: {broken}"
    assert judge(one, REFERENCE, broken, broken).reason == str(broken)


def test_the_same_configuration_gives_the_same_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    run(first, monkeypatch)
    run(second, monkeypatch)
    assert timeless(read(first)) == timeless(read(second))


def stopping_batch(closures: list[str], limit: int) -> Any:
    """Return a `run_batch` that is interrupted after `limit` calls; it lists the closures."""

    def batch(closure: Any, *states: Any, **options: Any) -> Any:
        if len(closures) == limit:
            raise KeyboardInterrupt
        closures.append(closure.name)
        return fake_batch(closure, *states, **options)

    return batch


@pytest.mark.parametrize("limit", [0, 1, 3, 5])
def test_a_killed_comparison_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Three closures in two families: `limit` of six batches are solved before the kill."""
    run(tmp_path / "straight", monkeypatch)
    folder, before, after = tmp_path / "killed", [], []
    with pytest.raises(KeyboardInterrupt):
        run(folder, monkeypatch, stopping_batch(before, limit))
    assert not (folder / "metrics.json").exists()
    resumed = run(folder, monkeypatch, stopping_batch(after, 6))
    assert [*before, *after] == ["euler", "hermite", "entropy"] * 2
    assert timeless(read(folder)) == timeless(read(tmp_path / "straight"))
    assert [path.name for path in folder.iterdir()] == ["metrics.json"]
    straight = run(tmp_path / "straight", monkeypatch)
    for one, other in zip(resumed.outcomes, straight.outcomes, strict=True):
        assert (one.solution is None) == (other.solution is None)
        assert one.failed_at == other.failed_at
        if one.solution is not None:
            xr.testing.assert_equal(one.solution, other.solution)


def solved_again(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> int:
    """Kill a comparison after four of six batches; return how many the next one solves."""
    with pytest.raises(KeyboardInterrupt):
        run(folder, monkeypatch, stopping_batch([], 4))
    closures: list[str] = []
    run(folder, monkeypatch, stopping_batch(closures, 6), **changes)
    return len(closures)


def test_what_another_comparison_left_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert solved_again(tmp_path / "same", monkeypatch) == 2
    assert solved_again(tmp_path / "cells", monkeypatch, cells=16) == 6
    with monkeypatch.context() as patched:
        killed = tmp_path / "version"
        with pytest.raises(KeyboardInterrupt):
            run(killed, patched, stopping_batch([], 4))
        patched.setattr("kinetic.output.package_version", lambda: "next")
        closures: list[str] = []
        run(killed, patched, stopping_batch(closures, 6))
    assert len(closures) == 6


def test_a_model_that_changes_is_compared_anew(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    found = set()
    for content in ("1", "2"):
        (model / "model.json").write_text(content)
        found.add(identify({}, [str(model)]))
    assert len(found | {identify({}, [str(model)])}) == 2


@pytest.mark.parametrize("damage", ["", "[]", "{}", '[{"case": "wave-900000"}]'])
def test_a_damaged_block_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, monkeypatch, stopping_batch([], 4))
    for record in tmp_path.rglob("outcomes.json"):
        record.write_text(damage)
    closures: list[str] = []
    run(tmp_path, monkeypatch, stopping_batch(closures, 6))
    assert len(closures) == 6


def test_a_pipe_in_place_of_a_chunk_is_not_read(tmp_path: Path) -> None:
    case = Case("wave", 1, problem("wave", seed=1, knudsen=0.1, cells=8))
    solution = kinetic.solve(problem="wave", cells=8, time={"end": 0.001, "snapshots": 2})
    blocks = Blocks(tmp_path, "key")
    blocks.save([Outcome(case, "euler", None, 0.1, solution=solution)])
    assert blocks.load("euler", [case])
    (chunk,) = (path for path in tmp_path.rglob("density/c/**/*") if path.is_file())
    chunk.unlink()
    os.mkfifo(chunk)
    # Zarr would wait for what the pipe says.
    assert blocks.load("euler", [case]) is None


def test_figures_of_an_earlier_comparison_do_not_survive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = tmp_path / "figures"
    figures.mkdir()
    for name in ("case-wave-1.png", "case-wave-1.pdf", "notes.txt"):
        (figures / name).touch()
    run(tmp_path, monkeypatch)
    assert [path.name for path in figures.iterdir()] == ["notes.txt"]


def test_progress_is_told_line_by_line_where_there_is_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(comparison, "run_batch", fake_batch)
    monkeypatch.setattr(comparison, "write_report", lambda _: None)
    compare(SMALL, tmp_path)
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert len(lines) == 8
    assert lines[0].startswith("wave: kinetic: 2 cases, 0 failed, mean error 0 %")
    assert lines[2].startswith("wave: hermite-3: 2 cases, 1 failed, mean error ")


def test_solvers_and_reference_agree_where_they_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "write_report", lambda _: None)
    config = {
        "cells": 32,
        "knudsen": 1e-8,
        "time": {"end": 0.01, "snapshots": 2},
        "scheme": {"cfl": 0.2},
        "compare": {"closures": ["euler"], "families": ["wave"], "cases": 1},
    }
    compare(config, tmp_path, progress=False)
    found = read(tmp_path)["summary"]["euler"]["wave"]
    # In the hydrodynamic limit both solve the equations of Euler, here to 3e-4.
    assert found["failed"] == 0
    assert max(found[name] for name in FIELDS) < 5e-4


@pytest.mark.parametrize("snapshots", [2, 11])
def test_every_time_of_the_cases_that_are_drawn_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshots: int
) -> None:
    found = run(tmp_path, monkeypatch, time={"end": 0.02, "snapshots": snapshots})
    kept = [one for one in found.outcomes if one.solution is not None]
    assert kept
    times = np.linspace(0.0, 0.02, snapshots)
    for one in kept:
        expected = times[:-1] if one.failed else times
        assert one.solution is not None
        assert one.solution.time.values == pytest.approx(expected, abs=1e-14)


def case(family: str, number: int, knudsen: float | None) -> Case:
    """Make a case with a Knudsen number of choice."""
    return Case(family, number, problem(family, seed=number, knudsen=knudsen, cells=4))


def test_one_case_of_each_decade_is_drawn_and_one_with_varying_knudsen_number() -> None:
    wave = [case("wave", i, eps) for i, eps in enumerate((2e-3, 3e-3, 0.3, 0.9))]
    mix = [case("mix", i, eps) for i, eps in enumerate((0.002, 0.2, 0.35))]
    transition = [case("transition", i, None) for i in range(2)]
    chosen = showcases([*wave, *mix, *transition])
    # 3e-3 is next to 10^-2.5; then it is the turn of mix, and 0.35 is next to 10^-0.5.
    assert [(one.family, one.seed) for one in chosen] == [
        ("wave", 1),
        ("mix", 2),
        ("transition", 0),
    ]
    assert showcases(transition[:1]) == transition[:1]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"closures": ["eulr"]}, "compare.closures"),
        ({"closures": []}, "compare.closures"),
        ({"closures": ["euler", "euler"]}, "compare.closures"),
        ({"closures": ["kinetic"]}, "compare.closures"),
        ({"closures": ["hermite-99"]}, "compare.closures"),
        ({"closures": ["missing/model"]}, "closure"),
        ({"families": ["sod"]}, "compare.families"),
        ({"cases": 0}, "compare.cases"),
        ({"seed": 2**31 - 1, "cases": 2}, "compare.seed"),
        ({"case": 3}, "compare.case"),
    ],
)
def test_what_is_not_allowed_is_refused_before_anything_runs(
    tmp_path: Path, options: dict[str, Any], key: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        compare({"compare": options}, tmp_path / "results", progress=False)
    assert refusal.value.key == key
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("gas", [*SHIPPED, Gas(3, "shakhov")], ids=str)
def test_a_gas_has_closures_that_are_compared_if_none_are_named(gas: Gas) -> None:
    physics = {"velocity": {"dim": gas.dimension}, "collision": gas.collision}
    config = CompareConfig.from_mapping(physics)
    made = [parse(spec, None, gas) for spec in config.closures]
    assert {closure.dimension for closure in made} == {gas.dimension}
    learned = {closure.moments for closure in made if closure.name == "entropy"}
    assert learned == set(SHIPPED[gas.trained])


def test_the_configuration_survives_a_round_trip() -> None:
    config = CompareConfig.from_mapping(SMALL)
    assert CompareConfig.from_mapping(json.loads(json.dumps(config.to_mapping()))) == config
