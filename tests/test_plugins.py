"""Closures of other packages: found by entry point, solved and compared by name."""

from __future__ import annotations

import json
from importlib import invalidate_caches
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

import closures
from closures import plugins
from closures.blocks import identify
from closures.cli import closure_directories
from closures.cli import main as closures_main
from closures.closure import MomentClosure
from closures.comparison import CompareConfig
from closures.gas import Gas
from closures.library import ClosureConfig, parse
from kinetic.errors import InvalidInput
from kinetic.output import read_solution

CODE = """
    import torch

    from closures.closure import MomentClosure
    from closures.dual import DualSolver
    from closures.encoder import Encoder
    from kinetic import InvalidInput


    @torch.no_grad()
    def bounded(moments, gas):
        if gas.dimension != 1:
            raise InvalidInput("velocity.dim", gas.dimension, "bounded-hermite knows 1 only")
        count = moments or 4
        features = Encoder(odd=(count + 1) // 2, even=count // 2).features()
        return MomentClosure("bounded-hermite", features, DualSolver(regularization=1e-8))


    def shapeless(moments, gas):
        return object()


    def broken(moments, gas):
        raise RuntimeError("no luck")


    def stubborn(moments, gas):
        return bounded(2, gas)
"""
ENTRY_POINTS = """
    [closures.plugins]
    bounded-hermite = outside_closures:bounded
    shapeless = outside_closures:shapeless
    broken = outside_closures:broken
    stubborn = outside_closures:stubborn
    missing = outside_closures:nothing
    euler = outside_closures:broken
"""


@pytest.fixture(autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package, from outside this one, that declares closures."""
    site = tmp_path_factory.mktemp("site-packages")
    (site / "outside_closures.py").write_text(dedent(CODE))
    info = site / "outside_closures-2.5.dist-info"
    info.mkdir()
    metadata = "Metadata-Version: 2.1\nName: outside-closures\nVersion: 2.5\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text(dedent(ENTRY_POINTS))
    monkeypatch.syspath_prepend(site)
    invalidate_caches()


def test_a_plugin_is_solved_by_name(tmp_path: Path) -> None:
    small = ["cells=12", "time.end=0.01", "time.snapshots=2", "knudsen=0.1"]
    command = ["solve", "closure=bounded-hermite", *small, f"hydra.run.dir={tmp_path}"]
    assert closures_main([*command, "closure.moments=6"]) == 0
    solution = read_solution(tmp_path / "solution.zarr")
    assert solution.sizes["k"] == 6
    assert json.loads(solution.attrs["configuration"])["closure"]["name"] == "bounded-hermite"
    assert closures_main(command) == 0
    assert read_solution(tmp_path / "solution.zarr").sizes["k"] == 4


def test_it_is_solved_from_python_and_conserves() -> None:
    solution = closures.solve(
        closure="bounded-hermite", problem="wave", cells=12, time={"end": 0.01, "snapshots": 2}
    )
    for field in (solution.density, solution.energy, solution.density * solution.velocity):
        assert np.ptp(field.sum("x").values) < 1e-13


def test_it_is_compared(tmp_path: Path, quick: None) -> None:
    chosen = "compare.closures=[bounded-hermite,bounded-hermite-6]"
    small = ["cells=12", "time.end=0.01", "time.snapshots=2", "scheme.cfl=0.2", "compare.cases=1"]
    families = "compare.families=[wave]"
    command = ["compare", chosen, families, *small, f"hydra.run.dir={tmp_path}"]
    assert closures_main([*command, "closure.moments=2"]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    found = {spec: one["moments"] for spec, one in metrics["closures"].items()}
    assert found == {"bounded-hermite": 2, "bounded-hermite-6": 6}
    means = {spec: one["wave"]["density"] for spec, one in metrics["summary"].items()}
    assert 0.0 < means["bounded-hermite-6"] < means["bounded-hermite"]
    assert "bounded-hermite" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("spec", ["bounded-hermite", "bounded-hermite-4"])
def test_a_closure_of_moments_has_the_rates_of_collisions(spec: str) -> None:
    closure = parse(spec, 4, gas=Gas(1, "shakhov", 0.5))
    assert isinstance(closure, MomentClosure)
    assert closure.response is not None
    assert closure.response.modes[0].tolist() == pytest.approx([0.5, 1.0, 1.0, 1.0])


def test_it_is_chosen_in_a_sweep() -> None:
    (override,) = closure_directories(["closure=euler,bounded-hermite"])
    assert override == "closure=euler,{name:'bounded-hermite',moments:null}"


def test_no_plugin_takes_the_place_of_a_closure() -> None:
    assert parse("euler").name == "euler"
    assert closures.load("euler").moments == 0


def test_what_a_comparison_found_belongs_to_the_version_of_the_plugin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert plugins.versions(["hermite-3", "entropy", "bounded-hermite-6"]) == {
        "bounded-hermite-6": "2.5"
    }
    config = CompareConfig().to_mapping()
    before = identify(config, ["bounded-hermite-6"])
    monkeypatch.setattr(plugins, "versions", lambda _: {"bounded-hermite-6": "2.6"})
    assert identify(config, ["bounded-hermite-6"]) != before


@pytest.mark.parametrize(
    ("name", "moments", "dimension", "reason"),
    [
        ("shapeless", None, 1, "made no closure: it lacks name, dimension"),
        ("broken", None, 1, "outside_closures:broken failed: RuntimeError: no luck"),
        ("missing", None, 1, "failed: AttributeError"),
        ("stubborn", 4, 1, "closure.moments=4: stubborn has 2"),
        ("bounded-hermite", None, 2, "velocity.dim=2: bounded-hermite knows 1 only"),
        ("bounded-hermit", None, 1, "did you mean 'bounded-hermite'?"),
    ],
)
def test_what_does_not_work_is_refused(
    name: str, moments: int | None, dimension: int, reason: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        closures.load(name, moments, gas=Gas(dimension))
    assert reason in str(refused.value)


def test_plugins_are_named_with_what_may_be_compared() -> None:
    with pytest.raises(InvalidInput, match="bounded-hermite"):
        parse("boundd-hermite")
    with pytest.raises(InvalidInput, match="only entropy"):
        ClosureConfig("bounded-hermite", fast=True)
