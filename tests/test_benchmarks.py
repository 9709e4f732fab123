"""The benchmark suite: fits, goals, tables and history; and that what is compared is the same."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmarks import history, page
from benchmarks.alternatives import NumpyKinetic, PlainKinetic, numpy_collisions, scipy_dual
from benchmarks.measure import (
    Benchmark,
    Call,
    Case,
    Grown,
    Growth,
    Result,
    best_by_turns,
    exponent,
    grow,
    run,
)
from benchmarks.steps import (
    EPS,
    learned,
    newton_steps,
    operator_of,
    stepper_of,
    training_step,
    volume_step,
)
from closures.dual import DualSolver
from kinetic.boltzmann import boltzmann_operator
from kinetic.velocity import VelocityGrid


def taking(*seconds: float) -> Call:
    """A call that reports these times, one after the other."""
    left = list(seconds)
    return Call(lambda: left.pop(0), reports=True)


def result(name: str = "step", faster: float = 10.0) -> Result:
    return Result(name, "a copy", "NumPy", 2e-5, 1e-5, 2e-5 * faster)


def record(*results: Result, processor: str = "one", growths: tuple[Grown, ...] = ()) -> dict:
    whole = history.record_of(results, growths)
    return whole | {"machine": whole["machine"] | {"processor": processor}}


def test_the_best_of_all_turns_is_kept_and_scaled():
    calls = {"a": taking(3.0, 1.0, 2.0), "b": Call(taking(6.0, 5.0, 7.0).function, 0.5, True)}
    assert best_by_turns(calls, rounds=3, budget=60.0) == {"a": 1.0, "b": 2.5}


def test_a_quick_function_is_called_often_enough_to_be_timed():
    called = []
    best = best_by_turns({"quick": Call(lambda: called.append(0))}, rounds=1)
    assert len(called) > 100
    assert 0.0 < best["quick"] < 1e-4


@pytest.mark.parametrize(
    ("goals", "said"),
    [
        ({}, ""),
        ({"seconds": 3.0}, "< 3 s: yes"),
        ({"seconds": 1.0}, "< 1 s: no"),
        ({"times": 4.0}, ">= 4: yes"),
        ({"times": 4.1}, ">= 4.1: no"),
        ({"bound": 4.0}, "<= 4 × limit: yes"),
        ({"bound": 3.9}, "<= 3.9 × limit: no"),
    ],
)
def test_goals(goals, said):
    case = Case(taking(2.0), taking(0.5), taking(8.0), rounds=1)
    found = run(Benchmark("step", "a copy", "NumPy", lambda: case, **goals))
    assert (found.of_limit, found.faster, found.goal) == (4.0, 4.0, said)


@pytest.mark.parametrize("p", [0.5, 1.0, 1.7])
def test_the_exponent_of_a_power_law(p):
    costs = [10.0, 30.0, 100.0, 400.0]
    assert exponent(costs, [3e-6 * cost**p for cost in costs]) == pytest.approx(p, abs=1e-12)


@pytest.mark.parametrize(
    ("law", "as_stated"),
    [(lambda n: n, True), (lambda n: 1e3 + n, True), (lambda n: n**1.3, False)],
)
def test_growth_faster_than_stated_is_seen(law, as_stated):
    sizes = (100.0, 200.0, 400.0, 800.0)
    growth = Growth("step", "cells", sizes, "n", float, lambda n: taking(law(n)), rounds=1)
    grown = grow(growth)
    assert grown.as_stated == as_stated
    word = "as stated" if as_stated else "faster than stated"
    assert page.growth_table(record(growths=(grown,)))[0][-1].startswith(word)


@pytest.mark.parametrize(("seconds", "as_stated"), [([2.0, 1.1, 0.6], True), ([2, 2, 2], False)])
def test_time_falls_with_cores(seconds, as_stated):
    grown = Grown("set", "cores", [1, 2, 4], "1 / cores", [1.0, 0.5, 0.25], seconds)
    assert grown.falls
    assert grown.as_stated == as_stated
    assert (page.growth_table(record(growths=(grown,)))[0][-1] == "as stated") == as_stated


def test_a_history_gives_back_what_was_added(tmp_path):
    grown = Grown("step", "cells", [1, 2], "n", [1.0, 2.0], [3.0, 6.0])
    kept = [record(result(faster=ratio), growths=(grown,)) for ratio in (9.0, 11.0)]
    for one in kept:
        history.append(one, tmp_path / "bench" / "history.jsonl")
    read = history.read(tmp_path / "bench" / "history.jsonl")
    assert read == kept
    assert history.results_of(read[1]) == [result(faster=11.0)]
    assert history.growths_of(read[0]) == [grown]


def test_a_run_is_compared_with_the_last_ones_on_such_a_machine():
    earlier = [record(result(faster=ratio)) for ratio in (90.0, 1.0, 2.0, 3.0, 4.0, 50.0)]
    other = [record(result(faster=1e3), processor="two"), record(result("solve", faster=1e3))]
    machine = earlier[0]["machine"]
    assert history.before(result(), earlier + other, machine) == pytest.approx(3.0)
    assert history.before(result(), other, machine) is None


def test_a_table_shows_each_time_beside_its_limit_and_alternative():
    text = page.text(record(result(faster=12.0)), [record(result(faster=8.0))])
    row = re.search(r"^step .*$", text, re.MULTILINE)
    assert row is not None
    for cell in ("20 µs", "a copy, 10 µs", "2", "NumPy, 240 µs", "12", "8"):
        assert f" {cell}" in row[0]


@pytest.mark.parametrize(
    ("seconds", "said"), [(2.5e-7, "0.25 µs"), (4.2e-2, "42 ms"), (75.04, "75 s")]
)
def test_durations(seconds, said):
    assert page.duration(seconds) == said


def test_the_page_shows_a_run_of_the_history():
    text = (history.ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert any(page.section(kept) in text for kept in history.read(history.HISTORY))


def test_writing_a_page_keeps_what_stands_around_the_table(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n", encoding="utf-8")
    page.write_section(path, record(result()))
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| step | 20 µs |" in text


def test_the_figure_is_drawn(tmp_path):
    grown = Grown("step", "cells", [1, 2], "n", [1.0, 2.0], [3.0, 6.0])
    page.draw([grown], tmp_path / "bench" / "growth.png")
    assert (tmp_path / "bench" / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("numpy", [NumpyKinetic, PlainKinetic])
@pytest.mark.parametrize(("dim", "points", "extent"), [(1, 81, 8.0), (2, 32, 8.0)])
def test_numpy_makes_the_same_kinetic_step(numpy, dim, points, extent):
    cells = 12
    stepper, f, dt = stepper_of(cells, dim, points, extent)
    other = f.copy()
    alternative = numpy(VelocityGrid(points, extent, dim), cells, EPS)
    for _ in range(3):
        stepper.step(f, 0.0, dt)
        other = alternative.step(other, dt)
    assert np.allclose(f, other, rtol=0.0, atol=1e-13)


def test_numpy_evaluates_the_same_collisions():
    operator = boltzmann_operator(32, 8.0, 12)
    _, f = operator_of(32, 4)
    found, expected = numpy_collisions(operator, f), operator.spectral_sum(f)
    assert np.allclose(found, expected, rtol=0.0, atol=1e-14 * abs(f).max())


def test_scipy_solves_the_same_dual():
    closure = learned("entropy-6")
    mu = closure.phi.new_tensor([[1.0, 0.0, 0.0, 0.05, 0.02, 0.01, 0.03, -0.02, 0.01]])
    theta, converged = DualSolver().solve(closure.phi, closure.measure, mu, 0.0 * mu)
    found = scipy_dual(closure.phi.numpy(), closure.measure.numpy(), mu[0].numpy())
    assert converged.all()
    assert np.allclose(found, theta[0].numpy(), atol=1e-6)
    assert 1 <= newton_steps(closure.phi, closure.measure, mu) <= 10


def test_what_the_suite_measures_of_closures_runs():
    for case in (training_step(), volume_step("entropy-6", 8)):
        for call in (case.measured, case.limit, case.instead):
            assert call.seconds(1) > 0.0
